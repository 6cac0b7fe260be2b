"""Seeds and items, items and repeats: intervals against simulations and one-level cases."""

from __future__ import annotations

import numpy as np
import pytest

from r2d_bench.statistics.bootstrap import mean_of_sums
from r2d_bench.statistics.two_level import items_and_repeats, over_seeds


def stats_of(values: np.ndarray) -> np.ndarray:
    """Return (S, U, 2) statistics of a mean from values (S, U)."""
    return np.stack([values, np.ones_like(values)], axis=2)


def width(interval: object) -> float:
    low, high = interval.low, interval.high  # type: ignore[attr-defined]
    assert low is not None
    assert high is not None
    return float(high - low)


def test_seeds_that_agree_leave_the_chance_of_items() -> None:
    rng = np.random.default_rng(1)
    one = rng.normal(0, 1, 400)
    same = over_seeds(stats_of(np.stack([one] * 4)), mean_of_sums, resamples=4000)
    assert width(same) == pytest.approx(2 * 1.96 * one.std() / 20, rel=0.06)
    assert same.low is not None
    assert same.low < one.mean() < same.high


def test_items_that_agree_leave_the_chance_of_seeds() -> None:
    levels = np.array([0.2, 0.4, 0.5, 0.9])
    found = over_seeds(stats_of(np.repeat(levels[:, None], 50, axis=1)), mean_of_sums, resamples=8000)
    assert width(found) == pytest.approx(2 * 1.96 * levels.std() / 2, rel=0.08)


def test_both_sources_add_up() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, (1, 300)) + rng.normal(0, 0.08, (6, 1))
    both = width(over_seeds(stats_of(values), mean_of_sums, resamples=4000))
    items = width(over_seeds(stats_of(values - values.mean(1, keepdims=True)), mean_of_sums, resamples=4000))
    assert both > 1.05 * items


def test_coverage_over_seeds_and_items() -> None:
    rng, held, times = np.random.default_rng(3), 0, 150
    for number in range(times):
        values = rng.normal(0, 0.1, (8, 1)) + rng.normal(0, 1, (1, 120)) + rng.normal(0, 0.5, (8, 120))
        found = over_seeds(stats_of(values), mean_of_sums, seed=number, resamples=400)
        assert found.low is not None
        held += found.low <= 0 <= found.high
    assert 0.86 <= held / times <= 0.99


def test_repeats_that_agree_leave_the_chance_of_items() -> None:
    rng = np.random.default_rng(4)
    one = rng.integers(1, 6, 200).astype(float)
    found = items_and_repeats(np.stack([one] * 3, axis=1), resamples=4000)
    assert width(found) == pytest.approx(2 * 1.96 * one.std() / np.sqrt(200), rel=0.06)


def test_noise_of_repeats_widens_the_interval_and_more_repeats_narrow_it() -> None:
    rng = np.random.default_rng(5)
    level = np.full((60, 1), 3.0)
    few = items_and_repeats(level + rng.normal(0, 1, (60, 2)), resamples=2000)
    many = items_and_repeats(level + rng.normal(0, 1, (60, 12)), resamples=2000)
    assert width(few) > 1.6 * width(many) > 0


def test_missing_repeats_are_left_out() -> None:
    values = np.array([[1.0, np.nan, 3.0], [2.0, np.nan, np.nan], [np.nan, 4.0, 2.0]])
    found = items_and_repeats(values, resamples=3000)
    assert found.low is not None
    assert 1 <= found.low < np.nanmean(values, axis=1).mean() < found.high <= 4


def test_clusters_are_drawn_whole() -> None:
    rng = np.random.default_rng(6)
    base = rng.normal(3, 1, 25)
    values, codes = np.repeat(base, 8)[:, None], np.repeat(np.arange(25), 8)
    assert width(items_and_repeats(values, codes)) > 2 * width(items_and_repeats(values))


@pytest.mark.parametrize(("shape", "why"), [((1, 9), "two seeds"), ((3, 1), "two units"), ((0, 5), "two seeds")])
def test_too_little_has_a_reason(shape: tuple[int, int], why: str) -> None:
    found = over_seeds(stats_of(np.zeros(shape)), mean_of_sums)
    assert found.low is None
    assert why in (found.warning or "")
    assert items_and_repeats(np.zeros((0, 2))).low is None
    assert items_and_repeats(np.zeros((1, 2))).low is None


def test_seeds_that_are_always_right_say_what_resampling_cannot_see() -> None:
    for found in (over_seeds(stats_of(np.ones((3, 20))), mean_of_sums), items_and_repeats(np.full((20, 2), 4.0))):
        assert found.low == found.high
        assert "cannot show the uncertainty" in (found.warning or "")


def test_a_figure_that_is_undefined_has_no_interval() -> None:
    stats = np.zeros((2, 5, 2))  # no item counts
    found = over_seeds(stats, mean_of_sums, resamples=50)
    assert found.low is None
    assert "undefined" in (found.warning or "")
