"""Bootstrap intervals: BCa, or percentile where BCa is undefined.

One core serves two ways in. Every figure here is a function of *sums* of sufficient statistics over units
(items, or clusters of dependent items), so a resample is a vector of weights times a matrix:

- `resample_units`: one row of statistics per unit; the weights are how often each unit was drawn.
- `resample_cells`: units with equal statistics share one row, with a count. Multinomial weights over the
  cells are the same distribution as item weights summed per cell, and cost nothing with n.

The resamples are drawn once and serve all figures over them, which keeps figures comparable draw by draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from r2d_bench.statistics.bca import interval_of
from r2d_bench.statistics.intervals import undefined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from r2d_bench.statistics.intervals import Interval

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]  # sums (..., D) → figure (...); NaN where undefined

RESAMPLES = 2000
_CHUNK = 2_000_000  # numbers held at once while drawing or leaving out: 16 MB


@dataclass(frozen=True, slots=True)
class Resamples:
    """Resampled sums of sufficient statistics.

    Attributes:
        stats: statistics of each distinct unit, shape (U, D).
        counts: how many units share each row, shape (U,).
        sums: the sums of each resample, shape (B, D).
    """

    stats: Floats
    counts: Floats
    sums: Floats

    @property
    def units(self) -> int:
        """Number of units that were resampled."""
        return int(self.counts.sum())

    @property
    def total(self) -> Floats:
        """Sums over the data as observed, shape (D,)."""
        return np.asarray(self.counts @ self.stats, dtype=np.float64)

    def take(self, columns: Sequence[int] | slice) -> Resamples:
        """Return the same resamples with some of the statistics only."""
        return Resamples(self.stats[:, columns], self.counts, self.sums[:, columns])

    def interval(self, statistic: Statistic, level: float = 0.95) -> Interval:
        """Return the BCa interval (Efron 1987) of a figure, or the percentile one where BCa is undefined.

        See `bca.interval_of` for when that is, and for the warnings.

        Args:
            statistic: vectorised function of sums.
            level: the coverage, between 0 and 1.
        """
        if self.units < 2:
            return undefined("no interval: fewer than two independent units")
        left_out = self._left_out(statistic)
        return interval_of(float(statistic(self.total)), statistic(self.sums), left_out, self.counts, level)

    def _left_out(self, statistic: Statistic) -> Floats:
        """Return the figure with one unit left out, for each distinct unit, shape (U,)."""
        total, rows = self.total, max(1, _CHUNK // self.stats.shape[1])
        parts = [statistic(total - self.stats[i : i + rows]) for i in range(0, len(self.stats), rows)]
        return np.concatenate(parts)


def resample_units(stats: Floats, *, seed: int = 0, resamples: int = RESAMPLES) -> Resamples:
    """Draw units with replacement and sum their statistics.

    Memory stays flat in the number of resamples: weights are drawn in chunks.

    Args:
        stats: sufficient statistics, shape (U, D); a unit is an item or a cluster (see `cluster_sums`).
        seed: seed of the generator.
        resamples: number of resamples B.
    """
    stats = np.ascontiguousarray(stats, dtype=np.float64)
    units, width = stats.shape
    sums = np.zeros((resamples, width))
    counts = np.ones(units)
    if units == 0:
        return Resamples(stats, counts, sums)
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK // units)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = rng.integers(0, units, size=(size, units))
        drawn += np.arange(size)[:, None] * units  # each resample counts in a range of its own
        weights = np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units)
        sums[start : start + size] = weights.astype(np.float64) @ stats
    return Resamples(stats, counts, sums)


def resample_cells(
    counts: NDArray[np.int64], stats: Floats | None = None, *, seed: int = 0, resamples: int = RESAMPLES
) -> Resamples:
    """Draw items with replacement where only their cell matters; cost does not depend on the number of items.

    Args:
        counts: items per cell, shape (C,), whole numbers.
        stats: the sufficient statistics of one item of each cell, shape (C, D); the cells themselves if None.
        seed: seed of the generator.
        resamples: number of resamples B.
    """
    counts = np.asarray(counts)
    stats = np.eye(len(counts)) if stats is None else np.asarray(stats, dtype=np.float64)
    filled = np.flatnonzero(counts)  # an empty cell is never drawn and never left out
    counts, stats = counts[filled], stats[filled]
    n = int(counts.sum())
    if n == 0:
        return Resamples(stats, counts.astype(np.float64), np.zeros((resamples, stats.shape[1])))
    weights = np.random.default_rng(seed).multinomial(n, counts / n, size=resamples)
    return Resamples(stats, counts.astype(np.float64), weights.astype(np.float64) @ stats)


def cluster_sums(stats: Floats, codes: NDArray[np.int64]) -> Floats:
    """Sum the statistics of each cluster, so that clusters become the units.

    Args:
        stats: sufficient statistics of the items, shape (N, D).
        codes: cluster of each item, 0 to C-1, shape (N,).

    Returns:
        Sums, shape (C, D).
    """
    clusters = int(codes.max()) + 1 if len(codes) else 0
    columns = [np.bincount(codes, weights=column, minlength=clusters) for column in stats.T]
    return np.stack(columns, axis=1) if columns else np.zeros((clusters, 0))


def mean_of_sums(sums: Floats) -> Floats:
    """Return the mean from sums of (values, number of items), shape (..., 2) → (...)."""
    values, items = sums[..., 0], sums[..., 1]
    mean: Floats = np.divide(values, items, out=np.full(items.shape, np.nan), where=items > 0)
    return mean
