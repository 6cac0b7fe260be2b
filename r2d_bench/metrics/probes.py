"""Whether label and rationale hang together, by the model's own further answers (Reason2Decide-C).

P1 is the model's label, P2 its label from its own rationale alone, Pg its label from the gold rationale alone:
consistency = acc(P1, P2), sufficiency = acc(gold, P2), gold robustness = acc(gold, Pg). Two answers without a valid
label do not agree. The masked variants read rationales without the words of the labels: a rationale that says "label:
X" leaks X, whatever its reasons are worth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.metrics.base import About, Family, Metric
from r2d_bench.metrics.figures import cluster_codes, rate
from r2d_bench.records import Estimate, missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from r2d_bench.metrics.base import Columns

FROM_RATIONALE = "label_from_rationale"
FROM_GOLD = "label_from_gold_rationale"
MASKED = "_masked"  # ends the name of a probe, and of its figures, whose texts have no label words
FOR_WRONG_LABEL = "rationale_for_wrong_label"  # gives a rationale; read by `reader`
OF_GOLD = frozenset({"gold_robustness", "gold_robustness_masked"})  # figures of the gold rationales that probes showed


def _metric(name: str, title: str, text: str) -> Metric:
    return Metric(name, title, About.JOINT, percent=True, decimals=1, help=text)


METRICS: tuple[Metric, ...] = (
    _metric("consistency", "Consistency", "Share of items whose label from the rationale alone is the predicted one."),
    _metric("sufficiency", "Sufficiency", "Share of items whose label from the rationale alone is the gold one."),
    _metric(
        "gold_robustness", "Gold robustness", "Share of items whose label from the gold rationale is the gold one."
    ),
    _metric(
        "consistency_masked", "Consistency, masked", "Consistency where label words are masked in the rationale first."
    ),
    _metric(
        "sufficiency_masked", "Sufficiency, masked", "Sufficiency where label words are masked in the rationale first."
    ),
    _metric(
        "gold_robustness_masked",
        "Gold robustness, masked",
        "Gold robustness where label words are masked in the gold rationale first.",
    ),
)


def compute(columns: Columns, *, level: float = 0.95) -> Family:
    """Compute the shares with Wilson intervals (on the effective n where items are dependent).

    Items that a probe was not asked for, or that have no gold label, are unscored.
    """
    estimates: dict[str, Estimate] = {}
    for ending in ("", MASKED):
        own, gold = FROM_RATIONALE + ending, FROM_GOLD + ending
        estimates["consistency" + ending] = _agreement(columns, own, columns.predicted, level)
        estimates["sufficiency" + ending] = _agreement(columns, own, columns.gold, level)
        estimates["gold_robustness" + ending] = _agreement(columns, gold, columns.gold, level)
    return Family(estimates)


def _agreement(columns: Columns, probe: str, wanted: Sequence[str | None], level: float) -> Estimate:
    if columns.no_label is not None:
        return missing(columns.no_label, unscored=len(columns))
    answers = columns.probes.get(probe)
    if answers is None:
        return missing(f"not asked: run it with --probes {probe}", unscored=len(columns))
    scored = np.array([a is not None and gold is not None for a, gold in zip(answers, columns.gold, strict=True)])
    agrees = [a is not None and a[0] is not None and a[0] == want for a, want in zip(answers, wanted, strict=True)]
    codes = cluster_codes(columns, scored)
    hits = np.array(agrees)[scored]
    return rate(hits, codes, unscored=int((~scored).sum()), level=level, nothing="no item was asked")
