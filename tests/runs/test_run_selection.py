"""Which examples are asked."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2d_bench.errors import UserError
from r2d_bench.records import Example
from r2d_bench.runs.selection import Selection, select, union


def examples(golds: list[str]) -> list[Example]:
    return [Example(f"id-{n}", "test", "text", gold) for n, gold in enumerate(golds)]


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcd"), min_size=2, max_size=60), st.data())
def test_a_smaller_limit_is_part_of_a_larger_one(golds: list[str], data: st.DataObject):
    split = examples(golds)
    small = data.draw(st.integers(1, len(golds)))
    large = data.draw(st.integers(small, len(golds)))
    few, many = select(split, limit=small), select(split, limit=large)
    assert len(few.ids) == small
    assert set(few.ids) <= set(many.ids)
    order = [e.id for e in split]
    assert list(many.ids) == sorted(many.ids, key=order.index)


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=5), st.data())
def test_labels_stand_in_proportion(sizes: list[int], data: st.DataObject):
    split = examples([f"L{k}" for k, size in enumerate(sizes) for _ in range(size)])
    limit = data.draw(st.integers(1, len(split)))
    chosen = set(select(split, limit=limit).ids)
    counts = Counter(e.gold for e in split if e.id in chosen)
    for k, size in enumerate(sizes):
        # One position on the common scale stands within 1 of its share for each of the labels.
        fair = limit * size / len(split)
        assert abs(counts[f"L{k}"] - fair) <= 1 + len(sizes) * size / len(split)


def test_equal_classes_are_taken_equally():
    chosen = set(select(examples(["a", "b", "c"] * 10), limit=12).ids)
    assert Counter(e.gold for e in examples(["a", "b", "c"] * 10) if e.id in chosen) == {"a": 4, "b": 4, "c": 4}


def test_labels_of_one_item_each_have_their_fair_chance():
    """Options differ per example: 400 golds stand once, one stands 100 times; a fifth of each is expected."""
    split = examples([f"option {n}" for n in range(400)] + ["None of these"] * 100)
    chosen = set(select(split, limit=100).ids)
    singles = [e for e in split if e.id in chosen and e.gold != "None of these"]
    assert 65 <= len(singles) <= 95
    assert Counter(e.gold[:8] for e in singles)["option 1"] < 60  # no block of the alphabet


def test_the_choice_depends_on_ids_and_golds_alone():
    split = examples(["a", "b", "b", "a", "b", "b"])
    turned = [Example(e.id, "test", "other text", e.gold) for e in reversed(split)]
    assert set(select(split, limit=3).ids) == set(select(turned, limit=3).ids)


@pytest.mark.parametrize(
    ("how", "n", "partial", "words"),
    [
        ({}, 4, False, "all"),
        ({"limit": 4}, 4, False, "all"),
        ({"limit": 9}, 4, False, "all"),
        ({"limit": 2}, 2, True, "limit 2, labels in proportion"),
        ({"ids": ["id-3", "id-0", "id-3"]}, 2, True, "2 ids"),
    ],
)
def test_the_stamp_says_how_it_was_chosen(how: dict[str, object], n: int, partial: bool, words: str):
    stamp = select(examples(["a", "b", "a", "b"]), **how).as_json()  # type: ignore[arg-type]
    assert (stamp["n"], stamp["of"], stamp["partial"], stamp["how"]) == (n, 4, partial, words)
    assert "ids" not in stamp


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"limit": 0}, "should be 1 or more"),
        ({"ids": []}, "no example id given"),
        ({"ids": ["id-0", "id_1"]}, "unknown example id 'id_1' (did you mean 'id-1'?)"),
        ({"ids": ["id-0"], "limit": 1}, "either a limit or ids"),
    ],
)
def test_a_wrong_choice_is_refused(how: dict[str, object], message: str):
    with pytest.raises(UserError) as error:
        select(examples(["a", "b"]), **how)  # type: ignore[arg-type]
    assert message in str(error.value)


@settings(deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_the_union_of_limits_is_the_largest(limits: list[int]):
    split = examples(["a", "b", "b", "c"] * 3)
    assert union(split, [select(split, limit=n) for n in limits]) == select(split, limit=max(limits))


def test_the_union_of_other_choices_names_them():
    split = examples(["a", "b", "a", "b"])
    both = union(split, [select(split, ids=["id-3"]), select(split, ids=["id-0", "id-1"])])
    assert both == Selection(("id-0", "id-1", "id-3"), 4, "1 ids + 2 ids")
    assert union(split, [select(split, ids=["id-3"]), select(split)]).as_json()["how"] == "all"
    assert union(split, []).as_json()["n"] == 0
