"""Options that several verbs share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from r2d_bench.tasks.spec import BertScore

Verbs = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for it


def add_verb(
    verbs: Verbs[argparse.ArgumentParser],
    name: str,
    text: str,
    main: Callable[[argparse.Namespace], int | None],
    examples: str,
) -> argparse.ArgumentParser:
    """Add a verb with its help and examples; `main` carries it out."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=text,
        description=text,
        epilog="examples:\n" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(main=main)
    return parser


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="print JSON to standard output")


def add_executor(parser: argparse.ArgumentParser) -> None:
    """Add --executor and what belongs to it."""
    parser.add_argument("--executor", choices=["none", "ray"], help="ray: spread local models over workers")
    parser.add_argument("--workers", type=int, metavar="N", help="so many (default: one for each GPU, else one)")
    parser.add_argument("--worker-gpus", type=float, metavar="X", help="GPUs of each worker (default: 1 if there are)")
    parser.add_argument("--worker-memory", type=float, metavar="GIB", help="memory that is kept for each worker")
    parser.add_argument("--ray-address", metavar="auto|HOST:PORT", help="join a cluster (default: start Ray here)")


def add_task_dir(parser: argparse.ArgumentParser) -> None:
    """Add --task-dir."""
    parser.add_argument(
        "--task-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="also look for tasks in this folder (repeatable)",
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add --data."""
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="TASK=PATH",
        help="local data of a task (repeatable); $R2D_BENCH_DATA/TASK is taken without being asked",
    )


def add_bertscore(parser: argparse.ArgumentParser) -> None:
    """Add --bertscore."""
    parser.add_argument(
        "--bertscore",
        metavar="MODEL[@LAYER]",
        help="encoder of BERTScore: a hub id, a folder, pkg:MODULE, or none (default: the board's, then the task's)",
    )


def add_rationale_style(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --rationale-style; `default` says which style is taken without it."""
    parser.add_argument(
        "--rationale-style",
        metavar="NAME",
        help=f"style of the gold rationales, for tasks with several (default: {default})",
    )


def add_judge_dir(parser: argparse.ArgumentParser) -> None:
    """Add --judge-dir."""
    parser.add_argument(
        "--judge-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="also look for judges in this folder (repeatable)",
    )


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Add --runs."""
    parser.add_argument("--runs", default="runs", metavar="DIR", help="folder of the run folders (default: runs)")


def data_pairs(pairs: list[str]) -> dict[str, str]:
    """Read `TASK=PATH` pairs.

    Raises:
        UserError: a pair that is not of that form, or a path that does not exist.
    """
    data: dict[str, str] = {}
    for pair in pairs:
        task, equals, path = pair.partition("=")
        if not equals or not task or not path:
            raise UserError(f"--data: '{pair}' should be TASK=PATH")
        if not Path(path).exists():
            raise UserError(f"--data: {path}: no such file or folder (data for task {task})")
        data[task] = path
    return data


def bertscore_of(text: str | None) -> BertScore | None:
    """Read `MODEL[@LAYER]`."""
    from r2d_bench.tasks.spec import BertScore

    if text is None:
        return None
    model, _, layer = text.partition("@")
    if layer and not layer.isdecimal():
        raise UserError(f"--bertscore: '{text}': the layer should be a number")
    return BertScore(model=model, num_layers=int(layer) if layer else None)
