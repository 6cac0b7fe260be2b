"""What `--executor ray` costs beyond start-up: two workers against two plain processes with half of the run each.

    python benchmarks/ray_overhead.py --minutes 2.2 --json docs/performance/ray_overhead.json

A model of T5-small's shape with random weights answers the two stages of protocol `r2d` (it hardly ever stops by
itself, so that every answer has its full length), on one thread a process. With `--waiting` it is one that waits 50 ms
for each answer: on a machine that others use as well, that tells more of what Ray costs than of what they do. Weights
are loaded before the clock starts. The ideal is the mean of the two plain processes, which know nothing of each other
and write answers of their own; both ways take turns. Target: below 10 % for runs of more than two minutes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generated_task import write_task
from record import figure, record

from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.models.spread import spread
from r2d_bench.models.spread_cluster import Executor, Wanted
from r2d_bench.records import Request
from r2d_bench.runs.asking import Progress
from r2d_bench.runs.execute import Sitting, execute
from r2d_bench.runs.selection import select
from r2d_bench.runs.setup import plan_run
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.synchronize import Barrier

    from r2d_bench.models.base import Model

WORKERS = 2
BUDGETS = {"predict": 8, "explain": 32}
SAMPLE = 64  # items of the run that finds out how many take so many minutes
TARGET = 0.10
WAITING = "mock:random,latency=0.05"


class Silent(Progress):
    """Nobody is told."""

    def stage(self, name: str, *, total: int, stored: int) -> None:
        """Say nothing."""

    def advance(self, *, failed: bool) -> None:
        """Say nothing."""


def write_model(folder: Path, texts: Sequence[str]) -> Path:
    """Write a checkpoint of T5-small's shape with random weights and a small vocabulary."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    made = Tokenizer(models.BPE(unk_token="<unk>"))  # noqa: S106 - no password
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    names = list(special.values())
    made.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=2000, special_tokens=names, show_progress=False))
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, **special)
    torch.manual_seed(0)
    config = transformers.T5Config(vocab_size=len(tokenizer), decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def warm(model: Model) -> None:
    """Let every process load its weights."""
    requests = [Request(f"w{n}", "predict", f"predict: warm {n}", f"warm {n}", 2) for n in range(64)]
    for _ in range(2):  # a worker that starts late gets none of the first ones
        list(model.generate(requests))


def run(model: Model, task_folder: str, ids: Sequence[str], runs: Path) -> float:
    """Carry out a run on some items; returns its seconds."""
    task = load_task(task_folder)
    setup = plan_run(task, model, max_new_tokens=BUDGETS)
    sitting = Sitting(select(task.examples(), ids=ids))
    return execute(task, model, setup, sitting, RunStore(runs / setup.folder), Silent()).seconds


def plain(spec: str, task_folder: str, ids: Sequence[str], runs: Path, start: Barrier, seconds: Any) -> None:  # noqa: ANN401
    """One plain process: its half of the items."""
    model = make_model(parse_spec(spec), task=load_task(task_folder), seed=0)
    warm(model)
    start.wait()
    seconds.put(run(model, task_folder, ids, runs))


def ideal(spec: str, task_folder: str, ids: Sequence[str], runs: Path) -> float:
    """Return the mean seconds of plain processes that share the items."""
    context = multiprocessing.get_context("spawn")
    start, seconds = context.Barrier(WORKERS), context.Queue()
    parts = [(spec, task_folder, ids[n::WORKERS], runs / str(n), start, seconds) for n in range(WORKERS)]
    processes = [context.Process(target=plain, args=part) for part in parts]
    for process in processes:
        process.start()
    taken = [seconds.get() for _ in processes]
    for process in processes:
        process.join()
    return statistics.mean(taken)


def with_ray(spec: str, task_folder: str, ids: Sequence[str], runs: Path) -> tuple[float, float]:
    """Return the seconds of the same run on workers, and those of their start-up, weights included."""
    task = load_task(task_folder)
    begun = time.perf_counter()
    with Executor(Wanted(workers=WORKERS)) as executor:
        parsed = parse_spec(spec)
        with closing(spread(make_model(parsed, task=task, seed=0), parsed, 0, task, executor)) as model:
            warm(model)
            startup = time.perf_counter() - begun
            return run(model, task_folder, ids, runs), startup


def measure(minutes: float, turns: int, scratch: Path, *, waiting: bool) -> dict[str, Any]:
    folder = str(write_task(scratch, 20_000))
    examples = load_task(folder).examples()
    texts = [example.input for example in examples[:2000]]
    spec = WAITING if waiting else f"hf:{write_model(scratch / 'random-t5-small', texts)}"
    ids = [example.id for example in examples]
    rate = SAMPLE / ideal(spec, folder, ids[:SAMPLE], scratch / "sample")
    chosen = ids[: max(SAMPLE, int(rate * 60 * minutes))]
    pairs = []
    for turn in range(turns):
        spread_out = with_ray(spec, folder, chosen, scratch / f"ray-{turn}")
        pairs.append((ideal(spec, folder, chosen, scratch / f"plain-{turn}"), *spread_out))
    overheads = [ray / alone - 1 for alone, ray, _ in pairs]
    return {
        "items": len(chosen),
        "workers": WORKERS,
        "ideal_seconds": [round(alone, 2) for alone, _, _ in pairs],
        "ray_seconds": [round(ray, 2) for _, ray, _ in pairs],
        "startup_seconds": [round(startup, 2) for _, _, startup in pairs],
        "overhead": round(statistics.median(overheads), 4),
        "overhead_spread": (round(min(overheads), 4), round(max(overheads), 4)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=0.3, help="that one run takes, about")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--waiting", action="store_true", help="a model that waits in place of computing")
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(args.minutes, args.turns, Path(scratch), waiting=args.waiting)
    for name, value in found.items():
        print(f"{name:16} {value}")
    if args.json:
        model = "waiting 50 ms" if args.waiting else "T5-small"
        what = f"beyond start-up, {model}, {found['items']} items, {WORKERS} workers"
        spans = {"spread": found["overhead_spread"], "of": f"{args.turns} turns"}
        figures = [
            figure(what, found["overhead"], "%", **spans, target=f"below {TARGET:.0%}"),
            figure("start-up, first answers included", statistics.median(found["startup_seconds"]), "s"),
            figure("the run, spread", statistics.median(found["ray_seconds"]), "s"),
            figure("the run, ideal", statistics.median(found["ideal_seconds"]), "s"),
        ]
        record("ray_overhead", figures, args.json, details=found)


if __name__ == "__main__":
    main()
