from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from r2d_bench.statistics.intervals import clopper_pearson, effective_n, wilson

TRIALS = [(0, 1), (1, 1), (0, 200), (3, 10), (50, 100), (199, 200), (73421, 100_000)]


@pytest.mark.parametrize(("function", "method"), [(wilson, "wilson"), (clopper_pearson, "beta")])
@pytest.mark.parametrize(("successes", "n"), TRIALS)
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_agrees_with_statsmodels(function: Callable, method: str, successes: int, n: float, level: float):
    found = function(successes, n, level)
    low, high = proportion_confint(successes, n, alpha=1 - level, method=method)
    assert found.low == pytest.approx(low, abs=1e-12)
    assert found.high == pytest.approx(high, abs=1e-12)
    assert found.warning is None


def test_known_bounds():
    # Rule of three: the upper bound of 0 of n is about 3.7 / n at a two-sided 95 %.
    assert clopper_pearson(0, 200).high == pytest.approx(1 - 0.025 ** (1 / 200))
    # Wilson at 5 of 10 is symmetric: 0.5 ± 1.96/(2·sqrt(10 + 1.96²)).
    half = 1.959964 / (2 * np.sqrt(10 + 1.959964**2))
    assert wilson(5, 10).low == pytest.approx(0.5 - half, abs=1e-6)


@pytest.mark.parametrize("function", [wilson, clopper_pearson])
def test_no_items_have_no_interval(function: Callable):
    found = function(0, 0)
    assert (found.low, found.high, found.method, found.warning) == (None, None, None, "no items")


@pytest.mark.parametrize("function", [wilson, clopper_pearson])
@pytest.mark.parametrize(("successes", "n", "level"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)])
def test_impossible_counts_are_refused(function: Callable, successes: int, n: float, level: float):
    with pytest.raises(ValueError, match=r"successes|level"):
        function(successes, n, level)


@given(n=st.floats(0.5, 500), share=st.floats(0, 1))
def test_bounds_enclose_the_share_also_for_an_effective_n(n: float, share: float):
    for function in (wilson, clopper_pearson):
        found = function(share * n, n)
        assert 0 <= found.low <= share + 1e-9
        assert share - 1e-9 <= found.high <= 1


# Hand-derived: p = 1/2 and C = 4 clusters of 2 that agree within: Σ(s_c - p·m)² = 4·1,
# Var = 4/3 · 4/64 = 1/12, n_eff = (1/4) / (1/12) = 3, raised to the lower bound of 4 clusters.
@pytest.mark.parametrize(
    ("values", "groups", "expected"),
    [
        ([1, 1, 0, 0, 1, 1, 0, 0], list("aabbccdd"), 4.0),
        ([1, 0, 1, 0], list("abcd"), 4.0),  # singletons are independent items
        ([1, 1, 1, 1, 1, 1], list("aabbcc"), 3.0),  # all right: number of clusters
        ([1, 0, 1, 0, 1, 0], list("aabbcc"), 3.0),  # variance 0: number of clusters
        ([1, 0, 1, 1], list("aaaa"), 1.0),  # one cluster is one observation
        ([1, 1, 1, 1], list("aaab"), 1.6),  # 4² / (3² + 1²)
        ([], [], 0.0),
    ],
)
def test_effective_n(values: list[int], groups: list[str], expected: float):
    assert effective_n(values, groups) == pytest.approx(expected)


def test_effective_n_between_the_bounds():
    # 3 clusters of 4 with 4, 2, 0 hits: Σ = 4 + 0 + 4 = 8, Var = 3/2 · 8/144 = 1/12, n_eff = 3;
    # with 3, 2, 1 hits: Σ = 2, Var = 3/2 · 2/144 = 1/48, n_eff = 12, the number of items;
    # with 4, 3, 1 hits: p = 2/3, Σ = (4/3)² + (1/3)² + (5/3)² = 42/9, Var = 3/2 · 42/9 / 144,
    # which is 7/144, hence n_eff = 32/7.
    def values(*hits: int) -> list[int]:
        return [int(i < h) for h in hits for i in range(4)]

    groups = list("aaaabbbbcccc")
    assert effective_n(values(4, 2, 0), groups) == pytest.approx(3)
    assert effective_n(values(3, 2, 1), groups) == pytest.approx(12)
    assert effective_n(values(4, 3, 1), groups) == pytest.approx(32 / 7)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=60))
def test_effective_n_stays_within_its_bounds(items: list[tuple]):
    values, groups = np.array([v for v, _ in items], dtype=float), np.array([g for _, g in items])
    sizes = np.unique(groups, return_counts=True)[1]
    found = effective_n(values, groups)
    assert len(items) ** 2 / np.sum(sizes**2) - 1e-9 <= found <= len(items) + 1e-9


def test_effective_n_finds_a_known_design_effect():
    # 60 clusters of 10, each item a copy of its cluster's value with probability 1/2: intracluster
    # correlation 1/4, design effect 1 + 9/4.
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(60), 10)
    found = []
    for _ in range(300):
        common = np.repeat(rng.random(60) < 0.5, 10)
        values = np.where(rng.random(600) < 0.5, common, rng.random(600) < 0.5)
        found.append(effective_n(values.astype(float), groups))
    assert np.median(found) == pytest.approx(600 / 3.25, rel=0.05)
