from __future__ import annotations

import numpy as np
import pytest
from column_parts import SILENT, columns
from hypothesis import given
from hypothesis import strategies as st

from r2d_bench.metrics import joint

CELLS = ["right_for_right", "right_wrong_reason", "wrong_convincing", "wrong_wrong"]


def test_the_four_cells():
    #          right,good  right,bad   wrong,good  no label: wrong
    of = columns(["NOW", "NOW", "NOW", "HOME"], ["NOW", "NOW", "HOME", None])
    family = joint.compute(of, [True, False, True, False], "judge: somebody")
    assert [family.estimates[name].value for name in CELLS] == [0.25] * 4
    assert family.extra == {"joint": {"source": "judge: somebody", "counts": dict.fromkeys(CELLS, 1)}}
    assert family.signatures == dict.fromkeys(CELLS, "judge: somebody")
    estimate = family.estimates["right_for_right"]
    # Wilson's interval of 1 of 4, by hand: centre (1/4 + z²/8) / (1 + z²/4), z = 1.959964.
    assert (estimate.low, estimate.high) == (pytest.approx(0.0456, abs=5e-4), pytest.approx(0.6994, abs=5e-4))


def test_what_nobody_judged_is_unscored():
    of = columns(["NOW", "NOW", "HOME", "HOME"], ["NOW", SILENT, "HOME", "NOW"])
    family = joint.compute(of, [True, True, None, True], "x")
    assert family.estimates["right_for_right"].n == 2
    assert family.estimates["right_for_right"].unscored == 2
    np.testing.assert_array_equal(family.per_example["adequate"], [1, np.nan, np.nan, 1])


@pytest.mark.parametrize(
    ("predicted", "adequate", "reason"),
    [
        ([SILENT, SILENT], [True, False], "no item has both an answer and a gold label"),
        (["NOW", "NOW"], [None, None], "of no item it is known whether the rationale is adequate"),
    ],
)
def test_nothing_to_score_has_a_reason(predicted: list[str], adequate: list[bool | None], reason: str):
    family = joint.compute(columns(["NOW", "HOME"], predicted), adequate, "x")
    assert {e.reason for e in family.estimates.values()} == {reason}
    assert family.extra == {"joint": {"source": "x"}}


def test_dependent_items_widen_the_interval():
    gold, predicted = ["NOW"] * 40, ["NOW"] * 20 + ["HOME"] * 20
    alone, together = (
        joint.compute(columns(gold, predicted, groups=groups), [True] * 40, "x").estimates["right_for_right"]
        for groups in (None, [str(n // 10) for n in range(40)])
    )
    assert alone.value == together.value == 0.5
    assert together.high - together.low > alone.high - alone.low


@given(st.lists(st.tuples(st.sampled_from(["NOW", "HOME", None]), st.sampled_from([True, False, None])), min_size=1))
def test_the_cells_add_up_to_one(rows: list[tuple[str | None, bool | None]]):
    of = columns(["NOW"] * len(rows), [label for label, _ in rows])
    values = [joint.compute(of, [flag for _, flag in rows], "x").estimates[name].value for name in CELLS]
    if any(flag is not None for _, flag in rows):
        assert sum(value or 0.0 for value in values) == pytest.approx(1.0)
    else:
        assert values == [None] * 4


@pytest.mark.parametrize(
    ("hypothesis", "reference", "f1"),
    [
        ("police killed the gunman", "police kill the gunman", 3 / 4),  # the example of Lin 2004
        ("the gunman kill police", "police kill the gunman", 2 / 4),
        ("Fever, chills.", "fever chills", 1.0),
        ("a b c", "c b a", 1 / 3),
        ("a a a", "a", 2 / 4),
        ("", "a", 0.0),
        ("...", "a", 0.0),
        ("x", "y", 0.0),
    ],
)
def test_rouge_l(hypothesis: str, reference: str, f1: float):
    assert joint.rouge_l(hypothesis, reference) == pytest.approx(f1)


@given(st.text("abc ", max_size=40), st.text("abc ", max_size=40))
def test_rouge_l_is_that_of_the_plain_table(one: str, other: str):
    a, b = one.split(), other.split()
    table = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    for i, x in enumerate(a, 1):
        for j, y in enumerate(b, 1):
            table[i, j] = table[i - 1, j - 1] + 1 if x == y else max(table[i - 1, j], table[i, j - 1])
    expected = 2 * table[-1, -1] / (len(a) + len(b)) if a and b else 0.0
    assert joint.rouge_l(one, other) == pytest.approx(expected)


def test_a_threshold_divides_and_leaves_open():
    assert joint.by_threshold(np.array([0.3, 0.29, np.nan]), 0.3) == [True, False, None]
