"""The units that several models share, and their figures on the same resamples of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.statistics.bootstrap import cluster_sums, resample_cells, resample_units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from r2d_bench.statistics.bootstrap import Floats, Statistic

_CELLS_PAY = 4  # items per cell: a binomial draw costs a few times as much as the draw of an item


@dataclass(frozen=True, slots=True)
class Units:
    """What is drawn and swapped as a whole.

    Attributes:
        stats: statistics of each row, shape (M, U, D).
        counts: items that share each row, shape (U,); 1 unless rows are cells.
    """

    stats: Floats
    counts: NDArray[np.int64]

    @property
    def size(self) -> int:
        """The number of units."""
        return int(self.counts.sum())

    @property
    def totals(self) -> Floats:
        """Sums on the data, shape (M, D)."""
        return np.asarray(np.einsum("u,mud->md", self.counts.astype(np.float64), self.stats))

    @property
    def table(self) -> Floats:
        """The statistics of all models side by side, shape (U, M·D)."""
        models, rows, width = self.stats.shape
        return self.stats.swapaxes(0, 1).reshape(rows, models * width)


@dataclass(frozen=True, slots=True)
class Values:
    """The figure of each model: on the data (M,), on each resample (M, B), without each unit (M, U); NaN: undefined."""

    points: Floats
    drawn: Floats
    left_out: Floats


def units_of(stats: Floats, codes: NDArray[np.int64] | None) -> Units:
    """Return the units: clusters are summed, and items that are alike are counted as cells where that is cheaper.

    Args:
        stats: statistics of each item, shape (M, N, D).
        codes: cluster of each item, shape (N,); None where items are independent.
    """
    models, items, width = stats.shape
    if codes is not None:
        sums = np.stack([cluster_sums(one, codes) for one in stats])
        return Units(sums, np.ones(sums.shape[1], dtype=np.int64))
    table = np.ascontiguousarray(stats.swapaxes(0, 1)).reshape(items, models * width)
    number: dict[bytes, int] = {}
    cells = np.empty(items, dtype=np.int64)
    for item, row in enumerate(table):
        cells[item] = number.setdefault(row.tobytes(), len(number))
        if len(number) * _CELLS_PAY > items:
            return Units(stats, np.ones(items, dtype=np.int64))
    _, first, counts = np.unique(cells, return_index=True, return_counts=True)
    return Units(table[first].reshape(-1, models, width).swapaxes(0, 1), counts)


def values_of(units: Units, statistic: Statistic, seed: int, resamples: int) -> Values:
    """Return the figures of all models on the same resamples.

    Args:
        units: of M models.
        statistic: the figure as a function of sums.
        seed: seed of the generator.
        resamples: number of resamples.
    """
    models, rows, width = units.stats.shape
    if not rows:
        return Values(np.full(models, np.nan), np.full((models, resamples), np.nan), np.empty((models, 0)))
    if units.size > rows:
        drawn = resample_cells(units.counts, units.table, seed=seed, resamples=resamples)
    else:
        drawn = resample_units(units.table, seed=seed, resamples=resamples)
    totals = units.totals
    sums = drawn.sums.reshape(resamples, models, width)
    return Values(
        statistic(totals),
        np.stack([statistic(sums[:, model]) for model in range(models)]),
        np.stack([statistic(totals[model] - units.stats[model]) for model in range(models)]),
    )
