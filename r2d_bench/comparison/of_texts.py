"""Overlap of rationales in a comparison: match counts of each sentence, from the texts in the run folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.comparison.measure import OTHER_FIGURE, Measure, NotComparable
from r2d_bench.errors import UserError
from r2d_bench.metrics import overlap
from r2d_bench.metrics.registry import METRICS
from r2d_bench.statistics.boards import PairTest

if TYPE_CHECKING:
    from r2d_bench.comparison.loaded import Items, TaskData
    from r2d_bench.statistics.bootstrap import Statistic

NAMES = ("bleu", "chrf")


def overlap_measure(name: str, items: Items, data: TaskData) -> Measure:
    """Return corpus BLEU or chrF; the match counts of each sentence are counted again from the texts.

    Raises:
        NotComparable: the gold rationales are not at hand.
    """
    from sacrebleu.metrics import BLEU, CHRF  # noqa: PLC0415 - slow to import

    references = _references(name, items, data)
    metric = BLEU(tokenize="13a") if name == "bleu" else CHRF()
    stats = []
    for run in range(len(items.runs)):
        said = items.texts(run, "rationale")
        rows = [
            n
            for n, (text, golds) in enumerate(zip(said, references, strict=True))
            if text is not None and golds and items.main[n]
        ]
        if not rows:
            raise NotComparable(f"{items.runs[run].name}: {OTHER_FIGURE}")
        found = overlap.sentence_statistics(metric, [said[n] for n in rows], [references[n] for n in rows])
        table = np.full((len(items.keys), found.shape[1]), np.nan)
        table[rows] = found
        stats.append(table)
    statistic: Statistic = overlap.bleu if name == "bleu" else overlap.chrf
    return Measure(METRICS[name], None, PairTest.RANDOMISATION, statistic, np.stack(stats))


def _references(name: str, items: Items, data: TaskData) -> list[list[str]]:
    """Return the gold rationales of each item.

    The tables of public tasks hold them; several of one item stand there in one text and cannot be told apart.

    Raises:
        NotComparable: they are not at hand.
    """
    first = items.runs[0]
    single = "nrefs:1" in (first.scores["signatures"].get(name) or "")
    if single and all("reference" in run.columns for run in items.runs):
        texts: list[str | None] = [None] * len(items.keys)
        for run in range(len(items.runs)):
            texts = [mine or other for mine, other in zip(texts, items.texts(run, "reference"), strict=True)]
        return [[text] if text and text.strip() else [] for text in texts]
    try:
        examples = data.examples(first.scores["rationale_style"])
    except UserError:
        raise NotComparable("needs the gold rationales: give the task's data with --data") from None
    golds = [examples[key].references if key in examples else () for key in items.keys]
    return [[text for text in texts if text.strip()] for texts in golds]
