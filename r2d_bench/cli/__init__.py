"""The command line: a verb per file, heavy imports inside the verb."""
