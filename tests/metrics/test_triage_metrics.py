"""Triage safety against tables worked by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from column_parts import ORDER, SILENT, columns
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from r2d_bench.metrics import triage
from r2d_bench.statistics.intervals import clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from r2d_bench.metrics.base import Family

N, T, H = ORDER  # NOW, TODAY, HOME


def computed(gold: Sequence[str], said: Sequence[str | None], **more: object) -> Family:
    how = {"critical": [N], "resamples": 200} | more
    return triage.compute(columns(gold, said, ordinal=True, groups=how.pop("groups", None)), **how)  # type: ignore[arg-type]


def values(family: Family) -> dict[str, float | None]:
    return {name: estimate.value for name, estimate in family.estimates.items()}


def test_a_table_worked_by_hand() -> None:
    # gold     NOW NOW NOW   TODAY TODAY HOME HOME HOME
    # said     NOW HOME none NOW   HOME  HOME NOW  TODAY
    gold = [N, N, N, T, T, H, H, H]
    said = [N, H, None, N, H, H, N, T]
    found = values(computed(gold, said))
    assert found["under_triage"] == pytest.approx(2 / 8)  # NOW→HOME, TODAY→HOME
    assert found["severe_under_triage"] == pytest.approx(1 / 8)  # NOW→HOME
    assert found["over_triage"] == pytest.approx(3 / 8)  # TODAY→NOW, HOME→NOW, HOME→TODAY
    assert found["critical_miss"] == pytest.approx(2 / 3)  # NOW→HOME and NOW→none
    assert found["safe_advice"] == pytest.approx(5 / 8)  # 2 right, 3 over; silence is no advice
    assert found["within_one"] == pytest.approx(5 / 8)
    assert found["over_inclination"] == pytest.approx(3 / 5)
    assert found["mean_distance"] == pytest.approx((0 + 2 + 2 + 1 + 1 + 0 + 2 + 1) / 8)  # none of NOW: 2 levels
    far = [N, H, H, N, H, H, N, T]
    expected = cohen_kappa_score([ORDER.index(g) for g in gold], [ORDER.index(s) for s in far], weights="quadratic")
    assert found["quadratic_kappa"] == pytest.approx(expected)


def test_distance_and_kappa_cannot_see_the_direction_and_the_rates_can() -> None:
    gold = [N] * 10 + [T] * 10 + [H] * 10
    under = [N] * 8 + [T] * 2 + [T] * 8 + [H] * 2 + [H] * 10
    over = [N] * 10 + [T] * 8 + [N] * 2 + [H] * 8 + [T] * 2
    one, other = values(computed(gold, under)), values(computed(gold, over))
    assert one["mean_distance"] == other["mean_distance"]
    assert one["quadratic_kappa"] == pytest.approx(other["quadratic_kappa"])
    assert (one["under_triage"], one["over_triage"]) == (pytest.approx(4 / 30), 0)
    assert (other["under_triage"], other["over_triage"]) == (0, pytest.approx(4 / 30))
    assert (one["over_inclination"], other["over_inclination"]) == (0, 1)


def test_no_critical_miss_in_two_hundred_is_no_proof() -> None:
    found = computed([N] * 200, [N] * 200).estimates["critical_miss"]
    bound = clopper_pearson(0, 200)
    assert (found.value, found.low, found.method) == (0.0, 0.0, "exact")
    assert found.high == pytest.approx(bound.high)
    assert found.high == pytest.approx(0.018, abs=5e-4)


def test_dependent_items_widen_the_bound() -> None:
    alone = computed([N] * 40, [N] * 40).estimates["critical_miss"]
    together = computed([N] * 40, [N] * 40, groups=[str(k // 4) for k in range(40)]).estimates["critical_miss"]
    assert alone.high is not None
    assert together.high is not None
    assert together.high == pytest.approx(clopper_pearson(0, 10).high)
    assert together.high > 2 * alone.high


def test_few_clusters_of_critical_items_are_told_even_where_there_are_many_of_others() -> None:
    gold, groups = [T] * 40 + [N] * 6, [str(k // 2) for k in range(40)] + ["p", "p", "q", "q", "r", "r"]
    found = computed(gold, gold, groups=groups).estimates
    assert found["critical_miss"].warnings == ("only 3 clusters: the interval is rough",)
    assert found["under_triage"].warnings == ()


def test_the_sweep_weighs_under_against_over() -> None:
    # One level under, one level over, one silent on NOW (worst: two levels under), one right.
    family = computed([N, T, N, T], [T, N, None, T])
    sweep = family.extra["cost_sweep"]
    assert isinstance(sweep, dict)
    costs = {point["ratio"]: point["value"] for point in sweep["points"]}
    assert costs == {ratio: pytest.approx((ratio + 1 + 2 * ratio + 0) / 4) for ratio in triage.RATIOS}
    assert all(point["low"] <= point["value"] <= point["high"] for point in sweep["points"])


def test_values_of_single_examples() -> None:
    family = computed([N, T, N], [T, N, SILENT])
    assert family.per_example["under_triage"].tolist()[:2] == [1.0, 0.0]
    assert family.per_example["over_triage"].tolist()[:2] == [0.0, 1.0]
    assert np.isnan(family.per_example["mean_distance"][2])


def test_tasks_without_an_order_have_none() -> None:
    family = triage.compute(columns([N, T], [N, T]))
    assert {estimate.reason for estimate in family.estimates.values()} == {triage.NOT_ORDINAL}
    assert not family.extra


def test_a_task_without_critical_labels_says_so() -> None:
    assert computed([N, T], [N, T], critical=()).estimates["critical_miss"].reason == triage.NO_CRITICAL
    none = computed([T, T], [N, T]).estimates["critical_miss"]
    assert (none.value, none.reason) == (None, "no item has a critical gold label")


@given(
    st.lists(st.tuples(st.sampled_from(ORDER), st.sampled_from([*ORDER, None, SILENT])), max_size=12),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_whatever_comes_there_is_a_value_or_a_reason(pairs: list[tuple[str, str | None]], grouped: bool) -> None:
    gold, said = [g for g, _ in pairs], [s for _, s in pairs]
    groups = [str(k // 2) for k in range(len(pairs))] if grouped else None
    family = computed(gold, said, groups=groups, resamples=20)
    for estimate in family.estimates.values():
        json.dumps(estimate.as_json(), allow_nan=False)
        assert estimate.value is not None or estimate.reason
    json.dumps(family.extra, allow_nan=False)
    found = values(family)
    if found["under_triage"] is not None:
        kept = [(g, s) for g, s in pairs if s != SILENT]
        right = sum(g == s for g, s in kept) / len(kept)
        assert found["safe_advice"] == pytest.approx(right + (found["over_triage"] or 0))
        assert (found["severe_under_triage"] or 0) <= found["under_triage"] + 1e-12
