"""Figures of challenge sets: minimal pairs, invariance, edge cases, insufficient notes. None enters a headline figure.

A row without an answer (for pairs: where either member has none) is unscored and counted. An answer without a valid
label is wrong: it is not right, not moved, not acceptable, not safe. Of an invariance pair it counts as changed, also
where neither answer has a valid label: two answers without a label do not agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.metrics.base import About, Direction, Family, Metric
from r2d_bench.metrics.figures import rate, spread
from r2d_bench.records import ChallengeKind, Estimate, missing

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from r2d_bench.metrics.figures import Codes
    from r2d_bench.records import Json
    from r2d_bench.statistics.bootstrap import Floats


@dataclass(frozen=True, slots=True)
class Said:
    """Gold and predicted label of one example; `answered` is False where there is no answer at all."""

    id: str
    gold: str | None
    predicted: str | None
    answered: bool


@dataclass(frozen=True, slots=True)
class ChallengeRow:
    """One row of a challenge set.

    Attributes:
        said: what was said of it.
        acceptable: labels that also count as right.
        group: cluster of dependent items; None where the task declares none.
        base: what was said of the example that it is a twin of; None where there is none, or where it was not asked.
    """

    said: Said
    acceptable: tuple[str, ...] = ()
    group: str | None = None
    base: Said | None = None


@dataclass(frozen=True, slots=True)
class ChallengeSet:
    """A challenge set that was asked."""

    name: str
    title: str
    kind: ChallengeKind
    rows: Sequence[ChallengeRow]


Order = dict[str, int]  # label → place, most urgent first; empty where the labels have no order
Judge = Callable[[ChallengeRow, Order], bool]


def _right(said: Said) -> bool:
    return said.predicted is not None and said.predicted == said.gold


def _both_right(row: ChallengeRow, order: Order) -> bool:  # noqa: ARG001
    return row.base is not None and _right(row.said) and _right(row.base)


def _moved(row: ChallengeRow, order: Order) -> bool:
    """Tell whether the predicted label moved from the base to the twin in the direction of the gold one."""
    if row.base is None or row.base.predicted is None or row.said.predicted is None:
        return False
    gold = order[str(row.said.gold)] - order[str(row.base.gold)]
    return (order[row.said.predicted] - order[row.base.predicted]) * gold > 0


def _flipped(row: ChallengeRow, order: Order) -> bool:  # noqa: ARG001
    return row.base is None or row.said.predicted is None or row.said.predicted != row.base.predicted


def _acceptable(row: ChallengeRow, order: Order) -> bool:  # noqa: ARG001
    return row.said.predicted in (row.said.gold, *row.acceptable)


def _safe(row: ChallengeRow, order: Order) -> bool:
    return row.said.predicted is not None and order[row.said.predicted] <= order[str(row.said.gold)]


def _exact(row: ChallengeRow, order: Order) -> bool:  # noqa: ARG001
    return _right(row.said)


@dataclass(frozen=True, slots=True)
class _Figure:
    """One figure of a kind of set; `ordinal`: only labels with an order have it."""

    metric: Metric
    kind: ChallengeKind
    judge: Judge
    ordinal: bool = False


def _metric(name: str, title: str, text: str, direction: Direction = Direction.HIGHER) -> Metric:
    return Metric(name, title, About.CHALLENGE, direction, percent=True, decimals=1, help=text)


FIGURES: tuple[_Figure, ...] = (
    _Figure(
        _metric("pair_accuracy", "Minimal pairs right", "Share of minimal pairs with both members right."),
        ChallengeKind.MINIMAL_PAIR,
        _both_right,
    ),
    _Figure(
        _metric(
            "pair_moved",
            "Minimal pairs moved",
            "Share of minimal pairs whose predicted label moved in the right direction, however far.",
        ),
        ChallengeKind.MINIMAL_PAIR,
        _moved,
        ordinal=True,
    ),
    _Figure(
        _metric(
            "invariance_flips",
            "Invariance flips",
            "Share of pairs that differ in nothing that matters whose predicted label changed all the same.",
            Direction.LOWER,
        ),
        ChallengeKind.INVARIANCE,
        _flipped,
    ),
    _Figure(
        _metric("edge_acceptable", "Edge cases acceptable", "Share of edge cases with an acceptable label."),
        ChallengeKind.EDGE,
        _acceptable,
    ),
    _Figure(
        _metric(
            "insufficient_safe",
            "Insufficient notes safe",
            "Share of notes that lack what would decide them with the gold label or a more urgent one.",
        ),
        ChallengeKind.INSUFFICIENT,
        _safe,
        ordinal=True,
    ),
    _Figure(
        _metric(
            "insufficient_exact",
            "Insufficient notes right",
            "Share of notes that lack what would decide them with the gold label.",
        ),
        ChallengeKind.INSUFFICIENT,
        _exact,
    ),
)
METRICS: tuple[Metric, ...] = tuple(figure.metric for figure in FIGURES)
NOT_ASKED = "not asked: run it with --challenges"


def compute(
    sets: Sequence[ChallengeSet],
    *,
    declared: Collection[ChallengeKind],
    order: Sequence[str] = (),
    no_label: str | None = None,
    level: float = 0.95,
) -> Family:
    """Compute the figures of every kind of set, over all sets of the kind and for each set.

    Shares have Wilson intervals, on the effective n where rows are dependent: by group, else by base where several
    rows share one.

    Args:
        sets: the sets that were asked.
        declared: the kinds of all sets that the task declares.
        order: the labels, most urgent first; empty where they have no order.
        no_label: why the run has no labels at all, else None.
        level: coverage of the intervals.

    Returns:
        A family whose values per example run over the rows of all sets in order; `extra["challenges"]` holds
        set → `title`, `kind`, `n`, `answered` and its own `metrics`.
    """
    places = {label: place for place, label in enumerate(order)}
    estimates: dict[str, Estimate] = {}
    values: dict[str, Floats] = {}
    own: dict[str, dict[str, Json]] = {one.name: {} for one in sets}
    for figure in FIGURES:
        name = figure.metric.name
        mine = [one for one in sets if one.kind is figure.kind]
        reason = _reason(
            figure, asked=bool(mine), declared=figure.kind in declared, no_label=no_label, ordered=bool(order)
        )
        estimates[name] = _share(figure, [row for one in mine for row in one.rows], places, reason, level)
        for one in mine:
            own[one.name][name] = _share(figure, one.rows, places, reason, level).as_json()
        if reason is None:
            values[name] = np.concatenate([_values(figure, one, places) for one in sets])
    table = {
        one.name: {
            "title": one.title or one.name,
            "kind": str(one.kind),
            "n": len(one.rows),
            "answered": sum(row.said.answered for row in one.rows),
            "metrics": own[one.name],
        }
        for one in sets
    }
    return Family(estimates, values, extra={"challenges": table})


def _reason(figure: _Figure, *, asked: bool, declared: bool, no_label: str | None, ordered: bool) -> str | None:
    """Return why a figure cannot be had; None where it can."""
    if not declared:
        return f"the task declares no challenge set of kind {figure.kind}"
    if figure.ordinal and not ordered:
        return "n/a: the labels have no order"
    return no_label or (None if asked else NOT_ASKED)


def _scored(kind: ChallengeKind, row: ChallengeRow) -> bool:
    """Tell whether a row has the answers that a figure needs."""
    return row.said.answered and (not kind.paired or (row.base is not None and row.base.answered))


def _share(figure: _Figure, rows: Sequence[ChallengeRow], order: Order, reason: str | None, level: float) -> Estimate:
    """Return the figure over rows, or the reason why there is none.

    A pair whose base was not asked takes no part, and a warning says so.
    """
    if reason is not None:
        return missing(reason, unscored=len(rows))
    paired = figure.kind.paired
    asked = [row for row in rows if row.base is not None] if paired else list(rows)
    scored = [row for row in asked if _scored(figure.kind, row)]
    hits = np.array([figure.judge(row, order) for row in scored], dtype=bool)
    nothing = "no pair was asked whole" if paired and not asked else "no item was answered"
    found = rate(hits, _codes(scored), unscored=len(asked) - len(scored), level=level, nothing=nothing)
    if left := len(rows) - len(asked):
        found = replace(found, warnings=(*found.warnings, f"pairs left out, their base was not asked: {left}"))
    return found


def _codes(rows: Sequence[ChallengeRow]) -> Codes | None:
    """Return the cluster of each row: its group, else its base where several rows share one; None: independent."""
    names = [row.group for row in rows]
    if not all(names):
        names = [row.base.id if row.base is not None else None for row in rows]
        if not all(names) or len(set(names)) == len(names):
            return None
    return np.unique(np.array(names, dtype=str), return_inverse=True)[1] if names else None


def _values(figure: _Figure, one: ChallengeSet, order: Order) -> Floats:
    """Return 1 or 0 for each row of a set, NaN where it takes no part."""
    if one.kind is not figure.kind:
        return np.full(len(one.rows), np.nan)
    scored = np.array([_scored(one.kind, row) for row in one.rows], dtype=bool)
    hits = [float(figure.judge(row, order)) for row in one.rows if _scored(one.kind, row)]
    return spread(np.array(hits), scored)
