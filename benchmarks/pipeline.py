"""Overhead of `run` per request: a fake model that answers at once, on a generated task, two stages.

    python benchmarks/pipeline.py --items 20000 --json docs/performance/pipeline.json
    python benchmarks/pipeline.py --items 5000 --profile

What is timed is everything between the model and the disk: prompts, keys, storing and flushing each answer,
parsing, progress. Scoring is not (see text_metrics.py, label_metrics.py). The target is below 200 µs a request.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
from pathlib import Path
from typing import Any

from generated_task import write_task
from record import figure, record

from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.runs.asking import Progress
from r2d_bench.runs.execute import Sitting, execute
from r2d_bench.runs.selection import select
from r2d_bench.runs.setup import plan_run
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.task import load_task

TARGET_US = 200.0


class Counting(Progress):
    """Counts requests."""

    def __init__(self) -> None:
        self.requests = 0

    def stage(self, name: str, *, total: int, stored: int) -> None:
        """A stage begins."""

    def advance(self, *, failed: bool) -> None:  # noqa: ARG002
        """One request was answered, or failed."""
        self.requests += 1


def measure(items: int, *, profile: bool = False) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        task = load_task(str(write_task(Path(scratch), items)))
        model = make_model(parse_spec("mock:random"), task=task, seed=0)
        setup = plan_run(task, model)
        selection = select(task.examples())
        store, counting = RunStore(Path(scratch) / "runs" / setup.folder), Counting()
        profiler = cProfile.Profile()
        if profile:
            profiler.enable()
        asked = execute(task, model, setup, Sitting(selection), store, counting)
        profiler.disable()
        again = execute(task, model, setup, Sitting(selection), store, Counting())
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    return {
        "items": items,
        "requests": counting.requests,
        "us_per_request": round(1e6 * asked.seconds / counting.requests, 1),
        "target_us": TARGET_US,
        "us_per_stored_request": round(1e6 * again.seconds / counting.requests, 1),
        "seconds": round(asked.seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--profile", action="store_true", help="also print where the time goes (and takes it)")
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    found = measure(args.items, profile=args.profile)
    print(
        f"{found['requests']} requests: {found['us_per_request']} µs each (target {TARGET_US:.0f}), "
        f"{found['us_per_stored_request']} µs where the answer is stored already"
    )
    if args.json:
        figures = [
            figure("a request", found["us_per_request"], "µs", target=f"below {TARGET_US:.0f} µs"),
            figure("a request whose answer is stored", found["us_per_stored_request"], "µs"),
        ]
        record("pipeline", figures, args.json, details=found)


if __name__ == "__main__":
    main()
