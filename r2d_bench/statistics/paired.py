"""Tests of two models on the same units, and the interval of their difference.

A unit is an item, or a cluster of dependent items: its sufficient statistics are summed first (`cluster_sums`), and
it is swapped, flipped or drawn as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import bdtr

from r2d_bench.statistics.bootstrap import resample_units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from r2d_bench.statistics.bootstrap import Floats, Statistic
    from r2d_bench.statistics.intervals import Interval

TRIALS = 10_000
_CHUNK = 2_000_000  # numbers held at once: 16 MB
_WHOLE_IN_FLOAT32 = 2**24  # whole numbers up to here have no rounding in float32, whatever the order of adding
_ROUNDING = 1e-10  # of the figures' size: a difference that is equal but for the order of adding counts as equal


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Return the two-sided exact p of McNemar's test (McNemar 1947, by the binomial distribution).

    Args:
        only_a: items that a alone has right.
        only_b: items that b alone has right.

    Returns:
        p; 1 where the models never differ.

    Raises:
        ValueError: a count is negative.
    """
    if only_a < 0 or only_b < 0:
        raise ValueError(f"counts of items cannot be negative: {only_a}, {only_b}")
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def approximate_randomisation(
    a: Floats, b: Floats, statistic: Statistic, *, seed: int = 0, trials: int = TRIALS
) -> float | None:
    """Return the two-sided p that two models differ in a figure (Noreen 1989; Riezler and Maxwell 2005).

    If the models were equal, it would not matter which of them wrote which answer. Whole units are swapped at random,
    and p = (c + 1) / (trials + 1), where c trials differ at least as much as the data. Where no more than `trials`
    ways of swapping exist, all are tried and p is exact. A trial without a value counts as one that differs more.

    Args:
        a: sufficient statistics of the first model for each unit, shape (U, D).
        b: those of the second.
        statistic: the figure as a function of their sums.
        seed: seed of the generator.
        trials: number of trials B.

    Returns:
        p; 1 for equal models and for a single unit; None where the figure is undefined for a model.
    """
    total_a, total_b = a.sum(axis=0), b.sum(axis=0)
    if not np.isfinite(statistic(np.stack([total_a, total_b]))).all():
        return None
    change = b - a
    change = change[change.any(axis=1)]  # where both are alike a swap does nothing
    swaps = Swaps(np.ones(len(change), dtype=np.int64), seed, trials)
    return swaps.p_value(sum(count_extreme(total_a, total_b, moved, statistic) for moved in swaps.moved(change)))


def paired_permutation(differences: Floats, *, seed: int = 0, trials: int = TRIALS) -> float:
    """Return the two-sided p that a mean paired difference is 0, by flipping signs (Fisher 1935; Pitman 1937).

    As `approximate_randomisation` of the mean: swapping two answers flips the sign of their difference. All patterns
    of signs are tried where they are no more than `trials`.

    Args:
        differences: summed difference of each unit, shape (U,); a cluster flips as a whole.
        seed: seed of the generator.
        trials: number of trials.

    Returns:
        p; 1 where all differences are 0, and for a single unit.
    """
    a = np.asarray(differences, dtype=np.float64)[:, None]
    # Halves that differ by the differences: swapping them turns +d/2, -d/2 into -d/2, +d/2.
    p = approximate_randomisation(a / 2, -a / 2, lambda sums: sums[..., 0], seed=seed, trials=trials)
    if p is None:
        raise ValueError("differences must be finite")
    return p


def paired_bootstrap(
    a: Floats, b: Floats, statistic: Statistic, *, seed: int = 0, resamples: int = TRIALS, level: float = 0.95
) -> Interval:
    """Return the interval of figure(a) - figure(b), both resampled with the same weights (BCa, see `bootstrap`).

    What is hard for both models does not widen the interval.

    Args:
        a: sufficient statistics of the first model for each unit, shape (U, D).
        b: those of the second.
        statistic: the figure as a function of their sums.
        seed: seed of the generator.
        resamples: number of resamples.
        level: the coverage, between 0 and 1.
    """
    width = a.shape[1]

    def gap(sums: Floats) -> Floats:
        return statistic(sums[..., :width]) - statistic(sums[..., width:])

    return resample_units(np.hstack([a, b]), seed=seed, resamples=resamples).interval(gap, level)


