"""Figures as people read them, in pages and on the console; the metric's meaning decides the form.

A metric is named, or brought along where it is no member of the registry (those of a judge's rubric).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.metrics.base import Metric
from r2d_bench.metrics.registry import lookup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from r2d_bench.records import Json

MISSING = "–"


def meant(metric: str | Metric) -> Metric:
    """Return the metric itself."""
    return metric if isinstance(metric, Metric) else lookup(metric)


def shown(metric: str | Metric, value: float) -> str:
    """Return a value with the digits of its metric; per cent without the sign, which stands in the heading."""
    known = meant(metric)
    text = f"{value * 100 if known.percent else value:.{known.decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def between(metric: str | Metric, low: float, high: float) -> str:
    """Return an interval; brackets, since a dash would be read as a minus sign."""
    return f"[{shown(metric, low)}, {shown(metric, high)}]"


def heading(metric: str | Metric) -> str:
    """Return the metric's title with its unit."""
    known = meant(metric)
    return known.title + (", %" if known.percent else "")


def figure(metric: str | Metric, estimate: Mapping[str, Json] | None) -> str:
    """Return a figure of `scores.json` with its interval; a dash where there is none."""
    if not estimate or estimate["value"] is None:
        return MISSING
    low, high = estimate["low"], estimate["high"]
    interval = "" if low is None or high is None else " " + between(metric, low, high)
    return shown(metric, estimate["value"]) + interval
