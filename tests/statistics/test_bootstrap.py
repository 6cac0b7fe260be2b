import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from r2d_bench.statistics.bca import acceleration
from r2d_bench.statistics.bootstrap import (
    cluster_sums,
    mean_of_sums,
    resample_cells,
    resample_units,
)

RNG = np.random.default_rng(11)
SKEWED = RNG.exponential(size=120)


def _mean_stats(values: list[float] | np.ndarray) -> np.ndarray:
    return np.column_stack([values, np.ones(len(values))])


def _variance(sums: np.ndarray) -> np.ndarray:
    mean = sums[..., 0] / sums[..., 2]
    return sums[..., 1] / sums[..., 2] - mean**2


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_bca_of_a_mean_agrees_with_scipy(level: float):
    ours = resample_units(_mean_stats(SKEWED), resamples=20_000).interval(mean_of_sums, level)
    theirs = scipy_stats.bootstrap(
        (SKEWED,),
        np.mean,
        n_resamples=20_000,
        confidence_level=level,
        method="BCa",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert ours.method == "bca"
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_bca_of_a_variance_agrees_with_scipy():
    stats = np.column_stack([SKEWED, SKEWED**2, np.ones(len(SKEWED))])
    ours = resample_units(stats, resamples=20_000).interval(_variance)
    theirs = scipy_stats.bootstrap(
        (SKEWED,), np.var, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_bca_and_percentile_are_scipys_on_the_same_resamples():
    # The same draws in both: scipy is handed the generator that our single chunk uses.
    ours = resample_units(_mean_stats(SKEWED), seed=3, resamples=999)
    for method, found in (
        ("BCa", ours.interval(mean_of_sums)),
        ("percentile", np.quantile(mean_of_sums(ours.sums), [0.025, 0.975])),
    ):
        theirs = scipy_stats.bootstrap(
            (SKEWED,), np.mean, n_resamples=999, method=method, rng=np.random.default_rng(3), vectorized=True
        )
        # Fails if scipy ever draws in another way; the comparison by simulation above then remains.
        assert np.sort(theirs.bootstrap_distribution) == pytest.approx(np.sort(mean_of_sums(ours.sums)))
        low, high = (found.low, found.high) if method == "BCa" else found
        assert (low, high) == pytest.approx(tuple(theirs.confidence_interval), rel=1e-9)


def test_percentile_where_all_resamples_lie_on_one_side():
    # A resample of 30 units never holds all 30: the number of different units is always below the data's.
    def different(sums: np.ndarray) -> np.ndarray:
        return (sums > 0).sum(axis=-1).astype(float)

    drawn = resample_cells(np.ones(30, dtype=int), resamples=500)
    assert different(drawn.sums).max() < different(drawn.total) == 30
    found = drawn.interval(different)
    assert found.method == "percentile"
    assert [found.low, found.high] == np.quantile(different(drawn.sums), [0.025, 0.975]).tolist()


def test_cells_and_units_are_the_same_bootstrap():
    counts = np.array([40, 0, 25, 5, 30])
    cells = np.array([[1.0, 1], [9, 1], [2, 1], [3, 1], [0, 1]])
    units = np.repeat(cells, counts, axis=0)
    by_cell = resample_cells(counts, cells, resamples=20_000)
    by_unit = resample_units(units, resamples=20_000)
    assert by_cell.units == by_unit.units == 100
    assert by_cell.total.tolist() == by_unit.total.tolist()
    a, b = by_cell.interval(mean_of_sums), by_unit.interval(mean_of_sums)
    assert (a.low, a.high) == pytest.approx((b.low, b.high), abs=0.02)
    assert a.method == b.method == "bca"


def test_jackknife_multiplicities_give_the_acceleration_of_single_units():
    counts = np.array([7, 3, 1])
    cells = np.array([[1.0, 1], [2, 1], [9, 1]])
    by_cell = resample_cells(counts, cells, resamples=10)
    by_unit = resample_units(np.repeat(cells, counts, axis=0), resamples=10)
    found, same = (acceleration(drawn._left_out(mean_of_sums), drawn.counts) for drawn in (by_cell, by_unit))
    assert found == pytest.approx(same)
    # For a mean the acceleration is skewness / (6·sqrt(n)).
    values = np.repeat(cells[:, 0], counts)
    expected = scipy_stats.skew(values) / (6 * np.sqrt(len(values)))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("units", [0, 1])
def test_fewer_than_two_units_have_no_interval(units: int):
    found = resample_units(np.ones((units, 2)), resamples=50).interval(mean_of_sums)
    assert (found.low, found.high, found.method) == (None, None, None)
    assert found.warning == "no interval: fewer than two independent units"


def test_an_empty_table_of_cells_has_no_interval():
    assert resample_cells(np.zeros(3, dtype=int), resamples=50).interval(lambda s: s[..., 0]).low is None


def test_constant_resamples_collapse_with_a_warning():
    found = resample_units(_mean_stats(np.full(30, 0.3)), resamples=200).interval(mean_of_sums)
    assert found.low == found.high == pytest.approx(0.3)
    assert found.warning == "every resample gives the same value: the interval cannot show the uncertainty"


def test_undefined_resamples_are_dropped_with_a_warning_if_many():
    # The figure is undefined without the rare unit: that is (1 - 3/10)^10 = 2.8 % or (1 - 1/10)^10 = 35 %.
    def figure(sums: np.ndarray) -> np.ndarray:
        return np.where(sums[..., 1] > 0, sums[..., 0] / 10, np.nan)

    common = resample_cells(np.array([4, 3, 3]), np.array([[1.0, 0], [2, 0], [1, 1]]), resamples=4000)
    rare = resample_cells(np.array([5, 4, 1]), np.array([[1.0, 0], [2, 0], [1, 1]]), resamples=4000)
    assert common.interval(figure).warning is None
    found = rare.interval(figure)
    assert found.method == "percentile"  # the jackknife without the rare unit is undefined
    lost = int(found.warning.split()[2])
    assert found.warning.startswith("undefined in ")
    assert lost == pytest.approx(0.9**10 * 4000, rel=0.1)


def test_mostly_undefined_has_no_interval():
    drawn = resample_cells(np.array([99, 1]), resamples=500)
    found = drawn.interval(lambda sums: np.where(sums[..., 1] == 1, sums[..., 0], np.nan))
    assert found.low is None
    assert found.warning == "no interval: the figure is undefined in most resamples"


def test_a_seed_repeats_and_another_seed_differs():
    stats = _mean_stats(SKEWED)
    first, again, other = (resample_units(stats, seed=s, resamples=300).interval(mean_of_sums) for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_chunked_drawing_keeps_every_unit_equally_likely():
    # More units than fit one chunk: each resample still draws U units, and each about equally often.
    units, resamples = 1_500_000, 5
    drawn = resample_units(np.column_stack([np.ones(units), np.arange(units) < units // 2]), resamples=resamples)
    assert drawn.sums[:, 0].tolist() == [units] * resamples
    assert drawn.sums[:, 1] / units == pytest.approx(np.full(resamples, 0.5), abs=0.003)


def test_clusters_become_the_units():
    stats = np.array([[1.0, 1], [0, 1], [5, 1], [2, 1]])
    assert cluster_sums(stats, np.array([0, 1, 0, 1])).tolist() == [[6, 2], [2, 2]]


def test_clusters_widen_the_interval():
    values = np.repeat(RNG.random(40), 10)  # ten copies each
    codes = np.repeat(np.arange(40), 10)
    items = resample_units(_mean_stats(values)).interval(mean_of_sums)
    clusters = resample_units(cluster_sums(_mean_stats(values), codes)).interval(mean_of_sums)
    ratio = (clusters.high - clusters.low) / (items.high - items.low)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.1)


def test_take_keeps_the_resamples():
    drawn = resample_units(np.column_stack([SKEWED, SKEWED * 2, np.ones(120)]), resamples=500)
    one, two = (drawn.take([c, 2]).interval(mean_of_sums) for c in (0, 1))
    assert two.low == pytest.approx(2 * one.low)


def test_coverage_of_a_skewed_mean():
    rng = np.random.default_rng(0)
    trials = 300
    hit = 0
    for seed in range(trials):
        found = resample_units(_mean_stats(rng.exponential(size=80)), seed=seed, resamples=500).interval(mean_of_sums)
        hit += found.low <= 1.0 <= found.high
    assert 0.90 <= hit / trials <= 0.98


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12), st.integers(0, 5))
def test_bounds_are_finite_and_ordered_or_absent(values: list[float] | np.ndarray, seed: int):
    found = resample_units(_mean_stats(np.array(values)), seed=seed, resamples=60).interval(mean_of_sums)
    if found.low is None:
        assert found.warning
    else:
        assert np.isfinite([found.low, found.high]).all()
        assert min(values) - 1e-6 <= found.low <= found.high <= max(values) + 1e-6
