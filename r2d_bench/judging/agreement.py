"""How far a judge agrees with people, item by item, beside how far people agree with each other.

- `kappa`: quadratic kappa of the judge, in the levels that people could choose, with what most of them said.
- `kappa_raters`: the mean of its kappas with each single rater: the figure to hold against `ceiling`, since a majority
  is less noisy than any one of its raters.
- `spearman`: rank correlation of its scores, as they are, with the consensus.
- `alpha`: ordinal Krippendorff alpha of two raters, the judge and what most people said.
- `bias`: mean of judge minus consensus; above zero the judge is too kind.
- `ceiling`, `ceiling_alpha`: mean kappa of pairs of raters, and the alpha of all of them.

Every figure has its bootstrap interval; items of one cluster are drawn together.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.metrics.figures import cluster_warnings, figure, means
from r2d_bench.records import missing
from r2d_bench.statistics.agreement import kappa_of, krippendorff_alpha, quadratic_kappa, spearman
from r2d_bench.statistics.bootstrap import cluster_sums, resample_units

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from r2d_bench.records import Estimate
    from r2d_bench.statistics.agreement import Agreement
    from r2d_bench.statistics.bootstrap import Floats

    Codes = NDArray[np.int64]

FIGURES = {
    "kappa": "kappa",
    "kappa_raters": "kappa, single raters",
    "ceiling": "people among themselves",
    "spearman": "Spearman",
    "alpha": "alpha",
    "ceiling_alpha": "alpha of people",
    "bias": "bias",
}
NO_ITEMS = "no item has both a judge's score and people's ratings"
NO_PAIRS = "no item was rated by two people"
UNDEFINED = "undefined: one of the two gives the same rating to everything"


@dataclass(frozen=True, slots=True)
class Rated:
    """One item that the judge scored and people rated.

    Attributes:
        cluster: items of one cluster depend on each other.
        judge: the judge's score as it is.
        judge_level: the nearest level that people could choose.
        consensus: what the judge is compared with, on the same scale.
        level: the level that stands for the people (what most of them said).
        ratings: rater → level.
    """

    cluster: str
    judge: float
    judge_level: float
    consensus: float
    level: float
    ratings: Mapping[str, float]


def figures(
    rated: Sequence[Rated], levels: Sequence[float], *, unscored: int = 0, seed: int = 0
) -> dict[str, Estimate]:
    """Return how far the judge agrees with people (see the module).

    Args:
        rated: the items that both rated.
        levels: every level that people could choose, lowest first.
        unscored: items that people rated and the judge did not.
        seed: of the bootstrap.
    """
    if not rated:
        names = ("kappa", "kappa_raters", "spearman", "alpha", "bias")
        return dict.fromkeys(names, missing(NO_ITEMS, unscored=unscored))
    codes = codes_of([one.cluster for one in rated])
    raters = sorted({rater for one in rated for rater in one.ratings})
    own, people = [one.judge_level for one in rated], [one.level for one in rated]
    scores, consensus = [one.judge for one in rated], [one.consensus for one in rated]
    with_raters = [_tables(levels, own, [one.ratings.get(rater) for one in rated]) for rater in raters]
    differences = np.array(scores) - np.array(consensus)
    kappa = quadratic_kappa(own, people, levels, codes=codes, seed=seed)
    alpha = krippendorff_alpha(list(zip(own, people, strict=True)), codes=codes, seed=seed)
    correlation = spearman(scores, consensus, codes=codes, seed=seed)
    return {
        "kappa": _estimate(kappa, codes, unscored),
        "kappa_raters": _mean_kappa(with_raters, codes, unscored=unscored, seed=seed),
        "spearman": _estimate(correlation, codes, unscored),
        "alpha": _estimate(alpha, codes, unscored),
        "bias": means(differences[:, None], codes, unscored=unscored, seed=seed)[0],
    }


def ceilings(
    ratings: Sequence[Mapping[str, float]], clusters: Sequence[str], levels: Sequence[float], *, seed: int = 0
) -> dict[str, Estimate]:
    """Return how far people agree with each other, over all items that two or more of them rated.

    Args:
        ratings: rater → level, per item.
        clusters: cluster of each item.
        levels: every level that people could choose, lowest first.
        seed: of the bootstrap.
    """
    several = [row for row, given in enumerate(ratings) if len(given) > 1]
    if not several:
        return dict.fromkeys(("ceiling", "ceiling_alpha"), missing(NO_PAIRS))
    kept = [ratings[row] for row in several]
    codes = codes_of([clusters[row] for row in several])
    raters = sorted({rater for given in kept for rater in given})
    tables = [
        _tables(levels, [given.get(one) for given in kept], [given.get(other) for given in kept])
        for one, other in combinations(raters, 2)
    ]
    everybody = [[given.get(rater) for rater in raters] for given in kept]
    alpha = krippendorff_alpha(everybody, codes=codes, seed=seed)
    return {
        "ceiling": _mean_kappa(tables, codes, unscored=0, seed=seed),
        "ceiling_alpha": _estimate(alpha, codes, 0),
    }


def table(rated: Sequence[Rated], levels: Sequence[float]) -> list[list[int]]:
    """Return how often people said a level (row) where the judge said one (column)."""
    counts = _tables(levels, [one.level for one in rated], [one.judge_level for one in rated]).sum(axis=0)
    return [[int(count) for count in row] for row in counts.reshape(len(levels), len(levels))]


def codes_of(clusters: Sequence[str]) -> Codes:
    """Return the cluster of each item as a number from 0, shape (N,)."""
    return np.unique(np.array(clusters, dtype=np.str_), return_inverse=True)[1].astype(np.int64)


def _estimate(found: Agreement, codes: Codes, unscored: int) -> Estimate:
    if found.value is None:
        return missing(found.reason or NO_ITEMS, n=found.n, unscored=unscored)
    notes = cluster_warnings(codes)
    return figure(found.value, found.interval, n=found.n, unscored=unscored, warnings=notes)


def _mean_kappa(tables: Sequence[Floats], codes: Codes, *, unscored: int, seed: int) -> Estimate:
    """Return the mean of the kappas of several pairs of raters over the same items; pairs without one are left out.

    Args:
        tables: joint counts of each pair, per item, shape (N, K²) each.
        codes: cluster of each item.
        unscored: items that took no part.
        seed: of the bootstrap.
    """
    width = tables[0].shape[1]

    def mean(sums: Floats) -> Floats:
        kappas = kappa_of(sums.reshape(*sums.shape[:-1], -1, width))
        known = np.isfinite(kappas)
        count = known.sum(axis=-1)
        total = np.where(known, kappas, 0.0).sum(axis=-1)
        found: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
        return found

    drawn = resample_units(cluster_sums(np.hstack(tables), codes), seed=seed)
    n = int(np.count_nonzero(np.hstack(tables).any(axis=1)))
    value = float(mean(drawn.total))
    notes = cluster_warnings(codes)
    return figure(value, drawn.interval(mean), n=n, unscored=unscored, warnings=notes, undefined=UNDEFINED)


def _tables(levels: Sequence[float], first: Sequence[float | None], second: Sequence[float | None]) -> Floats:
    """Return each item as a table with one count, flat, shape (N, K²); all zero where one of the two is absent."""
    size = len(levels)
    place = {level: number for number, level in enumerate(levels)}
    found = np.zeros((len(first), size * size))
    for item, (one, other) in enumerate(zip(first, second, strict=True)):
        if one is not None and other is not None:
            found[item, place[one] * size + place[other]] = 1.0
    return found
