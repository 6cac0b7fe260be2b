from dataclasses import fields
from math import isfinite

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from r2d_bench.metrics.confusion import cluster_stats, macro_f1, mcc
from r2d_bench.statistics.boards import FEW_UNITS, NO_VALUE, Board, PairTest, compare_models, value_stats
from r2d_bench.statistics.bootstrap import cluster_sums, mean_of_sums
from r2d_bench.statistics.paired import approximate_randomisation, paired_bootstrap, paired_permutation

RIGHT = (0.5, 0.72, 0.55, 0.7)


def answers(seed: int, n: int, right: tuple[float, ...] = RIGHT) -> tuple[np.ndarray, np.ndarray]:
    """Return gold classes (n,) and predicted ones (M, n); 3 is no valid label."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 3, n)
    said = [np.where(rng.random(n) < share, gold, rng.integers(0, 4, n)) for share in right]
    return gold, np.array(said)


def class_stats(gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return np.stack([cluster_stats(gold, one, np.arange(len(gold)), 3) for one in predicted])


def hits(gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return value_stats((gold == predicted).astype(float))


def numbers(board: Board) -> list[float]:
    """Return every number of a board, wherever it stands."""
    found: list[float] = []

    def collect(value: object) -> None:
        if isinstance(value, (float, int)):
            found.append(value)
        elif isinstance(value, tuple):
            for part in value:
                collect(part)
        elif hasattr(value, "__dataclass_fields__"):
            for field in fields(value):
                collect(getattr(value, field.name))

    collect(board)
    return found


def test_rates_have_mcnemar_wilson_and_holm():
    gold, said = answers(1, 150)
    board = compare_models(hits(gold, said), mean_of_sums, PairTest.MCNEMAR, resamples=500)
    right = gold == said
    expected = []
    for pair in board.pairs:
        a, b = right[pair.first], right[pair.second]
        table = [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]]
        expected.append(mcnemar(table, exact=True).pvalue)
        assert pair.difference == pytest.approx(a.mean() - b.mean())
        assert pair.test is PairTest.MCNEMAR
    assert [pair.p for pair in board.pairs] == pytest.approx(expected)
    assert [pair.corrected for pair in board.pairs] == pytest.approx(multipletests(expected, method="holm")[1])
    for model, standing in enumerate(board.standings):
        low, high = proportion_confint(right[model].sum(), 150, method="wilson")
        assert (standing.interval.low, standing.interval.high) == pytest.approx((low, high))


def test_macro_f1_has_the_p_and_the_interval_of_each_pair_alone():
    gold, said = answers(2, 120)
    stats = class_stats(gold, said)
    board = compare_models(stats, macro_f1, PairTest.RANDOMISATION, seed=3, trials=4000, resamples=4000)
    for pair in board.pairs:
        a, b = stats[pair.first], stats[pair.second]
        alone = approximate_randomisation(a, b, macro_f1, trials=4000)
        assert pair.p == pytest.approx(alone, abs=4 * np.sqrt(2 * alone * (1 - alone) / 4000) + 1e-3)
        interval = paired_bootstrap(a, b, macro_f1, seed=3, resamples=4000)
        width = interval.high - interval.low
        assert pair.interval.method == "bca"
        assert (pair.interval.low, pair.interval.high) == pytest.approx((interval.low, interval.high), abs=0.05 * width)
        assert pair.standard_error == pytest.approx(width / (2 * 1.96), rel=0.1)


def test_cells_give_what_items_give():
    gold, said = answers(4, 2000, (0.6, 0.63))
    cells = compare_models(class_stats(gold, said), macro_f1, PairTest.RANDOMISATION)
    # A mark that no figure uses makes every item a cell of its own.
    marked = np.concatenate([class_stats(gold, said), np.arange(2.0 * 2000).reshape(2, 2000, 1)], axis=2)
    items = compare_models(marked, lambda sums: macro_f1(sums[..., :-1]), PairTest.RANDOMISATION)
    one, other = cells.pairs[0], items.pairs[0]
    assert one.difference == other.difference
    assert one.p == pytest.approx(other.p, abs=4 * np.sqrt(2 * one.p * (1 - one.p) / 10_000))
    width = one.interval.high - one.interval.low
    for found, wanted in ((one, other), (cells.standings[0], items.standings[0])):
        bounds = (found.interval.low, found.interval.high)
        assert bounds == pytest.approx((wanted.interval.low, wanted.interval.high), abs=0.05 * width)


def test_clusters_move_as_a_whole():
    rng = np.random.default_rng(5)
    codes = np.repeat(np.arange(9), [4, 5, 6, 7, 8, 9, 10, 3, 8])
    values = rng.random((2, 9))[:, codes] + np.array([[0.25], [0.0]])
    board = compare_models(value_stats(values), mean_of_sums, PairTest.PERMUTATION, codes=codes)
    differences = cluster_sums((values[0] - values[1])[:, None], codes)[:, 0]
    assert board.pairs[0].p == paired_permutation(differences)  # 2^9 ways, all tried
    assert (board.items, board.units) == (60, 9)
    items = compare_models(value_stats(values), mean_of_sums, PairTest.PERMUTATION)
    assert items.pairs[0].p < board.pairs[0].p
    wide, narrow = board.pairs[0].interval, items.pairs[0].interval
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_a_rate_with_clusters_is_tested_by_permutation():
    gold, said = answers(6, 90)
    codes = np.arange(90) // 3
    board = compare_models(hits(gold, said), mean_of_sums, PairTest.MCNEMAR, codes=codes, trials=2000)
    right = (gold == said).astype(float)
    alone = paired_permutation(cluster_sums((right[0] - right[1])[:, None], codes)[:, 0])
    assert board.pairs[0].test is PairTest.PERMUTATION
    assert board.pairs[0].p == pytest.approx(alone, abs=0.01)
    assert board.standings[0].interval.method == "wilson"


def test_order_ranks_groups_and_winners_of_planted_differences():
    gold, said = answers(7, 800)
    board = compare_models(hits(gold, said), mean_of_sums, PairTest.MCNEMAR, resamples=1000)
    assert set(board.order[:2]) == {1, 3}
    assert [set(group) for group in board.groups] == [{1, 3}, {0, 2}]
    assert [standing.rank for standing in board.standings] == [(3, 4), (1, 2), (3, 4), (1, 2)]
    assert [standing.group for standing in board.standings] == [1, 0, 1, 0]
    assert board.pair(3, 0) is board.pair(0, 3)
    assert (board.pair(0, 3).first, board.pair(0, 3).second, board.pair(0, 3).winner) == (0, 3, 3)
    assert board.pair(1, 3).winner is None
    assert sum(standing.best for standing in board.standings) == pytest.approx(1)
    assert board.standings[0].best == 0


def test_where_lower_is_better_everything_turns():
    gold, said = answers(7, 800)
    errors = value_stats((gold != said).astype(float))
    board = compare_models(errors, mean_of_sums, PairTest.MCNEMAR, higher=False, resamples=1000)
    assert [set(group) for group in board.groups] == [{1, 3}, {0, 2}]
    assert board.pair(0, 3).difference > 0
    assert board.pair(0, 3).winner == 3
    assert board.standings[1].best + board.standings[3].best == 1


def test_pairs_are_found_by_their_numbers():
    gold, said = answers(8, 60, (0.5,) * 6)
    board = compare_models(hits(gold, said), mean_of_sums, PairTest.MCNEMAR, resamples=20)
    for one in range(6):
        for other in range(one + 1, 6):
            assert (board.pair(other, one).first, board.pair(other, one).second) == (one, other)


def test_identical_models():
    gold, said = answers(9, 100, (0.6, 0.6, 0.6))
    said[1] = said[0]
    board = compare_models(class_stats(gold, said), macro_f1, PairTest.RANDOMISATION, margin=0.5, resamples=500)
    same = board.pair(0, 1)
    assert (same.p, same.corrected, same.difference, same.winner) == (1.0, 1.0, 0.0, None)
    assert (same.interval.low, same.interval.high, same.standard_error) == (0.0, 0.0, 0.0)
    assert same.identical
    assert not board.pair(0, 2).identical
    # No width shows no uncertainty; the other pair lies well within half a point.
    assert (same.equivalent, board.pair(0, 2).equivalent) == (False, True)
    assert board.power(same).detectable is None
    assert board.power(board.pair(0, 2)).detectable == pytest.approx(3.24 * board.pair(0, 2).standard_error, rel=0.01)


def test_a_figure_that_is_undefined_for_some():
    # The share of over-triage among errors is 2/3 and 1/3; the second model makes no errors.
    errors = np.array([[1.0, 0, 1, 1, 0, 0] * 5, [0.0] * 30, [1.0, 1, 1, 0, 0, 0] * 5])
    over = errors * (np.arange(30) % 3 == 0)
    board = compare_models(np.stack([over, errors], axis=-1), mean_of_sums, PairTest.RANDOMISATION, trials=200)
    nothing = board.standings[1]
    assert (nothing.value, nothing.rank, nothing.group, nothing.best) == (None, None, None, None)
    assert nothing.interval.low is None
    assert (board.pair(0, 1).p, board.pair(0, 1).reason) == (None, NO_VALUE)
    assert board.pair(0, 2).p == board.pair(0, 2).corrected  # one test was made: nothing to correct
    assert board.pair(0, 2).difference == pytest.approx(1 / 3)
    assert (board.order, board.groups) == ((0, 2), ((0,), (2,)))
    assert [board.standings[model].rank for model in (0, 2)] == [(1, 1), (2, 2)]


@pytest.mark.parametrize("codes", [None, np.zeros(7, dtype=int)])
def test_one_unit_gives_figures_and_reasons(codes: np.ndarray | None):
    gold, said = answers(10, 1 if codes is None else 7, (1.0, 0.0))
    board = compare_models(class_stats(gold, said), macro_f1, PairTest.RANDOMISATION, codes=codes, resamples=50)
    assert board.units == 1
    assert board.standings[0].value is not None
    assert board.standings[0].interval.warning
    assert board.standings[0].best is None
    assert (board.pairs[0].p, board.pairs[0].reason) == (None, FEW_UNITS)
    assert [standing.rank for standing in board.standings] == [(1, 2), (1, 2)]


def test_no_items_at_all():
    for test in PairTest:
        board = compare_models(np.zeros((2, 0, 2)), mean_of_sums, test, resamples=50)
        assert [standing.value for standing in board.standings] == [None, None]
        assert (board.order, board.groups, board.pairs[0].reason) == ((), (), NO_VALUE)
        assert board.standings[0].interval.warning


def test_one_model_is_a_board_too():
    gold, said = answers(11, 50, (0.5,))
    board = compare_models(class_stats(gold, said), macro_f1, PairTest.RANDOMISATION, resamples=200)
    assert (board.pairs, board.order, board.groups) == ((), (0,), ((0,),))
    assert (board.standings[0].rank, board.standings[0].best) == ((1, 1), 1.0)


def test_few_clusters_that_cannot_show_anything_are_named():
    values = np.stack([np.full(20, 0.9), np.full(20, 0.1)])
    board = compare_models(value_stats(values), mean_of_sums, PairTest.PERMUTATION, codes=np.arange(20) // 5)
    # Four clusters have 16 patterns of signs: p is 2/16 or more, however large the difference.
    assert board.pairs[0].p == 0.125
    assert board.warning == "the models differ on 4 units only: p cannot be below 0.12"
    assert board.pairs[0].winner is None


def test_so_many_pairs_get_trials_enough_to_be_significant():
    gold, said = answers(12, 300, (0.95,) + (0.3,) * 5)
    board = compare_models(class_stats(gold, said), macro_f1, PairTest.RANDOMISATION, trials=20, resamples=50)
    assert board.pair(0, 1).winner == 0
    assert board.pair(0, 1).p == pytest.approx(1 / 601)


@pytest.mark.parametrize(
    ("stats", "test", "words"),
    [
        (np.zeros((2, 5)), PairTest.PERMUTATION, "shape"),
        (np.full((2, 5, 2), np.nan), PairTest.PERMUTATION, "finite"),
        (np.full((2, 5, 2), 0.5), PairTest.MCNEMAR, "0 or 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(stats: np.ndarray, test: PairTest, words: str):
    with pytest.raises(ValueError, match=words):
        compare_models(stats, mean_of_sums, test)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), max_size=20),
    clusters=st.integers(0, 4),
    statistic=st.sampled_from([macro_f1, mcc]),
)
def test_nothing_that_is_not_finite_comes_out(rows: list[tuple[int, ...]], clusters: int, statistic: object):
    table = np.array(rows, dtype=int).reshape(-1, 4).T
    codes = np.unique(np.arange(table.shape[1]) % clusters, return_inverse=True)[1] if clusters else None
    stats = class_stats(table[0], table[1:]) if table.shape[1] else np.zeros((3, 0, 9))
    boards = [
        compare_models(stats, statistic, PairTest.RANDOMISATION, codes=codes, margin=0.1, resamples=60, trials=60),
        compare_models(hits(table[0], table[1:]), mean_of_sums, PairTest.MCNEMAR, codes=codes, resamples=60, trials=60),
    ]
    for board in boards:
        assert all(isfinite(number) for number in numbers(board))
        for pair in board.pairs:
            assert (pair.p is None) == (pair.reason is not None) == (pair.corrected is None)
            assert pair.interval.low is not None or pair.interval.warning
