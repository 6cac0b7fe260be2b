from __future__ import annotations

import time

import numpy as np
import pytest
from column_parts import ORDER, SILENT, columns
from sklearn.metrics import f1_score

from r2d_bench.metrics import labels, slices
from r2d_bench.metrics.figures import rate

WARDS = ["A"] * 10 + ["B"] * 12 + ["C"] * 3
GOLD = [ORDER[k % 3] for k in range(25)]
# A: 8 of 10 right, B: 6 of 12.
WRONG = {0, 1, *range(10, 16)}


def _said(k: int) -> str | None:
    other = "NOW" if GOLD[k] == "HOME" else "HOME"
    return GOLD[k] if k not in WRONG else other if k else None


SAID = [_said(k) for k in range(25)]


def parts(found: dict) -> dict[str, dict]:
    return {part["value"]: part for part in found["values"]}


def test_each_part_has_its_figures_and_small_ones_none():
    found = slices.compute(columns(GOLD, SAID), {"ward": WARDS}).extra["slices"]["ward"]
    ward = parts(found)
    assert [(p["value"], p["n"], p["unscored"]) for p in found["values"]] == [("A", 10, 0), ("B", 12, 0), ("C", 3, 0)]
    assert ward["A"]["accuracy"] == rate(np.array([True] * 8 + [False] * 2)).as_json()
    assert ward["B"]["accuracy"] == rate(np.array([True] * 6 + [False] * 6)).as_json()
    for name in "AB":
        rows = [k for k, w in enumerate(WARDS) if w == name]
        expected = f1_score(
            [GOLD[k] for k in rows], [SAID[k] or "?" for k in rows], labels=ORDER, average="macro", zero_division=0
        )
        assert ward[name]["macro_f1"]["value"] == pytest.approx(expected)
        assert ward[name]["macro_f1"]["low"] < expected < ward[name]["macro_f1"]["high"]
    for metric in ("accuracy", "macro_f1"):
        assert ward["C"][metric] == {
            "value": None, "low": None, "high": None, "n": 3, "unscored": 0, "level": 0.95,
            "reason": "n/a: fewer than 10 scored items",
        }  # fmt: skip
    gap = found["gap"]
    assert (gap["value"], gap["best"], gap["worst"], gap["n"]) == (pytest.approx(0.3), "A", "B", 22)
    assert gap["low"] < 0 < gap["high"]  # so few items cannot tell the wards apart


def test_unscored_items_do_not_fill_a_part():
    said = [SILENT if k < 3 else s for k, s in enumerate(SAID)]
    found = slices.compute(columns(GOLD, said), {"ward": WARDS}).extra["slices"]["ward"]
    a = parts(found)["A"]
    assert (a["n"], a["unscored"], a["accuracy"]["value"], a["accuracy"]["unscored"]) == (7, 3, None, 3)
    assert (found["gap"]["value"], found["gap"]["reason"]) == (None, "n/a: fewer than two groups of 10 scored items")


@pytest.mark.parametrize("grouped", [True, False])
def test_a_part_that_is_everything_has_the_headline_figures(grouped: bool):
    groups = [f"g{k // 2}" for k in range(25)] if grouped else None
    given = columns(GOLD, SAID, groups=groups)
    headline = labels.compute(given).estimates
    (part,) = slices.compute(given, {"all": ["yes"] * 25}).extra["slices"]["all"]["values"]
    for metric in ("accuracy", "macro_f1"):
        assert part[metric] == headline[metric].as_json()


def test_clusters_are_resampled_within_parts():
    """Copies in the same cluster change nothing."""
    gold, said, wards = GOLD[:22], SAID[:22], WARDS[:22]
    names = [str(k) for k in range(22)]
    once = slices.compute(columns(gold, said, groups=names), {"w": wards}).extra["slices"]["w"]
    copies = columns(gold * 3, said * 3, groups=names * 3)
    thrice = slices.compute(copies, {"w": wards * 3}).extra["slices"]["w"]
    for bound in ("value", "low", "high"):
        assert thrice["gap"][bound] == pytest.approx(once["gap"][bound])
        assert parts(thrice)["A"]["macro_f1"][bound] == pytest.approx(parts(once)["A"]["macro_f1"][bound])


def test_many_parts_in_several_batches_are_the_same(monkeypatch: pytest.MonkeyPatch):
    given = columns(GOLD * 20, SAID * 20, groups=[str(k % 50) for k in range(500)])
    values = [str(k % 9) for k in range(500)]
    whole = slices.compute(given, {"s": values}).extra
    monkeypatch.setattr(slices, "_NUMBERS", 1)  # one part at a time
    assert slices.compute(given, {"s": values}).extra == whole


def test_equal_parts_have_a_gap_of_zero():
    found = slices.compute(columns(["NOW"] * 20, ["NOW"] * 20), {"s": ["A", "B"] * 10}).extra["slices"]["s"]
    assert (found["gap"]["value"], found["gap"]["best"], found["gap"]["worst"]) == (0, "A", "B")


def test_without_a_fixed_label_set_there_is_accuracy():
    given = columns(GOLD, SAID, labels=())
    found = slices.compute(given, {"ward": WARDS}).extra["slices"]["ward"]
    assert parts(found)["A"]["accuracy"]["value"] == 0.8
    assert parts(found)["A"]["macro_f1"]["reason"] == "n/a: options differ per example"
    assert found["gap"]["value"] == pytest.approx(0.3)


def test_no_answer_and_no_slice():
    none = slices.compute(columns(["NOW"], [SILENT]), {"s": ["A"]}).extra["slices"]["s"]
    assert (none["values"][0]["unscored"], none["gap"]["best"]) == (1, None)
    assert slices.compute(columns(GOLD, SAID), {}).extra == {"slices": {}}


def test_a_hundred_thousand_items_take_seconds():
    rng = np.random.default_rng(0)
    gold = [ORDER[k] for k in rng.integers(0, 3, 100_000)]
    said = [ORDER[k] for k in rng.integers(0, 3, 100_000)]
    values = {f"s{k}": [str(v) for v in rng.integers(0, 5, 100_000)] for k in range(6)}
    given = columns(gold, said)
    started = time.process_time()
    slices.compute(given, values)
    assert time.process_time() - started < 5
