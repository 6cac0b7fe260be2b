import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2d_bench.statistics.intervals import Interval, undefined
from r2d_bench.statistics.ranking import equivalent, probability_best, rank_intervals, tie_groups


def wins(models: int, *pairs: tuple[int, int]) -> np.ndarray:
    better = np.zeros((models, models), dtype=bool)
    for winner, loser in pairs:
        better[winner, loser] = True
    return better


def test_rank_intervals_by_hand():
    # 0 beats 2 and 3, 1 beats 3: 0 is 1 to 2, 1 is 1 to 3, 2 is 2 to 4, 3 is 3 to 4.
    assert rank_intervals(wins(4, (0, 2), (0, 3), (1, 3))) == [(1, 2), (1, 3), (2, 4), (3, 4)]
    assert rank_intervals(wins(3)) == [(1, 3)] * 3
    assert rank_intervals(wins(1)) == [(1, 1)]


@pytest.mark.parametrize(
    ("better", "groups"),
    [
        (wins(4), ((0, 1, 2, 3),)),
        # Each is near its neighbour, but the leader is the measure: no chain ties 0 to 2.
        (wins(4, (0, 2), (0, 3), (1, 3)), ((0, 1), (2, 3))),
        (wins(3, (0, 1), (0, 2), (1, 2)), ((0,), (1,), (2,))),
        # 1 is significantly worse than 0 although 2, with a lower figure, is not (its figure is less certain).
        (wins(3, (0, 1)), ((0, 2), (1,))),
    ],
)
def test_tie_groups_by_hand(better: np.ndarray, groups: tuple[tuple[int, ...], ...]):
    assert tie_groups(range(len(better)), better) == groups


def test_groups_follow_the_order_and_leave_out_who_is_not_in_it():
    assert tie_groups([2, 0], wins(3, (2, 0))) == ((2,), (0,))
    assert tie_groups([], wins(3)) == ()


@given(st.integers(1, 7), st.integers(0, 1000))
def test_every_model_is_in_one_group_and_none_is_worse_than_its_leader(models: int, seed: int):
    better = np.triu(np.random.default_rng(seed).random((models, models)) < 0.4, k=1)
    groups = tie_groups(range(models), better)
    assert sorted(model for group in groups for model in group) == list(range(models))
    for group in groups:
        assert not better[group[0], list(group)].any()
    for (low, high), model in zip(rank_intervals(better), range(models), strict=True):
        assert 1 <= low <= high <= models, model


def test_probability_of_being_best():
    values = np.array([[0.9, 0.5, 0.9], [0.9, 0.5, 0.1], [0.2, 0.5, 0.1], [np.nan, 1.0, 1.0]])
    # The first resample is shared by two models, the last has no value for all.
    assert probability_best(values).tolist() == pytest.approx([0.5, 1 / 3, 1 / 6])
    assert probability_best(values, higher=False).tolist() == pytest.approx([0, 1 / 3, 2 / 3])
    assert probability_best(np.full((3, 2), np.nan)) is None


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-0.004, 0.009, True), (-0.01, 0.01, True), (-0.02, 0.005, False), (0.001, 0.02, False), (0.02, 0.03, False)],
)
def test_equivalence_needs_the_whole_interval(low: float, high: float, *, expected: bool):
    assert equivalent(Interval(low, high, "bca"), 0.01) is expected


def test_no_interval_and_one_without_width_prove_nothing():
    assert equivalent(undefined("no items"), 0.01) is None
    assert equivalent(Interval(0.0, 0.0, "percentile", "constant"), 0.01) is False
