"""A figure against what it takes (size, cost, time), with the Pareto front."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from r2d_bench.leaderboard.plots.frame import HEIGHT, WIDTH, Axis, Frame
from r2d_bench.leaderboard.plots.svg import Plot, drawing, line, number, path, tag, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Point:
    """One model: what it takes (above 0), its figure and the interval."""

    name: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    kind: str = ""


def front(points: Sequence[Point], *, higher: bool = True) -> list[Point]:
    """Return the Pareto front by `x` upwards: points that no other beats in the figure at the same or lower `x`.

    Args:
        points: all points.
        higher: whether a higher figure is the better one.
    """
    sign = 1 if higher else -1
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, -sign * p.y, p.name)):
        if not kept or sign * point.y > sign * kept[-1].y:
            kept.append(point)
    return kept


def scatter(
    title: str, x_title: str, y_title: str, points: Sequence[Point], shown: Callable[[float], str], *, higher: bool
) -> Plot | None:
    """Draw points with numbers that the table explains; fewer than two of them make no plot.

    Args:
        title: what is shown.
        x_title: what it is shown against (logarithmic), with the unit.
        y_title: the figure.
        points: the models.
        shown: how a figure is written.
        higher: whether a higher figure is better.
    """
    if len(points) < 2:
        return None
    values = [v for p in points for v in (p.y, p.low, p.high) if v is not None]
    frame = Frame(Axis(x_title, [p.x for p in points], log=True), Axis(y_title, values, label=shown))
    best = front(points, higher=higher)
    ordered = sorted(points, key=lambda p: (p.x, p.name))
    parts: list[Markup] = [*frame.parts(), path(_steps(frame, best), "front")]
    for count, point in enumerate(ordered, 1):
        parts.append(tag("g", *_point(frame, point, str(count)), class_=point.kind or None))
    rows = tuple(
        (
            str(count),
            point.name,
            number(round(point.x, 6)),
            shown(point.y),
            "" if point.low is None or point.high is None else f"[{shown(point.low)}, {shown(point.high)}]",
            "yes" if point in best else "no",
        )
        for count, point in enumerate(ordered, 1)
    )
    columns = ("No.", "Model", x_title, y_title, "95 % interval", "On the front")
    return Plot(title, drawing(title, WIDTH, HEIGHT, parts), columns, rows)


def _steps(frame: Frame, best: Sequence[Point]) -> list[tuple[float, float]]:
    """Return the front as stairs: between two points only the first one's figure can be had."""
    places = [(frame.x.at(point.x), frame.y.at(point.y)) for point in best]
    stairs = [places[0]]
    for (_, before), (x, y) in pairwise(places):
        stairs += [(x, before), (x, y)]
    return [*stairs, (frame.x.stop, places[-1][1])]


def _point(frame: Frame, point: Point, label: str) -> list[Markup]:
    x, y = frame.x.at(point.x), frame.y.at(point.y)
    parts = [tag("circle", cx=x, cy=y, r=4, class_="dot"), text(label, x + 7, y - 5, "number")]
    if point.low is not None and point.high is not None:
        parts.insert(0, line(x, frame.y.at(point.low), x, frame.y.at(point.high), "span thin"))
    return parts
