"""The difference of two runs in a label figure, on the items that both were scored on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.errors import UserError
from r2d_bench.metrics import confusion
from r2d_bench.metrics.classes import class_items, nothing_to_score, scored_rows
from r2d_bench.metrics.figures import cluster_warnings, figure
from r2d_bench.records import missing
from r2d_bench.statistics.paired import paired_bootstrap

if TYPE_CHECKING:
    from r2d_bench.metrics.base import Columns
    from r2d_bench.records import Estimate
    from r2d_bench.statistics.bootstrap import Statistic


def difference(
    one: Columns,
    other: Columns,
    formula: Statistic = confusion.macro_f1,
    *,
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Estimate:
    """Return figure(one) − figure(other) with its paired bootstrap interval.

    Both are resampled with the same weights (whole clusters where items are dependent), so that what is hard for both
    does not widen the interval.

    Args:
        one: the columns of a run.
        other: those of another run on the same examples, in the same order.
        formula: a figure of class sums (see `confusion`).
        seed: of the bootstrap.
        resamples: how many are drawn.
        level: the coverage of the interval.

    Raises:
        UserError: the runs were not made on the same examples.
    """
    if (one.ids, one.gold, one.labels) != (other.ids, other.gold, other.labels):
        raise UserError("a paired difference needs two runs on the same examples of the same task")
    both = scored_rows(one) & scored_rows(other)
    unscored = len(one) - int(both.sum())
    for columns in (one, other):
        if (reason := nothing_to_score(columns, both)) is not None:
            return missing(reason, unscored=unscored)
    first, second = class_items(one, both, level), class_items(other, both, level)
    codes = np.arange(len(first.gold)) if first.codes is None else first.codes
    a, b = (confusion.cluster_stats(items.gold, items.predicted, codes, items.k) for items in (first, second))
    gap = float(formula(a.sum(axis=0)) - formula(b.sum(axis=0)))
    interval = paired_bootstrap(a, b, formula, seed=seed, resamples=resamples, level=level)
    found = figure(gap, interval, n=len(first.gold), unscored=unscored, level=level)
    return replace(found, warnings=(*found.warnings, *cluster_warnings(first.codes)))
