"""Overlap of rationales by sacreBLEU: corpus BLEU (Papineni et al. 2002) and chrF (Popović 2015).

sacreBLEU counts matches sentence by sentence; these counts are kept in one array, and the corpus figure, its
resamples and the sentence figures are all computed from them. Scale 0 to 100, as sacreBLEU prints.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.metrics.base import About, Family, Metric
from r2d_bench.metrics.figures import (
    all_missing,
    cluster_codes,
    cluster_warnings,
    figure,
    scorable_texts,
    spread,
)
from r2d_bench.statistics.bootstrap import cluster_sums, resample_units

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sacrebleu.metrics.base import Metric as SacreMetric

    from r2d_bench.metrics.base import Columns
    from r2d_bench.statistics.bootstrap import Floats

METRICS: tuple[Metric, ...] = (
    Metric("bleu", "BLEU", About.RATIONALE, high=100.0, decimals=1, help="Corpus BLEU by sacreBLEU, 13a tokens."),
    Metric("chrf", "chrF", About.RATIONALE, high=100.0, decimals=1, help="Corpus chrF2 by sacreBLEU."),
)
_ORDER = 4  # BLEU: words
_CHUNK = 500  # sentences at once: n-gram counters of a whole corpus take gigabytes


def compute(columns: Columns, *, seed: int = 0, level: float = 0.95, resamples: int = 2000) -> Family:
    """Compute corpus BLEU and chrF of the rationales against one or several gold rationales per item.

    Items without a rationale or without a gold rationale are unscored; an empty rationale is scored as the
    text it is. Intervals are BCa over items, or over clusters. Per example: sentence BLEU (effective order)
    and sentence chrF.

    Args:
        columns: rationales beside their golds.
        seed: seed of the bootstrap.
        level: coverage of the intervals.
        resamples: number of resamples.

    Raises:
        UserError: a group id is missing.
    """
    from sacrebleu.metrics import BLEU, CHRF

    scored, hypotheses, references, reason = scorable_texts(columns)
    if not hypotheses:
        return Family(all_missing([metric.name for metric in METRICS], reason, unscored=len(columns)))
    metrics = {"bleu": BLEU(tokenize="13a"), "chrf": CHRF()}
    formulas: dict[str, Callable[[Floats], Floats]] = {"bleu": bleu, "chrf": chrf}
    stats = np.hstack([sentence_statistics(metric, hypotheses, references) for metric in metrics.values()])
    edge = 2 + 2 * _ORDER
    parts = {"bleu": slice(0, edge), "chrf": slice(edge, None)}
    codes = cluster_codes(columns, scored)
    drawn = resample_units(stats if codes is None else cluster_sums(stats, codes), seed=seed, resamples=resamples)
    estimates = {
        name: figure(
            _own_score(metrics[name], stats[:, parts[name]].sum(axis=0)),
            drawn.take(parts[name]).interval(formulas[name], level),
            n=len(hypotheses),
            unscored=len(columns) - len(hypotheses),
            level=level,
            warnings=cluster_warnings(codes),
        )
        for name in metrics
    }
    per_example = {
        "bleu": spread(_by_row(partial(bleu, effective_order=True), stats[:, parts["bleu"]]), scored),
        "chrf": spread(_by_row(chrf, stats[:, parts["chrf"]]), scored),
    }
    return Family(estimates, per_example, {name: str(metric.get_signature()) for name, metric in metrics.items()})


def sentence_statistics(metric: SacreMetric, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
    """Return sacreBLEU's match counts of each sentence; the metric learns the number of references.

    Args:
        metric: a sacreBLEU metric.
        hypotheses: N texts.
        references: one or more texts for each of them.

    Returns:
        Whole numbers, shape (N, D). BLEU, D = 10: both lengths, matches (4), n-grams of the hypothesis (4).
        chrF, D = 18: for each order n-grams of the hypothesis, of the reference, matches.
    """
    most = max(len(texts) for texts in references)
    found: list[Floats] = []
    for start in range(0, len(hypotheses), _CHUNK):
        chunk = references[start : start + _CHUNK]
        # sacreBLEU takes references stream by stream; None stands where an item has fewer than others.
        streams = [[texts[i] if i < len(texts) else None for texts in chunk] for i in range(most)]
        # The statistics have no public door; the dependency is pinned to one minor version for that.
        rows = metric._extract_corpus_statistics(hypotheses[start : start + _CHUNK], streams)  # noqa: SLF001
        found.append(np.array(rows, dtype=np.float64))
    counts = {len(texts) for texts in references}
    metric.num_refs = counts.pop() if len(counts) == 1 else -1  # -1: "var" in the signature
    return np.concatenate(found)


def bleu(sums: Floats, *, effective_order: bool = False) -> Floats:
    """Return BLEU from summed counts, shape (..., 10) → (...), with exponential smoothing as in mteval-v13a.

    Args:
        sums: hypothesis length, reference length, matches (4), n-grams (4).
        effective_order: leave out orders for which a text is too short; for single sentences.
    """
    hypothesis, reference = sums[..., 0], sums[..., 1]
    matches, ngrams = sums[..., 2 : 2 + _ORDER], sums[..., 2 + _ORDER :]
    present = np.logical_and.accumulate(ngrams > 0, axis=-1)
    zeros = np.cumsum((matches == 0) & present, axis=-1)
    # The k-th order without a match counts as 1 / 2^k of a match.
    smoothed = np.where(matches > 0, matches, 0.5**zeros)
    logs = np.where(present, np.log(smoothed / np.where(present, ngrams, 1.0)), 0.0)
    orders = present.sum(axis=-1)
    mean_log = logs.sum(axis=-1) / (np.maximum(orders, 1) if effective_order else _ORDER)
    penalty = np.where(hypothesis < reference, 1 - reference / np.maximum(hypothesis, 1), 0.0)
    defined = matches.any(axis=-1) if effective_order else matches.any(axis=-1) & (orders == _ORDER)
    return np.where(defined, 100 * np.exp(penalty + mean_log), 0.0)


def chrf(sums: Floats) -> Floats:
    """Return chrF2 from summed counts, shape (..., 18) → (...): F2 of mean precision and mean recall.

    Orders that one of the two sides lacks are left out (sacreBLEU's effective order).
    """
    hypothesis, reference, matches = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
    used = (hypothesis > 0) & (reference > 0)
    orders = np.maximum(used.sum(axis=-1), 1)
    precision = np.where(used, matches / np.maximum(hypothesis, 1), 0.0).sum(axis=-1) / orders
    recall = np.where(used, matches / np.maximum(reference, 1), 0.0).sum(axis=-1) / orders
    below = 4 * precision + recall
    score: Floats = np.divide(500 * precision * recall, below, out=np.zeros(below.shape), where=below > 0)
    return score


def _by_row(formula: Callable[[Floats], Floats], stats: Floats) -> Floats:
    """Return the figure of each row; what a formula holds meanwhile does not grow with the rows."""
    return np.concatenate([formula(stats[start : start + _CHUNK]) for start in range(0, len(stats), _CHUNK)])


def _own_score(metric: SacreMetric, sums: Floats) -> float:
    """Return sacreBLEU's own figure from the summed counts, to the last digit."""
    return float(metric._compute_score_from_stats([int(count) for count in sums]).score)  # noqa: SLF001
