"""Predictions and verdicts made by hand, for figures of judges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.judging.rubric import load_rubric
from r2d_bench.judging.score import Judged
from r2d_bench.judging.verdict import Verdict
from r2d_bench.metrics.base import Columns
from r2d_bench.records import LabelStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from r2d_bench.judging.setup import Method

RUBRIC = load_rubric("clinical_rationale").spec
CRITERIA = tuple(criterion.name for criterion in RUBRIC.criteria)


def columns(right: Sequence[bool], groups: Sequence[str] | None = None) -> Columns:
    """Return predictions of yes where the gold label is yes, right or wrong."""
    n = len(right)
    return Columns(
        ids=[f"e{k}" for k in range(n)],
        labels=["yes", "no"],
        gold=["yes"] * n,
        predicted=["yes" if hit else "no" for hit in right],
        statuses=[LabelStatus.PARSED] * n,
        label_texts=["yes" if hit else "no" for hit in right],
        hypotheses=["so it is"] * n,
        references=[["so it is"]] * n,
        groups=groups,
        input_cut=[False] * n,
        output_cut=[False] * n,
    )


def verdict(k: int, score: float | Sequence[float | None] | None = 4, *raised: str, repeat: int = 1) -> Verdict:
    """Return a verdict with one score for all criteria, or one for each, and some flags."""
    scores = [score] * len(CRITERIA) if score is None or isinstance(score, int | float) else list(score)
    flags = {flag.name: flag.name in raised for flag in RUBRIC.flags}
    return Verdict(f"e{k}", dict(zip(CRITERIA, scores, strict=True)), flags, "It follows.", repeat=repeat)


def lost(k: int, reason: str) -> Verdict:
    return Verdict(f"e{k}", unscored=reason)


def judged(
    verdicts: Sequence[Verdict],
    right: Sequence[bool] | None = None,
    groups: Sequence[str] | None = None,
    method: Method = "reply",
) -> Judged:
    """Return verdicts beside predictions, all of them right unless said."""
    return Judged(RUBRIC, method, "a judge", columns(right or [True] * len(verdicts), groups), verdicts)
