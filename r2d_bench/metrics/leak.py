"""What a rationale gives away, repeats, or leaves out: whether it is one at all.

A label can be read back from any rationale that names it, whatever else it says; one text that is written for many
cases explains none of them; and a model that keeps silent on hard cases must not gain by it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.metrics.base import About, Direction, Family, Metric
from r2d_bench.metrics.figures import cluster_codes, rate, spread
from r2d_bench.records import missing

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from r2d_bench.metrics.base import Columns
    from r2d_bench.records import Estimate


def _metric(name: str, title: str, about: About, text: str, direction: Direction = Direction.LOWER) -> Metric:
    return Metric(name, title, about, direction, percent=True, decimals=1, help=text)


METRICS: tuple[Metric, ...] = (
    _metric(
        "coverage",
        "Answered",
        About.LABEL,
        "Share of the asked items that have an answer; all other figures leave out the rest.",
        Direction.HIGHER,
    ),
    _metric("states_label", "States its label", About.JOINT, "Share of rationales that name the predicted label."),
    _metric("states_gold", "States the gold label", About.JOINT, "Share of rationales that name the gold label."),
    _metric("empty_rationale", "Empty rationale", About.RATIONALE, "Share of answers without any rationale text."),
    _metric(
        "repeated_rationale",
        "Repeated rationale",
        About.RATIONALE,
        "Share of rationales that are also written, word for word, for another item.",
    ),
)


def compute(columns: Columns, stated: Sequence[Collection[str]], *, level: float = 0.95) -> Family:
    """Compute the shares with Wilson intervals (on the effective n where items are dependent).

    `states_label` is over written rationales whose item has a valid label, `states_gold` over those with a gold label,
    `empty_rationale` over answers, `repeated_rationale` over written rationales (case, spaces and punctuation aside).

    Args:
        columns: predictions beside their golds.
        stated: the labels that each rationale names, shape (N,).
        level: coverage of the intervals.

    Raises:
        UserError: a group id is missing.
    """
    texts = [_plain(text) for text in columns.hypotheses]
    answered, written = _flags(text is not None for text in texts), _flags(map(bool, texts))
    labelled = _flags(label is not None for label in columns.predicted)
    golden = _flags(label is not None for label in columns.gold)
    counts = Counter(text for text in texts if text)
    repeated = _flags(counts[text or ""] > 1 for text in texts)
    states = _flags(label in found for label, found in zip(columns.predicted, stated, strict=True))
    states_gold = _flags(label in found for label, found in zip(columns.gold, stated, strict=True))
    anything = answered | _flags(status is not None for status in columns.statuses)

    def share(flags: NDArray[np.bool_], who: NDArray[np.bool_], reason: str | None, nothing: str) -> Estimate:
        if reason is not None:
            return missing(reason, unscored=len(columns))
        codes = cluster_codes(columns, who)
        return rate(flags[who], codes, unscored=int((~who).sum()), level=level, nothing=nothing)

    no_rationale, none = columns.no_rationale, "no rationale was written"
    estimates = {
        "coverage": share(anything, np.ones(len(columns), dtype=bool), None, "nothing was asked"),
        "states_label": share(states, written & labelled, columns.no_label or no_rationale, none),
        "states_gold": share(states_gold, written & golden, no_rationale, none),
        "empty_rationale": share(~written, answered, no_rationale, "no item was answered"),
        "repeated_rationale": share(repeated, written, no_rationale, none),
    }
    values = {"states_label": spread(states[written].astype(np.float64), written)}
    table = {"written": int(written.sum()), "distinct": len(counts), "commonest": max(counts.values(), default=0)}
    return Family(estimates, values, extra={"distinct_rationales": table})


def _flags(values: object) -> NDArray[np.bool_]:
    return np.fromiter(values, dtype=bool)  # type: ignore[call-overload,no-any-return]


def _plain(text: str | None) -> str | None:
    """Return a text's words; None stays None, a text without words becomes empty."""
    if text is None:
        return None
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())
