"""Training: the two-stage method of Reason2Decide, its baselines, and what their checkpoints tell of themselves."""
