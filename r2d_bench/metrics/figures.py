"""From values of items to an `Estimate`: what all families of metrics share."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.errors import UserError
from r2d_bench.records import Estimate, missing
from r2d_bench.statistics.bootstrap import cluster_sums, mean_of_sums, resample_units
from r2d_bench.statistics.intervals import clopper_pearson, effective_n, wilson

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from r2d_bench.metrics.base import Columns
    from r2d_bench.statistics.intervals import Interval

    Codes = NDArray[np.int64]

FEW_CLUSTERS = 10  # below this the spread between clusters is itself poorly known


def figure(
    value: float,
    interval: Interval,
    *,
    n: int,
    unscored: int = 0,
    level: float = 0.95,
    warnings: Iterable[str] = (),
    undefined: str = "undefined for these items",
) -> Estimate:
    """Return the estimate of a value and its interval.

    Args:
        value: the figure; NaN or infinity become "no value" with the reason `undefined`.
        interval: its interval; where it has no bounds its warning becomes the reason.
        n: items that took part.
        unscored: items that could not.
        level: coverage of the interval.
        warnings: further warnings.
        undefined: why the figure has no value, if it has none.
    """
    if not isfinite(value):
        return missing(undefined, n=n, unscored=unscored)
    if interval.low is None:
        reason, notes = interval.warning, tuple(warnings)
    else:
        reason, notes = None, (*warnings, *([interval.warning] if interval.warning else ()))
    return Estimate(
        value=float(value),
        low=interval.low,
        high=interval.high,
        n=n,
        unscored=unscored,
        method=interval.method,
        level=level,
        reason=reason,
        warnings=notes,
    )


def cluster_codes(columns: Columns, scored: NDArray[np.bool_]) -> Codes | None:
    """Return the cluster, 0 to C-1, of each scored item, shape (scored.sum(),); None for independent items.

    Raises:
        UserError: an item has no cluster id. Guessing one would make the intervals too narrow.
    """
    if columns.groups is None:
        return None
    seen: dict[str, int] = {}
    codes = []
    for row in np.flatnonzero(scored):
        group = columns.groups[row]
        if not group:
            raise UserError(f"example {columns.ids[row]}: no group id, but the task declares groups: fill the field")
        codes.append(seen.setdefault(group, len(seen)))
    return np.array(codes, dtype=np.int64)


def cluster_warnings(codes: Codes | None) -> tuple[str, ...]:
    """Return the warning that there are too few clusters to trust an interval, if so."""
    clusters = 0 if codes is None else len(np.unique(codes))  # of a part of the items: numbers may have gaps
    return (f"only {clusters} clusters: the interval is rough",) if 0 < clusters < FEW_CLUSTERS else ()


def rate(
    hits: NDArray[np.bool_],
    codes: Codes | None = None,
    *,
    unscored: int = 0,
    level: float = 0.95,
    nothing: str = "no item was answered",
) -> Estimate:
    """Return the share of `hits` with Wilson's interval, on the effective n where items are dependent.

    Args:
        hits: one truth value per scored item, shape (n,).
        codes: cluster of each item; None where items are independent.
        unscored: items that could not take part.
        level: coverage of the interval.
        nothing: the reason where there is no item.
    """
    n = len(hits)
    if n == 0:
        return missing(nothing, unscored=unscored)
    share = float(np.mean(hits))
    if codes is None:
        interval = wilson(float(np.count_nonzero(hits)), n, level)
        return figure(share, interval, n=n, unscored=unscored, level=level)
    trials = effective_n(hits.astype(np.float64), codes)
    interval = wilson(min(share * trials, trials), trials, level)
    notes = cluster_warnings(codes)
    return figure(share, interval, n=n, unscored=unscored, level=level, warnings=notes)


def exact_rate(
    hits: NDArray[np.bool_],
    codes: Codes | None = None,
    *,
    unscored: int = 0,
    level: float = 0.95,
    nothing: str = "no item was answered",
) -> Estimate:
    """Return the share of `hits` with Clopper and Pearson's interval; arguments as for `rate`.

    Its upper bound serves for faults that must not happen: none in 200 is no proof that there are none.
    """
    n = len(hits)
    if n == 0:
        return missing(nothing, unscored=unscored)
    share = float(np.mean(hits))
    trials = float(n) if codes is None else effective_n(hits.astype(np.float64), codes)
    interval = clopper_pearson(min(share * trials, trials), trials, level)
    return figure(share, interval, n=n, unscored=unscored, level=level, warnings=cluster_warnings(codes))


def means(
    values: NDArray[np.float64],
    codes: Codes | None = None,
    *,
    unscored: int = 0,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = 2000,
    warnings: Iterable[str] = (),
) -> list[Estimate]:
    """Return the mean of each column of values with its BCa interval, all from the same resamples.

    Args:
        values: one row per scored item, shape (n, M) with n ≥ 1.
        codes: cluster of each item; None where items are independent.
        unscored: items that could not take part.
        level: coverage of the intervals.
        seed: seed of the bootstrap.
        resamples: number of resamples.
        warnings: warnings of every figure.
    """
    n, width = values.shape
    stats = np.column_stack([values, np.ones(n)])
    units = stats if codes is None else cluster_sums(stats, codes)
    drawn = resample_units(units, seed=seed, resamples=resamples)
    notes = (*warnings, *cluster_warnings(codes))
    found = []
    for column in range(width):
        interval = drawn.take([column, width]).interval(mean_of_sums, level)
        value = float(np.mean(values[:, column]))
        found.append(figure(value, interval, n=n, unscored=unscored, level=level, warnings=notes))
    return found


def spread(values: NDArray[np.float64], scored: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return values of the scored items at their place among all items; NaN elsewhere. Shape (N,)."""
    column = np.full(len(scored), np.nan)
    column[scored] = values
    return column


def scorable_texts(
    columns: Columns,
) -> tuple[NDArray[np.bool_], list[str], list[list[str]], str]:
    """Pick the items whose rationale can be compared with a gold rationale.

    An empty rationale is a text and takes part; a blank gold rationale is none.

    Returns:
        Which items take part (N,), their hypotheses, their references, and why there is none if so.
    """
    golds = [[text for text in texts if text.strip()] for texts in columns.references]
    scored = np.array([h is not None and bool(g) for h, g in zip(columns.hypotheses, golds, strict=True)], dtype=bool)
    rows = np.flatnonzero(scored)
    hypotheses = [columns.hypotheses[row] or "" for row in rows]
    references = [golds[row] for row in rows]
    if columns.no_rationale:
        reason = columns.no_rationale
    elif not any(golds):
        reason = "no gold rationale"
    else:
        reason = "no rationale to score"
    return scored, hypotheses, references, reason


def all_missing(names: Sequence[str], reason: str, *, unscored: int) -> dict[str, Estimate]:
    """Return an estimate without a value for each name."""
    return {name: missing(reason, unscored=unscored) for name in names}
