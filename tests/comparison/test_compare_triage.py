"""Rates of triage, costs and mixes: a comparison shows the very figures of the runs, and whose is better."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from compare_parts import LOST, make_run
from full_task import KINDS, LABELS, make_full_task, row

from r2d_bench import api
from r2d_bench.comparison.compare import CompareOptions
from r2d_bench.comparison.contest import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.comparison.document import Comparison
    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.task import Task

N = 60
GOLD = {f"t{k:02d}": LABELS[k % 3] for k in range(N)}
FIGURES = (
    "under_triage", "over_triage", "severe_under_triage", "critical_miss", "safe_advice", "within_one",
    "over_inclination", "mean_distance", "quadratic_kappa", "accuracy_mix", "expected_cost", "expected_cost_mix",
)  # fmt: skip


def triage_task(folder: Path) -> Task:
    rows = [row(ident, label) for ident, label in GOLD.items()]
    return make_full_task(folder / "small", rows, label={"critical": ["NOW"]}, challenges=dict.fromkeys(KINDS))


def shifted(by: int, every: int) -> dict[str, str | None]:
    """Return labels that are so many levels off on each so-manieth item, and right elsewhere."""
    moved = {}
    for k, (ident, gold) in enumerate(GOLD.items()):
        place = min(max(LABELS.index(gold) + (by if k % every == 0 else 0), 0), len(LABELS) - 1)
        moved[ident] = LABELS[place]
    return moved


def compare(tmp_path: Path, *stores: RunStore, metrics: tuple[str, ...] = ()) -> Comparison:
    options = CompareOptions(metrics=metrics, settings=Settings(resamples=400))
    return api.compare([store.folder for store in stores], task_dirs=[tmp_path], options=options)


def test_every_figure_is_that_of_the_run_also_where_labels_are_missing(tmp_path: Path) -> None:
    task = triage_task(tmp_path)
    mumbling = {ident: "hm" if k % 7 == 0 else label for k, (ident, label) in enumerate(shifted(1, 4).items())}
    a = make_run(task, "a", mumbling, tmp_path / "runs")
    b = make_run(task, "b", shifted(-1, 5), tmp_path / "runs")
    found = compare(tmp_path, a, b, metrics=FIGURES)
    assert not found.left_out
    for one in found.metrics:
        for value, store in zip(one.values, (a, b), strict=True):
            own = (store.scores() or {})["metrics"][one.metric]
            assert (value.value, value.low, value.high) == (pytest.approx(own["value"]), own["low"], own["high"])


def test_directions_of_errors_are_told_apart(tmp_path: Path) -> None:
    task = triage_task(tmp_path)
    under = make_run(task, "under", shifted(1, 2), tmp_path / "runs")
    over = make_run(task, "over", shifted(-1, 2), tmp_path / "runs")
    found = {one.metric: one for one in compare(tmp_path, under, over).metrics}
    assert list(found)[:3] == ["macro_f1", "accuracy", "under_triage"]  # the usual ones of an ordinal task
    assert found["under_triage"].differences[0].winner == "B"
    assert found["over_triage"].differences[0].winner == "A"
    assert found["critical_miss"].differences[0].winner == "B"
    assert found["critical_miss"].items == N // 3
    (inclination,) = compare(tmp_path, under, over, metrics=("over_inclination",)).metrics
    assert [value.rank for value in inclination.values] == [None, None]  # neither way is better
    assert "B is higher than A by 100.0 points" in inclination.differences[0].words


def test_silence_on_critical_items_is_bounded(tmp_path: Path) -> None:
    task = triage_task(tmp_path)
    silent = {ident: LOST if k in {0, 1, 3} else gold for k, (ident, gold) in enumerate(GOLD.items())}
    a = make_run(task, "a", silent, tmp_path / "runs")
    b = make_run(task, "b", dict(GOLD), tmp_path / "runs")
    (missed,) = compare(tmp_path, a, b, metrics=("critical_miss",)).metrics
    first, second = missed.values
    assert (missed.items, first.missing, second.missing) == (18, 2, 0)  # items 0 and 3 are critical
    assert first.bounds == (0.0, 2 / 20)
    assert second.bounds == (0.0, 0.0)
    assert first.method == "exact"
