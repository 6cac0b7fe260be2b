"""Intervals and tests: numpy in, numbers out; no files, no models, no console."""
