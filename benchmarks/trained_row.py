"""Does the row that is trained on the spot beat a drawn label? The paired difference of two runs in macro-F1.

    python benchmarks/trained_row.py --runs runs --task triage --one r2d --other baseline:stratified

Reads finished run folders; computes nothing with a model. Whole families are resampled with the same weights for both.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from record import figure, record

from r2d_bench.errors import UserError
from r2d_bench.metrics.paired import difference
from r2d_bench.runs.predictions import Reader
from r2d_bench.runs.scoring import make_columns
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.task import Task, load_task

if TYPE_CHECKING:
    from r2d_bench.metrics.base import Columns


def columns_of(runs: Path, task: Task, wanted: str) -> tuple[str, Columns]:
    """Return the title and the columns of the one run whose model begins with `wanted`."""
    found = []
    for folder in sorted(runs.iterdir()):
        store = RunStore(folder)
        setup = store.setup()
        title = f"{setup.model['kind']}:{setup.model['name']}"
        if setup.task == task.spec.full_name and title.startswith(wanted):
            responses, reader = store.responses(), Reader(task, setup, [])
            examples = task.examples(setup.split)
            predictions = [reader.prediction(example, responses) for example in examples]
            found.append((title, make_columns(task, setup, examples, predictions)))
    if len(found) != 1:
        raise UserError(f"{runs}: {len(found)} runs of {wanted} on {task.spec.full_name}, one is needed")
    return found[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--task", default="triage")
    parser.add_argument("--one", default="r2d")
    parser.add_argument("--other", default="baseline:stratified")
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    task = load_task(args.task)
    (one, first), (other, second) = (columns_of(args.runs, task, wanted) for wanted in (args.one, args.other))
    found = difference(first, second)
    if found.value is None or found.low is None or found.high is None:
        raise SystemExit(f"no difference: {found.reason}")
    points = [100 * value for value in (found.value, found.low, found.high)]
    print(f"macro-F1 of {one} minus {other}: {points[0]:.1f} points [{points[1]:.1f}, {points[2]:.1f}], n = {found.n}")
    if args.json:
        what = f"macro-F1 of {one} minus {other} on {args.task}, n = {found.n}"
        spread = (round(points[1], 1), round(points[2], 1))
        difference_ = figure(what, round(points[0], 1), "points", spread=spread, of="95 % interval", target="above 0")
        record("trained_row", [difference_], args.json, details={"one": one, "other": other, **found.as_json()})


if __name__ == "__main__":
    main()
