"""Models under test: the contract (`base`), the registry and an adapter per file."""
