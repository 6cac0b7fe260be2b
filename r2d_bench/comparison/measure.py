"""What of each run is compared in a metric: sufficient statistics of each item, and how they become the figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.metrics.base import Direction
from r2d_bench.statistics.boards import PairTest, value_stats
from r2d_bench.statistics.bootstrap import mean_of_sums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from r2d_bench.comparison.loaded import Items
    from r2d_bench.metrics.base import Metric
    from r2d_bench.statistics.bootstrap import Floats, Statistic

NO_VALUES = "its values per example do not stand in the run folders"
OTHER_FIGURE = "its figure does not follow from the values in the run folder; if that was changed, score the run again"


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric of R runs on N items.

    Attributes:
        metric: what it means.
        signature: the one under which all were scored; None where the metric has none.
        test: how two runs are compared.
        statistic: the figure as a function of summed statistics.
        stats: statistics of each item, shape (R, N, D); NaN where the run has no score.
        worst, best: statistics of an item if it were as bad, or as good, as can be, shape (N, D); None where that
            cannot be said.
        due: items that have a score wherever there is an answer, shape (N,); if None, those that any run has one for.
    """

    metric: Metric
    signature: str | None
    test: PairTest
    statistic: Statistic
    stats: Floats
    worst: Floats | None = None
    best: Floats | None = None
    due: NDArray[np.bool_] | None = None

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which items each run has a score for, shape (R, N)."""
        return np.asarray(np.isfinite(self.stats).all(axis=-1))

    def value(self, run: int, items: NDArray[np.bool_] | slice = slice(None)) -> float | None:
        """Return a run's figure on the items that it was scored on, or on some of them; None where undefined."""
        chosen = self.stats[run, items]
        value = float(self.statistic(chosen[np.isfinite(chosen).all(axis=-1)].sum(axis=0)))
        return value if np.isfinite(value) else None


class NotComparable(Exception):  # noqa: N818 - a reason, not a fault
    """A metric that these runs cannot be compared in; the message is the reason."""


def mean_measure(
    metric: Metric, items: Items, values: Sequence[NDArray[np.float64]], due: NDArray[np.bool_] | None = None
) -> Measure:
    """Return a metric that is the mean of a value per item; of 0 and 1 it is a rate.

    Args:
        metric: what it means.
        items: of the runs.
        values: for each run a value per item, NaN where it has none, shape (N,).
        due: see `Measure`.
    """
    table = np.stack(values)
    stats = value_stats(table)
    stats[np.isnan(table)] = np.nan
    found = table[np.isfinite(table)]
    rate = bool(np.isin(found, (0, 1)).all()) and (metric.low, metric.high) == (0, 1)
    ends = [None if end is None else value_stats(np.full(len(items.keys), end)) for end in (metric.low, metric.high)]
    worst, best = ends if metric.direction is not Direction.LOWER else ends[::-1]
    test = PairTest.MCNEMAR if rate else PairTest.PERMUTATION
    return Measure(metric, None, test, mean_of_sums, stats, worst, best, due)
