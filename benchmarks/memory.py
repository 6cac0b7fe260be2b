"""Peak memory of asking and scoring 20,000 and 200,000 examples, each in a process of its own.

    python benchmarks/memory.py --json docs/performance/memory.json

`replay` and `mock` on a generated task of 60-word notes. *The table* is what the examples themselves and one
prediction of each take: the growth of memory when both are held. The target for asking (plan, ask, store) and for all
(with scoring, without BERTScore): at most 1.2 times the peak of the smaller size, plus the larger table.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from generated_task import write_predictions, write_task
from record import figure, record

ALLOWED = 1.2
MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=20_000)
    parser.add_argument("--large", type=int, default=200_000)
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    parser.add_argument("--child", nargs=3, metavar=("STEP", "TASK", "SPEC"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(*args.child)
        return
    figures = []
    with tempfile.TemporaryDirectory() as scratch:
        folders = {items: written(Path(scratch) / str(items), items) for items in (args.small, args.large)}
        table = measured("table", folders[args.large], "replay")
        for kind in ("replay", "mock"):
            for step in ("ask", "all"):
                small, large = (measured(step, folders[items], kind) for items in (args.small, args.large))
                allowed = ALLOWED * small + table
                what = "asked" if step == "ask" else "asked and scored"
                print(
                    f"{kind}, {what}: {args.small:,} {small:.0f} MiB, {args.large:,} {large:.0f} MiB, "
                    f"table {table:.0f} MiB, {large / allowed:.2f} of what is allowed"
                )
                figures.append(
                    figure(
                        f"{kind}, {what}: peak with {args.large:,} / (1.2 × peak with {args.small:,} + the table)",
                        round(large / allowed, 3),
                        target="at most 1",
                    )
                )
                figures.append(figure(f"{kind}, {what}: peak with {args.large:,}", round(large), "MiB"))
        figures.append(figure(f"the table of {args.large:,}", round(table), "MiB"))
    if args.json:
        record("memory", figures, args.json)


def written(folder: Path, items: int) -> Path:
    """Write the task and the predictions to replay; returns the folder of both."""
    folder.mkdir()
    write_predictions(folder / "said.csv", write_task(folder, items))
    return folder


def measured(step: str, folder: Path, kind: str) -> float:
    """Return what a process of its own tells, in MiB."""
    spec = f"replay:{folder / 'said.csv'}" if kind == "replay" else "mock:random"
    command = [sys.executable, __file__, "--child", step, str(folder / "generated"), spec]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return float(found["mib"])


def child(step: str, task_folder: str, spec: str) -> None:
    from r2d_bench.models.registry import make_model, parse_spec
    from r2d_bench.runs.execute import Sitting, execute
    from r2d_bench.runs.predictions import Reader
    from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run
    from r2d_bench.runs.selection import select
    from r2d_bench.runs.setup import plan_run
    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.spec import BertScore
    from r2d_bench.tasks.task import load_task

    task = load_task(task_folder)
    if step == "table":
        import psutil

        before = psutil.Process().memory_info().rss
        model = make_model(parse_spec(spec), task=task, seed=0)
        examples = task.examples()
        reader = Reader(task, plan_run(task, model))
        held = [examples, [reader.prediction(example, {}) for example in examples]]
        print(json.dumps({"mib": (psutil.Process().memory_info().rss - before) / MIB, "held": len(held[0])}))
        return
    with tempfile.TemporaryDirectory() as scratch:
        model = make_model(parse_spec(spec), task=task, seed=0)
        setup = plan_run(task, model)
        store = RunStore(Path(scratch) / setup.folder)
        execute(task, model, setup, Sitting(select(task.examples())), store, Quiet())
        if step == "all":
            score_run(store, task, ScoreOptions(bertscore=BertScore(model="none"), paper=False), Scorers())
    print(json.dumps({"mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


class Quiet:
    """Nobody watches."""

    def stage(self, name: str, *, total: int, stored: int) -> None:
        """A stage begins."""

    def advance(self, *, failed: bool) -> None:
        """One request was answered, or failed."""


if __name__ == "__main__":
    main()
