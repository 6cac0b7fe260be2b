import numpy as np
import pytest
from statsmodels.stats.power import zt_ind_solve_power

from r2d_bench.statistics.paired import mcnemar_exact
from r2d_bench.statistics.power import smallest_detectable


def test_it_is_statsmodels_normal_approximation():
    # One-sample z test: standard error 1/sqrt(n) for an effect in standard deviations (ratio 0: no second sample).
    effect = zt_ind_solve_power(nobs1=200, alpha=0.05, power=0.8, ratio=0)
    found = smallest_detectable(1 / np.sqrt(200), 200)
    assert found.detectable == pytest.approx(effect, rel=1e-3)
    assert found.detectable == pytest.approx((1.959964 + 0.841621) / np.sqrt(200), rel=1e-6)


def test_more_comparisons_and_more_power_need_a_larger_difference():
    one = smallest_detectable(0.01, 500).detectable
    assert smallest_detectable(0.01, 500, comparisons=190).detectable > one
    assert smallest_detectable(0.01, 500, power=0.9).detectable > one
    assert smallest_detectable(0.01, 500, level=0.9).detectable < one


def test_units_for_half_the_difference_are_four_times_as_many():
    found = smallest_detectable(0.02, 300)
    assert found.units_needed(found.detectable / 2) == pytest.approx(1200, abs=1)
    assert found.units_needed(-found.detectable) == pytest.approx(300, abs=1)
    assert found.units_needed(0.0) is None


def test_a_difference_of_that_size_is_found_four_times_in_five():
    # Accuracy of two models on 1,000 items that differ on 20 % of them: standard error sqrt(0.2 / 1000).
    rng = np.random.default_rng(0)
    shift = smallest_detectable(np.sqrt(0.2 / 1000), 1000).detectable
    only = rng.multinomial(1000, [0.1 + shift / 2, 0.1 - shift / 2, 0.8], size=600)[:, :2]
    found = np.mean([mcnemar_exact(int(a), int(b)) <= 0.05 for a, b in only])
    assert found == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize(("error", "words"), [(None, "unknown"), (0.0, "never differ")])
def test_without_a_spread_there_is_a_reason(error: float | None, words: str):
    found = smallest_detectable(error, 40)
    assert found.detectable is None
    assert words in found.reason
    assert found.units_needed(0.1) is None


@pytest.mark.parametrize("wrong", [{"level": 1.0}, {"power": 0.0}, {"comparisons": 0}])
def test_impossible_settings_are_refused(wrong: dict[str, float]):
    with pytest.raises(ValueError, match="level and power"):
        smallest_detectable(0.1, 40, **wrong)
