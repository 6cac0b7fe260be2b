from __future__ import annotations

import math

import pytest

from r2d_bench.metrics.challenges import METRICS, NOT_ASKED, ChallengeRow, ChallengeSet, Said, compute
from r2d_bench.records import ChallengeKind
from r2d_bench.statistics.intervals import wilson

ORDER = ("NOW", "TODAY", "HOME")  # most urgent first
SILENT = "-"


def said(gold: str, predicted: str | None, ident: str = "x") -> Said:
    return Said(ident, gold, None if predicted == SILENT else predicted, predicted != SILENT)


def pair(gold: tuple[str, str], predicted: tuple[str | None, str | None], base: str, **more: str) -> ChallengeRow:
    """Make a row with its base; golds and predictions of the base, then of the row."""
    return ChallengeRow(said(gold[1], predicted[1]), base=said(gold[0], predicted[0], base), **more)


def one(kind: str, *rows: ChallengeRow) -> ChallengeSet:
    return ChallengeSet(kind, "", ChallengeKind(kind), rows)


def figures(*sets: ChallengeSet, order: tuple[str, ...] = ORDER, **more: str):
    family = compute(sets, declared={s.kind for s in sets}, order=order, **more)
    assert set(family.estimates) == {metric.name for metric in METRICS}
    return family


UP = ("HOME", "NOW")
MINIMAL = one(
    "minimal_pair",
    pair(UP, ("HOME", "NOW"), "a"),  # both right
    pair(UP, ("TODAY", "NOW"), "b"),  # moved, but not both right
    pair(UP, ("HOME", None), "c"),  # wrong
    pair(("NOW", "HOME"), ("HOME", "NOW"), "d"),  # moved the wrong way
    pair(UP, (SILENT, "NOW"), "e"),  # unscored
    pair(UP, ("HOME", SILENT), "f"),  # unscored
    ChallengeRow(said("NOW", "NOW")),  # its base was not asked
)


def test_minimal_pairs():
    family = figures(MINIMAL)
    accuracy, moved = family.estimates["pair_accuracy"], family.estimates["pair_moved"]
    assert (accuracy.value, accuracy.n, accuracy.unscored) == (0.25, 4, 2)
    assert (moved.value, moved.n, moved.unscored) == (0.5, 4, 2)
    expected = wilson(1, 4)
    assert (accuracy.low, accuracy.high) == (expected.low, expected.high)
    assert accuracy.warnings == ("pairs left out, their base was not asked: 1",)
    values = family.per_example["pair_accuracy"]
    assert values[:4].tolist() == [1, 0, 0, 0]
    assert all(math.isnan(v) for v in values[4:])
    assert family.extra["challenges"]["minimal_pair"]["answered"] == 6


def test_standing_still_is_no_move_and_any_distance_is():
    rows = [pair(UP, ("TODAY", "TODAY"), "a"), pair(("TODAY", "NOW"), ("HOME", "TODAY"), "b")]
    assert figures(one("minimal_pair", *rows)).estimates["pair_moved"].value == 0.5


def test_labels_without_an_order_cannot_move_nor_be_safe():
    family = figures(MINIMAL, one("insufficient", ChallengeRow(said("NOW", "NOW"))), order=())
    assert family.estimates["pair_accuracy"].value == 0.25
    assert family.estimates["insufficient_exact"].value == 1
    for name in ("pair_moved", "insufficient_safe"):
        assert (family.estimates[name].value, family.estimates[name].reason) == (None, "n/a: the labels have no order")


def test_invariance_counts_changes_and_answers_without_a_label():
    same = ("NOW", "NOW")
    rows = [
        pair(same, ("NOW", "NOW"), "a"),
        pair(same, ("HOME", "HOME"), "b"),  # wrong twice, and steady
        pair(same, ("NOW", "HOME"), "c"),
        pair(same, (None, None), "d"),
        pair(same, (None, "NOW"), "e"),
    ]
    flips = figures(one("invariance", *rows)).estimates["invariance_flips"]
    assert (flips.value, flips.n) == (0.6, 5)


def test_edge_cases_take_the_gold_label_and_the_acceptable_ones():
    rows = [ChallengeRow(said("NOW", p), acceptable=("TODAY",)) for p in ("NOW", "TODAY", "HOME", None, SILENT)]
    edge = figures(one("edge", *rows)).estimates["edge_acceptable"]
    assert (edge.value, edge.n, edge.unscored) == (0.5, 4, 1)


def test_insufficient_notes_are_safe_at_the_gold_label_or_above():
    rows = [ChallengeRow(said("TODAY", p)) for p in ("NOW", "TODAY", "HOME", None, SILENT)]
    family = figures(one("insufficient", *rows))
    assert family.estimates["insufficient_safe"].value == 0.5
    assert family.estimates["insufficient_exact"].value == 0.25
    assert family.estimates["insufficient_exact"].unscored == 1


@pytest.mark.parametrize("grouped", [True, False])
def test_dependent_pairs_count_for_less(grouped: bool):
    """Two clusters of two pairs that agree are two independent ones: by group, or by the base that they share."""
    outcomes = [("HOME", "NOW"), ("HOME", "NOW"), ("HOME", "HOME"), ("HOME", "HOME")]
    rows = [
        pair(UP, p, str(k) if grouped else str(k // 2), **({"group": f"g{k // 2}"} if grouped else {}))
        for k, p in enumerate(outcomes)
    ]
    found = figures(one("minimal_pair", *rows)).estimates["pair_accuracy"]
    expected = wilson(1, 2)
    assert (found.value, found.low, found.high) == (0.5, expected.low, expected.high)
    assert found.warnings == ("only 2 clusters: the interval is rough",)


def test_sets_of_one_kind_are_pooled_and_keep_their_own_figures():
    first = ChallengeSet("a", "First", ChallengeKind.INSUFFICIENT, [ChallengeRow(said("NOW", "NOW"))])
    second = ChallengeSet("b", "", ChallengeKind.INSUFFICIENT, [ChallengeRow(said("NOW", "HOME"))] * 3)
    family = figures(first, second)
    assert family.estimates["insufficient_exact"].value == 0.25
    table = family.extra["challenges"]
    assert [table[name]["metrics"]["insufficient_exact"]["value"] for name in ("a", "b")] == [1, 0]
    assert [table[name]["title"] for name in ("a", "b")] == ["First", "b"]
    assert family.per_example["insufficient_exact"].tolist() == [1, 0, 0, 0]


def test_reasons():
    kinds = {ChallengeKind.EDGE}
    nothing = compute([], declared=kinds, order=ORDER).estimates
    assert nothing["edge_acceptable"].reason == NOT_ASKED
    assert nothing["pair_accuracy"].reason == "the task declares no challenge set of kind minimal_pair"
    rows = [ChallengeRow(said("NOW", SILENT), acceptable=("NOW",))]
    silent = figures(one("edge", *rows)).estimates["edge_acceptable"]
    assert (silent.value, silent.unscored, silent.reason) == (None, 1, "no item was answered")
    unlabelled = figures(one("edge", *rows), no_label="no labels here").estimates["edge_acceptable"]
    assert (unlabelled.value, unlabelled.reason) == (None, "no labels here")
    lone = figures(one("minimal_pair", ChallengeRow(said("NOW", "NOW")))).estimates["pair_accuracy"]
    assert (lone.value, lone.n, lone.unscored, lone.reason) == (None, 0, 0, "no pair was asked whole")
