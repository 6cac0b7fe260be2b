"""Several runs of one task compared: who is better, how sure that is, and on which items."""
