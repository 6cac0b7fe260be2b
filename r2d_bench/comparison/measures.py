"""Metrics that runs can be compared in.

A figure is compared only where it can be had again from the run folders; that it is the same figure is checked against
`scores.json`, so that a table never shows another number than the run's page.
"""

from __future__ import annotations

from dataclasses import replace
from math import isclose
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.comparison import of_labels, of_texts
from r2d_bench.comparison.measure import NO_VALUES, OTHER_FIGURE, NotComparable, mean_measure
from r2d_bench.metrics.registry import METRICS
from r2d_bench.records import LabelStatus

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from r2d_bench.comparison.loaded import Items, TaskData
    from r2d_bench.comparison.measure import Measure

_SCORES_OF = {"accuracy": "correct"}  # metric → its column of values per example, where the names differ
_CELLS = {  # label right, rationale adequate
    "right_for_right": (1, 1),
    "right_wrong_reason": (1, 0),
    "wrong_convincing": (0, 1),
    "wrong_wrong": (0, 0),
}


def measure(name: str, items: Items, data: TaskData) -> Measure:
    """Return a metric of the runs, all of which have a figure in it.

    Args:
        name: the metric.
        items: of the runs.
        data: the task, for gold rationales that the run folders do not hold.

    Raises:
        NotComparable: the runs were scored under several signatures, or the figure cannot be had from the folders.
    """
    signatures = {run.scores["signatures"].get(name) for run in items.runs}
    if len(signatures) > 1:
        told = "; ".join(sorted(text or "none" for text in signatures))
        raise NotComparable(f"scored under several signatures ({told}): score the runs again in one way")
    if name in of_labels.NAMES:
        found = of_labels.label_measure(name, items, data)
    elif name in of_texts.NAMES:
        found = of_texts.overlap_measure(name, items, data)
    else:
        values = [_values(name, items, run) for run in range(len(items.runs))]
        gold = np.array([label is not None for label in items.gold]) & items.main
        found = mean_measure(METRICS[name], items, values, gold if name == "accuracy" else None)
    for number, run in enumerate(items.runs):
        if not _agrees(found.value(number), run.estimate(name)["value"]):
            raise NotComparable(f"{run.name}: {OTHER_FIGURE}")
    return replace(found, signature=next(iter(signatures)))


def _agrees(value: float | None, known: float) -> bool:
    return value is not None and isclose(value, known, rel_tol=1e-6, abs_tol=1e-9)


def _values(name: str, items: Items, run: int) -> NDArray[np.float64]:
    """Return a run's value of each item."""
    if name == "unparsed":
        statuses = items.texts(run, "label_status")
        flags = [np.nan if status is None else status != LabelStatus.PARSED for status in statuses]
        return np.where(items.main, np.array(flags, dtype=np.float64), np.nan)
    if name in {"input_truncated", "output_truncated"}:
        cut = items.numbers(run, f"{name.partition('_')[0]}_cut")
        return np.where([not answered for answered in _answered(items, run)], np.nan, cut)
    if name in _CELLS:
        right, adequate = (items.numbers(run, f"metric.{part}") for part in ("correct", "adequate"))
        cell = (right == _CELLS[name][0]) & (adequate == _CELLS[name][1])
        return np.where(np.isnan(right + adequate), np.nan, cell)
    column = f"metric.{_SCORES_OF.get(name, name)}"
    if column not in items.runs[run].columns:
        raise NotComparable(NO_VALUES)
    return items.numbers(run, column)


def _answered(items: Items, run: int) -> list[bool]:
    asked = items.rows[run] >= 0
    unscored = items.texts(run, "unscored")
    return [bool(a and u is None and m) for a, u, m in zip(asked, unscored, items.main, strict=True)]
