"""Sides with several seeds: how figures and differences would change with other seeds as well as with other items.

A model that was trained or asked with a few seeds is better than another only where the difference holds over the
seeds, too: what a test of the items calls significant for the very seeds at hand may be the luck of one of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.statistics import ranking
from r2d_bench.statistics.bootstrap import cluster_sums, resample_units
from r2d_bench.statistics.intervals import Interval, undefined
from r2d_bench.statistics.two_level import over_seeds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from r2d_bench.comparison.measure import Measure
    from r2d_bench.statistics.boards import Board, Pair
    from r2d_bench.statistics.bootstrap import Floats, Statistic

    Side = Sequence[int]

FEW = 5
FEW_SEEDS = "{few} seeds: how much seeds differ is itself hardly known, and the interval may be too narrow"


def seeded(sides: Sequence[Side], pair: Pair) -> bool:
    """Tell whether both sides of a pair have several seeds."""
    return len(sides[pair.first]) > 1 and len(sides[pair.second]) > 1


def with_seeds(
    board: Board,
    measure: Measure,
    sides: Sequence[Side],
    kept: NDArray[np.bool_],
    codes: NDArray[np.int64] | None,
    *,
    margin: float | None,
    seed: int,
    resamples: int,
) -> Board:
    """Return a board whose intervals hold over seeds and items, wherever sides have several seeds.

    Every resample draws items (whole clusters), the same for all sides, and of each side as many seeds as it has, with
    replacement (the two-level bootstrap of Davison and Hinkley 1997, 3.8). Of two sides with several seeds each, one
    is better only if this interval of their difference leaves 0 out as well.

    Args:
        board: of the sides, by the items alone.
        measure: the metric of the runs.
        sides: the runs of each side.
        kept: items that all were scored on, shape (N,).
        codes: cluster of each of these; None where they are independent.
        margin: a difference that does not matter; None for none.
        seed: seed of the generator.
        resamples: number of resamples.
    """
    if all(len(side) == 1 for side in sides) or board.units < 2:
        return board
    units = [_units(measure, side, kept, codes) for side in sides]
    how = {"seed": seed, "resamples": resamples}
    drawn = _drawn(units, measure.statistic, **how)
    pairs = tuple(
        _pair(pair, drawn[pair.first] - drawn[pair.second], sides, board.level, margin) if seeded(sides, pair) else pair
        for pair in board.pairs
    )
    better = board.better.copy()
    for pair in pairs:
        if pair.winner is None:
            better[pair.first, pair.second] = better[pair.second, pair.first] = False
    groups = ranking.tie_groups(board.order, better)
    known = sorted(board.order)
    ranks = dict(zip(known, ranking.rank_intervals(better[np.ix_(known, known)]), strict=True))
    group = {side: number for number, members in enumerate(groups) for side in members}
    standings = tuple(
        replace(
            one,
            rank=ranks.get(number),
            group=group.get(number),
            interval=one.interval
            if len(sides[number]) == 1
            else _told(over_seeds(units[number], measure.statistic, level=board.level, **how), [sides[number]]),
        )
        for number, one in enumerate(board.standings)
    )
    return replace(board, pairs=pairs, better=better, groups=groups, standings=standings)


def _units(measure: Measure, side: Side, kept: NDArray[np.bool_], codes: NDArray[np.int64] | None) -> Floats:
    """Return the statistics of each run of a side for each item, or cluster, shape (S, U, D)."""
    stats = measure.stats[list(side)][:, kept]
    return stats if codes is None else np.stack([cluster_sums(one, codes) for one in stats])


def _drawn(units: Sequence[Floats], statistic: Statistic, *, seed: int, resamples: int) -> Floats:
    """Return the figure of each side on each resample of seeds and items, shape (M, B)."""
    table = np.concatenate(units)
    runs, count, width = table.shape
    sums = resample_units(table.swapaxes(0, 1).reshape(count, -1), seed=seed, resamples=resamples).sums
    values = statistic(sums.reshape(resamples, runs, width))
    rng = np.random.default_rng([seed, 1])  # other draws than those of the items
    ends = np.cumsum([len(side) for side in units])
    found = []
    for own in np.split(values, ends[:-1], axis=1):
        chosen = rng.integers(0, own.shape[1], size=own.shape)
        found.append(np.take_along_axis(own, chosen, axis=1).mean(axis=1))
    return np.stack(found)


def _pair(pair: Pair, drawn: Floats, sides: Sequence[Side], level: float, margin: float | None) -> Pair:
    interval = _interval(drawn, [sides[pair.first], sides[pair.second]], level)
    kept = drawn[np.isfinite(drawn)]
    holds = interval.low is not None and interval.high is not None and (interval.low > 0 or interval.high < 0)
    return replace(
        pair,
        interval=interval,
        standard_error=None if interval.low is None else float(kept.std()),
        winner=pair.winner if holds else None,
        equivalent=None if margin is None else ranking.equivalent(interval, margin),
    )


def _interval(drawn: Floats, sides: Sequence[Side], level: float) -> Interval:
    """Return the percentile interval: a few seeds leave nothing to correct it by."""
    kept = drawn[np.isfinite(drawn)]
    if len(kept) * 2 < len(drawn):
        return undefined("no interval: the figure is undefined in most resamples")
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return _told(Interval(float(low), float(high), "percentile"), sides)


def _told(interval: Interval, sides: Sequence[Side]) -> Interval:
    few = min(len(side) for side in sides)
    return replace(interval, warning=interval.warning or (FEW_SEEDS.format(few=few) if few < FEW else None))
