"""Agreement of raters: quadratic kappa, Krippendorff's alpha, Spearman's correlation, each with an interval.

Kappa and alpha are functions of sums over items (joint counts, coincidences), so that a bootstrap resample is a vector
of weights times a matrix; Spearman's correlation is computed from weighted ranks. With `codes` whole clusters of
dependent items are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from r2d_bench.statistics.bca import interval_of
from r2d_bench.statistics.bootstrap import RESAMPLES, cluster_sums, resample_units
from r2d_bench.statistics.intervals import undefined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from r2d_bench.statistics.intervals import Interval

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Measure = Literal["nominal", "ordinal", "interval"]
_CHUNK = 2_000_000  # numbers held at once
_NO_RATING = 1e-9


@dataclass(frozen=True, slots=True)
class Agreement:
    """One figure of agreement.

    Attributes:
        value: None where it is undefined; `reason` then says why.
        interval: its interval.
        n: items that took part.
        reason: why there is no value.
    """

    value: float | None
    interval: Interval
    n: int
    reason: str | None = None


def quadratic_kappa(
    one: Sequence[float],
    other: Sequence[float],
    levels: Sequence[float],
    *,
    codes: Codes | None = None,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Agreement:
    """Return Cohen's kappa with quadratic weights (Cohen 1968) of two raters.

    Weights are squared distances between places in `levels`, as in scikit-learn; levels that nobody chose
    change nothing but those distances.

    Args:
        one: ratings of the first rater, shape (N,), each one of `levels`.
        other: ratings of the second.
        levels: the scale, lowest first.
        codes: cluster of each item, 0 to C-1; None where items are independent.
        level: coverage of the interval.
        seed: of the bootstrap.
        resamples: number of resamples.

    Raises:
        ValueError: a rating that is no level.
    """
    places = {value: place for place, value in enumerate(levels)}
    k, n = len(levels), len(one)
    try:
        cells = [places[a] * k + places[b] for a, b in zip(one, other, strict=True)]
    except KeyError as error:
        raise ValueError(f"{error.args[0]} is not among the levels") from None
    stats = np.zeros((n, k * k))
    stats[np.arange(n), cells] = 1.0
    return _of_sums(
        stats, kappa_of, codes, n, "both gave one and the same rating to everything", level, seed, resamples
    )


def kappa_of(sums: Floats) -> Floats:
    """Return quadratic kappa from joint counts, shape (..., K²) → (...); NaN where no disagreement is expected."""
    k = int(np.sqrt(sums.shape[-1]))
    table = sums.reshape(*sums.shape[:-1], k, k)
    places = np.arange(k)
    weights = (places[:, None] - places[None, :]) ** 2.0
    n = table.sum((-2, -1))
    expected = np.einsum("...i,...j,ij->...", table.sum(-1), table.sum(-2), weights)
    observed = np.einsum("...ij,ij->...", table, weights) * n
    return _one_minus(observed, expected)


def krippendorff_alpha(
    ratings: Sequence[Sequence[float | None]],
    *,
    measure: Measure = "ordinal",
    codes: Codes | None = None,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Agreement:
    """Return Krippendorff's alpha of any number of raters, missing ratings allowed.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability". Items with fewer than two ratings take no
    part. Meant for scales of a few levels: memory grows with the square of the number of different ratings.

    Args:
        ratings: per item what each rater said, None where nothing; the order of raters does not matter.
        measure: how far two ratings are apart: `nominal`, `ordinal` (ranks between them), `interval` (their
            difference).
        codes: cluster of each item, 0 to C-1; None where items are independent.
        level: coverage of the interval.
        seed: of the bootstrap.
        resamples: number of resamples.
    """
    given = [[value for value in item if value is not None] for item in ratings]
    paired = [place for place, values in enumerate(given) if len(values) > 1]
    scale = sorted({value for place in paired for value in given[place]})
    stats = np.stack([_coincidences(given[place], scale) for place in paired]) if paired else np.zeros((0, 0))
    chosen = None if codes is None else _renumbered(codes[paired])

    def alpha(sums: Floats) -> Floats:
        return alpha_of(sums, scale, measure)

    nothing = "no item has two ratings"
    return _of_sums(stats, alpha, chosen, len(paired), "no two ratings differ", level, seed, resamples, nothing=nothing)


def _coincidences(values: Sequence[float], scale: Sequence[float]) -> Floats:
    """Return how often each pair of values meets in one item, each item with the weight of its ratings, shape (K²,)."""
    counts = np.array([values.count(value) for value in scale], dtype=np.float64)
    pairs = np.outer(counts, counts) - np.diag(counts)
    flat: Floats = (pairs / (len(values) - 1)).ravel()
    return flat


def alpha_of(sums: Floats, scale: Sequence[float], measure: Measure) -> Floats:
    """Return alpha from summed coincidences, shape (..., K²) → (...); NaN where no two ratings differ."""
    k = len(scale)
    # Weights 1/(m - 1) are not exact: what leaving an item out leaves of its own ratings is no rating.
    table = np.where(sums > _NO_RATING, sums, 0.0).reshape(*sums.shape[:-1], k, k)
    marginal = table.sum(-1)
    distance = _distance(marginal, scale, measure)
    n = marginal.sum(-1)
    observed = (table * distance).sum((-2, -1)) * (n - 1)
    expected = (marginal[..., :, None] * marginal[..., None, :] * distance).sum((-2, -1))
    return _one_minus(observed, expected)


def _distance(marginal: Floats, scale: Sequence[float], measure: Measure) -> Floats:
    """Return squared distances between values, shape (..., K, K); ordinal ones count the ratings between two values."""
    if measure == "nominal":
        return 1.0 - np.eye(len(scale))
    if measure == "interval":
        values = np.array(scale)
        return np.asarray((values[:, None] - values[None, :]) ** 2)
    middle = np.cumsum(marginal, axis=-1) - marginal / 2  # rank of a value's middle
    return np.asarray((middle[..., :, None] - middle[..., None, :]) ** 2)


def spearman(
    one: Sequence[float],
    other: Sequence[float],
    *,
    codes: Codes | None = None,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Agreement:
    """Return Spearman's rank correlation, ties sharing their mean rank, with a BCa interval.

    Args:
        one: values, shape (N,).
        other: values of the same items.
        codes: cluster of each item, 0 to C-1; None where items are independent.
        level: coverage of the interval.
        seed: of the bootstrap.
        resamples: number of resamples.
    """
    x, y = (np.unique(np.asarray(values), return_inverse=True)[1].ravel() for values in (one, other))
    n = len(x)
    units = np.arange(n) if codes is None else codes
    point = _rank_correlation(x, y, np.ones((1, n)))[0] if n else np.nan
    if not np.isfinite(point):
        return Agreement(None, undefined("no value"), n, "one side is constant" if n > 1 else "fewer than two items")
    clusters = int(units.max()) + 1
    if clusters < 2:
        return Agreement(float(point), undefined("no interval: fewer than two independent units"), n)
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK // n)
    drawn = [
        _rank_correlation(
            x, y, rng.multinomial(clusters, [1 / clusters] * clusters, min(rows, resamples - start))[:, units]
        )
        for start in range(0, resamples, rows)
    ]
    without = [
        _rank_correlation(x, y, (np.arange(start, min(start + rows, clusters))[:, None] != units).astype(float))
        for start in range(0, clusters, rows)
    ]
    interval = interval_of(float(point), np.concatenate(drawn), np.concatenate(without), np.ones(clusters), level)
    return Agreement(float(point), interval, n)


def _rank_correlation(x: Codes, y: Codes, weights: NDArray[np.integer] | Floats) -> Floats:
    """Return the correlation of weighted mid-ranks, shape (B, N) → (B,); NaN where one side is constant.

    Args:
        x: place of each value among the distinct ones, shape (N,).
        y: the same of the other side.
        weights: how often each item was drawn, shape (B, N).
    """
    w = np.asarray(weights, dtype=np.float64)
    total = w.sum(1, keepdims=True)
    ranks = []
    for codes in (x, y):
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(int(codes.max()) + 1))
        heaped = np.add.reduceat(w[:, order], starts, axis=1)  # every place has an item
        middle = np.cumsum(heaped, axis=1) - heaped / 2
        ranks.append(middle[:, codes] - (w * middle[:, codes]).sum(1, keepdims=True) / np.maximum(total, 1))
    a, b = ranks
    spread = np.sqrt((w * a * a).sum(1) * (w * b * b).sum(1))
    together = (w * a * b).sum(1)
    found: Floats = np.divide(together, spread, out=np.full(len(w), np.nan), where=spread > 1e-9)
    return found


def _of_sums(
    stats: Floats,
    statistic: Callable[[Floats], Floats],
    codes: Codes | None,
    n: int,
    why: str,
    level: float,
    seed: int,
    resamples: int,
    *,
    nothing: str = "no items",
) -> Agreement:
    if n == 0:
        return Agreement(None, undefined(nothing), 0, nothing)
    drawn = resample_units(stats if codes is None else cluster_sums(stats, codes), seed=seed, resamples=resamples)
    point = float(statistic(drawn.total))
    if not np.isfinite(point):
        return Agreement(None, undefined("no value"), n, why)
    return Agreement(point, drawn.interval(statistic, level), n)


def _one_minus(observed: Floats, expected: Floats) -> Floats:
    share = np.divide(observed, expected, out=np.full(np.shape(expected), np.nan), where=expected > 0)
    return np.asarray(1.0 - share)


def _renumbered(codes: Codes) -> Codes:
    return np.asarray(np.unique(codes, return_inverse=True)[1].ravel(), dtype=np.int64)
