"""Two sources of chance at once: seeds and items, items and a judge's repeats. Both are drawn with replacement.

Source: the hierarchical bootstrap of crossed and nested designs (Davison and Hinkley 1997, 3.8). Intervals are
percentile ones: the few seeds of a study leave nothing for BCa to correct. Where all resamples agree a warning says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from r2d_bench.statistics.bca import interval_of
from r2d_bench.statistics.bootstrap import RESAMPLES
from r2d_bench.statistics.intervals import undefined

if TYPE_CHECKING:
    from r2d_bench.statistics.bootstrap import Statistic
    from r2d_bench.statistics.intervals import Interval

Floats = NDArray[np.float64]
_CHUNK = 2_000_000  # numbers held at once
_NO_JACKKNIFE = np.full(1, np.nan)  # leaves `interval_of` the percentile interval


def over_seeds(
    stats: Floats, statistic: Statistic, *, seed: int = 0, resamples: int = RESAMPLES, level: float = 0.95
) -> Interval:
    """Return the interval of a figure's mean over training seeds, on the same items.

    Each resample draws seeds, and items (or clusters); the items are the same for all of its seeds, since all seeds
    answer the same ones.

    Args:
        stats: sufficient statistics, shape (S, U, D): seeds, units, statistics.
        statistic: figure from sums over units, shape (..., D) → (...).
        seed: of the resampling.
        resamples: number of resamples.
        level: coverage.
    """
    seeds, units, width = stats.shape
    if seeds < 2 or units < 2:
        return undefined("no interval: fewer than two seeds" if seeds < 2 else "no interval: fewer than two units")
    rng = np.random.default_rng(seed)
    flat = stats.transpose(1, 0, 2).reshape(units, seeds * width)
    rows, even = max(1, _CHUNK // units), np.full(units, 1 / units)
    means = []
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        sums = (rng.multinomial(units, even, size).astype(np.float64) @ flat).reshape(size, seeds, width)
        drawn = rng.integers(0, seeds, (size, seeds))
        means.append(np.take_along_axis(statistic(sums), drawn, axis=1).mean(axis=1))
    point = float(statistic(stats.sum(axis=1)).mean())
    return interval_of(point, np.concatenate(means), _NO_JACKKNIFE, np.array([units]), level)


def items_and_repeats(
    values: Floats,
    codes: NDArray[np.int64] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> Interval:
    """Return the interval of a mean over items of each item's mean over repeats.

    Each resample draws items (or clusters), and for each item as many of its own repeats as it has.

    Args:
        values: shape (N, R); NaN where a repeat is missing. Every item has at least one.
        codes: cluster of each item, 0 to C-1; None where items are independent.
        seed: of the resampling.
        resamples: number of resamples.
        level: coverage.
    """
    n, most = values.shape
    units = np.arange(n) if codes is None else codes
    clusters = int(units.max()) + 1 if n else 0
    if clusters < 2:
        return undefined("no interval: fewer than two independent units")
    rng = np.random.default_rng(seed)
    # The repeats of an item stand in front, so that drawing below their number finds one.
    ordered = np.take_along_axis(values, np.argsort(np.isnan(values), axis=1, kind="stable"), axis=1)
    given = (~np.isnan(values)).sum(axis=1)
    rows, even = max(1, _CHUNK // (n * most)), np.full(clusters, 1 / clusters)
    means = []
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        weights = rng.multinomial(clusters, even, size)[:, units].astype(np.float64)
        places = (rng.random((size, n, most)) * given[:, None]).astype(np.int64)
        drawn = np.take_along_axis(np.broadcast_to(ordered, (size, n, most)), places, axis=2)
        used = np.arange(most) < given[:, None]
        inner = np.where(used, drawn, 0.0).sum(axis=2) / given
        total = weights.sum(axis=1)
        means.append(np.divide((weights * inner).sum(axis=1), total, out=np.full(size, np.nan), where=total > 0))
    point = float(np.nanmean(values, axis=1).mean())
    return interval_of(point, np.concatenate(means), _NO_JACKKNIFE, np.array([clusters]), level)
