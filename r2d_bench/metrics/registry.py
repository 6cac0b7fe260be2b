"""All metrics by name, in the order in which they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.metrics import (
    bertscore,
    calibration,
    call_mix,
    challenges,
    grounding,
    joint,
    labels,
    leak,
    overlap,
    paper,
    probes,
    reader,
    triage,
)

if TYPE_CHECKING:
    from r2d_bench.metrics.base import Metric

FAMILIES = (
    *(labels, triage, call_mix, calibration),
    *(bertscore, overlap),
    *(joint, probes, reader, leak, grounding),
    *(challenges, paper),
)
METRICS: dict[str, Metric] = {metric.name: metric for family in FAMILIES for metric in family.METRICS}


def lookup(name: str) -> Metric:
    """Return the metric called `name`.

    Raises:
        UserError: there is none; the nearest known name is suggested.
    """
    if name not in METRICS:
        raise UserError(f"metric '{name}': unknown{did_you_mean(name, METRICS)}")
    return METRICS[name]
