import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2d_bench.vignettes import slots
from r2d_bench.vignettes.conditions import Condition


@pytest.mark.parametrize(
    ("text", "true", "holds"),
    [
        ("a", {"a"}, True),
        ("a and b", {"a"}, False),
        ("a and (b or c)", {"a", "c"}, True),
        ("a and not b", {"a"}, True),
        ("a and not b", {"a", "b"}, False),
        ("not a", set(), True),
        ("a or b and c", {"b"}, False),
    ],
)
def test_a_condition_holds_where_its_names_do(text: str, true: set[str], holds: bool):
    assert Condition(text).holds(true) is holds


@pytest.mark.parametrize("text", ["a +", "a == b", "f(a)", "1", "", "a if b else c", "__import__('os')", "a.b"])
def test_anything_but_names_and_connectives_is_refused(text: str):
    with pytest.raises(ValueError, match=r"condition|brackets"):
        Condition(text)


def test_the_ways_are_the_smallest_sets_that_suffice():
    assert set(Condition("a and (b or c)").ways()) == {frozenset("ab"), frozenset("ac")}
    assert set(Condition("a or a and b").ways()) == {frozenset("a")}
    assert Condition("a and not b").refused == ("b",)


@pytest.mark.parametrize(
    ("slot", "values"),
    [
        ("2-4", ("2", "3", "4")),
        ("20-30/5", ("20", "25", "30")),
        ("temp 38.1-38.3", ("38.1", "38.2", "38.3")),
        ("left|right", ("left", "right")),
        ("0.5-1.5/0.5", ("0.5", "1.0", "1.5")),
    ],
)
def test_a_slot_names_its_values(slot: str, values: tuple[str, ...]):
    assert slots.choices(slot) == values


@pytest.mark.parametrize("slot", ["left", "", "4-2", "a||b", "1-100000"])
def test_a_slot_without_values_is_refused(slot: str):
    with pytest.raises(ValueError, match="slot"):
        slots.choices(slot)


def test_degrees():
    assert slots.fahrenheit("38.0") == "100.4"
    assert slots.is_temperature("temp 38.0-39.0")
    assert not slots.is_temperature("38-39")


@given(st.integers(0, 50), st.integers(0, 40), st.integers(1, 7), st.integers())
def test_a_drawn_value_is_one_of_the_choices(low: int, width: int, step: int, seed: int):
    slot = f"{low}-{low + width}/{step}"
    assert slots.draw({"x": slot}, random.Random(seed))["x"] in slots.choices(slot)


def test_filling_needs_every_value():
    assert slots.fill("x {n} d on the {side}", {"n": "3", "side": "left"}) == "x 3 d on the left"
    with pytest.raises(KeyError):
        slots.fill("{n}", {})
