"""Figures of each part of the items that the task's slices tell apart, and the gap between the best and the worst part.

A part with fewer than `MIN_ITEMS` scored items has no figures. Macro-F1 runs over the fixed label set, also where a
part lacks a label. The gap is that between the groups that are best and worst as observed, in every resample: it may
fall below 0, as the gap between two groups that do not differ does. With many small groups it is wide by chance alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.metrics import confusion
from r2d_bench.metrics.base import Family
from r2d_bench.metrics.classes import class_items, nothing_to_score, rare_classes, right_labels, scored_rows
from r2d_bench.metrics.figures import cluster_codes, cluster_warnings, figure, rate
from r2d_bench.records import Estimate, missing
from r2d_bench.statistics.bootstrap import Resamples, resample_cells, resample_units

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from r2d_bench.metrics.base import Columns
    from r2d_bench.metrics.figures import Codes
    from r2d_bench.records import Json
    from r2d_bench.statistics.bootstrap import Floats

MIN_ITEMS = 10
_NUMBERS = 8_000_000  # statistics held at once: 64 MB
_RIGHT, _ITEMS = 0, 1  # the first two statistics of a part; those of the label set stand behind


@dataclass(frozen=True, slots=True)
class _Scored:
    """The scored items.

    Attributes:
        labels: the fixed label set, K of them; empty where there is none.
        right: whether the label is right, shape (n,).
        cells: cell of the confusion matrix, gold·(K+1) + predicted; 1 or 0, right or wrong, where K is 0. Shape (n,).
        codes: cluster of each item; None where items are independent.
        level, seed, resamples: of the intervals.
        no_label_set: why macro-F1 has no value, where K is 0.
    """

    labels: Sequence[str]
    right: NDArray[np.bool_]
    cells: NDArray[np.int64]
    codes: Codes | None
    level: float
    seed: int
    resamples: int
    no_label_set: str

    @property
    def cell_stats(self) -> Floats:
        """Statistics of one item of each cell, shape (cells, D): right, 1, and the sums of `confusion` behind."""
        k = len(self.labels)
        if not k:
            return np.array([[0.0, 1.0], [1.0, 1.0]])
        stats = confusion.cell_stats(k)
        right = stats[:, 2 * k :].sum(axis=1)
        return np.column_stack([right, np.ones(len(stats)), stats])


def compute(
    columns: Columns,
    slices: Mapping[str, Sequence[str]],
    *,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = 2000,
) -> Family:
    """Compute accuracy and macro-F1 of each value of each slice, and the gap in accuracy within each slice.

    Accuracy has Wilson's interval (on the effective n where items are dependent), macro-F1 and the gap BCa. All parts
    of a slice share their resamples.

    Args:
        columns: predictions beside their golds.
        slices: slice → value of each item, in the order of `columns`.
        seed: seed of the bootstrap.
        level: coverage of the intervals.
        resamples: number of resamples.

    Returns:
        A family without figures of its own; `extra["slices"]` holds slice → `values` (a list of `value`, `n`,
        `unscored`, `accuracy`, `macro_f1`) and `gap` (an estimate with the `best` and the `worst` value).
    """
    rows = scored_rows(columns)
    if reason := nothing_to_score(columns, rows):
        return Family({}, extra={"slices": {name: _nothing(values, reason) for name, values in slices.items()}})
    right = right_labels(columns)[rows]
    items = class_items(columns, rows, level) if columns.labels else None
    scored = _Scored(
        labels=columns.labels,
        right=right,
        cells=right.astype(np.int64) if items is None else items.cells,
        codes=cluster_codes(columns, rows),
        level=level,
        seed=seed,
        resamples=resamples,
        no_label_set=f"n/a: {columns.no_label_set}",
    )
    return Family({}, extra={"slices": {name: _slice(scored, rows, values) for name, values in slices.items()}})


def _nothing(values: Sequence[str], reason: str) -> dict[str, Json]:
    names, counts = np.unique(np.array(values, dtype=object), return_counts=True)
    none = missing(reason).as_json()
    parts = [
        {"value": name, "n": 0, "unscored": int(count), "accuracy": none, "macro_f1": none}
        for name, count in zip(names, counts, strict=True)
    ]
    return {"values": parts, "gap": none | {"best": None, "worst": None}}


def _slice(scored: _Scored, rows: NDArray[np.bool_], values: Sequence[str]) -> dict[str, Json]:
    """Return the figures of one slice; `rows` are the scored among all items."""
    names, part_of = np.unique(np.array(values, dtype=object), return_inverse=True)
    asked = np.bincount(part_of, minlength=len(names))
    part = part_of[rows]
    counts = np.bincount(part, minlength=len(names))
    large = np.flatnonzero(counts >= MIN_ITEMS)
    resampled = dict(_resampled(scored, part, large))
    table: list[dict[str, Json]] = []
    for number, name in enumerate(names):
        n, unscored = int(counts[number]), int(asked[number] - counts[number])
        few = missing(f"n/a: fewer than {MIN_ITEMS} scored items", n=n, unscored=unscored)
        accuracy, f1 = few, few
        if number in resampled:
            accuracy, f1 = _figures(scored, np.flatnonzero(part == number), resampled[number], unscored)
        entry: dict[str, Json] = {"value": name, "n": n, "unscored": unscored}
        table.append(entry | {"accuracy": accuracy.as_json(), "macro_f1": f1.as_json()})
    return {"values": table, "gap": _gap(scored, names, part, resampled)}


def _resampled(scored: _Scored, part: NDArray[np.int64], large: NDArray[np.int64]) -> Iterator[tuple[int, Resamples]]:
    """Yield each large part with its resampled statistics; as many parts at once as fit into memory."""
    width = scored.cell_stats.shape[1]
    units = len(scored.cell_stats) * len(large) if scored.codes is None else int(scored.codes.max()) + 1
    at_once = max(1, _NUMBERS // max(1, units * width))
    for start in range(0, len(large), at_once):
        chosen = large[start : start + at_once]
        drawn = _draw(scored, part, chosen, scored.cell_stats)
        for place, number in enumerate(chosen):
            yield int(number), drawn.take(slice(place * width, (place + 1) * width))


def _draw(scored: _Scored, part: NDArray[np.int64], chosen: NDArray[np.int64], stats: Floats) -> Resamples:
    """Resample all scored items; the statistics (`stats` of a cell) of the chosen parts stand side by side.

    What lies in no chosen part is drawn as well, so that the size of a part varies as it would.
    """
    kinds, width = stats.shape
    place = np.full(int(part.max()) + 1, len(chosen))
    place[chosen] = np.arange(len(chosen))
    cell = place[part] * kinds + scored.cells  # the last block: in no chosen part
    if scored.codes is None:
        blocks: Floats = np.kron(np.eye(len(chosen) + 1)[:, : len(chosen)], stats).astype(np.float64)
        counts = np.bincount(cell, minlength=len(blocks))
        return resample_cells(counts, blocks, seed=scored.seed, resamples=scored.resamples)
    clusters = int(scored.codes.max()) + 1
    inside = place[part] < len(chosen)
    codes, column, kind = scored.codes[inside], place[part[inside]] * width, scored.cells[inside]
    sums = np.zeros(clusters * len(chosen) * width)
    for statistic in range(width):
        at = codes * (len(chosen) * width) + column + statistic
        sums += np.bincount(at, weights=stats[kind, statistic], minlength=len(sums))
    units = sums.reshape(clusters, len(chosen) * width)
    return resample_units(units, seed=scored.seed, resamples=scored.resamples)


def _figures(scored: _Scored, members: NDArray[np.int64], drawn: Resamples, unscored: int) -> tuple[Estimate, Estimate]:
    """Return accuracy and macro-F1 of one part."""
    codes = None if scored.codes is None else np.unique(scored.codes[members], return_inverse=True)[1]
    accuracy = rate(scored.right[members], codes, unscored=unscored, level=scored.level)
    k, n = len(scored.labels), len(members)
    if not k:
        return accuracy, missing(scored.no_label_set, n=n, unscored=unscored)
    counts = np.bincount(scored.cells[members], minlength=k * (k + 1)).reshape(k, k + 1)
    sums = drawn.take(slice(2, None))
    f1 = figure(
        float(confusion.macro_f1(sums.total)),
        sums.interval(confusion.macro_f1, scored.level),
        n=n,
        unscored=unscored,
        level=scored.level,
        warnings=(*cluster_warnings(codes), *rare_classes(scored.labels, counts)),
    )
    return accuracy, f1


def _gap(
    scored: _Scored, names: NDArray[np.object_], part: NDArray[np.int64], resampled: Mapping[int, Resamples]
) -> dict[str, Json]:
    """Return the gap in accuracy between the best and the worst large part, the first of equals."""
    large = list(resampled)
    if len(large) < 2:
        return missing(f"n/a: fewer than two groups of {MIN_ITEMS} scored items").as_json() | {
            "best": None,
            "worst": None,
        }
    shares = np.array([scored.right[part == number].mean() for number in large])
    best, worst = large[int(shares.argmax())], large[int(shares.argmin())]
    if best == worst:  # all are equal
        worst = large[1]
    if scored.codes is None:
        drawn = _draw(scored, part, np.array([best, worst]), scored.cell_stats[:, : _ITEMS + 1])
    else:  # the parts were resampled with the same clusters drawn
        both = [resampled[number].take([_RIGHT, _ITEMS]) for number in (best, worst)]
        drawn = Resamples(np.hstack([b.stats for b in both]), both[0].counts, np.hstack([b.sums for b in both]))
    members = np.flatnonzero((part == best) | (part == worst))
    codes = None if scored.codes is None else np.unique(scored.codes[members], return_inverse=True)[1]
    found = figure(
        float(_difference(drawn.total)),
        drawn.interval(_difference, scored.level),
        n=len(members),
        level=scored.level,
        warnings=cluster_warnings(codes),
    )
    return found.as_json() | {"best": names[best], "worst": names[worst]}


def _difference(sums: Floats) -> Floats:
    """Return the difference of two shares from sums of (right, items) of each, shape (..., 4) → (...)."""
    right, items = sums[..., _RIGHT::2], sums[..., _ITEMS::2]
    shares: Floats = np.divide(right, items, out=np.full(items.shape, np.nan), where=items > 0)
    return np.asarray(shares[..., 0] - shares[..., 1])
