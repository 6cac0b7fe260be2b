"""Whether boards say what is true: equal models stay tied, planted differences are found and ordered rightly.

    python benchmarks/ranking_simulation.py --boards 300 --json docs/performance/ranking_simulation.json

Three kinds of boards, drawn anew each time; items differ in how hard they are, for all models alike.
- equal: 20 models of the same quality, 190 pairs, macro-F1 by approximate randomisation. Every model must be in one tie
  group in at least 93 % of the boards, and boards with any significant pair (the family-wise error) stay below 6 %.
- equal, in clusters: the same with items in clusters that repeat their first item, and accuracy by permutation.
- planted: models some points apart. Those with different quality must stand in the true order, whatever wins
  significantly must be truly better, and rank intervals must hold the true rank (all models at once, in 95 %).
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from record import figure, record

from r2d_bench.metrics.confusion import cluster_stats, macro_f1
from r2d_bench.statistics.boards import PairTest, compare_models, value_stats
from r2d_bench.statistics.bootstrap import mean_of_sums

if TYPE_CHECKING:
    from r2d_bench.statistics.boards import Board

CLASSES, SHARES = 3, (0.5, 0.3, 0.2)
EQUAL = (0.65,) * 20
PLANTED = (0.85, 0.77, 0.69, 0.61, 0.53)
CLUSTER, ALIKE = 5, 0.7
TIED, FAMILY_WISE = 0.93, 0.06
RESAMPLES = 200  # of intervals, which are not looked at here


def draw(right: tuple[float, ...], items: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return gold classes (N,) and predicted ones (M, N) of models with the given accuracies."""
    gold = rng.choice(CLASSES, size=items, p=SHARES)
    # Half of the luck is the item's, so that the models are right and wrong together, as real ones are.
    shared = rng.random(items) < 0.5
    luck = np.where(shared, rng.random(items), rng.random((len(right), items)))
    wrong = (gold + rng.integers(1, CLASSES, (len(right), items))) % CLASSES
    return gold, np.where(luck < np.array(right)[:, None], gold, wrong)


def generator(seed: int) -> np.random.Generator:
    """Return the generator of a board's items: a stream apart from that of its swaps, which take the same seed."""
    return np.random.default_rng([seed, 1])


def macro_f1_board(right: tuple[float, ...], items: int, seed: int) -> Board:
    gold, predicted = draw(right, items, generator(seed))
    stats = np.stack([cluster_stats(gold, said, np.arange(items), CLASSES) for said in predicted])
    return compare_models(stats, macro_f1, PairTest.RANDOMISATION, seed=seed, resamples=RESAMPLES)


def clustered_board(right: tuple[float, ...], items: int, seed: int) -> Board:
    rng = generator(seed)
    gold, predicted = draw(right, items, rng)
    codes = np.arange(items) // CLUSTER
    source = np.where(rng.random(items) < ALIKE, codes * CLUSTER, np.arange(items))
    hits = (predicted == gold)[:, source].astype(np.float64)
    return compare_models(
        value_stats(hits), mean_of_sums, PairTest.MCNEMAR, codes=codes, seed=seed, resamples=RESAMPLES
    )


def equal(seed: int, items: int) -> tuple[bool, bool]:
    """Return whether all models are tied, and whether any pair is called different."""
    board = macro_f1_board(EQUAL, items, seed)
    return len(board.groups) == 1, bool(board.better.any())


def equal_in_clusters(seed: int, items: int) -> tuple[bool, bool]:
    board = clustered_board(EQUAL, items, seed)
    return len(board.groups) == 1, bool(board.better.any())


def planted(seed: int, items: int) -> tuple[bool, bool, bool, float]:
    """Return whether the order is right, a worse model wins, the ranks hold, and the share of pairs that are found."""
    board = macro_f1_board(PLANTED, items, seed)
    true_order = tuple(range(len(PLANTED)))
    upside_down = bool(np.tril(board.better).any())
    ranks = [standing.rank for standing in board.standings]
    held = all(rank is not None and rank[0] <= k + 1 <= rank[1] for k, rank in enumerate(ranks))
    return board.order == true_order, upside_down, held, float(board.better.sum() / len(board.pairs))


def measure(args: argparse.Namespace) -> dict[str, Any]:
    seeds, items = range(args.seed, args.seed + args.boards), repeat(args.items)
    start = time.perf_counter()
    with ProcessPoolExecutor(args.jobs) as pool:
        alone = np.array(list(pool.map(equal, seeds, items, chunksize=4)))
        together = np.array(list(pool.map(equal_in_clusters, seeds, items, chunksize=4)))
        apart = np.array(list(pool.map(planted, seeds, repeat(args.planted_items), chunksize=4)), dtype=float)
    return {
        "boards": args.boards,
        "items": args.items,
        "seed": args.seed,
        "equal": {"tied": float(alone[:, 0].mean()), "family_wise_error": float(alone[:, 1].mean())},
        "equal_in_clusters": {"tied": float(together[:, 0].mean()), "family_wise_error": float(together[:, 1].mean())},
        "planted": {
            "accuracies": list(PLANTED),
            "items": args.planted_items,
            "ordered_rightly": float(apart[:, 0].mean()),
            "worse_model_wins": float(apart[:, 1].mean()),
            "ranks_hold": float(apart[:, 2].mean()),
            "pairs_found": float(apart[:, 3].mean()),
        },
        "targets": {"tied": TIED, "family_wise_error": FAMILY_WISE},
        "s": round(time.perf_counter() - start, 1),
    }


def figures_of(found: dict[str, Any], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the shares of boards that are right, with their targets."""
    figures = []
    for name in ("equal", "equal_in_clusters"):
        kind, row = name.replace("_", " "), found[name]
        figures += [
            figure(f"{kind}: boards with all models tied", row["tied"], "%", target=f"at least {TIED:.0%}"),
            figure(f"{kind}: family-wise error", row["family_wise_error"], "%", target=f"below {FAMILY_WISE:.0%}"),
        ]
    row = found["planted"]
    words = {
        "ordered_rightly": "ordered rightly",
        "worse_model_wins": "a worse model wins",
        "ranks_hold": "all rank intervals hold",
        "pairs_found": "pairs that are found",
    }
    named = [(f"planted, {args.planted_items:,} items: {words[name]}", row[name]) for name in words]
    return figures + [figure(what, value, "%") for what, value in named]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=300)
    parser.add_argument("--items", type=int, default=300, help="of a board of equal models")
    parser.add_argument("--planted-items", type=int, default=1000, help="of a board with planted differences")
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    found = measure(args)
    for name in ("equal", "equal_in_clusters"):
        row = found[name]
        print(
            f"{name}: {len(EQUAL)} models on {args.items} items, all tied in {row['tied']:.1%} of {args.boards} boards "
            f"(target {TIED:.0%}), family-wise error {row['family_wise_error']:.1%} (target below {FAMILY_WISE:.0%})"
        )
    row = found["planted"]
    print(
        f"planted, {args.planted_items} items: ordered rightly in {row['ordered_rightly']:.1%}, a worse model wins in "
        f"{row['worse_model_wins']:.1%}, all rank intervals hold in {row['ranks_hold']:.1%}, "
        f"{row['pairs_found']:.1%} of the pairs are found"
    )
    print(f"{found['s']} s")
    if args.json:
        record("ranking_simulation", figures_of(found, args), args.json, details=found)


if __name__ == "__main__":
    main()
