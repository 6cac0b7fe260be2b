from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from column_parts import SILENT, columns

from r2d_bench.metrics import leak

if TYPE_CHECKING:
    from r2d_bench.metrics.base import Columns


def told(texts: list[str | None], predicted: list[str | None]) -> Columns:
    return replace(columns(["NOW"] * len(texts), predicted), hypotheses=texts)


def values(of: Columns, stated: list[set[str]]) -> dict[str, float | None]:
    return {name: estimate.value for name, estimate in leak.compute(of, stated).estimates.items()}


def test_what_is_counted():
    of = told(["it is NOW", "go HOME", "", None, "it, is now!"], ["NOW", "HOME", "NOW", SILENT, None])
    found = values(of, [{"NOW"}, {"HOME"}, set(), set(), {"NOW"}])
    assert found == {
        "coverage": 4 / 5,
        "states_label": 1.0,  # of the two that are written and have a label
        "states_gold": 2 / 3,
        "empty_rationale": 1 / 4,
        "repeated_rationale": 2 / 3,  # case and punctuation aside
    }
    table = leak.compute(of, [set()] * 5).extra["distinct_rationales"]
    assert table == {"written": 3, "distinct": 2, "commonest": 2}


def test_a_label_only_run_has_reasons():
    of = replace(told([None, None], ["NOW", "HOME"]), no_rationale="writes no rationale")
    family = leak.compute(of, [set(), set()])
    assert family.estimates["coverage"].value == 1.0
    others = [e for name, e in family.estimates.items() if name != "coverage"]
    assert {(e.value, e.reason, e.unscored) for e in others} == {(None, "writes no rationale", 2)}


def test_nothing_at_all():
    for of in (told([None, None], [SILENT, SILENT]), told([""], ["NOW"])):
        family = leak.compute(of, [set()] * len(of))
        assert family.estimates["repeated_rationale"].reason == "no rationale was written"
        assert family.estimates["states_label"].value is None
    assert values(told([None], [SILENT]), [set()])["coverage"] == 0.0
