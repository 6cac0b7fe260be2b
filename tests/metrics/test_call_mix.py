from __future__ import annotations

import pytest
from column_parts import SILENT, columns

from r2d_bench.metrics import call_mix, labels
from r2d_bench.metrics.call_mix import NO_COST, NO_MIX

MIX = {"NOW": 0.2, "TODAY": 0.3, "HOME": 0.5}
COST = ((0, 4, 10), (1, 0, 2), (2, 1, 0))
GOLD = ["NOW", "NOW", "TODAY", "HOME"]
SAID = ["NOW", "HOME", "NOW", None]


def test_by_hand():
    """Recalls 1/2, 0, 0. Mean costs 10/2, 1/1, 2/1 (no valid label: the worst of HOME's row)."""
    found = call_mix.compute(columns(GOLD, SAID), mix=MIX, cost=COST)
    value = {name: e.value for name, e in found.estimates.items()}
    assert value["accuracy_mix"] == pytest.approx(0.2 * 0.5)
    assert value["expected_cost"] == pytest.approx((10 + 1 + 2) / 4)
    assert value["expected_cost_mix"] == pytest.approx(0.2 * 5 + 0.3 * 1 + 0.5 * 2)
    assert all(e.n == 4 for e in found.estimates.values())
    assert found.extra["mix"] == MIX
    assert found.extra["cost"] == {"labels": ["NOW", "TODAY", "HOME"], "matrix": [list(row) for row in COST]}


def test_a_cost_on_the_diagonal_counts():
    found = call_mix.compute(columns(["NOW"] * 4, ["NOW"] * 4), mix={}, cost=((3, 0, 0), (0, 0, 0), (0, 0, 0)))
    assert found.estimates["expected_cost"].value == 3


def test_the_mix_of_the_items_gives_accuracy_with_its_interval():
    gold = ["NOW"] * 20 + ["TODAY"] * 30 + ["HOME"] * 50
    said = [g if k % 3 else "HOME" for k, g in enumerate(gold)]
    right = sum(g == s for g, s in zip(gold, said, strict=True)) / 100
    found = call_mix.compute(columns(gold, said), mix=MIX, cost=()).estimates["accuracy_mix"]
    assert found.value == pytest.approx(right)
    assert found.low < right < found.high
    assert found.method == "bca"


def test_a_cluster_counts_once():
    """Three copies of every item in its cluster are the item in a cluster of its own."""
    gold = ["NOW", "TODAY", "HOME"] * 12
    said = [g if k % 4 else "HOME" for k, g in enumerate(gold)]
    names = [str(k) for k in range(36)]
    once = call_mix.compute(columns(gold, said, groups=names), mix=MIX, cost=COST).estimates
    copies = columns(gold * 3, said * 3, groups=names * 3)
    thrice = call_mix.compute(copies, mix=MIX, cost=COST).estimates
    for name in once:
        bounds = (thrice[name].value, thrice[name].low, thrice[name].high)
        assert bounds == pytest.approx((once[name].value, once[name].low, once[name].high))


def test_a_label_of_the_mix_without_items():
    found = call_mix.compute(columns(["NOW", "TODAY"], ["NOW", "NOW"]), mix=MIX, cost=COST).estimates
    for name in ("accuracy_mix", "expected_cost_mix"):
        assert (found[name].value, found[name].reason) == (None, "a label of the mix has no gold item")
        assert found[name].warnings == ("no gold item: HOME (0)",)
    assert found["expected_cost"].value == 0.5
    without = call_mix.compute(columns(["NOW", "TODAY"], ["NOW", "NOW"]), mix={"NOW": 0.9, "TODAY": 0.1}, cost=())
    assert without.estimates["accuracy_mix"].value == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("mix", "cost", "reasons"),
    [
        ({}, (), [f"{NO_MIX} and no costs"] * 3),
        (MIX, (), [None, NO_COST, NO_COST]),
        ({}, COST, [NO_MIX, None, NO_MIX]),
    ],
)
def test_what_is_not_declared_is_missing(mix: dict[str, float], cost: tuple, reasons: list[str | None]):
    found = call_mix.compute(columns(GOLD, SAID), mix=mix, cost=cost).estimates
    assert [e.reason if e.value is None else None for e in found.values()] == reasons


def test_nothing_to_score():
    found = call_mix.compute(columns(["NOW"], [SILENT]), mix=MIX, cost=COST).estimates["expected_cost"]
    assert (found.value, found.unscored) == (None, 1)


def test_acceptable_accuracy_in_the_headline():
    sets = [["TODAY"], [], ["HOME", "TODAY"], []]
    found = labels.compute(columns(GOLD, ["TODAY", "HOME", "HOME", SILENT], acceptable=sets)).estimates
    acceptable = found["acceptable_accuracy"]
    assert (found["accuracy"].value, acceptable.value, acceptable.n) == (0, pytest.approx(2 / 3), 3)
    assert acceptable.unscored == 1
    none = labels.compute(columns(GOLD, SAID, acceptable=[(), (), (), ()])).estimates["acceptable_accuracy"]
    assert (none.value, none.reason) == (None, "no item has acceptable labels beside the right one")
