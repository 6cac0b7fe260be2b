"""Small cells of a confusion matrix, and whether figures that are published give them away.

A matrix has a row for each gold label and a column for each predicted one; the last column is for no valid label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.metrics import confusion as formulas
from r2d_bench.metrics.triage import SEVERE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Mask = NDArray[np.bool_]

SMALL = 10  # a part of fewer items may point at persons
PER_CENT = 2  # digits of whole per cent
_MOVES = 150  # moves of one item that are tried, and all pairs of them


def is_small(count: int) -> bool:
    """Tell whether a count is a small cell."""
    return 0 < count < SMALL


def small_sums(counts: Counts) -> list[Mask]:
    """Return what is a small cell in a confusion matrix, shape (K, K + 1): its cells, rows (gold) and columns."""
    k, width = counts.shape
    masks = [*np.eye(k * width, dtype=bool).reshape(-1, k, width)]
    masks += [np.arange(k)[:, None] == np.full((k, width), row) for row in range(k)]
    masks += [np.full((k, width), column) == np.arange(width) for column in range(width)]
    return [mask for mask in masks if is_small(int(counts[mask].sum()))]


def outcomes(k: int, *, ordinal: bool, critical: Collection[int]) -> dict[str, Mask]:
    """Return which cells each share counts, shape (K, K + 1); behind a metric's name, what else its n tells.

    Args:
        k: labels.
        ordinal: they have an order, most urgent first.
        critical: places of the critical ones.
    """
    gold, said = np.indices((k, k + 1))
    given, shift = said < k, said - gold
    found = {"accuracy": shift == 0, "unparsed": ~given}
    if ordinal:
        wrong = given & (shift != 0)
        found |= {
            "under_triage": given & (shift > 0),
            "severe_under_triage": given & (shift >= SEVERE),
            "over_triage": given & (shift < 0),
            "safe_advice": given & (shift <= 0),
            "within_one": given & (np.abs(shift) <= 1),
            "over_inclination": given & (shift < 0),
            "over_inclination of": wrong,
        }
    if ordinal and critical:
        asked = np.isin(gold, list(critical))
        found |= {"critical_miss": asked & ~np.isin(said, list(critical)), "critical_miss of": asked}
    return found


def ambiguous(counts: Counts, known: Sequence[Mask], *, macro_f1: float | None) -> bool:
    """Tell whether each small cell has another value that fits all that is published.

    Matrices that differ from the true one by one item or two are tried. Cells, and what was predicted, must have
    another value with the same gold labels, which all runs of a table share; the size of a label, with other ones.

    Args:
        counts: the confusion matrix, shape (K, K + 1).
        known: cells whose sum is published, shape (K, K + 1) each.
        macro_f1: macro-F1 in whole per cent, as published; None where it is not.
    """
    targets = small_sums(counts)
    within = _fitting(counts, known, macro_f1=macro_f1, same_gold=True)
    left = [mask for mask in targets if not _varies(mask, counts, within)]
    if not left:
        return True
    rows = [mask for mask in left if (mask.all(axis=1) == mask.any(axis=1)).all()]
    across = _fitting(counts, known, macro_f1=macro_f1, same_gold=False)
    return len(rows) == len(left) and all(_varies(mask, counts, across) for mask in rows)


def _varies(mask: Mask, counts: Counts, others: Counts) -> bool:
    return bool((others[:, mask].sum(axis=1) != counts[mask].sum()).any())


def _fitting(counts: Counts, known: Sequence[Mask], *, macro_f1: float | None, same_gold: bool) -> Counts:
    """Return matrices near the true one that fit what is published, shape (M, K, K + 1)."""
    k, width = counts.shape
    moves = _moves(counts, same_gold=same_gold)
    first, second = np.triu_indices(len(moves))
    tried = np.concatenate([counts + moves, counts + moves[first] + moves[second]]) if len(moves) else counts[None]
    fits = (tried >= 0).all(axis=(1, 2))
    for mask in known:
        fits &= tried[:, mask].sum(axis=1) == counts[mask].sum()
    tried = tried[fits]
    if macro_f1 is not None:
        # Halves may be rounded either way: a matrix counts that is this figure beyond doubt.
        tried = tried[np.abs(_macro_f1(tried) - macro_f1) < 0.5 * 10**-PER_CENT - 1e-9]
    return tried.reshape(-1, k, width)


def _moves(counts: Counts, *, same_gold: bool) -> Counts:
    """Return changes of a matrix by one item that is moved to another cell, shape (M, K, K + 1)."""
    k, width = counts.shape
    start, end = (place.ravel() for place in np.indices((k * width, k * width)))
    possible = (start != end) & (counts.ravel()[start] > 0)
    if same_gold:
        possible &= start // width == end // width
    chosen = np.flatnonzero(possible)
    if len(chosen) > _MOVES:
        chosen = np.random.default_rng(0).choice(chosen, _MOVES, replace=False)
    moves = np.zeros((len(chosen), k * width), np.int64)
    moves[np.arange(len(chosen)), start[chosen]] -= 1
    moves[np.arange(len(chosen)), end[chosen]] += 1
    return moves.reshape(-1, k, width)


def _macro_f1(counts: Counts) -> NDArray[np.float64]:
    k = counts.shape[1]
    hits = counts[:, np.arange(k), np.arange(k)]
    sums = np.concatenate([counts.sum(axis=2), counts[:, :, :k].sum(axis=1), hits], axis=1)
    return np.asarray(formulas.macro_f1(sums.astype(np.float64)))
