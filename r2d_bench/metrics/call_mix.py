"""Figures for the calls that a service really gets, and for what its mistakes cost.

A task may state the mix of real calls (share of each label) where its test items are drawn otherwise, and a cost of
each mistake. All figures are functions of three sums per class: gold items, hits, and cost of what was said of them.
An answer without a valid label costs as much as the worst one for its gold label.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.metrics.base import About, Direction, Family, Metric
from r2d_bench.metrics.classes import class_items, named, nothing_to_score, scored_rows
from r2d_bench.metrics.figures import all_missing, cluster_warnings, figure
from r2d_bench.records import Estimate, missing
from r2d_bench.statistics.bootstrap import cluster_sums, resample_cells, resample_units

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from r2d_bench.metrics.base import Columns
    from r2d_bench.metrics.classes import ClassItems
    from r2d_bench.statistics.bootstrap import Floats, Resamples

METRICS: tuple[Metric, ...] = (
    Metric(
        "accuracy_mix",
        "Accuracy on the call mix",
        About.LABEL,
        percent=True,
        decimals=1,
        help="Share of right labels if the labels came in the shares of real calls: recalls weighted by the mix.",
    ),
    Metric(
        "expected_cost",
        "Expected cost",
        About.LABEL,
        direction=Direction.LOWER,
        high=None,
        decimals=2,
        help="Mean cost of what was said, by the task's cost matrix; no valid label costs as much as the worst one.",
    ),
    Metric(
        "expected_cost_mix",
        "Expected cost on the call mix",
        About.LABEL,
        direction=Direction.LOWER,
        high=None,
        decimals=2,
        help="Mean cost of what was said if the labels came in the shares of real calls.",
    ),
)
NO_MIX = "the task declares no mix of calls"
NO_COST = "the task declares no costs"


def compute(
    columns: Columns,
    *,
    mix: Mapping[str, float],
    cost: Sequence[Sequence[float]],
    seed: int = 0,
    level: float = 0.95,
    resamples: int = 2000,
) -> Family:
    """Compute the figures with BCa intervals over cells of the confusion, or over clusters.

    Args:
        columns: predictions beside their golds.
        mix: label → share, adding up to 1; empty where the task declares none.
        cost: cost of each gold (row) taken for each label (column), shape (K, K); empty where the task declares none.
        seed: seed of the bootstrap.
        level: coverage of the intervals.
        resamples: number of resamples.
    """
    scored = scored_rows(columns)
    unscored = len(columns)
    extra: dict[str, object] = {}
    if mix:
        extra["mix"] = dict(mix)
    if cost:
        extra["cost"] = {"labels": list(columns.labels), "matrix": [list(row) for row in cost]}
    if reason := nothing_to_score(columns, scored) or (None if mix or cost else f"{NO_MIX} and no costs"):
        return Family(all_missing([metric.name for metric in METRICS], reason, unscored=unscored), extra=extra)
    items = class_items(columns, scored, level)
    shares = np.array([mix.get(label, 0.0) for label in columns.labels])
    drawn = _resample(items, _with_worst(cost, items.k), seed, resamples)
    estimates = {
        "accuracy_mix": _on_mix(items, drawn, shares, _hits) if mix else missing(NO_MIX, unscored=unscored),
        "expected_cost": _estimate(items, drawn, _mean_cost) if cost else missing(NO_COST, unscored=unscored),
        "expected_cost_mix": (
            _on_mix(items, drawn, shares, _costs)
            if mix and cost
            else missing(NO_COST if mix else NO_MIX, unscored=unscored)
        ),
    }
    return Family(estimates, extra=extra)


def _with_worst(cost: Sequence[Sequence[float]], k: int) -> Floats:
    """Return the costs with a last column for "no valid label", the worst of each row; shape (K, K+1)."""
    matrix = np.array(cost, dtype=np.float64) if cost else np.zeros((k, k))
    return np.hstack([matrix, matrix.max(axis=1, keepdims=True)])


def _resample(items: ClassItems, cost: Floats, seed: int, resamples: int) -> Resamples:
    """Resample cells, or clusters; statistics are gold items (K), hits (K) and cost (K) of each class."""
    k = items.k
    gold, predicted = np.divmod(np.arange(k * (k + 1)), k + 1)
    is_gold = np.eye(k)[gold]
    stats = np.hstack([is_gold, is_gold * (gold == predicted)[:, None], is_gold * cost.ravel()[:, None]])
    if items.codes is None:
        return resample_cells(items.counts().ravel(), stats, seed=seed, resamples=resamples)
    return resample_units(cluster_sums(stats[items.cells], items.codes), seed=seed, resamples=resamples)


def _hits(sums: Floats) -> Floats:
    return np.split(sums, 3, axis=-1)[1]


def _costs(sums: Floats) -> Floats:
    return np.split(sums, 3, axis=-1)[2]


def _mean_cost(sums: Floats) -> Floats:
    gold = np.split(sums, 3, axis=-1)[0].sum(axis=-1)
    mean: Floats = np.divide(_costs(sums).sum(axis=-1), gold, out=np.full(gold.shape, np.nan), where=gold > 0)
    return mean


def _on_mix(
    items: ClassItems, drawn: Resamples, shares: NDArray[np.float64], part: Callable[[Floats], Floats]
) -> Estimate:
    """Return the mean of each class's rate, weighted by the mix; missing where a class of the mix has no item."""
    counts = items.counts().sum(axis=1)
    absent = (shares > 0) & (counts == 0)
    if absent.any():
        found = missing("a label of the mix has no gold item", n=len(items.gold), unscored=items.unscored)
        return replace(found, warnings=(f"no gold item: {named(items.labels, counts, absent)}",))
    wanted = shares > 0

    def weighted(sums: Floats) -> Floats:
        gold = np.split(sums, 3, axis=-1)[0][..., wanted]
        rates: Floats = np.divide(part(sums)[..., wanted], gold, out=np.full(gold.shape, np.nan), where=gold > 0)
        return np.asarray((rates * shares[wanted]).sum(axis=-1))

    return _estimate(items, drawn, weighted)


def _estimate(items: ClassItems, drawn: Resamples, formula: Callable[[Floats], Floats]) -> Estimate:
    return figure(
        float(formula(drawn.total)),
        drawn.interval(formula, items.level),
        n=len(items.gold),
        unscored=items.unscored,
        level=items.level,
        warnings=cluster_warnings(items.codes),
    )
