"""Calibration against scikit-learn and against values worked by hand."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from column_parts import ORDER, columns
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from r2d_bench.metrics import calibration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from r2d_bench.metrics.base import Family


def computed(gold: Sequence[str], given: Sequence[Mapping[str, float] | None], **more: object) -> Family:
    said = [None if one is None else max(one, key=lambda label: one[label]) for one in given]
    groups = more.pop("groups", None)
    return calibration.compute(
        columns(gold, said, probabilities=given, groups=groups),  # type: ignore[arg-type]
        resamples=200,
        **more,  # type: ignore[arg-type]
    )


def drawn(n: int, *, sharpness: float = 1.0, seed: int = 0) -> tuple[list[str], list[dict[str, float]]]:
    """Return golds that come as often as the probabilities say; sharper ones then say too much."""
    rng = np.random.default_rng(seed)
    honest = rng.dirichlet([1, 1, 1], n)
    gold = [ORDER[rng.choice(3, p=row)] for row in honest]
    told = honest**sharpness / (honest**sharpness).sum(1, keepdims=True)
    return gold, [dict(zip(ORDER, map(float, row), strict=True)) for row in told]


def test_nll_and_brier() -> None:
    gold, given = drawn(60)
    found = computed(gold, given).estimates
    table = [[one[label] for label in sorted(ORDER)] for one in given]
    assert found["nll"].value == pytest.approx(log_loss(gold, table, labels=sorted(ORDER)))
    squares = [sum((one[label] - (label == g)) ** 2 for label in ORDER) for one, g in zip(given, gold, strict=True)]
    assert found["brier"].value == pytest.approx(np.mean(squares))
    assert found["brier"].method == "bca"


def test_ece_worked_by_hand() -> None:
    # Two answers, two bins: sure 0.9 and right, sure 0.6 and wrong: (|1 - 0.9| + |0 - 0.6|) / 2.
    given = [{"NOW": 0.9, "TODAY": 0.1}, {"NOW": 0.6, "TODAY": 0.4}]
    found = computed(["NOW", "TODAY"], given)
    assert found.estimates["ece"].value == pytest.approx(0.35)
    assert found.extra["reliability"] == [
        {"confidence": pytest.approx(0.6), "accuracy": 0.0, "n": 1},
        {"confidence": pytest.approx(0.9), "accuracy": 1.0, "n": 1},
    ]


def test_bins_have_equal_size() -> None:
    gold, given = drawn(152)
    table = computed(gold, given).extra["reliability"]
    assert isinstance(table, list)
    assert len(table) == 15
    assert {part["n"] for part in table} == {10, 11}
    assert [part["confidence"] for part in table] == sorted(part["confidence"] for part in table)


def test_overconfidence_shows() -> None:
    honest = computed(*drawn(3000)).estimates["ece"]
    boastful = computed(*drawn(3000, sharpness=4)).estimates["ece"]
    assert honest.value is not None
    assert boastful.low is not None
    assert honest.value < 0.03
    assert boastful.low > 0.15


def test_aurc_worked_by_hand() -> None:
    # Surest first: right, wrong, right, wrong; risks 0, 1/2, 1/3, 2/4; their mean 1/3.
    given = [{"NOW": p, "TODAY": 1 - p} for p in (0.9, 0.8, 0.7, 0.6)]
    found = computed(["NOW", "TODAY", "NOW", "TODAY"], given)
    assert found.estimates["aurc"].value == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    curve = found.extra["risk_coverage"]
    assert curve == [
        {"coverage": 0.25, "risk": 0.0, "n": 1},
        {"coverage": 0.5, "risk": 0.5, "n": 2},
        {"coverage": 0.75, "risk": pytest.approx(1 / 3), "n": 3},
        {"coverage": 1.0, "risk": 0.5, "n": 4},
    ]


def test_equal_confidence_comes_in_together() -> None:
    given = [{"NOW": 0.8, "TODAY": 0.2}] * 4
    for gold in (["NOW", "NOW", "TODAY", "TODAY"], ["TODAY", "TODAY", "NOW", "NOW"]):
        assert computed(gold, given).estimates["aurc"].value == pytest.approx(0.5)


def test_selective_accuracy_is_that_of_the_surest() -> None:
    given = [{"NOW": 0.99 - k / 100, "TODAY": 0.01 + k / 100} for k in range(10)]
    gold = ["NOW"] * 7 + ["TODAY"] * 3  # the surest eight hold seven right ones
    assert computed(gold, given).estimates["selective_accuracy"].value == pytest.approx(7 / 8)


@pytest.mark.parametrize("right", [0, 30, 60])
def test_one_confidence_for_all_has_one_bin_and_one_coverage_whatever_the_order(right: int) -> None:
    # As a model that always tells the shares of its training labels: bins cut by order would make errors up.
    gold = ["NOW"] * right + ["TODAY"] * (60 - right)
    for ordered in (gold, gold[::-1], gold[::2] + gold[1::2]):
        found = computed(ordered, [{"NOW": 0.75, "TODAY": 0.25}] * 60)
        assert found.estimates["ece"].value == pytest.approx(abs(right / 60 - 0.75))
        assert found.estimates["selective_accuracy"].value == pytest.approx(right / 60)
        assert found.estimates["aurc"].value == pytest.approx(1 - right / 60)
        assert found.extra["reliability"] == [{"confidence": 0.75, "accuracy": pytest.approx(right / 60), "n": 60}]
        assert found.extra["risk_coverage"] == [{"coverage": 1.0, "risk": pytest.approx(1 - right / 60), "n": 60}]


def test_no_error_at_all_says_what_resampling_cannot_see() -> None:
    given = [{"NOW": 0.9 + k / 1000, "TODAY": 0.1 - k / 1000} for k in range(30)]
    found = computed(["NOW"] * 30, given).estimates["aurc"]
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)
    assert "cannot show the uncertainty" in found.warnings[0]


def test_without_probabilities_there_is_a_reason() -> None:
    for family in (calibration.compute(columns(["NOW"], ["NOW"])), computed(["NOW", "NOW"], [None, None])):
        assert {estimate.reason for estimate in family.estimates.values()} == {calibration.NO_PROBABILITIES}
        assert not family.extra


@given(
    st.lists(st.tuples(st.sampled_from(ORDER), st.none() | st.tuples(*[st.floats(0, 1)] * 3).filter(any)), max_size=20),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_whatever_comes_there_is_a_value_or_a_reason(
    rows: list[tuple[str, tuple[float, float, float] | None]], grouped: bool
) -> None:
    gold = [label for label, _ in rows]
    given = [None if p is None else {k: v / math.fsum(p) for k, v in zip(ORDER, p, strict=True)} for _, p in rows]
    family = computed(gold, given, groups=[str(k // 3) for k in range(len(rows))] if grouped else None)
    for estimate in family.estimates.values():
        json.dumps(estimate.as_json(), allow_nan=False)
        assert estimate.value is not None or estimate.reason
    json.dumps(family.extra, allow_nan=False)
