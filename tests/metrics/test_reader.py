from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from column_parts import columns

from r2d_bench.metrics import reader
from r2d_bench.metrics.reader import Reader, Texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from r2d_bench.metrics.base import Columns

TAUGHT = {"crushing chest pressure": "NOW", "sweaty and grey": "NOW", "old sore knee": "HOME", "mild cold": "HOME"}


def fitted() -> Reader:
    found = reader.fit_reader(list(TAUGHT), list(TAUGHT.values()))
    assert found is not None
    return found


def told(predicted: Sequence[str | None], gold: Sequence[str] = ("NOW", "NOW", "HOME", "HOME")) -> Columns:
    return replace(columns(gold, predicted), hypotheses=["x"] * len(gold))


def test_it_reads_what_it_has_learnt_and_nothing_from_strange_words():
    read = fitted().read
    assert read(["chest pressure, sweaty", "a sore knee", "", "qux"]) == ["NOW", "HOME", None, None]
    assert read([]) == []


def test_it_is_the_same_for_the_same_rationales_in_any_order():
    turned = reader.fit_reader(list(TAUGHT)[::-1], list(TAUGHT.values())[::-1])
    assert turned is not None
    assert turned.signature == fitted().signature
    other = reader.fit_reader(["knee pain", "grey"], ["HOME", "NOW"])
    assert other is not None
    assert other.signature != fitted().signature


@pytest.mark.parametrize("taught", [{}, {"a fever": "NOW", "a rash": "NOW"}, {"!": "NOW", "?": "HOME"}])
def test_too_little_to_learn_from(taught: dict[str, str]):
    assert reader.fit_reader(list(taught), list(taught.values())) is None


def test_sufficiency_and_consistency():
    of = told(["NOW", "HOME", "HOME", None])
    own = ["chest pressure", "sweaty", "grey", ""]  # read as NOW, NOW, NOW, nothing
    family = reader.compute(of, Texts(own, list(TAUGHT)), fitted())
    found = {name: (e.value, e.n) for name, e in family.estimates.items()}
    assert found["reader_sufficiency"] == (2 / 4, 4)
    assert found["reader_consistency"] == (1 / 3, 3)
    assert found["reader_gold"] == (1.0, 4)
    assert family.signatures["reader_gold"] == f"reader:{fitted().signature}"
    assert family.per_example["reader_sufficiency"].tolist() == [1, 1, 0, 0]
    assert family.estimates["obedience"].reason == "not asked: run it with --probes rationale_for_wrong_label"


def test_obedience_stands_beside_what_is_read_unasked():
    of = told(["NOW"] * 4)
    own = ["chest pressure", "chest pressure", "sore knee", "sore knee"]
    asked = ["sore knee", "chest pressure", "chest pressure", None]
    family = reader.compute(of, Texts(own, own, ["HOME", "HOME", "NOW", "NOW"], asked, [False] * 4), fitted())
    estimate = family.estimates["obedience"]
    assert (estimate.value, estimate.n, estimate.unscored) == (2 / 3, 3, 1)
    assert family.extra["wrong_label_unasked"]["value"] == 0.0


def test_without_a_reader_obedience_goes_by_the_word():
    texts = Texts(
        ["x"] * 4, ["x"] * 4, ["HOME", "HOME", "NOW", None], ["a", "b", "c", None], [True, False, False, False]
    )
    family = reader.compute(told(["NOW"] * 4), texts, "no outside reader")
    assert family.estimates["obedience"].value == 1 / 3
    assert family.signatures == {"obedience": "read:literal statement"}
    assert family.estimates["reader_gold"].reason == "no outside reader"


def test_a_run_without_rationales_has_its_reason():
    of = replace(told(["NOW"] * 4), no_rationale="writes none")
    family = reader.compute(of, Texts([None] * 4, list(TAUGHT)), fitted())
    assert family.estimates["reader_sufficiency"].reason == "writes none"
    assert family.estimates["reader_gold"].value == 1.0
