"""How figures look: digits, intervals, whiskers. The meaning of a metric drives all of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.metrics.registry import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from r2d_bench.records import Json

WIDTH = 96  # of a whisker's drawing area


def shown(metric: str, value: float) -> str:
    """Return a value with the digits of its metric; per cent without the sign, which stands in the heading."""
    known = METRICS[metric]
    text = f"{value * 100 if known.percent else value:.{known.decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def between(metric: str, low: float, high: float) -> str:
    """Return an interval; brackets, since a dash would be read as a minus sign."""
    return f"[{shown(metric, low)}, {shown(metric, high)}]"


def heading(metric: str) -> str:
    """Return the metric's title with its unit."""
    known = METRICS[metric]
    paper = " (paper script)" if known.preset == "paper" else ""
    return known.title + paper + (", %" if known.percent else "")


@dataclass(frozen=True, slots=True)
class Axis:
    """The common scale of all whiskers of one column: values from `low` to `high` over `WIDTH` units."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Return the place of a value, within the drawing."""
        share = (value - self.low) / (self.high - self.low)
        return round(2 + min(max(share, 0.0), 1.0) * (WIDTH - 4), 1)


def axis(metric: str, figures: Iterable[Mapping[str, Json]]) -> Axis:
    """Return a scale that holds every figure and interval, rounded outwards to tenths of the metric's range."""
    known = METRICS[metric]
    values = [f[key] for f in figures for key in ("value", "low", "high") if f[key] is not None]
    if not values:
        return Axis(0.0, 1.0)
    bounded = known.low is not None and known.high is not None
    step = ((known.high or 0.0) - (known.low or 0.0)) / 10 if bounded else 10 ** math.floor(math.log10(max(map(abs, values)) or 1))
    # Rounding first: 0.3 / 0.1 is 2.9999… and would cost a whole step.
    low, high = (round(value / step, 6) for value in (min(values), max(values)))
    first, last = math.floor(low), math.ceil(high)
    return Axis(round(first * step, 6), round(max(last, first + 1) * step, 6))
