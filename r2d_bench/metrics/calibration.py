"""Whether a model's probabilities mean what they say. Only from real ones: the label method `scored`.

A probability is that of a label among the candidates of its example, all of them scored; confidence is the largest.
Answers of equal confidence stay together in every bin and at every coverage, since nothing orders them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.metrics.base import About, Direction, Family, Metric
from r2d_bench.metrics.classes import nothing_to_score, scored_rows
from r2d_bench.metrics.figures import all_missing, cluster_codes, cluster_warnings, figure, means, rate
from r2d_bench.statistics.bca import interval_of
from r2d_bench.statistics.bootstrap import cluster_sums, resample_units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from r2d_bench.metrics.base import Columns
    from r2d_bench.records import Estimate, Json
    from r2d_bench.statistics.bootstrap import Floats

BINS = 15
COVERAGE = 0.8  # of selective accuracy
NO_PROBABILITIES = "no probabilities: run it with --label-method scored"
_LEAST = 1e-12  # a probability of 0 would cost infinitely much
_NO_JACKKNIFE = np.full(1, np.nan)  # leaves `interval_of` the percentile interval


def _metric(name: str, title: str, text: str, **more: object) -> Metric:
    settings: dict[str, object] = {"direction": Direction.LOWER, "decimals": 3} | more
    return Metric(name, title, About.CALIBRATION, help=text, **settings)  # type: ignore[arg-type]


METRICS: tuple[Metric, ...] = (
    _metric(
        "ece",
        "ECE",
        f"Expected calibration error: mean gap between confidence and accuracy over {BINS} bins of about equal size.",
    ),
    _metric(
        "brier", "Brier score", "Mean squared distance of the probabilities from the truth, over all labels.", high=2.0
    ),
    _metric("nll", "NLL", "Mean negative log-probability of the gold label, in nats.", high=None),
    _metric(
        "aurc",
        "AURC",
        "Mean error rate over all coverages, the most confident answers first: what abstaining would leave.",
    ),
    _metric(
        "selective_accuracy",
        f"Accuracy of the surest {COVERAGE:.0%}".replace("%", " %"),
        f"Accuracy of the {COVERAGE:.0%} of answers that the model is most sure of.",
        direction=Direction.HIGHER,
        percent=True,
        decimals=1,
    ),
)
_NAMES = tuple(metric.name for metric in METRICS)


@dataclass(frozen=True, slots=True)
class _Sure:
    """Answers with probabilities, surest first.

    Attributes:
        rows: their places among the examples.
        confidence: the largest probability.
        right: 1 where that label is the gold one.
        gold: probability of the gold label.
        brier: squared distance from the truth.
        codes: cluster of each; None where independent.
    """

    rows: NDArray[np.int64]
    confidence: Floats
    right: Floats
    gold: Floats
    brier: Floats
    codes: NDArray[np.int64] | None


def compute(columns: Columns, *, seed: int = 0, level: float = 0.95, resamples: int = 2000) -> Family:
    """Compute the figures; NLL and Brier have BCa intervals, ECE and AURC percentile ones, over items or clusters.

    ECE is biased upwards in small samples, and its interval with it; the table of bins stands beside.

    Args:
        columns: predictions beside their golds.
        seed: seed of the bootstrap.
        level: coverage of the intervals.
        resamples: number of resamples.
    """
    scored = scored_rows(columns)
    reason = nothing_to_score(columns, scored)
    if reason is None and not any(columns.probabilities):
        reason = NO_PROBABILITIES
    if reason:
        return Family(all_missing(_NAMES, reason, unscored=len(columns)))
    known = scored & np.array([one is not None for one in columns.probabilities], dtype=bool)
    if not known.any():
        return Family(all_missing(_NAMES, NO_PROBABILITIES, unscored=len(columns)))
    sure = _sorted(columns, known)
    unscored = len(columns) - len(sure.rows)
    nll = -np.log(np.maximum(sure.gold, _LEAST))
    plain = means(
        np.column_stack([sure.brier, nll]), sure.codes, unscored=unscored, level=level, seed=seed, resamples=resamples
    )
    top = sure.right[: _taken(sure, COVERAGE)] == 1
    codes = None if sure.codes is None else sure.codes[: len(top)]
    estimates = {
        "ece": _ece(sure, unscored, seed, level, resamples),
        "brier": plain[0],
        "nll": plain[1],
        "aurc": _aurc(sure, unscored, seed, level, resamples),
        "selective_accuracy": rate(top, codes, unscored=unscored, level=level),
    }
    per_example = {name: np.full(len(columns), np.nan) for name in ("brier", "nll")}
    per_example["brier"][sure.rows], per_example["nll"][sure.rows] = sure.brier, nll
    return Family(estimates, per_example, extra={"reliability": _reliability(sure), "risk_coverage": _curve(sure)})


def _sorted(columns: Columns, known: NDArray[np.bool_]) -> _Sure:
    rows = np.flatnonzero(known)
    given = [columns.probabilities[row] or {} for row in rows]
    confidence = np.array([max(one.values()) for one in given])
    best = [max(one, key=lambda label: one[label]) for one in given]
    gold = np.array([one.get(columns.gold[row] or "", 0.0) for one, row in zip(given, rows, strict=True)])
    squares = np.array([sum(p * p for p in one.values()) for one in given])
    right = np.array([label == columns.gold[row] for label, row in zip(best, rows, strict=True)], dtype=np.float64)
    codes = cluster_codes(columns, known)
    order = np.argsort(-confidence, kind="stable")
    return _Sure(
        rows[order],
        confidence[order],
        right[order],
        gold[order],
        # Σ (p_k - y_k)² = Σ p_k² - 2 p_gold + 1
        (squares - 2 * gold + 1.0)[order],
        None if codes is None else codes[order],
    )


def _bins(sure: _Sure) -> NDArray[np.int64]:
    """Return the bin of each answer, surest first.

    Without ties sizes differ by one at most; answers of equal confidence go where the first of them goes.
    """
    n = len(sure.rows)
    even = np.arange(n) * min(BINS, n) // n
    first = np.searchsorted(-sure.confidence, -sure.confidence, side="left")
    return np.asarray(np.unique(even[first], return_inverse=True)[1].ravel(), dtype=np.int64)


def _taken(sure: _Sure, coverage: float) -> int:
    """Return how many of the surest answers make up a coverage, with all that are as sure as the last of them."""
    last = max(1, round(coverage * len(sure.rows))) - 1
    return int(np.searchsorted(-sure.confidence, -sure.confidence[last], side="right"))


def _ece(sure: _Sure, unscored: int, seed: int, level: float, resamples: int) -> Estimate:
    bins, n = _bins(sure), len(sure.rows)
    stats = np.zeros((n, int(bins.max()) + 2))
    stats[np.arange(n), bins] = sure.right - sure.confidence
    stats[:, -1] = 1.0

    def gap(sums: Floats) -> Floats:
        total = sums[..., -1]
        found: Floats = np.divide(
            np.abs(sums[..., :-1]).sum(-1), total, out=np.full(total.shape, np.nan), where=total > 0
        )
        return found

    units = stats if sure.codes is None else cluster_sums(stats, sure.codes)
    drawn = resample_units(units, seed=seed, resamples=resamples)
    point, warnings = float(gap(drawn.total)), cluster_warnings(sure.codes)
    interval = interval_of(point, gap(drawn.sums), _NO_JACKKNIFE, np.array([drawn.units]), level)
    return figure(point, interval, n=n, unscored=unscored, level=level, warnings=warnings)


def _aurc(sure: _Sure, unscored: int, seed: int, level: float, resamples: int) -> Estimate:
    """Return the area under the risk-coverage curve (Geifman and El-Yaniv 2017)."""
    n = len(sure.rows)
    codes = np.arange(n) if sure.codes is None else sure.codes
    clusters = int(codes.max()) + 1
    rng = np.random.default_rng(seed)
    even, rows = np.full(clusters, 1 / clusters), max(1, 2_000_000 // n)
    drawn = [
        _mean_risk(sure, rng.multinomial(clusters, even, min(rows, resamples - start))[:, codes].astype(np.float64))
        for start in range(0, resamples, rows)
    ]
    point = float(_mean_risk(sure, np.ones((1, n)))[0])
    interval = interval_of(point, np.concatenate(drawn), _NO_JACKKNIFE, np.array([clusters]), level)
    warnings = cluster_warnings(sure.codes)
    return figure(point, interval, n=n, unscored=unscored, level=level, warnings=warnings)


def _mean_risk(sure: _Sure, weights: Floats) -> Floats:
    """Return the mean over coverages of the error rate of the surest, shape (B, N) → (B,).

    Answers of equal confidence come in together.
    """
    ends = np.append(np.flatnonzero(np.diff(sure.confidence)), len(sure.rows) - 1)
    covered = np.cumsum(weights, axis=1)[:, ends]
    wrong = np.cumsum(weights * (1 - sure.right), axis=1)[:, ends]
    risk = np.divide(wrong, covered, out=np.zeros_like(wrong), where=covered > 0)
    share = np.diff(covered, axis=1, prepend=0.0)
    total = covered[:, -1]
    found: Floats = np.divide((risk * share).sum(1), total, out=np.full(len(total), np.nan), where=total > 0)
    return found


def _reliability(sure: _Sure) -> list[dict[str, Json]]:
    """Return confidence and accuracy of each bin, least sure first."""
    bins = _bins(sure)
    parts = [bins == place for place in reversed(range(int(bins.max()) + 1))]
    return [
        {
            "confidence": float(sure.confidence[part].mean()),
            "accuracy": float(sure.right[part].mean()),
            "n": int(part.sum()),
        }
        for part in parts
    ]


def _curve(sure: _Sure) -> list[dict[str, Json]]:
    """Return the error rate of the surest at every tenth of coverage."""
    n = len(sure.rows)
    takes = sorted({_taken(sure, tenth / 10) for tenth in range(1, 11)})
    return [{"coverage": take / n, "risk": float(1 - sure.right[:take].mean()), "n": take} for take in takes]
