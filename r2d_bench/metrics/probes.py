"""Whether label and rationale hang together, by the model's own further answers (Reason2Decide-C).

P1 is the model's label, P2 its label from its own rationale alone, Pg its label from the gold rationale alone:
consistency = acc(P1, P2), sufficiency = acc(gold, P2), gold robustness = acc(gold, Pg). Two answers without a valid
label do not agree.
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
GOLD_ROBUSTNESS = "gold_robustness"
WITHOUT_GOLD = frozenset({"consistency", "sufficiency"})  # no gold rationale takes part in these
FROM_GOLD = "label_from_gold_rationale"


def _metric(name: str, title: str, text: str) -> Metric:
    return Metric(name, title, About.RATIONALE, percent=True, decimals=1, help=text)


METRICS: tuple[Metric, ...] = (
    _metric("consistency", "Consistency", "Share of items whose label from the rationale alone is the predicted one."),
    _metric("sufficiency", "Sufficiency", "Share of items whose label from the rationale alone is the gold one."),
    _metric(GOLD_ROBUSTNESS, "Gold robustness", "Share of items whose label from the gold rationale is the gold one."),
)


def compute(columns: Columns, *, level: float = 0.95) -> Family:
    """Compute the three shares with Wilson intervals (on the effective n where items are dependent).

    Items that a probe was not asked for, or that have no gold label, are unscored.
    """
    return Family(
        {
            "consistency": _agreement(columns, FROM_RATIONALE, columns.predicted, level),
            "sufficiency": _agreement(columns, FROM_RATIONALE, columns.gold, level),
            GOLD_ROBUSTNESS: _agreement(columns, FROM_GOLD, columns.gold, level),
        }
    )


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
