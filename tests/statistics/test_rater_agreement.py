"""Agreement of raters against scikit-learn, scipy and published examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from r2d_bench.statistics.agreement import (
    _coincidences,
    alpha_of,
    krippendorff_alpha,
    quadratic_kappa,
    spearman,
)

LEVELS = (1, 2, 3, 4, 5)
X = None
# Krippendorff 2011, section C: four observers, twelve units, missing data.
OBSERVERS = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, X, X, X),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, X, 3),
    (X, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, X),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, X),
)


@pytest.mark.parametrize(("measure", "value"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_the_published_example(measure: str, value: float) -> None:
    units = list(zip(*OBSERVERS, strict=True))
    found = krippendorff_alpha(units, measure=measure, resamples=50)  # type: ignore[arg-type]
    assert found.value == pytest.approx(value, abs=5e-4)
    assert found.n == 11  # the last unit has one rating


def test_alpha_worked_by_hand() -> None:
    # Two raters, two values: a a, a b, b b. Coincidences aa 2, ab 1, ba 1, bb 2; n 6.
    # Observed disagreement 2/6, expected (3·3 + 3·3)/(6·5) = 18/30; alpha = 1 - (1/3)/(3/5) = 4/9.
    for measure in ("nominal", "ordinal", "interval"):
        found = krippendorff_alpha([(1, 1), (1, 2), (2, 2)], measure=measure, resamples=50)  # type: ignore[arg-type]
        assert found.value == pytest.approx(4 / 9)


def test_alpha_does_not_depend_on_the_order_of_raters() -> None:
    rng = np.random.default_rng(1)
    units = rng.integers(1, 6, (40, 3)).tolist()
    turned = [sorted(unit) for unit in units]
    assert krippendorff_alpha(units, resamples=20).value == pytest.approx(
        krippendorff_alpha(turned, resamples=20).value
    )


@given(st.lists(st.tuples(st.sampled_from(LEVELS), st.sampled_from(LEVELS)), min_size=2, max_size=40))
@settings(max_examples=60, deadline=None)
def test_kappa_equals_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    one, other = zip(*pairs, strict=True)
    found = quadratic_kappa(one, other, LEVELS, resamples=20)
    with np.errstate(all="ignore"):
        known = cohen_kappa_score(one, other, labels=list(LEVELS), weights="quadratic")
    if len({*one, *other}) == 1:
        assert found.value is None
        assert found.reason
    else:
        assert found.value == pytest.approx(known, abs=1e-12)


def test_kappa_worked_by_hand() -> None:
    # 1-1, 1-2, 2-2: observed 1/3 of weight 1; expected (2·2 + 1·1)/9 of weight 1.
    assert quadratic_kappa((1, 1, 2), (1, 2, 2), (1, 2), resamples=20).value == pytest.approx(1 - (1 / 3) / (5 / 9))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=40))
@settings(max_examples=60, deadline=None)
def test_spearman_equals_scipy(pairs: list[tuple[int, int]]) -> None:
    one, other = zip(*pairs, strict=True)
    found = spearman(one, other, resamples=20)
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert (found.value, found.reason) == (None, "one side is constant")
    else:
        assert found.value == pytest.approx(spearmanr(one, other).statistic, abs=1e-9)


def test_weighted_ranks_equal_repeated_items() -> None:
    from r2d_bench.statistics.agreement import _rank_correlation

    rng = np.random.default_rng(4)
    x, y, times = rng.integers(0, 4, 20), rng.integers(0, 4, 20), rng.integers(0, 4, 20)
    weighted = _rank_correlation(x, y, times[None, :])[0]
    assert weighted == pytest.approx(spearmanr(np.repeat(x, times), np.repeat(y, times)).statistic)


@pytest.mark.parametrize("figure", ["kappa", "alpha", "spearman"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(figure: str) -> None:
    rng = np.random.default_rng(12)
    held, times, rho = 0, 200, 0.6
    known = _truth(figure, rho)
    for seed in range(times):
        one, other = _raters(rng, 120, rho)
        if figure == "kappa":
            found = quadratic_kappa(one, other, LEVELS, resamples=300, seed=seed)
        elif figure == "alpha":
            found = krippendorff_alpha(list(zip(one, other, strict=True)), resamples=300, seed=seed)
        else:
            found = spearman(one, other, resamples=300, seed=seed)
        assert found.interval.low is not None
        assert found.interval.high is not None
        held += found.interval.low <= known <= found.interval.high
    assert 0.90 <= held / times <= 0.985


def _raters(rng: np.random.Generator, n: int, rho: float) -> tuple[list[int], list[int]]:
    drawn = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], n)
    graded = np.digitize(drawn, [-1.2, -0.4, 0.4, 1.2]) + 1
    return graded[:, 0].tolist(), graded[:, 1].tolist()


def _truth(figure: str, rho: float) -> float:
    one, other = _raters(np.random.default_rng(99), 40_000, rho)
    if figure == "spearman":
        return float(spearmanr(one, other).statistic)
    if figure == "kappa":
        return float(cohen_kappa_score(one, other, weights="quadratic"))
    found = krippendorff_alpha(list(zip(one, other, strict=True)), resamples=2)
    assert found.value is not None
    return found.value


def test_clusters_widen_the_interval() -> None:
    rng = np.random.default_rng(5)
    one, other = _raters(rng, 30, 0.5)
    many, also, codes = one * 8, other * 8, np.tile(np.arange(30), 8)
    for figure in (
        lambda codes: quadratic_kappa(many, also, LEVELS, codes=codes),
        lambda codes: krippendorff_alpha(list(zip(many, also, strict=True)), codes=codes),
        lambda codes: spearman(many, also, codes=codes),
    ):
        alone, together = figure(None).interval, figure(codes).interval
        assert together.high - together.low > 1.8 * (alone.high - alone.low)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_items_have_a_reason_and_no_nan(n: int) -> None:
    for found in (
        quadratic_kappa([1] * n, [2] * n, LEVELS),
        krippendorff_alpha([(1, 2)] * n),
        krippendorff_alpha([(1, None)] * 3),
        spearman([1] * n, [2] * n),
    ):
        assert found.value is None or np.isfinite(found.value)
        assert found.interval.low is None
        assert found.interval.warning or found.reason


def test_reasons_tell_what_is_missing() -> None:
    assert quadratic_kappa([], [], LEVELS).reason == "no items"
    assert krippendorff_alpha([(1, None)] * 3).reason == "no item has two ratings"
    assert krippendorff_alpha([(2, 2)] * 3).reason == "no two ratings differ"
    assert quadratic_kappa([2, 2], [2, 2], LEVELS).reason == "both gave one and the same rating to everything"
    assert spearman([1, 1, 1], [1, 2, 3]).reason == "one side is constant"


@pytest.mark.parametrize("raters", [4, 7, 8, 11])
def test_what_rounding_leaves_is_no_disagreement(raters: int) -> None:
    # Without the one item that divides them, all ratings are alike: alpha is undefined, not the ratio of two residues.
    others = (6, 9, 12, 5, 3, 7)
    units = [[1] * m for m in others] + [[1] * (raters - 1) + [2]]
    stats = np.stack([_coincidences([float(v) for v in unit], [1.0, 2.0]) for unit in units])
    left = stats.sum(0) - stats[-1] + np.array([0.0, 1e-16, 1e-16, 1e-16])
    assert np.isnan(alpha_of(left, [1.0, 2.0], "nominal"))
    assert krippendorff_alpha(units, resamples=50).interval.method == "percentile"


def test_many_different_values_take_little_memory() -> None:
    rng = np.random.default_rng(7)
    one = rng.normal(0, 1, 3000)
    other = one + rng.normal(0, 1, 3000)
    found = spearman(one.tolist(), other.tolist(), resamples=20)
    assert found.value == pytest.approx(spearmanr(one, other).statistic)


def test_a_rating_outside_the_scale_is_an_error() -> None:
    with pytest.raises(ValueError, match="7 is not among the levels"):
        quadratic_kappa([7], [1], LEVELS)
