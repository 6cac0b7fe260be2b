"""Metrics: one family per file. `base` holds what a metric means."""
