from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import mcnemar

from r2d_bench.metrics.confusion import cluster_stats, macro_f1
from r2d_bench.metrics.overlap import bleu, sentence_statistics
from r2d_bench.statistics.bootstrap import cluster_sums, mean_of_sums
from r2d_bench.statistics.paired import (
    Swaps,
    approximate_randomisation,
    mcnemar_exact,
    paired_bootstrap,
    paired_permutation,
)

TRIALS = 10_000


def monte_carlo(p: float, trials: int = TRIALS) -> float:
    """Four standard errors of the difference of two estimates of p."""
    return 4 * float(np.sqrt(2 * p * (1 - p) / trials)) + 2 / trials


def class_stats(gold: np.ndarray, predicted: np.ndarray, k: int = 3) -> np.ndarray:
    return cluster_stats(gold, predicted, np.arange(len(gold)), k)


def two_models(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 3, n)
    said = [np.where(rng.random(n) < right, gold, rng.integers(0, 4, n)) for right in (0.5, 0.62)]
    return class_stats(gold, said[0]), class_stats(gold, said[1])


@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (3, 3), (2, 9), (30, 11), (0, 6), (400, 470), (5000, 5001)])
def test_mcnemar_is_statsmodels(counts: tuple[int, int]):
    table = [[10, counts[0]], [counts[1], 4]]
    # With no pair that differs statsmodels gives 1 as well.
    assert mcnemar_exact(*counts) == pytest.approx(mcnemar(table, exact=True).pvalue, rel=1e-9)


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(ValueError, match="negative"):
        mcnemar_exact(-1, 2)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_permutation_of_few_units_is_scipys_to_the_last_digit(seed: int):
    differences = np.random.default_rng(seed).normal(0.4, 1, size=10)
    theirs = scipy_stats.permutation_test(
        (differences, np.zeros(10)), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf
    )
    assert paired_permutation(differences) == theirs.pvalue


