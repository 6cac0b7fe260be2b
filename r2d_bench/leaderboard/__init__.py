"""Boards: run folders in, one `results.json` and a static site out."""
