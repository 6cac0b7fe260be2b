"""Time a board of many models, and of two models on many items: macro-F1 with everything that is said about it.

    python benchmarks/comparison_speed.py --json docs/performance/comparison_speed.json

10,000 resamples give the intervals of all models and of all paired differences and the probability of being best;
10,000 swaps give the p-value of every pair by approximate randomisation, corrected by Holm. The targets on two cores
are 5 s for 20 models on 5,000 items (190 pairs) and 2 s for two models on 100,000 items.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
from record import figure, record

from r2d_bench.metrics.confusion import cluster_stats, macro_f1
from r2d_bench.statistics.boards import PairTest, compare_models

SIZES = ((20, 5_000, 5.0), (2, 100_000, 2.0))  # models, items, target in seconds
WARM_UP = (3, 200)  # imports and the threads of the matrix library are nobody's time


def answers(models: int, items: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return gold classes (N,) and predicted ones (M, N); the models' accuracies lie a few points apart."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, classes, items)
    right = np.linspace(0.62, 0.74, models)[:, None]
    predicted = np.where(rng.random((models, items)) < right, gold, rng.integers(0, classes + 1, (models, items)))
    return gold, predicted


def timed(models: int, items: int, args: argparse.Namespace) -> dict[str, object]:
    gold, predicted = answers(models, items, args.classes, args.seed)
    start, cpu = time.perf_counter(), time.process_time()
    # From class numbers to the finished board: the statistics of each item are part of the time.
    codes = np.arange(items)
    stats = np.stack([cluster_stats(gold, said, codes, args.classes) for said in predicted])
    board = compare_models(
        stats,
        macro_f1,
        PairTest.RANDOMISATION,
        margin=0.01,
        seed=args.seed,
        resamples=args.resamples,
        trials=args.trials,
    )
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    return {
        "models": models,
        "items": items,
        "classes": args.classes,
        "resamples": args.resamples,
        "trials": args.trials,
        "pairs": len(board.pairs),
        "significant_pairs": sum(pair.winner is not None for pair in board.pairs),
        "s": round(seconds, 2),
        "cpu_s": round(cpu_seconds, 2),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    timed(*WARM_UP, args)
    found = []
    for models, items, target in SIZES:
        row = timed(models, items, args) | {"target_s": target}
        found.append(row)
        print(
            f"{models} models on {items} items, {row['pairs']} pairs: {row['s']} s (target {target:.0f} s), "
            f"processor {row['cpu_s']} s, peak {row['peak_gib']} GiB; {row['significant_pairs']} pairs significant"
        )
    if args.json:
        figures = [
            figure(
                f"{row['models']} models on {row['items']:,} items",
                row["s"],
                "s",
                target=f"below {row['target_s']:.0f} s",
            )
            for row in found
        ]
        record("comparison_speed", figures, args.json, details=found)


if __name__ == "__main__":
    main()
