"""What may be said about the order of models: rank intervals, tie groups, who may be the best, who are equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from r2d_bench.statistics.intervals import Interval


def rank_intervals(better: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the ranks that each model may have: 1 + number significantly better to M - number significantly worse.

    With p-values corrected for all pairs (Holm) the intervals hold for all models at once (Mohamad, van Zwet,
    Solari and Goeman 2021, Simultaneous confidence intervals for ranks).

    Args:
        better: whether row i is significantly better than column j, shape (M, M).
    """
    above, below = better.sum(axis=0), better.sum(axis=1)
    return [(1 + int(a), len(better) - int(b)) for a, b in zip(above, below, strict=True)]


def tie_groups(order: Sequence[int], better: NDArray[np.bool_]) -> tuple[tuple[int, ...], ...]:
    """Return the groups of models that cannot be told from the best of their group.

    The best model that has no group yet leads one; it takes in every model without a group that is not
    significantly worse than it. The leader stays the measure: a chain of small steps ties nothing together. A group
    can reach over a model with a better figure that *is* significantly worse than the leader.

    Args:
        order: models that have a value, best first.
        better: whether row i is significantly better than column j, shape (M, M).

    Returns:
        Groups from the top, each with its leader first and in the order given.
    """
    groups = []
    remaining = list(order)
    while remaining:
        leader = remaining[0]
        group = tuple(model for model in remaining if not better[leader, model])
        groups.append(group)
        remaining = [model for model in remaining if model not in group]
    return tuple(groups)


def probability_best(values: NDArray[np.float64], *, higher: bool = True) -> NDArray[np.float64] | None:
    """Return in which share of the resamples each model is the best, shape (M,); they add up to 1.

    The resamples are shared by all models, so that a sample that is easy for all helps none. Models that share the
    best value share the resample. It is the bootstrap's answer to "would this model win on another such sample",
    not a posterior probability, and it says nothing about how large the lead is.

    Args:
        values: the figure of each model on each resample, shape (B, M); a resample with a NaN is left out.
        higher: whether a higher figure is better.

    Returns:
        The shares; None where no resample has a value for all models.
    """
    kept = values[np.isfinite(values).all(axis=1)]
    if not kept.size:
        return None
    signed = kept if higher else -kept
    first = signed == signed.max(axis=1, keepdims=True)
    return np.asarray((first / first.sum(axis=1, keepdims=True)).mean(axis=0))


def equivalent(interval: Interval, margin: float) -> bool | None:
    """Return whether a difference is small enough not to matter: its whole interval lies within ±margin.

    With a 95 % interval this is the two one-sided tests of Schuirmann (1987) at 2.5 %. An interval of width 0 shows
    nothing of the uncertainty and is no proof: False. None where there is no interval.

    Args:
        interval: of the difference.
        margin: the largest difference that does not matter, in the figure's own unit; not negative.
    """
    if interval.low is None or interval.high is None:
        return None
    return interval.low < interval.high and -margin <= interval.low and interval.high <= margin
