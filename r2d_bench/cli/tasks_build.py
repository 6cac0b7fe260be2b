"""`tasks build`, and the checks that `tasks validate` makes of a set of vignettes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.cli import options

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace
    from collections.abc import Sequence

    from r2d_bench.records import Json
    from r2d_bench.tasks.task import Task
    from r2d_bench.vignettes.checks import Check

EXAMPLES = """\
  r2d-bench tasks build tasks/triage            # write the set anew from families/*.yaml and lexicon.yaml
  r2d-bench tasks build tasks/triage --dry-run  # only tell what would change
"""


def add_parser(kinds: options.Verbs[argparse.ArgumentParser]) -> None:
    """Add the verb below `tasks`."""
    parser = options.add_verb(kinds, "build", "Write a set of vignettes anew from its material.", _build, EXAMPLES)
    parser.add_argument("task", metavar="TASK", help="a task's folder, or its name")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    options.add_task_dir(parser)
    options.add_json(parser)


def _build(args: Namespace) -> int:
    from pathlib import Path

    from r2d_bench import content
    from r2d_bench.cli.plain import say, say_json
    from r2d_bench.vignettes import folder as vignettes

    folder = content.find("tasks", args.task, [Path(one) for one in args.task_dir])
    files = vignettes.build(vignettes.load_material(folder))
    other = vignettes.changed(files, folder)
    if not args.dry_run:
        vignettes.write(files, folder)
    if args.json:
        say_json({"task": folder.name, "files": sorted(files), "changed": other, "written": not args.dry_run})
        return 0
    for name in sorted(files):
        state = ("would change" if args.dry_run else "written") if name in other else "unchanged"
        say(f"  {name}: {files[name].count(bytes([10]))} lines, {state}")
    return 0


def checks_of(task: Task) -> list[Check]:
    """Return the checks of a bundled set of vignettes; none for other tasks, or for data that stand in for it."""
    from r2d_bench.vignettes import folder as vignettes

    if task.data is not None or not vignettes.is_made_of_vignettes(task.folder):
        return []
    from r2d_bench.vignettes.checks import check_set

    splits = {name: [dict(example.fields) for example in part] for name, part in task.splits().items()}
    return check_set(vignettes.load_material(task.folder), task.folder, splits)


def as_json(checks: Sequence[Check]) -> list[Json]:
    """Return checks for `--json`."""
    return [{"check": check.name, "passed": check.passed, "detail": check.detail} for check in checks]


def say_checks(checks: Sequence[Check]) -> None:
    """Print every check on a line."""
    from r2d_bench.cli.plain import say

    for check in checks:
        say(f"  {'ok  ' if check.passed else 'FAIL'} {check.name}: {check.detail}")