@dataclass(frozen=True, slots=True)
class Swaps:
    """Ways to swap units between two models: every one where they are few, random ones otherwise.

    The same swaps serve all pairs of many models: what a pair exchanges is linear in the units' statistics, so that
    it is the difference of what each of the two gives away. Each p is valid alone; that they share draws makes them
    depend on each other, which Holm's correction allows.

    Attributes:
        counts: units that share each row of statistics, shape (U,), whole numbers; 1 unless rows are cells.
        seed: seed of the generator.
        trials: the largest number of ways to try.
    """

    counts: NDArray[np.int64]
    seed: int
    trials: int

    @property
    def exact(self) -> bool:
        """Whether every way is tried."""
        return int(self.counts.sum()) < int(self.trials).bit_length()  # 2^units ≤ trials

    @property
    def lowest(self) -> float:
        """The smallest p that can come out: the data and its mirror image, or no trial at all."""
        units = int(self.counts.sum())
        return min(1.0, 2.0 ** (1 - units)) if self.exact else 1 / (self.trials + 1)

    def p_value(self, extreme: int) -> float:
        """Return p from how many ways differ at least as much as the data."""
        if self.exact:
            return float(extreme / 2 ** int(self.counts.sum()))
        return (extreme + 1) / (self.trials + 1)

    def moved(self, stats: Floats) -> Iterator[Floats]:
        """Yield the sums of the statistics of the swapped units, a block of ways at a time, shape (T, W).

        Args:
            stats: statistics of each row, shape (U, W).
        """
        if self.exact:
            rows = np.repeat(stats, self.counts, axis=0)
            ways = np.arange(2 ** len(rows))[:, None] >> np.arange(len(rows)) & 1
            yield ways.astype(np.float64) @ rows
            return
        rng = np.random.default_rng(self.seed)
        compact = _compact(stats, self.counts)
        block = max(1, _CHUNK // max(1, stats.shape[1]))
        for start in range(0, self.trials, block):
            yield self._random(min(block, self.trials - start), compact, rng)

    def _random(self, trials: int, stats: NDArray[np.floating], rng: np.random.Generator) -> Floats:
        sums = np.empty((trials, stats.shape[1]))
        rows = max(1, _CHUNK // len(stats))
        for start in range(0, trials, rows):
            size = min(rows, trials - start)
            sums[start : start + size] = self._draw(size, rng).astype(stats.dtype) @ stats
        return sums

    def _draw(self, size: int, rng: np.random.Generator) -> NDArray[np.integer]:
        """Return how many units of each row are swapped, shape (size, U)."""
        if self.counts.max() > 1:
            return rng.binomial(self.counts, 0.5, size=(size, len(self.counts)))
        count = size * len(self.counts)
        coins = np.frombuffer(rng.bytes(-(-count // 8)), dtype=np.uint8)
        return np.unpackbits(coins, count=count).reshape(size, -1)


def count_extreme(total_a: Floats, total_b: Floats, moved: Floats, statistic: Statistic) -> int:
    """Count the ways of swapping after which two models differ at least as much as they do.

    Args:
        total_a: the first one's sums on the data, shape (D,).
        total_b: the second one's.
        moved: what a gains and b loses in each way, shape (T, D).
        statistic: the figure; a way that leaves it undefined counts.
    """
    swapped = np.stack([statistic(total_a + moved), statistic(total_b - moved)])
    one, other = statistic(np.stack([total_a, total_b]))
    slack = _ROUNDING * max(abs(one), abs(other), np.max(np.abs(swapped), initial=0.0, where=np.isfinite(swapped)))
    return int(np.count_nonzero(~(np.abs(swapped[0] - swapped[1]) < abs(one - other) - slack)))


def _compact(stats: Floats, counts: NDArray[np.int64]) -> NDArray[np.floating]:
    """Return whole numbers with small sums as float32, in which products of matrices are as exact and twice as fast."""
    largest = float((counts @ np.abs(stats)).max(initial=0.0))
    whole = largest < _WHOLE_IN_FLOAT32 and np.array_equal(stats, np.trunc(stats))
    return stats.astype(np.float32) if whole else stats