@pytest.mark.parametrize(("seed", "shift"), [(1, 0.0), (2, 0.12), (3, 0.25)])
def test_permutation_of_many_units_agrees_with_scipy(seed: int, shift: float):
    differences = np.random.default_rng(seed).normal(shift, 1, size=120)
    theirs = scipy_stats.permutation_test(
        (differences, np.zeros(120)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=TRIALS,
        rng=np.random.default_rng(0),
    ).pvalue
    assert paired_permutation(differences) == pytest.approx(theirs, abs=monte_carlo(theirs))


@pytest.mark.parametrize("change", [0.02, 0.06])
def test_randomisation_of_corpus_bleu_agrees_with_sacrebleu(change: float):
    rng = np.random.default_rng(4)
    words = np.array([f"w{k}" for k in range(60)])
    gold = rng.integers(0, 60, size=(80, 14))
    one = np.where(rng.random(gold.shape) < 0.3, rng.integers(0, 60, size=gold.shape), gold)
    other = np.where(rng.random(gold.shape) < 0.3 + change, rng.integers(0, 60, size=gold.shape), gold)
    texts = [[" ".join(words[row]) for row in rows] for rows in (one, other, gold)]
    trials = 3000
    test = PairedTest(
        [("one", texts[0]), ("other", texts[1])], {"BLEU": BLEU()}, [texts[2]], test_type="ar", n_samples=trials
    )
    theirs = test()[1]["BLEU"][1].p_value
    references = [[text] for text in texts[2]]
    a, b = (sentence_statistics(BLEU(), hypotheses, references) for hypotheses in texts[:2])
    ours = approximate_randomisation(a, b, bleu, trials=trials)
    assert 0.001 < theirs < 0.9
    assert ours == pytest.approx(theirs, abs=monte_carlo(theirs, trials))


def test_randomisation_tries_every_way_where_they_are_few():
    a, b = two_models(5, 9)
    observed = abs(macro_f1(a.sum(axis=0)) - macro_f1(b.sum(axis=0)))
    extreme = 0
    for way in product([False, True], repeat=9):
        swap = np.array(way)[:, None]
        one, other = np.where(swap, b, a).sum(axis=0), np.where(swap, a, b).sum(axis=0)
        extreme += abs(macro_f1(one) - macro_f1(other)) >= observed - 1e-12
    assert 0.1 < extreme / 2**9 < 1
    assert approximate_randomisation(a, b, macro_f1) == extreme / 2**9


def test_random_swaps_come_near_every_way():
    a, b = two_models(11, 26)
    assert 12 <= (a != b).any(axis=1).sum() <= 18
    exact = approximate_randomisation(a, b, macro_f1, trials=2**18)
    drawn = approximate_randomisation(a, b, macro_f1, trials=4000)
    assert 0.05 < exact < 0.9
    assert drawn != exact
    assert drawn == pytest.approx(exact, abs=monte_carlo(exact, 4000))


def test_the_same_swaps_in_float32_and_in_float64():
    # Class counts are whole and take the fast way, their halves do not; macro-F1 is the same of both.
    a, b = two_models(6, 300)
    assert approximate_randomisation(a, b, macro_f1) == approximate_randomisation(a / 2, b / 2, macro_f1)


def test_cells_are_swapped_as_their_items_are():
    counts = np.array([5, 1, 12])
    stats = np.array([[1.0, 0], [0, 1], [2, 1]])
    cells = np.concatenate(list(Swaps(counts, 0, TRIALS).moved(stats)))
    items = np.concatenate(list(Swaps(np.ones(18, dtype=int), 1, TRIALS).moved(np.repeat(stats, counts, axis=0))))
    assert cells.shape == items.shape == (TRIALS, 2)
    for moment in (np.mean, np.var):
        assert moment(cells, axis=0) == pytest.approx(moment(items, axis=0), rel=0.06)
    few = Swaps(np.array([2, 1]), 0, TRIALS)  # three items: all eight ways
    assert sorted(next(few.moved(np.array([[1.0], [5.0]]))).ravel()) == [0, 1, 1, 2, 5, 6, 6, 7]


def test_clusters_are_swapped_as_a_whole():
    # Ten copies of eight items: as items the difference is beyond doubt, as clusters it is not.
    rng = np.random.default_rng(7)
    one, other = (np.repeat(rng.random(8) + shift, 10) for shift in (0.2, 0.0))
    codes = np.repeat(np.arange(8), 10)
    a, b = (np.column_stack([values, np.ones(80)]) for values in (one, other))
    whole = approximate_randomisation(cluster_sums(a, codes), cluster_sums(b, codes), mean_of_sums)
    assert approximate_randomisation(a, b, mean_of_sums) < 0.01 < whole
    assert whole == paired_permutation(cluster_sums((one - other)[:, None], codes)[:, 0])
    assert whole * 2**8 == int(whole * 2**8)


def test_equal_models_rarely_differ_significantly():
    found = [approximate_randomisation(*equal_models(seed), macro_f1, seed=seed, trials=400) for seed in range(200)]
    assert 0.01 <= np.mean(np.array(found) <= 0.05) <= 0.09


def equal_models(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 3, 60)
    one, other = (class_stats(gold, np.where(rng.random(60) < 0.6, gold, rng.integers(0, 3, 60))) for _ in range(2))
    return one, other


def test_the_paired_bootstrap_is_scipys():
    rng = np.random.default_rng(8)
    one = rng.exponential(size=150)
    other = 0.7 * one + rng.exponential(size=150) * 0.4
    theirs = scipy_stats.bootstrap(
        (one, other),
        lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis),
        paired=True,
        n_resamples=TRIALS,
        method="BCa",
        rng=np.random.default_rng(1),
    ).confidence_interval
    a, b = (np.column_stack([values, np.ones(150)]) for values in (one, other))
    ours = paired_bootstrap(a, b, mean_of_sums)
    width = theirs.high - theirs.low
    assert ours.method == "bca"
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.05 * width)


def test_nothing_to_compare():
    a, b = two_models(9, 40)
    assert approximate_randomisation(a, a, macro_f1) == 1.0
    assert approximate_randomisation(a[:1], b[:1], macro_f1) == 1.0
    assert paired_permutation(np.zeros(50)) == 1.0
    assert paired_permutation(np.array([0.3])) == 1.0
    assert paired_permutation(np.array([])) == 1.0
    empty = np.zeros((0, 2))
    assert approximate_randomisation(empty, empty, mean_of_sums) is None
    assert paired_bootstrap(a[:1], b[:1], macro_f1).low is None
    with pytest.raises(ValueError, match="finite"):
        paired_permutation(np.array([1.0, np.nan]))


def test_a_swap_that_leaves_the_figure_undefined_counts_against_significance():
    # The share of errors that are too urgent: a has all the errors, so half of the swaps leave one without any.
    a, b = np.array([[1.0, 1.0], [0, 0]]), np.array([[0.0, 0.0], [0, 1]])
    assert approximate_randomisation(a, b, mean_of_sums) == 1.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=25))
def test_p_is_a_probability_and_the_same_from_both_sides(rows: list[tuple[int, int, int]]):
    gold, one, other = np.array(rows).T
    a, b = class_stats(gold, one), class_stats(gold, other)
    p = approximate_randomisation(a, b, macro_f1, trials=200)
    assert 0 < p <= 1
    assert p == approximate_randomisation(b, a, macro_f1, trials=200)
