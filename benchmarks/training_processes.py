"""Training in two processes against one: eval metrics of each, for several seeds.

    python benchmarks/training_processes.py --json docs/performance/training_processes.json
    python benchmarks/training_processes.py --explain 30 --decide 120      # a cut: quick, and at chance

`r2d-bench train --from-scratch tiny -t triage` with recipe demo (some minutes for each seed and way; a cut of it on
request), once alone and once with `--nproc 2` (torchrun, gloo). A recipe's batch is that of all processes: one process
computes what two compute half of each. Draws and batches are the same; sums are added up in another order, which the
steps magnify. What is left is noise, so the differences stand beside what another seed alone changes (sd over seeds).
Both ways use one thread a process.

A model that says one label of everything has the same metrics whichever way it was trained: the accuracy of the
commonest label stands in the output, and runs that do not pass it show equal losses, no more.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from record import figure, record

from r2d_bench.tasks.task import load_task

COMMAND = [sys.executable, "-c", "from r2d_bench.cli.main import entry; entry()", "train", "--json"]
TASK = "triage"
METRICS = ("macro_f1", "accuracy")


def commonest() -> float:
    """Return the accuracy on the validation split of the label that is most common there."""
    golds = Counter(example.gold for example in load_task(TASK).validation())
    return max(golds.values()) / golds.total()


def train(seed: int, processes: int, steps: dict[str, int | None], folder: Path) -> dict[str, Any]:
    """Train; return eval metrics of the best checkpoint and of the last step, losses of both stages, seconds."""
    settings = [
        f"--set=stages.{stage}.{key}={value}"
        for stage, most in steps.items()
        if most is not None
        for key, value in (("steps", most), ("evaluate_every", max(1, most // 4)))
    ]
    where = [f"--checkpoints={folder}", f"--seeds={seed}", f"--nproc={processes}"]
    start = time.perf_counter()
    done = subprocess.run(
        [*COMMAND, "--from-scratch=tiny", f"--task={TASK}", *where, *settings],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    history = json.loads(done.stdout)[0]["history"]
    evaluated = [entry for entry in history["decide"]["log"] if "macro_f1" in entry]
    best = next(entry for entry in evaluated if entry["step"] == history["decide"]["best"]["step"])
    return {
        "best": {name: best[name] for name in METRICS},
        "last": {name: evaluated[-1][name] for name in METRICS},
        "explain_loss": history["explain"]["best"]["value"],
        "train_loss": next(e["loss"] for e in reversed(history["decide"]["log"]) if "learning_rate" in e),
        "steps": {stage: part["steps"] for stage, part in history.items()},
        "seconds": round(time.perf_counter() - start, 1),
    }


def flat(one: dict[str, Any]) -> dict[str, float]:
    """Return name → figure, those that the two ways are compared in."""
    both = {f"{when}_{name}": one[when][name] for when in ("best", "last") for name in METRICS}
    return both | {name: one[name] for name in ("explain_loss", "train_loss")}


def compare(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return for each figure its values both ways, their differences, and the noise over seeds."""
    found = {}
    for name in flat(one[0]):
        first, second = ([flat(run)[name] for run in runs] for runs in (one, two))
        differences = [b - a for a, b in zip(first, second, strict=True)]
        found[name] = {
            "one": first,
            "two": second,
            "differences": differences,
            "mean_difference": statistics.mean(differences),
            "largest_difference": max(map(abs, differences)),
            "sd_over_seeds": statistics.stdev(first),
        }
    return found


def show(found: dict[str, dict[str, Any]]) -> None:
    for name, one in found.items():
        for way in ("one", "two"):
            print(f"{name:14} {way} process{'es' if way == 'two' else '  '}: " + _row(one[way]))
        print(f"{'':14} two - one     : {_row(one['differences'])}, mean {one['mean_difference']:+.4f}")
        print(f"{'':14} sd over seeds : {one['sd_over_seeds']:.4f}")


def _row(values: list[float]) -> str:
    return "  ".join(f"{value:8.4f}" for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1,2,3", help="two or more")
    parser.add_argument("--explain", type=int, help="steps of the first stage (default: the recipe's)")
    parser.add_argument("--decide", type=int, help="steps of the second stage (default: the recipe's)")
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    seeds, steps = [int(seed) for seed in args.seeds.split(",")], {"explain": args.explain, "decide": args.decide}
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            processes: [train(seed, processes, steps, Path(folder) / str(processes)) for seed in seeds]
            for processes in (1, 2)
        }
    found = compare(runs[1], runs[2])
    chance = commonest()
    done = " + ".join(str(runs[1][0]["steps"][stage]) for stage in steps)
    print(f"{TASK}, recipe demo, {done} steps, seeds {args.seeds}; accuracy of the commonest label {chance:.4f}")
    show(found)
    if args.json:
        figures = [
            figure(
                f"{name}, two processes minus one",
                round(one["mean_difference"], 4),
                spread=(round(min(one["differences"]), 4), round(max(one["differences"]), 4)),
                of=f"{len(seeds)} seeds",
                target=f"within the noise over seeds, sd {one['sd_over_seeds']:.4f}",
            )
            for name, one in found.items()
        ]
        kept = {"seeds": seeds, "accuracy_of_commonest": chance, "figures": found, "runs": runs}
        record("training_processes", figures, args.json, details=kept)


if __name__ == "__main__":
    main()
