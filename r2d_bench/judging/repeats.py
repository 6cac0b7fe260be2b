"""The judge's own noise: what it says when it is asked the same again. Only repeats that all have a verdict tell."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.metrics.figures import means, rate
from r2d_bench.records import missing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from r2d_bench.judging.verdict import Verdict
    from r2d_bench.metrics.base import Columns
    from r2d_bench.records import Json

NOTHING = "no example has a verdict each time it was asked about"


def noise(
    repeated: Mapping[str, Sequence[Verdict]], columns: Columns, *, seed: int = 0, resamples: int = 2000
) -> dict[str, Json] | None:
    """Return how much verdicts on the same text differ; None where nothing was asked twice.

    - `flips`: share of scores (one for each example and criterion) that are not the same level each time, with Wilson's
      interval on the effective n, since the scores of one example depend on each other.
    - `spread`: mean over examples of the standard deviation of the judge mean over repeats.

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
    flips, flip_of, spreads, spread_of = [], [], [], []
    for ident, told in whole.items():
        for criterion in told[0].scores:
            levels = [_level(one.scores.get(criterion)) for one in told]
            flips.append(len(set(levels)) > 1)
            flip_of.append(clusters[ident])
        scores = [[score for score in one.scores.values() if score is not None] for one in told]
        if all(scores):
            spreads.append(float(np.std([np.mean(given) for given in scores], ddof=1)))
            spread_of.append(clusters[ident])
    flipped = rate(np.array(flips, dtype=bool), _codes(flip_of), unscored=len(lost), nothing=NOTHING)
    spread = missing(NOTHING, unscored=len(lost))
    if spreads:
        codes = _codes(spread_of)
        drawn = means(np.array(spreads)[:, None], codes, unscored=len(lost), seed=seed, resamples=resamples)
        spread = drawn[0]
    return {
        "examples": len(repeated),
        "times": max(len(told) for told in repeated.values()),
        "unscored": dict(Counter(lost)),
        "flips": flipped.as_json(),
        "spread": spread.as_json(),
    }


def _level(score: float | None) -> int | None:
    """Return a score as a level of the scale: expected values over numbers differ in their last places."""
    return None if score is None else round(score)


def _codes(clusters: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.unique(np.array(clusters, dtype=np.str_), return_inverse=True)[1].astype(np.int64)
