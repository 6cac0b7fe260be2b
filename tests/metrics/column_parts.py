"""Columns of labels alone, for metrics of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.metrics.base import Columns
from r2d_bench.records import LabelStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ORDER = ("NOW", "TODAY", "HOME")  # most urgent first
SILENT = "-"  # no answer at all


def columns(
    gold: Sequence[str],
    predicted: Sequence[str | None],
    *,
    labels: Sequence[str] = ORDER,
    groups: Sequence[str] | None = None,
    acceptable: Sequence[Sequence[str]] = (),
    ordinal: bool = False,
    probabilities: Sequence[Mapping[str, float] | None] = (),
) -> Columns:
    """Make columns; None: no valid label, `SILENT`: no answer."""
    n = len(gold)
    said = [None if p == SILENT else p for p in predicted]
    return Columns(
        ids=[str(k) for k in range(n)],
        labels=labels,
        gold=gold,
        predicted=said,
        statuses=[
            None if p == SILENT else LabelStatus.PARSED if p is not None else LabelStatus.OFF_VOCABULARY
            for p in predicted
        ],
        label_texts=said,
        hypotheses=[None] * n,
        references=[()] * n,
        groups=groups,
        input_cut=[False] * n,
        output_cut=[False] * n,
        acceptable=acceptable,
        ordinal=ordinal,
        probabilities=probabilities,
    )
