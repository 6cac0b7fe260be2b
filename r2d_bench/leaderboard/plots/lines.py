"""Curves: reliability, risk against coverage, cost against the ratio of its kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.leaderboard.plots.frame import HEIGHT, WIDTH, Axis, Frame
from r2d_bench.leaderboard.plots.svg import Plot, drawing, line, path, shortened, tag, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

_DASHES = 6  # as many kinds of line as the style sheet knows (`series-0` …)


@dataclass(frozen=True, slots=True)
class Series:
    """One curve: its name and its points (x, y), in order of x."""

    name: str
    points: tuple[tuple[float, float], ...]


def curves(title: str, x: Axis, y: Axis, series: Sequence[Series], *, diagonal: bool = False) -> Plot | None:
    """Draw curves over common axes; None where there is no point.

    Curves differ in their dashes and in the letter at their end, not in colour alone.

    Args:
        title: what is shown.
        x: the axis from left to right.
        y: the axis upwards.
        series: the curves.
        diagonal: also draw where both are equal.
    """
    if not any(one.points for one in series):
        return None
    frame = Frame(x, y)
    parts: list[Markup] = [*frame.parts()]
    if diagonal:
        low, high = max(frame.x.low, frame.y.low), min(frame.x.high, frame.y.high)
        parts.append(line(frame.x.at(low), frame.y.at(low), frame.x.at(high), frame.y.at(high), "ideal"))
    for place, one in enumerate(series):
        parts += _curve(frame, one, place, named=len(series) > 1)
    rows = tuple(
        (*((one.name,) if len(series) > 1 else ()), x.label(a), y.label(b)) for one in series for a, b in one.points
    )
    columns = (*(("Curve",) if len(series) > 1 else ()), x.title, y.title)
    return Plot(title, drawing(title, WIDTH, HEIGHT, parts), columns, rows)


def _curve(frame: Frame, one: Series, place: int, *, named: bool) -> list[Markup]:
    places = [(frame.x.at(a), frame.y.at(b)) for a, b in one.points]
    kind = f"curve series-{place % _DASHES}"
    parts = [path(places, kind), *(tag("circle", cx=a, cy=b, r=2.5, class_=f"dot {kind}") for a, b in places)]
    if named and places:
        parts.append(text(shortened(one.name, 28), places[-1][0] - 4, places[-1][1] - 6, "name", "end"))
    return parts
