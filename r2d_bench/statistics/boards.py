"""Several models on the same items: figures, all paired differences, and what may be said about their order.

Everything comes from sums of sufficient statistics. One set of resamples gives every interval, every difference and
the probability of being best; one set of swaps gives every p-value. Items that are alike for all models are counted
as cells where that is cheaper; dependent items are summed to clusters first, and then move as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.statistics import ranking
from r2d_bench.statistics.bca import interval_of
from r2d_bench.statistics.intervals import Interval, effective_n, undefined, wilson
from r2d_bench.statistics.multiple import holm
from r2d_bench.statistics.paired import TRIALS, Swaps, count_extreme, mcnemar_exact
from r2d_bench.statistics.power import Power, smallest_detectable
from r2d_bench.statistics.shared import Units, Values, units_of, values_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from r2d_bench.statistics.bootstrap import Floats, Statistic

FEW_UNITS = "fewer than two independent units"
NO_VALUE = "the figure is undefined for one of the two"


class PairTest(StrEnum):
    """How a p-value is made."""

    MCNEMAR = "mcnemar"  # rates: exact; with clusters a permutation, since the items are not independent
    PERMUTATION = "permutation"  # means of a value per item
    RANDOMISATION = "randomisation"  # any other function of sums: macro-F1, kappa, corpus BLEU


@dataclass(frozen=True, slots=True)
class Standing:
    """One model on a board.

    Attributes:
        value: its figure; None where undefined.
        interval: of the figure: Wilson for a rate, BCa otherwise.
        rank: lowest and highest rank that it may have (1 is best); None without a value.
        group: number of its tie group, 0 is the top; None without a value.
        best: in which share of the resamples it is the best; None where that cannot be told.
    """

    value: float | None
    interval: Interval
    rank: tuple[int, int] | None
    group: int | None
    best: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models compared.

    Attributes:
        first, second: their numbers on the board.
        difference: figure(first) - figure(second); None where one is undefined.
        interval: of the difference, by the paired bootstrap; not corrected for several comparisons.
        standard_error: spread of the difference over the resamples; None where it cannot be told.
        p: two-sided p of this pair alone; None with a reason.
        corrected: p corrected for all pairs of the board (Holm); significance is read from this one.
        test: what gave p (a rate with clusters is tested by permutation); None without p.
        winner: number of the model that is significantly better; None if neither is.
        identical: the two have the same statistics on every unit.
        equivalent: whether the interval lies within the margin; None without a margin or an interval.
        reason: why there is no p, else None.
    """

    first: int
    second: int
    difference: float | None
    interval: Interval
    standard_error: float | None
    p: float | None
    corrected: float | None
    test: PairTest | None
    winner: int | None
    identical: bool
    equivalent: bool | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """M models compared in one figure.

    Attributes:
        standings: one for each model, in the order given, M of them.
        pairs: every pair with first < second, M(M-1)/2 of them, by first and then second.
        order: models with a value, best first; equal values in the order given.
        groups: tie groups from the top, each with its leader first (see `ranking.tie_groups`).
        better: whether row i is significantly better than column j, shape (M, M).
        items: how many all were scored on.
        units: independent units among them (clusters, or the items).
        level: coverage of the intervals; 1 - level is the chance of one false winner or more on the board.
        warning: why no difference could be significant here, if so.
    """

    standings: tuple[Standing, ...]
    pairs: tuple[Pair, ...]
    order: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    better: NDArray[np.bool_]
    items: int
    units: int
    level: float
    warning: str | None = None

    def pair(self, one: int, other: int) -> Pair:
        """Return the comparison of two models, whichever is asked for first; `first` is the smaller number."""
        low, high = min(one, other), max(one, other)
        models = len(self.standings)
        return self.pairs[low * models - low * (low + 1) // 2 + high - low - 1]

    def power(self, pair: Pair, power: float = 0.8) -> Power:
        """Return the smallest difference that this board would have shown between the two."""
        return smallest_detectable(
            pair.standard_error, self.units, level=self.level, power=power, comparisons=len(self.pairs)
        )


def value_stats(values: Floats) -> Floats:
    """Return (value, 1) of each item, for means and rates with `bootstrap.mean_of_sums`.

    Args:
        values: one per model and item, shape (M, N); 0 or 1 for a rate.

    Returns:
        Statistics, shape (M, N, 2).
    """
    return np.stack([values, np.ones_like(values)], axis=-1)


def compare_models(
    stats: Floats,
    statistic: Statistic,
    test: PairTest,
    *,
    codes: NDArray[np.int64] | None = None,
    higher: bool = True,
    margin: float | None = None,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = TRIALS,
    trials: int = TRIALS,
) -> Board:
    """Compare M models that were all scored on the same N items.

    Where so many pairs are tested that no p of `trials` could survive the correction, more trials are made.

    Args:
        stats: sufficient statistics, shape (M, N, D), finite: `value_stats` for means and rates, class counts for
            macro-F1, match counts for BLEU.
        statistic: the figure as a function of their sums; NaN where undefined.
        test: how p-values are made; `MCNEMAR` needs `value_stats` of 0 and 1.
        codes: cluster of each item, 0 to C-1, shape (N,); None where items are independent.
        higher: whether a higher figure is better.
        margin: a difference that does not matter, in the figure's own unit; None to leave equivalence out.
        level: coverage of the intervals; tests are made at 1 - level.
        seed: seed of resamples and swaps.
        resamples: number of bootstrap resamples.
        trials: number of swaps.

    Raises:
        ValueError: statistics that are not finite, or no rates for McNemar's test.
    """
    _check(stats, test)
    units = units_of(stats, codes)
    values = values_of(units, statistic, seed, resamples)
    pairs = list(combinations(range(len(stats)), 2))
    applied = PairTest.PERMUTATION if test is PairTest.MCNEMAR and codes is not None else test
    if applied is PairTest.MCNEMAR:
        p_values, warning = _mcnemar(units, pairs), None
    else:
        enough = max(trials, ceil(2 * len(pairs) / (1 - level)))
        p_values, warning = _by_swaps(units, values, statistic, pairs, seed=seed, trials=enough, level=level)
    compared = [
        _pair(units, values, pair, p, applied, level=level, margin=margin)
        for pair, p in zip(pairs, p_values, strict=True)
    ]
    compared = _corrected(compared, higher=higher, level=level)
    better = _better(compared, len(stats))
    intervals = _intervals(units, values, level)
    if test is PairTest.MCNEMAR:
        intervals = [_rate_interval(hits, codes, level) for hits in stats[..., 0]]
    order = _order(values.points, higher=higher)
    groups = ranking.tie_groups(order, better)
    return Board(
        standings=_standings(units, values, intervals, order, groups, better, higher=higher),
        pairs=tuple(compared),
        order=order,
        groups=groups,
        better=better,
        items=stats.shape[1],
        units=units.size,
        level=level,
        warning=warning,
    )


def _check(stats: Floats, test: PairTest) -> None:
    if stats.ndim != 3 or not len(stats):
        raise ValueError(f"statistics need the shape (models, items, numbers): {stats.shape}")
    if not np.isfinite(stats).all():
        raise ValueError("statistics must be finite: leave out items that a model was not scored on")
    if test is PairTest.MCNEMAR and not (stats.shape[2] == 2 and np.isin(stats[..., 0], (0, 1)).all()):
        raise ValueError("McNemar's test needs 0 or 1 for each item, see value_stats")


def _intervals(units: Units, values: Values, level: float) -> list[Interval]:
    figures = zip(values.points, values.drawn, values.left_out, strict=True)
    return [interval_of(point, drawn, left, units.counts, level) for point, drawn, left in figures]


def _rate_interval(hits: Floats, codes: NDArray[np.int64] | None, level: float) -> Interval:
    """Return Wilson's interval of the share of hits, on the effective n where items are dependent."""
    if not len(hits):
        return undefined("no items")
    n = len(hits) if codes is None else effective_n(hits, codes)
    return wilson(min(float(hits.mean()) * n, n), n, level)


def _mcnemar(units: Units, pairs: list[tuple[int, int]]) -> list[float]:
    hits = units.stats[..., 0]
    only = np.rint((hits * units.counts) @ (1 - hits).T).astype(np.int64)  # right in the row, wrong in the column
    return [mcnemar_exact(int(only[a, b]), int(only[b, a])) for a, b in pairs]


def _by_swaps(
    units: Units,
    values: Values,
    statistic: Statistic,
    pairs: list[tuple[int, int]],
    *,
    seed: int,
    trials: int,
    level: float,
) -> tuple[list[float], str | None]:
    """Return p of each pair by approximate randomisation (of means: the permutation test), and a warning.

    What a gains from b is what b gives away less what a does, so that one product serves all pairs.
    """
    models, _, width = units.stats.shape
    totals = units.totals
    differ = (units.stats != units.stats[:1]).any(axis=(0, 2))  # where all are alike a swap does nothing
    swaps = Swaps(units.counts[differ], seed, trials)
    extreme = np.zeros(len(pairs), dtype=np.int64)
    for block in swaps.moved(units.table[differ]):
        given = np.ascontiguousarray(block.reshape(-1, models, width).swapaxes(0, 1))
        for k, (a, b) in enumerate(pairs):
            if np.isfinite(values.points[[a, b]]).all():
                extreme[k] += count_extreme(totals[a], totals[b], given[b] - given[a], statistic)
    lowest = swaps.lowest * len(pairs)
    warning = None
    if differ.any() and lowest > 1 - level:
        after = f" after correction for {len(pairs)} pairs" if len(pairs) > 1 else ""
        units_swapped = int(swaps.counts.sum())
        warning = f"the models differ on {units_swapped} units only: p cannot be below {min(lowest, 1.0):.2g}{after}"
    return [swaps.p_value(int(count)) for count in extreme], warning


def _pair(
    units: Units,
    values: Values,
    pair: tuple[int, int],
    p: float,
    test: PairTest,
    *,
    level: float,
    margin: float | None,
) -> Pair:
    """Return the comparison of two models, not yet corrected."""
    a, b = pair
    point = values.points[a] - values.points[b]
    reason = NO_VALUE if not np.isfinite(point) else FEW_UNITS if units.size < 2 else None
    drawn = values.drawn[a] - values.drawn[b]
    interval = interval_of(point, drawn, values.left_out[a] - values.left_out[b], units.counts, level)
    return Pair(
        first=a,
        second=b,
        difference=float(point) if np.isfinite(point) else None,
        interval=interval,
        standard_error=_spread(drawn, interval),
        p=None if reason else p,
        corrected=None,
        test=None if reason else test,
        winner=None,
        identical=np.array_equal(units.stats[a], units.stats[b]),
        equivalent=None if margin is None else ranking.equivalent(interval, margin),
        reason=reason,
    )


def _spread(drawn: Floats, interval: Interval) -> float | None:
    if interval.low is None or interval.low == interval.high:  # constant but for rounding
        return None if interval.low is None else 0.0
    return float(drawn[np.isfinite(drawn)].std())


def _corrected(pairs: list[Pair], *, higher: bool, level: float) -> list[Pair]:
    """Return the pairs with p corrected for all of them, and who wins."""
    tested = [k for k, pair in enumerate(pairs) if pair.p is not None]
    found = list(pairs)
    for k, corrected in zip(tested, holm([pairs[k].p or 0.0 for k in tested]), strict=True):
        pair = pairs[k]
        winner = None
        if corrected <= 1 - level and pair.difference:
            winner = pair.first if (pair.difference > 0) == higher else pair.second
        found[k] = replace(pair, corrected=float(corrected), winner=winner)
    return found


def _better(pairs: list[Pair], models: int) -> NDArray[np.bool_]:
    better = np.zeros((models, models), dtype=bool)
    for pair in pairs:
        if pair.winner is not None:
            better[pair.winner, pair.first + pair.second - pair.winner] = True
    return better


def _order(points: Floats, *, higher: bool) -> tuple[int, ...]:
    ranked = np.argsort(-points if higher else points, kind="stable")
    return tuple(int(model) for model in ranked if np.isfinite(points[model]))


def _standings(
    units: Units,
    values: Values,
    intervals: list[Interval],
    order: tuple[int, ...],
    groups: tuple[tuple[int, ...], ...],
    better: NDArray[np.bool_],
    *,
    higher: bool,
) -> tuple[Standing, ...]:
    known = sorted(order)
    ranks = dict(zip(known, ranking.rank_intervals(better[np.ix_(known, known)]), strict=True))
    shares = ranking.probability_best(values.drawn[known].T, higher=higher) if units.size > 1 else None
    best = {} if shares is None else dict(zip(known, shares.tolist(), strict=True))
    group = {model: number for number, members in enumerate(groups) for model in members}
    return tuple(
        Standing(
            value=float(values.points[model]) if model in group else None,
            interval=interval,
            rank=ranks.get(model),
            group=group.get(model),
            best=best.get(model),
        )
        for model, interval in enumerate(intervals)
    )
