"""Intervals of a rate, with independent or with dependent items."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betaincinv, ndtri

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, or the reason why there is none.

    Attributes:
        low, high: the bounds; None where the interval is undefined.
        method: how it was made (`wilson`, `exact`, `bca`, `percentile`); None where undefined.
        warning: what a reader must know; the reason where the interval is undefined.
    """

    low: float | None
    high: float | None
    method: str | None
    warning: str | None = None


def undefined(reason: str) -> Interval:
    """Return the interval that does not exist, with its reason."""
    return Interval(None, None, None, reason)


def wilson(successes: float, n: float, level: float = 0.95) -> Interval:
    """Return Wilson's score interval of a proportion (Wilson 1927, without continuity correction).

    Args:
        successes: number of successes, 0 to n. With dependent items: the share times the effective n.
        n: number of trials, or the effective number (see `effective_n`); need not be whole.
        level: the coverage, between 0 and 1.

    Raises:
        ValueError: `successes` lies outside [0, n], or `level` outside (0, 1).
    """
    _check(successes, n, level)
    if n == 0:
        return undefined("no items")
    z = float(ndtri(0.5 + level / 2))
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # At the edges the formula gives 0 and 1 but for rounding.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(low, high, "wilson")


def clopper_pearson(successes: float, n: float, level: float = 0.95) -> Interval:
    """Return the exact interval of a proportion (Clopper and Pearson 1934), by beta quantiles.

    Never covers less than `level`, so that its upper bound serves for safety rates: 0 of 200 is [0, 0.018].
    Arguments and errors as for `wilson`; beta quantiles take an effective n that is not whole.
    """
    _check(successes, n, level)
    if n == 0:
        return undefined("no items")
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return Interval(low, high, "exact")


def effective_n(values: Sequence[float] | NDArray[np.float64], groups: Sequence[str] | NDArray[np.int64]) -> float:
    """Return the number of independent items that carry as much information on a rate as clustered ones.

    n divided by the design effect, whose variance is that of the ratio estimator between C clusters
    (Cochran 1977, 11.2): Var(p) = C/(C-1) · Σ(successes_c - p·size_c)² / n², hence n_eff = p(1-p) / Var(p).

    Kept within two bounds. Never more than n: clusters that differ less than chance would is no evidence for
    more items than there are. Never less than (Σ size)² / Σ size² (Kish 1965), the value where all items of
    a cluster agree; with clusters of equal size this is the number of clusters, with unequal ones it is less.
    Where the variance is 0 (all right, none right, or the same share in every cluster) it tells nothing of
    how much items of a cluster resemble each other: the lower bound is then the conservative choice.

    Args:
        values: 1 or 0 per item, shape (N,).
        groups: cluster id per item, shape (N,).

    Returns:
        The effective n; 0 without items.
    """
    hits = np.asarray(values, dtype=np.float64)
    n = len(hits)
    if n == 0:
        return 0.0
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    sizes = np.bincount(codes).astype(np.float64)
    lowest = float(n**2 / np.sum(sizes**2))
    share = float(hits.mean())
    clusters = len(sizes)
    spread = float(np.sum((np.bincount(codes, weights=hits) - share * sizes) ** 2))
    # Rounding leaves about 1e-30 where the shares agree.
    if clusters < 2 or spread <= 1e-12 * n:
        return lowest
    variance = clusters / (clusters - 1) * spread / n**2
    return float(np.clip(share * (1 - share) / variance, lowest, n))


def _check(successes: float, n: float, level: float) -> None:
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie in [0, n]: {successes} of {n}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1: {level}")
