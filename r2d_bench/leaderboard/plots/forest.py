"""Figures of several things on one scale, each with its interval: models, criteria, slices, seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.leaderboard.plots.svg import Plot, Scale, drawing, line, shortened, tag, text, ticks, width_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from markupsafe import Markup

WIDTH = 640
_ROW, _TOP, _BOTTOM, _RIGHT = 22, 8, 36, 16
_LONGEST = 34  # characters of a name


@dataclass(frozen=True, slots=True)
class Mark:
    """One row: a value with its interval, and single values beside it (seeds, judges).

    Attributes:
        name: what the value belongs to.
        value: None where there is none; the row then says so.
        low, high: the interval; None where there is none.
        single: further values, drawn as small ticks.
        kind: a class of the style sheet (`human`, `part`), or empty.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    single: tuple[float, ...] = ()
    kind: str = ""


def forest(title: str, unit: str, marks: Sequence[Mark], shown: Callable[[float], str]) -> Plot | None:
    """Draw values with their intervals, one row each; None where no row has a value.

    Args:
        title: what is shown.
        unit: title of the scale.
        marks: the rows, from the top.
        shown: how a value is written, in the table and on the scale.
    """
    values = [v for mark in marks for v in (mark.value, mark.low, mark.high, *mark.single) if v is not None]
    if not values:
        return None
    left = min(260.0, 14 + max(width_of(shortened(mark.name, _LONGEST)) for mark in marks))
    marked = ticks(min(values), max(values))
    scale = Scale(marked[0], marked[-1], left, WIDTH - _RIGHT)
    bottom = _TOP + _ROW * len(marks)
    parts: list[Markup] = []
    for tick in marked:
        parts.append(line(scale.at(tick), _TOP, scale.at(tick), bottom, "grid"))
        parts.append(text(shown(tick), scale.at(tick), bottom + 15, "tick", "middle"))
    parts.append(text(unit, (left + WIDTH - _RIGHT) / 2, bottom + 31, "axis-title", "middle"))
    for place, mark in enumerate(marks):
        parts.append(tag("g", *_row(mark, scale, _TOP + _ROW * (place + 0.5)), class_=mark.kind or None))
    singles = any(mark.single for mark in marks)
    rows = tuple(_cells(mark, shown, singles=singles) for mark in marks)
    columns = ("Row", unit, "95 % interval", *(("each",) if singles else ()))
    return Plot(title, drawing(title, WIDTH, bottom + _BOTTOM, parts), columns, rows)


def _row(mark: Mark, scale: Scale, y: float) -> Iterator[Markup]:
    yield text(shortened(mark.name, _LONGEST), 2, y + 4, "name")
    if mark.value is None:
        yield text("no value", scale.start, y + 4, "tick")
        return
    for value in mark.single:
        yield line(scale.at(value), y - 6, scale.at(value), y + 6, "single")
    if mark.low is not None and mark.high is not None:
        yield line(scale.at(mark.low), y, scale.at(mark.high), y, "span")
    yield tag("circle", cx=scale.at(mark.value), cy=y, r=4, class_="dot")


def _cells(mark: Mark, shown: Callable[[float], str], *, singles: bool) -> tuple[str, ...]:
    value = "–" if mark.value is None else shown(mark.value)
    interval = "" if mark.low is None or mark.high is None else f"[{shown(mark.low)}, {shown(mark.high)}]"
    return (mark.name, value, interval, *((", ".join(shown(v) for v in mark.single),) if singles else ()))
