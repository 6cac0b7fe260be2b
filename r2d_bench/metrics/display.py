"""Figures as people read them, in pages and on the console; the metric's meaning decides the form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.metrics.registry import lookup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from r2d_bench.records import Json

MISSING = "–"


def shown(metric: str, value: float) -> str:
    """Return a value with the digits of its metric; per cent without the sign, which stands in the heading."""
    known = lookup(metric)
    text = f"{value * 100 if known.percent else value:.{known.decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def between(metric: str, low: float, high: float) -> str:
    """Return an interval; brackets, since a dash would be read as a minus sign."""
    return f"[{shown(metric, low)}, {shown(metric, high)}]"


def heading(metric: str) -> str:
    """Return the metric's title with its unit."""
    known = lookup(metric)
    return known.title + (", %" if known.percent else "")


def figure(metric: str, estimate: Mapping[str, Json] | None) -> str:
    """Return a figure of `scores.json` with its interval; a dash where there is none."""
    if not estimate or estimate["value"] is None:
        return MISSING
    low, high = estimate["low"], estimate["high"]
    interval = "" if low is None or high is None else " " + between(metric, low, high)
    return shown(metric, estimate["value"]) + interval
