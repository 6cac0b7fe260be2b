"""Metrics of the predicted label over the fixed label set of the task.

Every F1 runs over all labels of the label space: stray strings cost what they are, and are no classes. Point
values are those of scikit-learn with `labels=` and `zero_division=0`. A class without a gold item in the
selection enters macro-F1 with 0 (its F1 is 0 whatever is predicted), and a warning says so.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.metrics import confusion
from r2d_bench.metrics.base import About, Direction, Family, Metric
from r2d_bench.metrics.classes import (
    MIN_GOLD,
    ClassItems,
    class_items,
    nothing_to_score,
    rare_classes,
    right_labels,
    scored_rows,
)
from r2d_bench.metrics.figures import all_missing, cluster_codes, cluster_warnings, figure, rate, spread
from r2d_bench.records import Estimate, LabelStatus, missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from r2d_bench.metrics.base import Columns
    from r2d_bench.records import Json
    from r2d_bench.statistics.bootstrap import Resamples


def _label(name: str, title: str, text: str, **more: object) -> Metric:
    settings: dict[str, object] = {"percent": True, "decimals": 1} | more
    return Metric(name, title, About.LABEL, help=text, **settings)  # type: ignore[arg-type]


METRICS: tuple[Metric, ...] = (
    _label(
        "accuracy",
        "Accuracy",
        "Share of items with the right label; an answer without a valid label is wrong.",
    ),
    _label(
        "acceptable_accuracy",
        "Acceptable accuracy",
        "Share of items with the right label or another one that is acceptable for them.",
    ),
    _label("macro_f1", "Macro-F1", "Mean F1 over all labels of the task."),
    _label("weighted_f1", "Weighted F1", "Mean F1 over all labels, weighted by gold items."),
    _label("micro_f1", "Micro-F1", "F1 over all decisions; below accuracy it never falls."),
    _label("balanced_accuracy", "Balanced accuracy", "Mean recall over labels that have gold items."),
    _label(
        "mcc",
        "MCC",
        "Matthews correlation over all labels; 0 is chance.",
        low=-1.0,
        percent=False,
        decimals=3,
    ),
    _label("unparsed", "No valid label", "Share of answers without a valid label.", direction=Direction.LOWER),
    _label(
        "input_truncated",
        "Input cut",
        "Share of items whose prompt was cut to fit.",
        direction=Direction.LOWER,
    ),
    _label(
        "output_truncated",
        "Output cut",
        "Share of items whose answer was cut by length.",
        direction=Direction.LOWER,
    ),
)
_ON_CLASSES = {
    "macro_f1": confusion.macro_f1,
    "weighted_f1": confusion.weighted_f1,
    "micro_f1": confusion.micro_f1,
    "balanced_accuracy": confusion.balanced_accuracy,
    "mcc": confusion.mcc,
}
NO_ACCEPTABLE = "no item has acceptable labels beside the right one"
_AVERAGED = ("macro_f1", "balanced_accuracy")  # one rare class moves these


def compute(columns: Columns, *, seed: int = 0, level: float = 0.95, resamples: int = 2000) -> Family:
    """Compute the label metrics of one run.

    Items without an answer or without a gold label are unscored. Rates have Wilson's interval (on the
    effective n where items are dependent), all others BCa over cells of the confusion, or over clusters.
    Where the run has no labels at all, only the shares of cut prompts and answers have a value.

    Args:
        columns: predictions beside their golds.
        seed: seed of the bootstrap.
        level: coverage of the intervals.
        resamples: number of resamples.

    Raises:
        UserError: a gold or parsed label is not in the label set, or a group id is missing.
    """
    shares = _shares(columns, level)
    statuses = Counter(str(status) for status in columns.statuses if status is not None)
    extra: dict[str, object] = {"statuses": dict(sorted(statuses.items()))}
    names = [metric.name for metric in METRICS if metric.name not in shares]
    scored = scored_rows(columns)
    unscored = len(columns) - int(scored.sum())
    if reason := nothing_to_score(columns, scored):
        missed = all_missing(names, reason, unscored=len(columns))
        return Family({**missed, **shares}, {"correct": np.full(len(columns), np.nan)}, extra=extra)
    rows = np.flatnonzero(scored)
    right = right_labels(columns)[scored]
    codes = cluster_codes(columns, scored)
    estimates = {"accuracy": rate(right, codes, unscored=unscored, level=level)}
    estimates["acceptable_accuracy"] = _acceptable(columns, rows, codes, level)
    if columns.labels:
        items = class_items(columns, scored, level)
        on_classes, tables = _class_figures(items, seed, resamples)
        estimates |= on_classes
        extra |= tables
    else:
        reason = f"n/a: {columns.no_label_set}"
        estimates |= all_missing(list(_ON_CLASSES), reason, unscored=len(columns))
    return Family({**estimates, **shares}, {"correct": spread(right.astype(np.float64), scored)}, extra=extra)


def _acceptable(columns: Columns, rows: NDArray[np.int64], codes: NDArray[np.int64] | None, level: float) -> Estimate:
    """Return the share of the given rows whose label is the gold one or also acceptable."""
    unscored = len(columns) - len(rows)
    if not any(columns.acceptable):
        return missing(NO_ACCEPTABLE, unscored=len(columns))
    hits = [columns.predicted[row] in (columns.gold[row], *columns.acceptable[row]) for row in rows]
    return rate(np.array(hits, dtype=bool), codes, unscored=unscored, level=level)


def _shares(columns: Columns, level: float) -> dict[str, Estimate]:
    """Return the shares of answers without a valid label, and of cut prompts and answers."""
    labelled = np.array([status is not None for status in columns.statuses], dtype=bool)
    answered = labelled | np.array([text is not None for text in columns.hypotheses], dtype=bool)
    unparsed = np.array([status != LabelStatus.PARSED for status in columns.statuses], dtype=bool)
    if columns.no_label:
        labelled = np.zeros(len(columns), dtype=bool)

    def share(flags: Sequence[bool] | NDArray[np.bool_], who: NDArray[np.bool_], nothing: str) -> Estimate:
        codes = cluster_codes(columns, who)
        unscored = len(columns) - int(who.sum())
        return rate(np.asarray(flags, dtype=bool)[who], codes, unscored=unscored, level=level, nothing=nothing)

    nothing = "no item was answered"
    return {
        "unparsed": share(unparsed, labelled, columns.no_label or nothing),
        "input_truncated": share(columns.input_cut, answered, nothing),
        "output_truncated": share(columns.output_cut, answered, nothing),
    }


def _class_figures(items: ClassItems, seed: int, resamples: int) -> tuple[dict[str, Estimate], dict[str, object]]:
    """Return all figures that need the classes, and the tables behind them."""
    drawn = items.resample(seed, resamples)
    n = len(items.gold)
    rare = rare_classes(items.labels, items.counts())
    few = cluster_warnings(items.codes)
    estimates = {
        name: figure(
            float(formula(drawn.total)),
            drawn.interval(formula, items.level),
            n=n,
            unscored=items.unscored,
            level=items.level,
            warnings=(*few, *(rare if name in _AVERAGED else ())),
            undefined="all gold labels are of one class",
        )
        for name, formula in _ON_CLASSES.items()
    }
    table = {"labels": list(items.labels), "counts": items.counts().tolist()}
    return estimates, {"confusion": table, "per_class": _per_class(items, drawn)}


def _per_class(items: ClassItems, drawn: Resamples) -> list[dict[str, Json]]:
    """Return precision, recall and F1 of each class."""
    table = []
    for k, label in enumerate(items.labels):
        is_gold, is_predicted = items.gold == k, items.predicted == k
        gold_n, predicted_n = int(is_gold.sum()), int(is_predicted.sum())
        row: dict[str, Json] = {"label": label, "gold_n": gold_n, "predicted_n": predicted_n}
        row["precision"] = _class_rate(items, is_gold, is_predicted, "never predicted").as_json()
        row["recall"] = _class_rate(items, is_predicted, is_gold, "no gold item").as_json()
        row["f1"] = _class_f1(items, drawn.take([k, items.k + k, 2 * items.k + k]), gold_n, predicted_n).as_json()
        table.append(row)
    return table


def _class_rate(items: ClassItems, hits: NDArray[np.bool_], among: NDArray[np.bool_], nothing: str) -> Estimate:
    codes = None if items.codes is None else np.unique(items.codes[among], return_inverse=True)[1]
    return rate(hits[among], codes, level=items.level, nothing=nothing)


def _class_f1(items: ClassItems, drawn: Resamples, gold_n: int, predicted_n: int) -> Estimate:
    """Return F1 of the one class that `drawn` holds; n is its gold items."""
    if gold_n + predicted_n == 0:
        return missing("neither gold nor predicted")
    notes: Iterable[str] = (f"fewer than {MIN_GOLD} gold items",) if gold_n < MIN_GOLD else ()
    interval = drawn.interval(confusion.macro_f1, items.level)
    return figure(float(confusion.macro_f1(drawn.total)), interval, n=gold_n, level=items.level, warnings=notes)
