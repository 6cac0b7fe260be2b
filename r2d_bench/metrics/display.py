"""Figures as people read them; the metric's semantics decide the form."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from r2d_bench.metrics.base import Metric
    from r2d_bench.records import Json

MISSING = "–"


def show_value(metric: Metric, value: float | None) -> str:
    """Return one figure: per cent or a plain number with the metric's decimals; a dash where there is none."""
    if value is None:
        return MISSING
    return f"{100 * value:.1f} %" if metric.percent else f"{value:.{metric.decimals}f}"


def show_interval(metric: Metric, low: float | None, high: float | None) -> str:
    """Return the interval in brackets; empty where it is undefined."""
    if low is None or high is None:
        return ""
    return f"[{show_value(metric, low).removesuffix(' %')}, {show_value(metric, high).removesuffix(' %')}]"


def show_estimate(metric: Metric, estimate: Mapping[str, Json] | None) -> str:
    """Return a figure of `scores.json` with its interval."""
    if not estimate or estimate.get("value") is None:
        return MISSING
    interval = show_interval(metric, estimate.get("low"), estimate.get("high"))
    return f"{show_value(metric, estimate['value'])} {interval}".rstrip()
