"""Vignettes: synthetic notes composed from written material, in which a rule over stated findings decides the label."""
