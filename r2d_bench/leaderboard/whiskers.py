"""Whiskers: the common scale of a column, which the meaning of its metric drives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.metrics.display import meant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from r2d_bench.metrics.base import Metric
    from r2d_bench.records import Json

WIDTH = 96  # of a whisker's drawing area


@dataclass(frozen=True, slots=True)
class Axis:
    """The common scale of all whiskers of one column: values from `low` to `high` over `WIDTH` units."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Return the place of a value, within the drawing."""
        share = (value - self.low) / (self.high - self.low)
        return round(2 + min(max(share, 0.0), 1.0) * (WIDTH - 4), 1)


def axis(metric: str | Metric, figures: Iterable[Mapping[str, Json]]) -> Axis:
    """Return a scale that holds every figure and interval, rounded outwards to tenths of the metric's range."""
    known = meant(metric)
    values = [f[key] for f in figures for key in ("value", "low", "high") if f[key] is not None]
    if not values:
        return Axis(0.0, 1.0)
    if known.low is not None and known.high is not None:
        step = (known.high - known.low) / 10
    else:
        step = 10.0 ** math.floor(math.log10(max(map(abs, values)) or 1.0))
    # Rounding first: 0.3 / 0.1 is 2.9999… and would cost a whole step.
    low, high = (round(value / step, 6) for value in (min(values), max(values)))
    first, last = math.floor(low), math.ceil(high)
    return Axis(round(first * step, 6), round(max(last, first + 1) * step, 6))
