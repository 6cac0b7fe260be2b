"""The scored items of a run as class numbers: what every figure over the fixed label set begins with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.errors import UserError
from r2d_bench.metrics import confusion
from r2d_bench.metrics.figures import cluster_codes
from r2d_bench.statistics.bootstrap import resample_cells, resample_units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from r2d_bench.metrics.base import Columns
    from r2d_bench.statistics.bootstrap import Resamples

MIN_GOLD = 10  # fewer gold items in a class: its F1 is hardly an estimate
MIN_HITS = 10  # fewer hits: the interval of an average covers less than it says (benchmarks/coverage.py)


@dataclass(frozen=True, slots=True)
class ClassItems:
    """The scored items as class numbers; `k` stands for "no valid label" among the predictions.

    Attributes:
        labels: the fixed label set, K of them.
        gold: gold class of each scored item, 0 to K-1, shape (n,).
        predicted: predicted class, 0 to K, shape (n,).
        codes: cluster of each item; None where items are independent.
        unscored: items that could not take part.
        level: coverage of the intervals.
    """

    labels: Sequence[str]
    gold: NDArray[np.int64]
    predicted: NDArray[np.int64]
    codes: NDArray[np.int64] | None
    unscored: int
    level: float

    @property
    def k(self) -> int:
        """The number of labels K."""
        return len(self.labels)

    @property
    def cells(self) -> NDArray[np.int64]:
        """The cell of the confusion matrix of each item, gold·(K+1) + predicted, shape (n,)."""
        return self.gold * (self.k + 1) + self.predicted

    def counts(self) -> NDArray[np.int64]:
        """Return the confusion matrix, shape (K, K+1)."""
        return np.bincount(self.cells, minlength=self.k * (self.k + 1)).reshape(self.k, self.k + 1)

    def resample(self, seed: int, resamples: int) -> Resamples:
        """Resample cells, or whole clusters where items are dependent; statistics of width 3K (see `confusion`)."""
        if self.codes is None:
            stats = confusion.cell_stats(self.k)
            return resample_cells(self.counts().ravel(), stats, seed=seed, resamples=resamples)
        stats = confusion.cluster_stats(self.gold, self.predicted, self.codes, self.k)
        return resample_units(stats, seed=seed, resamples=resamples)


def scored_rows(columns: Columns) -> NDArray[np.bool_]:
    """Return which items have both an answer and a gold label, shape (N,)."""
    pairs = zip(columns.statuses, columns.gold, strict=True)
    return np.array([status is not None and gold is not None for status, gold in pairs], dtype=bool)


def nothing_to_score(columns: Columns, scored: NDArray[np.bool_]) -> str | None:
    """Return why no label can be scored; None where some can."""
    return columns.no_label or (None if scored.any() else "no item has both an answer and a gold label")


def right_labels(columns: Columns) -> NDArray[np.bool_]:
    """Return which items have the gold label, shape (N,)."""
    pairs = zip(columns.predicted, columns.gold, strict=True)
    return np.array([predicted == gold for predicted, gold in pairs], dtype=bool)


def class_items(columns: Columns, scored: NDArray[np.bool_], level: float) -> ClassItems:
    """Return the scored items by class; the task has a fixed label set.

    Raises:
        UserError: a gold or parsed label is not in the label set, or a group id is missing.
    """
    rows = np.flatnonzero(scored)
    gold, predicted = _classes(columns, rows)
    codes = cluster_codes(columns, scored)
    return ClassItems(columns.labels, gold, predicted, codes, len(columns) - len(rows), level)


def _classes(columns: Columns, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return gold and predicted class of the given rows as numbers."""
    number = {label: k for k, label in enumerate(columns.labels)}
    none = len(number)
    try:
        gold = [number[columns.gold[row] or ""] for row in rows]
        predicted = [none if (label := columns.predicted[row]) is None else number[label] for row in rows]
    except KeyError as error:
        stray = error.args[0]
        where = next(columns.ids[row] for row in rows if stray in (columns.gold[row], columns.predicted[row]))
        raise UserError(
            f"example {where}: label {stray!r} is not in the label set: add it to the task or correct the row"
        ) from None
    return np.array(gold, dtype=np.int64), np.array(predicted, dtype=np.int64)


def rare_classes(labels: Sequence[str], counts: NDArray[np.int64]) -> tuple[str, ...]:
    """Return the warnings about classes that are too rare for a trustworthy average.

    Args:
        labels: the label set.
        counts: the confusion matrix, shape (K, K+1).
    """
    gold, hits = counts.sum(axis=1), np.diagonal(counts)
    found = []
    if names := named(labels, gold, gold == 0):
        found.append(f"no gold item in this selection (F1 counts as 0): {names}")
    if names := named(labels, gold, (gold > 0) & (gold < MIN_GOLD)):
        found.append(f"fewer than {MIN_GOLD} gold items: {names}")
    if names := named(labels, hits, (gold > 0) & (hits < MIN_HITS)):
        found.append(f"hit fewer than {MIN_HITS} times, the interval may be too narrow: {names}")
    return tuple(found)


def named(labels: Sequence[str], counts: NDArray[np.int64], which: NDArray[np.bool_]) -> str:
    """Name the classes with their counts; a long list is cut."""
    chosen = np.flatnonzero(which)
    shown = ", ".join(f"{labels[k]} ({counts[k]})" for k in chosen[:5])
    return shown + (f" and {len(chosen) - 5} more" if len(chosen) > 5 else "")
