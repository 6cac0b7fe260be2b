"""How often the 95 % intervals of macro-F1 (BCa) and accuracy (Wilson) hold the truth, as the product computes them.

    python benchmarks/coverage.py --simulations 3000 --json docs/performance/coverage.json

Each scenario is a table of class shares and of what is said of each class, from which items are drawn, alone or in
clusters of five of which a part repeat their first item. The truth is the figure of the table itself. Coverage of 93 to
97 % is claimed where every class is hit ten times or more on average; elsewhere the figure carries a warning, and the
share of simulations in which it does stands beside.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from record import figure, record

from r2d_bench.metrics import confusion, labels
from r2d_bench.metrics.base import Columns
from r2d_bench.records import LabelStatus

SEED, RESAMPLES, CLUSTER = 20261123, 1000, 5
EVEN, SKEWED, RARE = (1 / 3, 1 / 3, 1 / 3), (0.65, 0.25, 0.10), (0.80, 0.16, 0.04)
NAMES = ("a", "b", "c")


@dataclass(frozen=True)
class Scenario:
    """Where items are drawn from.

    Attributes:
        name: in words.
        shares: of the classes.
        recall: of each class; errors go to the other classes alike, a twentieth of them is no valid label.
        n: items.
        alike: the part of a cluster that repeats its first item; 0 for independent items.
    """

    name: str
    shares: tuple[float, ...]
    recall: tuple[float, ...]
    n: int
    alike: float = 0.0

    @property
    def table(self) -> np.ndarray:
        """Probability of each (gold, said), shape (K, K + 1); the last column is no valid label."""
        k = len(self.shares)
        cells = np.zeros((k, k + 1))
        for gold, (share, recall) in enumerate(zip(self.shares, self.recall, strict=True)):
            wrong = 1 - recall
            cells[gold, :k] = share * wrong * 0.95 / (k - 1)
            cells[gold, k] = share * wrong * 0.05
            cells[gold, gold] = share * recall
        return cells


SCENARIOS = (
    Scenario("even classes, good model", EVEN, (0.8, 0.8, 0.8), 250),
    Scenario("even classes, poor model", EVEN, (0.5, 0.4, 0.4), 250),
    Scenario("even classes, near perfect", EVEN, (0.97, 0.97, 0.97), 250),
    Scenario("skewed classes, good model", SKEWED, (0.9, 0.7, 0.7), 250),
    Scenario("skewed classes, poor model", SKEWED, (0.7, 0.4, 0.4), 500),
    Scenario("rare class, good model", RARE, (0.9, 0.7, 0.6), 500),
    Scenario("rare class, hardly ever hit", RARE, (0.9, 0.5, 0.05), 250),
    Scenario("rare class, hardly ever hit, more items", RARE, (0.9, 0.5, 0.05), 1000),
    Scenario("rare class, hardly ever hit, many items", RARE, (0.9, 0.5, 0.05), 6000),
    Scenario("even classes, good model, clusters", EVEN, (0.8, 0.8, 0.8), 500, 0.4),
    Scenario("skewed classes, good model, clusters", SKEWED, (0.9, 0.7, 0.7), 750, 0.4),
    Scenario("rare class, hardly ever hit, clusters", RARE, (0.9, 0.5, 0.05), 1000, 0.4),
)


def drawn(scenario: Scenario, rng: np.random.Generator) -> Columns:
    """Return simulated predictions."""
    table = scenario.table
    cells = rng.choice(table.size, scenario.n, p=table.ravel() / table.sum())
    groups = None
    if scenario.alike:
        first = np.arange(scenario.n) // CLUSTER * CLUSTER
        same = rng.random(scenario.n) < scenario.alike
        cells = np.where(same, cells[first], cells)
        groups = [str(place // CLUSTER) for place in range(scenario.n)]
    gold, said = np.divmod(cells, table.shape[1])
    predicted = [None if one == len(NAMES) else NAMES[one] for one in said]
    none = [None] * scenario.n
    return Columns(
        ids=[str(place) for place in range(scenario.n)],
        labels=NAMES,
        gold=[NAMES[one] for one in gold],
        predicted=predicted,
        statuses=[LabelStatus.OFF_VOCABULARY if one is None else LabelStatus.PARSED for one in predicted],
        label_texts=predicted,
        hypotheses=none,
        references=[()] * scenario.n,
        groups=groups,
        input_cut=[False] * scenario.n,
        output_cut=[False] * scenario.n,
    )


def truths(scenario: Scenario) -> dict[str, float]:
    """Return the figures of the table itself."""
    table = scenario.table
    k = len(scenario.shares)
    sums = table.ravel() @ confusion.cell_stats(k)
    return {"macro_f1": float(confusion.macro_f1(sums)), "accuracy": float(np.trace(table[:, :k]))}


def simulated(scenario: Scenario, simulations: int) -> dict[str, Any]:
    """Return how often the intervals hold the truth."""
    known, rng = truths(scenario), np.random.default_rng([SEED, SCENARIOS.index(scenario)])
    held = dict.fromkeys(known, 0)
    warned = 0
    for number in range(simulations):
        found = labels.compute(drawn(scenario, rng), seed=number, resamples=RESAMPLES).estimates
        for name, truth in known.items():
            estimate = found[name]
            held[name] += estimate.low is not None and estimate.low <= truth <= (estimate.high or 0.0)
        warned += bool(found["macro_f1"].warnings)
    expected = min(scenario.n * share * recall for share, recall in zip(scenario.shares, scenario.recall, strict=True))
    coverage = {name: round(count / simulations, 4) for name, count in held.items()}
    return {
        "scenario": scenario.name,
        "n": scenario.n,
        "clusters": bool(scenario.alike),
        "fewest_expected_hits": round(expected, 1),
        "coverage": coverage,
        "warned": round(warned / simulations, 3),
        "claimed": expected >= 10,
        "within": all(0.93 <= value <= 0.97 for value in coverage.values()),
    }


def figures_of(rows: list[dict[str, Any]], simulations: int) -> list[dict[str, Any]]:
    """Return the coverage of each scenario, with the target where one is claimed."""
    found = []
    for row in rows:
        for name, share in row["coverage"].items():
            what = f"{name} of {row['scenario']}, n = {row['n']}"
            target = "93 to 97 %" if row["claimed"] else "none: carries a warning"
            error = 1.96 * (share * (1 - share) / simulations) ** 0.5
            spread = (round(share - error, 4), round(share + error, 4))
            found.append(figure(what, share, "%", spread=spread, of="simulation error", target=target))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=3000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    start = time.perf_counter()
    with ProcessPoolExecutor(args.processes) as pool:
        rows = list(pool.map(simulated, SCENARIOS, repeat(args.simulations)))
    for row in rows:
        coverage: dict[str, float] = row["coverage"]
        print(
            f"{row['scenario']:42} n {row['n']:5}  hits {row['fewest_expected_hits']:6}  macro-F1 "
            f"{coverage['macro_f1']:.3f}  accuracy {coverage['accuracy']:.3f}  warned {row['warned']:.2f}"
            f"{'' if row['within'] or not row['claimed'] else '  OUTSIDE'}"
        )
    result = {
        "simulations": args.simulations,
        "resamples": RESAMPLES,
        "seed": SEED,
        "rows": rows,
        "seconds": round(time.perf_counter() - start, 1),
    }
    if args.json:
        record("coverage", figures_of(rows, args.simulations), args.json, details=result)


if __name__ == "__main__":
    main()
