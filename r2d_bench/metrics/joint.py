"""Label and rationale judged together: is the label right, and is the rationale adequate?

|             | adequate           | inadequate           |
|-------------|--------------------|----------------------|
| right label | `right_for_right`  | `right_wrong_reason` |
| wrong label | `wrong_convincing` | `wrong_wrong`        |

Whoever says what is adequate (a judge, or an overlap with the gold rationale) is named with the figures; one never
stands in for the other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.metrics.base import About, Direction, Family, Metric
from r2d_bench.metrics.classes import right_labels, scored_rows
from r2d_bench.metrics.figures import all_missing, cluster_codes, rate, scorable_texts, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from r2d_bench.metrics.base import Columns

# ROUGE-L F1 against the best gold rationale. On the bundled triage set 98 % of the rationales of a case in another
# style reach it, at most 0.4 % of those of a case of another family with the same label, and about one in six of those
# of another case of the same complaint (which often share findings).
THRESHOLD = 0.30
_WORD = re.compile(r"\w+")


def _metric(name: str, title: str, direction: Direction, text: str) -> Metric:
    return Metric(name, title, About.JOINT, direction, percent=True, decimals=1, help=text)


METRICS: tuple[Metric, ...] = (
    _metric(
        "right_for_right",
        "Right for the right reason",
        Direction.HIGHER,
        "Share of items with the right label and an adequate rationale.",
    ),
    _metric(
        "right_wrong_reason",
        "Right for the wrong reason",
        Direction.LOWER,
        "Share of items with the right label and an inadequate rationale.",
    ),
    _metric(
        "wrong_convincing",
        "Wrong but convincing",
        Direction.LOWER,
        "Share of items with a wrong label and an adequate rationale.",
    ),
    _metric(
        "wrong_wrong",
        "Wrong both ways",
        Direction.NONE,
        "Share of items with a wrong label and an inadequate rationale.",
    ),
)


def compute(columns: Columns, adequate: Sequence[bool | None], source: str, *, level: float = 0.95) -> Family:
    """Compute the four cells with Wilson intervals (on the effective n where items are dependent).

    An answer without a valid label is wrong. Items without an answer, without a gold label, or of which nobody said
    whether the rationale is adequate, are unscored.

    Args:
        columns: predictions beside their golds.
        adequate: whether each rationale is adequate; None where nobody said, shape (N,).
        source: who said so, in words (`overlap: rouge_l >= 0.30`, `judge: NAME`); the figures' signature.
        level: coverage of the intervals.

    Raises:
        UserError: a group id is missing.
    """
    names = [metric.name for metric in METRICS]
    labelled = scored_rows(columns)
    known = labelled & np.array([flag is not None for flag in adequate], dtype=bool)
    if reason := _nothing(columns, labelled, known):
        return Family(all_missing(names, reason, unscored=len(columns)), extra={"joint": {"source": source}})
    right = right_labels(columns)
    good = np.array([flag is True for flag in adequate], dtype=bool)
    cells = dict(zip(names, (right & good, right & ~good, ~right & good, ~right & ~good), strict=True))
    codes = cluster_codes(columns, known)
    unscored = len(columns) - int(known.sum())
    counts = {name: int(cell[known].sum()) for name, cell in cells.items()}
    return Family(
        {name: rate(cell[known], codes, unscored=unscored, level=level) for name, cell in cells.items()},
        {"adequate": spread(good[known].astype(np.float64), known)},
        dict.fromkeys(names, source),
        {"joint": {"source": source, "counts": counts}},
    )


def _nothing(columns: Columns, labelled: NDArray[np.bool_], known: NDArray[np.bool_]) -> str | None:
    """Return why there is nothing to score, if so."""
    if columns.no_label or columns.no_rationale:
        return columns.no_label or columns.no_rationale
    if not labelled.any():
        return "no item has both an answer and a gold label"
    return None if known.any() else "of no item it is known whether the rationale is adequate"


def by_threshold(values: NDArray[np.float64], threshold: float) -> list[bool | None]:
    """Return which rationales are adequate: those whose overlap reaches the threshold (NaN: nobody can say)."""
    return [None if np.isnan(value) else bool(value >= threshold) for value in values]


def rouge_l_values(columns: Columns) -> NDArray[np.float64]:
    """Return ROUGE-L F1 of each rationale against the best of its gold rationales; NaN where either lacks, shape (N,).

    An empty rationale is a text and gets 0.
    """
    scored, hypotheses, references, _ = scorable_texts(columns)
    values = [max(rouge_l(said, gold) for gold in golds) for said, golds in zip(hypotheses, references, strict=True)]
    return spread(np.array(values, dtype=np.float64), scored)


def rouge_l(hypothesis: str, reference: str) -> float:
    """Return the F1 of ROUGE-L (Lin 2004) over lower-cased words, without stemming.

    The longest common subsequence is counted in the bits of whole numbers (Hyyrö 2004), one step a word.
    """
    said, gold = _WORD.findall(hypothesis.casefold()), _WORD.findall(reference.casefold())
    if not said or not gold:
        return 0.0
    places: dict[str, int] = {}
    for place, word in enumerate(gold):
        places[word] = places.get(word, 0) | 1 << place
    full = (1 << len(gold)) - 1
    row = full
    for word in said:
        matched = row & places.get(word, 0)
        row = (row + matched | row - matched) & full
    common = len(gold) - row.bit_count()
    return 2 * common / (len(said) + len(gold))
