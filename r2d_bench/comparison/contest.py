"""Sides of a comparison on the items that all of them were scored on.

A side is one run, or several that differ in their seed alone: its figure is then the mean over the seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.comparison.over_seeds import with_seeds
from r2d_bench.metrics.base import Direction
from r2d_bench.statistics.boards import PairTest, compare_models

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from r2d_bench.comparison.loaded import Items
    from r2d_bench.comparison.measure import Measure
    from r2d_bench.statistics.boards import Board
    from r2d_bench.statistics.bootstrap import Floats, Statistic

    Side = Sequence[int]  # numbers of its runs

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Settings:
    """How sides are compared.

    Attributes:
        resamples: bootstrap resamples, and swaps of the tests.
        seed: of both.
        level: coverage of intervals; tests are made at 1 - level.
    """

    resamples: int = RESAMPLES
    seed: int = 0
    level: float = LEVEL


@dataclass(frozen=True, slots=True)
class Contest:
    """Sides compared in one figure.

    Attributes:
        board: figures, differences and what may be said about the order, in the order of the sides.
        kept: which items all were scored on, shape (N,).
        codes: cluster of each of them, 0 to C-1; None where they are independent.
    """

    board: Board
    kept: NDArray[np.bool_]
    codes: NDArray[np.int64] | None

    @property
    def clusters(self) -> int | None:
        """How many clusters the items form; None where they are independent."""
        return None if self.codes is None else int(self.codes.max()) + 1


def contest(
    measure: Measure,
    sides: Sequence[Side],
    codes: NDArray[np.int64] | None,
    settings: Settings,
    margin: float | None = None,
) -> Contest | None:
    """Compare sides on the items that every run of theirs was scored on; None where there are none.

    Args:
        measure: a metric of the runs.
        sides: the runs of each side, as numbers of the measure's runs.
        codes: cluster of each item, shape (N,); None where items are independent.
        settings: how.
        margin: a difference that does not matter, in the metric's own unit.
    """
    members = [run for side in sides for run in side]
    kept = np.asarray(measure.scored[members].all(axis=0))
    if not kept.any():
        return None
    part = None if codes is None else np.unique(codes[kept], return_inverse=True)[1]
    stats, statistic, test = _of_sides(measure, sides, kept)
    board = compare_models(
        stats,
        statistic,
        test,
        codes=part,
        higher=measure.metric.direction is not Direction.LOWER,
        margin=margin,
        level=settings.level,
        seed=settings.seed,
        resamples=settings.resamples,
        trials=settings.resamples,
    )
    board = with_seeds(
        board,
        measure,
        sides,
        kept,
        part,
        margin=margin,
        seed=settings.seed,
        resamples=settings.resamples,
    )
    return Contest(board, kept, part)


def _of_sides(measure: Measure, sides: Sequence[Side], kept: NDArray[np.bool_]) -> tuple[Floats, Statistic, PairTest]:
    """Return statistics, figure and test of the sides.

    The seeds of a side stand beside each other in the statistics, so that they are drawn and swapped together. All
    sides are brought to one width by repeating seeds, which leaves the mean over them as it is.
    """
    copies = lcm(*(len(side) for side in sides))
    if copies == 1:
        return measure.stats[[side[0] for side in sides]][:, kept], measure.statistic, measure.test
    width = measure.stats.shape[-1]

    def over_seeds(sums: Floats) -> Floats:
        return np.asarray(measure.statistic(sums.reshape(*sums.shape[:-1], copies, width)).mean(axis=-1))

    stats = [
        np.concatenate([measure.stats[run][kept] for run in side for _ in range(copies // len(side))], axis=-1)
        for side in sides
    ]
    # Means over seeds are no longer 0 or 1.
    test = PairTest.PERMUTATION if measure.test is PairTest.MCNEMAR else measure.test
    return np.stack(stats), over_seeds, test


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far the items without a score could move the figures.

    Attributes:
        missing: for each run the items that it has no score for, of those that all runs were asked.
        sides: for each side the lowest and the highest figure that it could have on the items that any run has a score
            for; None where nothing is missing, and where it cannot be said.
    """

    missing: tuple[int, ...]
    sides: tuple[tuple[float, float] | None, ...]

    def difference(self, first: int, second: int) -> tuple[float, float] | None:
        """Return the lowest and the highest difference that two sides could have."""
        one, other = self.sides[first], self.sides[second]
        return None if one is None or other is None else (one[0] - other[1], one[1] - other[0])


def bounds(measure: Measure, sides: Sequence[Side], items: Items) -> Bounds:
    """Return the worst-case bounds: every item that a run has no score for is all wrong, or all right.

    Of the items that all runs were asked; which items one was asked is the choice of who ran it, not of the model.

    Args:
        measure: a metric of the runs.
        sides: the runs of each side.
        items: of the same runs.
    """
    scored = measure.scored
    due = items.asked & (scored.any(axis=0) if measure.due is None else measure.due)
    missing = due & ~scored
    return Bounds(
        tuple(int(count) for count in missing.sum(axis=1)),
        tuple(_ends(measure, side, due, missing) for side in sides),
    )


def _ends(
    measure: Measure, side: Side, due: NDArray[np.bool_], missing: NDArray[np.bool_]
) -> tuple[float, float] | None:
    if measure.worst is None or measure.best is None or not missing.any():
        return None
    found = []
    for filling in (measure.worst, measure.best):
        sums = [np.where(missing[run][:, None], filling, measure.stats[run])[due].sum(axis=0) for run in side]
        found.append(float(np.mean([measure.statistic(one) for one in sums])))
    low, high = sorted(found)
    return (low, high) if np.isfinite([low, high]).all() else None
