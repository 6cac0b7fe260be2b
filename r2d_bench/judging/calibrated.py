"""A judge's means after the calibration that its audit has fitted; the raw ones stay beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.judging.calibration import Calibration, apply
from r2d_bench.judging.meaning import SCORE
from r2d_bench.metrics.figures import means

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from r2d_bench.judging.verdict import Verdict
    from r2d_bench.records import Estimate, Json


def calibrated_figures(
    scores: Mapping[str, Json], verdicts: Sequence[Verdict], calibration: Calibration
) -> dict[str, Estimate]:
    """Return the mean of the calibrated criterion, by its metric's name; nothing where no item has a score.

    The lowest score that a rule gives stays what it is: it is a convention, and no judgment that could be too high.
    The interval shows the spread of items and not the uncertainty of the map.

    Args:
        scores: `scores.json` of the judging: clusters and resampling.
        verdicts: of the judging.
        calibration: of this very judge.
    """
    told = {verdict.example_id: verdict for verdict in verdicts if verdict.repeat == 1}
    values, clusters = [], []
    for ident, verdict in told.items():
        score = verdict.scores.get(calibration.criterion)
        if score is not None:
            by_rule = verdict.source == "rule"
            values.append(score if by_rule else float(apply(calibration, np.array(score))))
            clusters.append((scores["clusters"] or {}).get(ident, ident))
    if not values:
        return {}
    how = {key: scores["resampling"][key] for key in ("seed", "resamples")}
    codes = None if scores["clusters"] is None else np.unique(clusters, return_inverse=True)[1].astype(np.int64)
    unscored = scores["asked"] - len(values)
    figure = means(np.array(values)[:, None], codes, unscored=unscored, **how)[0]
    return {SCORE + calibration.criterion: figure}
