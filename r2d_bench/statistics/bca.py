"""The bootstrap interval of one figure, from its values on resamples and with one unit left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

from r2d_bench.statistics.intervals import Interval, undefined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[np.float64] | NDArray[np.int64]


def interval_of(point: float, drawn: Floats, left_out: Floats, counts: Counts, level: float = 0.95) -> Interval:
    """Return the BCa interval (Efron 1987) of a figure, or the percentile one where BCa is undefined.

    BCa is undefined where all resamples lie on one side of the figure, where the figure with one unit left out is
    undefined, or where it never moves. Resamples without a value are dropped, with a warning if more than 1 in 20
    are; there is no interval if more than half are. Where all resamples give the same value (a model that is always
    right) low = high = that value, with a warning: the width of 0 shows what resampling can see, not certainty.

    Args:
        point: the figure on the data; NaN where undefined.
        drawn: its value on each resample, shape (B,); NaN where undefined.
        left_out: its value with one unit left out, for each distinct unit, shape (U,).
        counts: how many units each distinct one stands for, shape (U,).
        level: the coverage, between 0 and 1.
    """
    if counts.sum() < 2:
        return undefined("no interval: fewer than two independent units")
    kept = drawn[np.isfinite(drawn)]
    if not np.isfinite(point) or len(kept) * 2 < len(drawn):
        return undefined("no interval: the figure is undefined in most resamples")
    lost = len(drawn) - len(kept)
    warning = f"undefined in {lost} of {len(drawn)} resamples" if lost * 20 > len(drawn) else None
    if np.ptp(kept) <= 1e-12 * max(1.0, abs(point)):
        constant = "every resample gives the same value: the interval cannot show the uncertainty"
        return Interval(point, point, "percentile", constant)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    corrected = _corrected_tails(point, kept, left_out, counts, tails)
    low, high = np.quantile(kept, tails if corrected is None else corrected)
    return Interval(float(low), float(high), "percentile" if corrected is None else "bca", warning)


def acceleration(left_out: Floats, counts: Counts) -> float | None:
    """Return the skewness term of BCa from the jackknife, None where undefined; arguments as in `interval_of`."""
    if not np.all(np.isfinite(left_out)):
        return None
    influence = np.average(left_out, weights=counts) - left_out
    square = float(counts @ influence**2)
    scale = max(1.0, float(np.max(np.abs(left_out))))
    if square <= (1e-14 * scale) ** 2 * counts.sum():  # rounding, not movement
        return None
    return float(counts @ influence**3) / float(6 * square**1.5)


def _corrected_tails(point: float, drawn: Floats, left_out: Floats, counts: Counts, tails: Floats) -> Floats | None:
    """Return the corrected quantile levels, or None where they are undefined."""
    # Half of the ties count as below, as in scipy.stats.bootstrap.
    below = (np.count_nonzero(drawn < point) + np.count_nonzero(drawn <= point)) / (2 * len(drawn))
    if not 0 < below < 1:
        return None
    skewness = acceleration(left_out, counts)
    if skewness is None:
        return None
    bias = ndtri(below)
    shifted = bias + ndtri(tails)
    stretch = 1 - skewness * shifted
    if np.any(stretch <= 0):  # the correction has left the range where it is monotone
        return None
    return np.asarray(ndtr(bias + shifted / stretch), dtype=np.float64)
