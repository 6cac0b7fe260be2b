"""Label metrics as functions of sums: one formula serves the figure, its resamples and the jackknife.

All of them need only three numbers per class: how often it is gold, how often predicted, how often both.
They stand one behind the other as *sums* of shape (..., 3K): gold (K), predicted (K), hits (K). A prediction
without a valid label adds to no class: it is wrong for its gold class and is no class of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from r2d_bench.statistics.bootstrap import Floats


def cell_stats(classes: int) -> Floats:
    """Return the sums that one item of each cell of a K by K+1 confusion adds, shape (K·(K+1), 3K).

    Cell gold·(K+1) + predicted; predicted = K stands for "no valid label".
    """
    gold, predicted = np.divmod(np.arange(classes * (classes + 1)), classes + 1)
    eye = np.eye(classes + 1)[:, :classes]  # the last row, "no valid label", is empty
    return np.hstack([eye[gold], eye[predicted], eye[gold] * (gold == predicted)[:, None]])


def cluster_stats(gold: NDArray[np.int64], predicted: NDArray[np.int64], codes: NDArray[np.int64], k: int) -> Floats:
    """Return the sums of each cluster, shape (C, 3K).

    Args:
        gold: gold class of each item, 0 to K-1.
        predicted: predicted class of each item, K for "no valid label".
        codes: cluster of each item, 0 to C-1.
        k: number of classes K.
    """
    clusters = int(codes.max()) + 1

    def counted(classes: NDArray[np.int64], where: NDArray[np.bool_]) -> Floats:
        found = np.bincount(codes[where] * k + classes[where], minlength=clusters * k)
        return found.reshape(clusters, k).astype(np.float64)

    return np.hstack([counted(gold, gold >= 0), counted(predicted, predicted < k), counted(gold, gold == predicted)])


def class_f1(sums: Floats) -> Floats:
    """Return F1 of each class, shape (..., K); 0 for one neither gold nor predicted (zero_division=0)."""
    gold, predicted, hits = np.split(sums, 3, axis=-1)
    return _ratio(2 * hits, gold + predicted, 0.0)


def macro_f1(sums: Floats) -> Floats:
    """Return the mean F1 over the fixed label set, also over classes without a gold item (these give 0)."""
    return np.asarray(class_f1(sums).mean(axis=-1))


def weighted_f1(sums: Floats) -> Floats:
    """Return the mean F1 weighted by gold items."""
    gold = np.split(sums, 3, axis=-1)[0]
    return _ratio((gold * class_f1(sums)).sum(axis=-1), gold.sum(axis=-1), np.nan)


def micro_f1(sums: Floats) -> Floats:
    """Return F1 over all decisions; an answer without a valid label costs recall, not precision."""
    gold, predicted, hits = (part.sum(axis=-1) for part in np.split(sums, 3, axis=-1))
    return _ratio(2 * hits, gold + predicted, np.nan)


def balanced_accuracy(sums: Floats) -> Floats:
    """Return the mean recall over classes that have gold items; a recall without gold items is undefined."""
    gold, _, hits = np.split(sums, 3, axis=-1)
    return _ratio(_ratio(hits, gold, 0.0).sum(axis=-1), (gold > 0).sum(axis=-1), np.nan)


def mcc(sums: Floats) -> Floats:
    """Return the multi-class Matthews correlation R_K (Gorodkin 2004).

    "No valid label" is a predicted class of its own that is never gold. Predictions that are all of one class
    correlate with nothing: 0, as in scikit-learn. Golds that are all of one class leave it undefined: NaN.
    """
    gold, predicted, hits = np.split(sums, 3, axis=-1)
    n = gold.sum(axis=-1)
    none = n - predicted.sum(axis=-1)
    covariance = hits.sum(axis=-1) * n - (gold * predicted).sum(axis=-1)
    gold_spread = n**2 - (gold**2).sum(axis=-1)
    predicted_spread = n**2 - (predicted**2).sum(axis=-1) - none**2
    correlation = _ratio(covariance, np.sqrt(gold_spread * predicted_spread), 0.0)
    return np.where(gold_spread > 0, correlation, np.nan)


def _ratio(above: Floats, below: Floats, otherwise: float) -> Floats:
    """Divide; `otherwise` where the divisor is 0."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    ratio: Floats = np.divide(above, below, out=np.full(below.shape, otherwise), where=below > 0)
    return ratio
