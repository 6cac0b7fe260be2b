import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from r2d_bench.statistics.multiple import holm


def test_a_worked_example():
    # Sorted 0.01, 0.02, 0.03, 0.9: times 4, 3, 2, 1 is 0.04, 0.06, 0.06, 0.9.
    assert holm([0.03, 0.9, 0.01, 0.02]) == pytest.approx([0.06, 0.9, 0.04, 0.06])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_it_is_statsmodels(p_values: list[float]):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_it_never_lowers_a_p_nor_changes_the_order(p_values: list[float]):
    corrected = holm(p_values)
    assert (corrected >= np.array(p_values)).all()
    assert (np.diff(corrected[np.argsort(p_values, kind="stable")]) >= 0).all()
    assert (corrected <= 1).all()


def test_one_test_and_none():
    assert holm([0.04]).tolist() == [0.04]
    assert holm([]).tolist() == []


@pytest.mark.parametrize("bad", [float("nan"), -0.1, 1.1])
def test_what_is_no_probability_is_refused(bad: float):
    with pytest.raises(ValueError, match="p-values"):
        holm([0.5, bad])
