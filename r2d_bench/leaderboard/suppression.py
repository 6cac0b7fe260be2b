"""Figures of a private run without the small cells in them, and without what would give these away.

A *small cell* is a count of one to nine items that share a gold label, an outcome or both: it may point at persons.
Zero is none, and so is ten or more. How many answers are right is said of the model, not of any item: shares of right
labels (`RIGHT`) stand with their n, over ten items or more. Of everything else:

1. A figure over fewer than ten items is withheld, with its n.
2. A share whose count, or the rest to its n, is a small cell is withheld; so is one that differs by a small cell from a
   share of right labels that it contains (`CONTAINS`), and one over all items but for one to nine.
3. Outcomes that add up to all items (`TOGETHER`) are withheld together, or the one would be what the others leave. Only
   the share without a valid label may stay: of errors in direction it leaves two unknown counts.
4. Where the confusion matrix has a small cell, row or column, figures that average over its cells (`FINE`) are
   withheld: a few of them, known exactly, fit a single matrix. Macro-F1 stays in whole per cent and without its
   interval, if each small cell has another value that fits all that is published (`confusion_cells.ambiguous`).
5. A mean over all items but for one to nine gives its n in tens.
6. Every value has the digits that pages show, differences between models too.

Slices: `slice_cells`. What this does not hide: what somebody knows of a model (one that always says the same label
tells by its accuracy how often that is the gold one), and how often exactly one of two models is right, which the
p-value of a pair tells; neither names an item.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from r2d_bench.leaderboard.confusion_cells import PER_CENT, SMALL, ambiguous, is_small, outcomes, small_sums
from r2d_bench.leaderboard.parts import Figure
from r2d_bench.metrics.registry import METRICS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from r2d_bench.comparison.standings import Standings
    from r2d_bench.leaderboard.confusion_cells import Counts
    from r2d_bench.leaderboard.document import ChallengeFigures, Row
    from r2d_bench.tasks.spec import Labels

WITHHELD = f"withheld: fewer than {SMALL} items, or next to such a part"
COARSE = "interval withheld: next to fewer than 10 items"
TENS = "n is given in tens"
IN_TENS = 10

RIGHT = frozenset(
    {"accuracy", "acceptable_accuracy", "paper_accuracy", "pair_accuracy", "edge_acceptable", "insufficient_exact"}
)
CONTAINS = {
    "acceptable_accuracy": "accuracy",
    "paper_accuracy": "accuracy",
    "safe_advice": "accuracy",
    "within_one": "accuracy",
    "pair_moved": "pair_accuracy",
    "insufficient_safe": "insufficient_exact",
}
DIRECTIONS = ("under_triage", "severe_under_triage", "over_triage", "safe_advice", "within_one", "over_inclination")
TOGETHER = (*DIRECTIONS, "unparsed")
FINE = (
    *("weighted_f1", "micro_f1", "balanced_accuracy", "mcc", "paper_macro_f1"),
    *("accuracy_mix", "expected_cost", "expected_cost_mix", "mean_distance", "quadratic_kappa"),
)
_SHARES = ("wilson", "exact")  # how intervals of shares are made, and of nothing else

AnyFigure = TypeVar("AnyFigure", bound=Figure)
NOTHING = Figure(value=None, reason=WITHHELD)


def uncounted(figure: AnyFigure) -> AnyFigure:
    """Cut what warnings say of single classes: "fewer than 10 gold items: maybe (3)" is a small cell."""
    return figure.model_copy(update={"warnings": tuple(text.partition(":")[0] for text in figure.warnings)})


def withheld(figures: Mapping[str, Figure], names: Iterable[str]) -> dict[str, Figure]:
    """Return figures, those named without value and n."""
    hidden = set(names)
    return {name: NOTHING if name in hidden and _told(figure) else figure for name, figure in figures.items()}


def _told(figure: Figure) -> bool:
    """Tell whether a figure says anything: one that is not applicable keeps its reason."""
    return figure.value is not None or figure.n > 0


def shares_with_small_cells(figures: Mapping[str, Figure], answered: int | None = None) -> set[str]:
    """Return the names of figures over fewer than ten items, and of shares that hold a small cell (rules 1 and 2).

    Args:
        figures: by metric.
        answered: items of the split that were answered, to which figures over a part of them leave a rest; None where
            they are not all of one set.
    """
    usual = {answered, figures["accuracy"].n if "accuracy" in figures else None}
    found = set()
    for name, figure in figures.items():
        small = is_small(figure.n)
        if figure.value is not None and figure.method in _SHARES and name not in RIGHT:
            hits = _hits(figure)
            small |= is_small(hits) or is_small(figure.n - hits)
            small |= answered is not None and figure.n not in usual and is_small(answered - figure.n)
        inner = figures.get(CONTAINS.get(name, ""))
        if inner is not None and inner.value is not None and figure.value is not None and inner.n == figure.n:
            small |= is_small(_hits(figure) - _hits(inner))
        if small:
            found.add(name)
    return found


def _hits(figure: Figure) -> int:
    return round((figure.value or 0.0) * figure.n)


def safe_figures(row: Row, label: Labels) -> dict[str, Figure]:
    """Return the figures of a run that may be published.

    Args:
        row: the row with everything.
        label: the task's labels.
    """
    figures, answered = row.metrics, row.answered
    hidden = shares_with_small_cells(figures, answered)
    if hidden & set(TOGETHER):
        # Micro-F1 and accuracy are functions of two counts: right, and without a valid label.
        hidden |= {*DIRECTIONS, "micro_f1"}
    if has_small_cells(row):
        hidden |= set(FINE)
        figures = figures | {"macro_f1": _coarse(figures["macro_f1"])}
        hidden |= _telling(matrix_of(row), figures["macro_f1"].value, hidden, label)
    usual = {answered, figures["accuracy"].n}
    kept = withheld(figures, hidden)
    return {name: in_tens(shown_digits(name, figure), answered, usual) for name, figure in kept.items()}


def _telling(matrix: Counts, macro_f1: float | None, hidden: Collection[str], label: Labels) -> set[str]:
    """Return what has to go as well until every small cell of the matrix has another value that fits the rest."""
    critical = [place for place, value in enumerate(label.values) if value in label.critical]
    masks = outcomes(len(matrix), ordinal=label.space == "ordinal", critical=critical)

    def tells(gone: Collection[str], macro_f1: float | None) -> bool:
        known = [mask for name, mask in masks.items() if name.partition(" ")[0] not in {*hidden, *gone}]
        return not ambiguous(matrix, known, macro_f1=macro_f1)

    gone: set[str] = set()
    for more in ((), ("macro_f1",), ("critical_miss",), TOGETHER):
        gone |= set(more)
        if not tells(gone, None if gone else macro_f1):
            break
    return gone


def matrix_of(row: Row) -> Counts:
    """Return the confusion matrix of a row that has one, shape (K, K + 1)."""
    return np.array((row.confusion or {})["counts"], dtype=np.int64)


def has_small_cells(row: Row) -> bool:
    """Tell whether a row has a confusion matrix with a small cell, row or column."""
    return bool(row.confusion) and bool(small_sums(matrix_of(row)))


def in_tens(figure: AnyFigure, whole: int, usual: Iterable[int]) -> AnyFigure:
    """Return a figure whose n does not tell that it leaves out one to nine items (rule 5)."""
    if figure.n in set(usual) or not is_small(whole - figure.n):
        return figure
    return figure.model_copy(
        update={"n": figure.n - figure.n % IN_TENS, "unscored": 0, "warnings": (*figure.warnings, TENS)}
    )


def shown_digits(metric: str, figure: AnyFigure) -> AnyFigure:
    """Return a figure with the digits that pages show."""
    known = METRICS.get(metric)
    digits = 3 if known is None else known.decimals + (2 if known.percent else 0)
    return rounded(figure, digits)


def rounded(figure: AnyFigure, digits: int) -> AnyFigure:
    """Return a figure, and the ends of its interval, with so many digits behind the point."""
    ends = {
        key: None if (end := getattr(figure, key)) is None else round(end, digits) for key in ("value", "low", "high")
    }
    return figure.model_copy(update=ends)


def _coarse(figure: Figure) -> Figure:
    if figure.value is None:
        return figure
    bare = {"low": None, "high": None, "method": None, "reason": COARSE, "warnings": ()}
    return rounded(figure.model_copy(update=bare), PER_CENT)


def safe_challenges(sets: Mapping[str, ChallengeFigures]) -> dict[str, ChallengeFigures]:
    """Return challenge sets without small cells.

    What is withheld in one set is withheld in all sets of its kind, whose sum stands among the run's figures.
    """
    hidden = {(one.kind, name) for one in sets.values() for name in shares_with_small_cells(one.metrics)}
    few = {one.kind for one in sets.values() if is_small(one.n or 0)}
    return {key: _safe_set(one, {name for kind, name in hidden if kind == one.kind}, few) for key, one in sets.items()}


def _safe_set(one: ChallengeFigures, hidden: Collection[str], few: Collection[str]) -> ChallengeFigures:
    kept = withheld(one.metrics, hidden)
    sizes = {"n": None, "answered": None} if one.kind in few else {}
    metrics = {name: uncounted(shown_digits(name, figure)) for name, figure in kept.items()}
    return one.model_copy(update={"metrics": metrics, **sizes})


def safe_standings(metric: str, found: Standings, rows: Iterable[Row]) -> Standings:
    """Return standings whose differences have the digits that pages show, as few as those of the figures (rule 6).

    Args:
        metric: what is compared.
        found: the standings.
        rows: the rows as they are published.
    """
    known = METRICS[metric]
    is_coarse = any(row.metrics[metric].reason == COARSE for row in rows)
    digits = PER_CENT if is_coarse else known.decimals + (2 if known.percent else 0)

    def cut(value: float | None) -> float | None:
        return None if value is None else round(value, digits)

    board = found.contest.board
    pairs = tuple(
        replace(
            pair,
            difference=cut(pair.difference),
            interval=replace(pair.interval, low=cut(pair.interval.low), high=cut(pair.interval.high)),
        )
        for pair in board.pairs
    )
    return replace(found, contest=replace(found.contest, board=replace(board, pairs=pairs)))
