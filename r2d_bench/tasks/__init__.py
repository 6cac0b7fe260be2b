"""Tasks: what a `task.yaml` says (`spec`), where rows come from (`sources`), labels, and loaded examples."""
