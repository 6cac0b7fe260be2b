"""Runs: plan (`setup`, `selection`), execute, store, read back (`predictions`), score."""
