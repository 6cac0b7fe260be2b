"""Figures of labels in a comparison: classes, direction of errors, costs; from the labels of each item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.comparison.measure import NO_VALUES, Measure, NotComparable, mean_measure
from r2d_bench.metrics import confusion
from r2d_bench.metrics.registry import METRICS
from r2d_bench.metrics.triage import SEVERE
from r2d_bench.statistics.agreement import kappa_of
from r2d_bench.statistics.boards import PairTest
from r2d_bench.statistics.bootstrap import mean_of_sums

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from r2d_bench.comparison.loaded import Items, TaskData
    from r2d_bench.statistics.bootstrap import Floats, Statistic

ON_CLASSES: Mapping[str, Statistic] = {
    "macro_f1": confusion.macro_f1,
    "weighted_f1": confusion.weighted_f1,
    "micro_f1": confusion.micro_f1,
    "balanced_accuracy": confusion.balanced_accuracy,
    "mcc": confusion.mcc,
}
_RATES = ("under_triage", "over_triage", "severe_under_triage", "safe_advice", "within_one")
_ON_MIX = ("accuracy_mix", "expected_cost_mix")
NAMES = (*ON_CLASSES, *_RATES, *_ON_MIX, "critical_miss", "over_inclination", "quadratic_kappa", "expected_cost")


@dataclass(frozen=True, slots=True)
class _Classes:
    """Labels of N items as numbers in the order of the label set, -1 for none.

    Attributes:
        labels: the label set, K of them.
        gold: shape (N,).
        said: shape (R, N).
        due: which items have a gold label, shape (N,).
        scored: which of them have an answer, shape (R, N).
    """

    labels: list[str]
    gold: NDArray[np.int64]
    said: NDArray[np.int64]
    due: NDArray[np.bool_]
    scored: NDArray[np.bool_]


def label_measure(name: str, items: Items, data: TaskData) -> Measure:
    """Return a figure of labels.

    Args:
        name: one of `NAMES`.
        items: of the runs.
        data: the task, for its critical labels.

    Raises:
        NotComparable: the task has no fixed label set, or no costs.
    """
    classes = _classes(items)
    if name in ON_CLASSES:
        return _on_classes(name, classes)
    if name == "over_inclination":
        return _inclination(name, classes)
    if name == "quadratic_kappa":
        return _kappa(name, classes)
    if name in _ON_MIX:
        return _on_mix(name, items, classes)
    if name == "critical_miss":
        return _critical_miss(items, classes, data.task.spec.label.critical)
    values = _costs(items, classes) if name == "expected_cost" else _rates(name, classes)
    return mean_measure(METRICS[name], items, list(np.where(classes.scored, values, np.nan)), classes.due)


def _classes(items: Items) -> _Classes:
    table = items.runs[0].scores.get("confusion")
    if table is None:
        raise NotComparable(NO_VALUES)
    labels = list(table["labels"])
    number: dict[str | None, int] = {label: place for place, label in enumerate(labels)}
    runs = range(len(items.runs))
    gold = np.array([number.get(label, -1) for label in items.gold], dtype=np.int64)
    said = np.array([[number.get(label, -1) for label in items.texts(run, "label")] for run in runs], dtype=np.int64)
    answered = [[status is not None for status in items.texts(run, "label_status")] for run in runs]
    due = items.main & (gold >= 0)
    return _Classes(labels, gold, said, due, np.array(answered, dtype=bool) & due)


def _filled(name: str, classes: _Classes, statistic: Statistic, stats: Floats, *ends: Floats | None) -> Measure:
    """Return a measure whose statistics are NaN where a run has no score."""
    stats[~classes.scored] = np.nan
    worst, best = ends or (None, None)
    return Measure(METRICS[name], None, PairTest.RANDOMISATION, statistic, stats, worst, best, classes.due)


def _on_classes(name: str, classes: _Classes) -> Measure:
    """Return a figure of gold, predicted and hit counts per class (see `metrics.confusion`), D = 3K."""
    one = np.vstack([np.eye(len(classes.labels)), np.zeros(len(classes.labels))])  # -1 is no class
    gold = classes.gold

    def counted(said: NDArray[np.int64]) -> Floats:
        return np.hstack([one[gold], one[said], one[np.where(gold == said, gold, -1)]])

    stats = np.stack([counted(said) for said in classes.said])
    return _filled(name, classes, ON_CLASSES[name], stats, counted(np.full(len(gold), -1)), counted(gold))


def _critical_miss(items: Items, classes: _Classes, critical: Collection[str]) -> Measure:
    """Return the share of items with a critical gold label that got no critical label."""
    places = [place for place, label in enumerate(classes.labels) if label in critical]
    due = classes.due & np.isin(classes.gold, places)
    missed = np.where(classes.scored & due, ~np.isin(classes.said, places), np.nan)
    return mean_measure(METRICS["critical_miss"], items, list(missed), due)


def _rates(name: str, classes: _Classes) -> Floats:
    """Return 1 for a hit and 0 otherwise, as `metrics.triage` counts them, shape (R, N)."""
    given = classes.said >= 0
    shift = np.where(given, classes.said - classes.gold, 0)
    hits = {
        "under_triage": shift > 0,
        "over_triage": shift < 0,
        "severe_under_triage": shift >= SEVERE,
        "safe_advice": shift <= 0,
        "within_one": np.abs(shift) <= 1,
    }
    return np.asarray(hits[name] & given, dtype=np.float64)


def _inclination(name: str, classes: _Classes) -> Measure:
    """Return the share of errors in direction that are over-triage; statistics are over-triage and such errors."""
    given = classes.said >= 0
    over, wrong = given & (classes.said < classes.gold), given & (classes.said != classes.gold)
    return _filled(name, classes, mean_of_sums, np.stack([over, wrong], axis=-1).astype(np.float64))


def _kappa(name: str, classes: _Classes) -> Measure:
    """Return quadratic kappa from joint counts; no valid label counts as the farthest one from the gold label."""
    k, gold = len(classes.labels), classes.gold
    farthest = np.where(gold * 2 >= k - 1, 0, k - 1)
    cells = np.eye(k * k)

    def counted(said: NDArray[np.int64]) -> Floats:
        return np.asarray(cells[np.maximum(gold, 0) * k + np.where(said < 0, farthest, said)])

    stats = np.stack([counted(said) for said in classes.said])
    return _filled(name, classes, kappa_of, stats, counted(farthest), counted(np.maximum(gold, 0)))


def _on_mix(name: str, items: Items, classes: _Classes) -> Measure:
    """Return a figure of each class, weighted by the mix of calls; statistics are gold items and values, D = 2K."""
    mix = items.runs[0].scores.get("mix") or {}
    shares = np.array([mix.get(label, 0.0) for label in classes.labels])
    wanted, k = shares > 0, len(shares)
    right = (classes.said == classes.gold).astype(np.float64)
    values = right if name == "accuracy_mix" else _costs(items, classes)
    is_gold = np.vstack([np.eye(k), np.zeros(k)])[classes.gold]

    def weighted(sums: Floats) -> Floats:
        gold, found = sums[..., :k][..., wanted], sums[..., k:][..., wanted]
        rates = np.divide(found, gold, out=np.full(gold.shape, np.nan), where=gold > 0)
        return np.asarray((rates * shares[wanted]).sum(axis=-1))

    stats = np.concatenate([np.broadcast_to(is_gold, (*values.shape, k)), is_gold * values[..., None]], axis=-1)
    return _filled(name, classes, weighted, stats)


def _costs(items: Items, classes: _Classes) -> Floats:
    """Return what each label costs, shape (R, N); no valid label costs as much as the worst of its row."""
    card = items.runs[0].scores.get("cost")
    if card is None:
        raise NotComparable(NO_VALUES)
    matrix = np.array(card["matrix"], dtype=np.float64)
    table = np.hstack([matrix, matrix.max(axis=1, keepdims=True)])  # the last column is -1
    return np.asarray(table[np.maximum(classes.gold, 0), classes.said])
