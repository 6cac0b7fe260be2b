"""SVG markup: escaped text, classes in place of colours (the style sheet knows the theme), scales and ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CHARACTER = 6.2  # mean width of a letter at the plots' 11 px, in px


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing with its data.

    Attributes:
        title: what is shown; the accessible name.
        svg: the drawing.
        columns, rows: the table behind it; every row has as many cells as there are columns.
    """

    title: str
    svg: Markup
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high` onto places from `start` to `stop`; logarithmic if asked (values above 0)."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def at(self, value: float) -> float:
        """Return the place of a value; values outside are drawn at the edge."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, max(value, self._least)))
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + min(max(share, 0.0), 1.0) * (self.stop - self.start), 1)

    @property
    def _least(self) -> float:
        return self.low if self.log else -math.inf


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return round values from at or below `low` to at or above `high`, `wanted` steps or so: 1, 2 or 5 times 10^k."""
    span = high - low
    if span <= 1e-9 * max(abs(low), abs(high)) or span < 1e-300:  # one value, but for rounding
        span = abs(high) if abs(high) > 1e-300 else 1.0
    power = 10.0 ** math.floor(math.log10(span / wanted))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= wanted)
    # Rounding first: 0.3 / 0.1 is 2.9999… and would cost a whole step.
    first, last = math.floor(round(low / step, 6)), math.ceil(round(high / step, 6))
    return [float(f"{number * step:.10g}") for number in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten that enclose the values, which lie above 0."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def tag(name: str, *inside: Markup | str, **attributes: str | float | None) -> Markup:
    """Return one element; text and attributes are escaped, an attribute without a value is left out.

    Args:
        name: the element.
        inside: child elements (markup) and text.
        attributes: names as in Python: `class_`, `stroke_width`.
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, Markup("").join(escape(part) for part in inside))  # noqa: S704 - names are ours


def text(words: str, x: float, y: float, kind: str = "", anchor: str = "start") -> Markup:
    """Return a line of text; `anchor` is start, middle or end."""
    return tag("text", words, x=x, y=y, class_=kind or None, text_anchor=None if anchor == "start" else anchor)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """Return a straight line of a kind that the style sheet knows."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def path(points: Sequence[tuple[float, float]], kind: str) -> Markup:
    """Return a line through points."""
    return tag("polyline", points=" ".join(f"{x:g},{y:g}" for x, y in points), class_=kind)


def drawing(title: str, width: float, height: float, parts: Iterable[Markup]) -> Markup:
    """Return the whole drawing; it shrinks with its column and never grows beyond its size."""
    return tag(
        "svg",
        tag("title", title),
        *parts,
        class_="plot",
        role="img",
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
    )


def width_of(words: str) -> float:
    """Return about how wide a text is drawn, in px."""
    return len(words) * _CHARACTER


def shortened(words: str, longest: int) -> str:
    """Return a text cut to a number of characters, the end marked."""
    return words if len(words) <= longest else words[: longest - 1].rstrip() + "…"


def number(value: float) -> str:
    """Return a tick's label: no more digits than it takes, thousands and millions short."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
