"""The judge's own noise: what it says when it is asked the same again. Only repeats that all have a verdict tell."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.metrics.figures import cluster_warnings, figure, means, rate
from r2d_bench.records import missing
from r2d_bench.statistics.two_level import items_and_repeats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from r2d_bench.judging.verdict import Verdict
    from r2d_bench.metrics.base import Columns
    from r2d_bench.metrics.figures import Codes
    from r2d_bench.records import Estimate, Json

NOTHING = "no example has a verdict each time it was asked about"


def noise(
    repeated: Mapping[str, Sequence[Verdict]], columns: Columns, *, seed: int = 0, resamples: int = 2000
) -> dict[str, Json] | None:
    """Return how much verdicts on the same text differ; None where nothing was asked twice.

    - `flips`: share of scores (one for each example and criterion) that are not the same level each time, with Wilson's
      interval on the effective n, since the scores of one example depend on each other.
    - `spread`: mean over examples of the standard deviation of the judge mean over repeats.
    - `mean`: the judge mean of these examples over all repeats, its interval from drawing examples and repeats.

    Args:
        repeated: example → its verdicts.
        columns: predictions, which tell the clusters.
        seed: of the bootstrap.
        resamples: number of resamples.
    """
    if not repeated:
        return None
    whole = {ident: told for ident, told in repeated.items() if all(one.unscored is None for one in told)}
    lost = [next(one.unscored for one in told if one.unscored) for i, told in repeated.items() if i not in whole]
    clusters = dict(zip(columns.ids, columns.groups or columns.ids, strict=True))
    flips, flip_of, rows, row_of = [], [], [], []
    for ident, told in whole.items():
        for criterion in told[0].scores:
            levels = [_level(one.scores.get(criterion)) for one in told]
            flips.append(len(set(levels)) > 1)
            flip_of.append(clusters[ident])
        scores = [[score for score in one.scores.values() if score is not None] for one in told]
        if all(scores):
            rows.append([float(np.mean(given)) for given in scores])
            row_of.append(clusters[ident])
    flipped = rate(np.array(flips, dtype=bool), _codes(flip_of), unscored=len(lost), nothing=NOTHING)
    spread = mean = missing(NOTHING, unscored=len(lost))
    if rows:
        codes = _codes(row_of)
        spreads = np.array([[np.std(row, ddof=1)] for row in rows])
        spread = means(spreads, codes, unscored=len(lost), seed=seed, resamples=resamples)[0]
        mean = _mean(rows, codes, len(lost), seed, resamples)
    return {
        "examples": len(repeated),
        "times": max(len(told) for told in repeated.values()),
        "unscored": dict(Counter(lost)),
        "flips": flipped.as_json(),
        "spread": spread.as_json(),
        "mean": mean.as_json(),
    }


def _mean(rows: Sequence[Sequence[float]], codes: Codes, unscored: int, seed: int, resamples: int) -> Estimate:
    """Return the mean over examples of each one's mean over repeats; the number of repeats may differ."""
    values = np.full((len(rows), max(map(len, rows))), np.nan)
    for place, row in enumerate(rows):
        values[place, : len(row)] = row
    interval = items_and_repeats(values, codes, seed=seed, resamples=resamples)
    point = float(np.nanmean(values, axis=1).mean())
    return figure(point, interval, n=len(rows), unscored=unscored, warnings=cluster_warnings(codes))


def _level(score: float | None) -> int | None:
    """Return a score as a level of the scale: expected values over numbers differ in their last places."""
    return None if score is None else round(score)


def _codes(clusters: Sequence[str]) -> Codes:
    return np.unique(np.array(clusters, dtype=np.str_), return_inverse=True)[1].astype(np.int64)
