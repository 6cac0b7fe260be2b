"""Protocols: how label and rationale are elicited, in stages, declared in YAML."""
