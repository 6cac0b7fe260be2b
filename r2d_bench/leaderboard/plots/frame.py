"""The frame of a plot with two axes: grid, ticks and titles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.leaderboard.plots.svg import Scale, line, log_ticks, number, text, ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from markupsafe import Markup

WIDTH, HEIGHT = 520, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 30, 44


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its title, its values, and how they are written.

    Attributes:
        title: with the unit.
        values: all values that must find room.
        log: logarithmic (all values above 0).
        label: how a tick is written.
    """

    title: str
    values: Sequence[float]
    log: bool = False
    label: Callable[[float], str] = number

    @property
    def ticks(self) -> list[float]:
        """Round values that enclose all."""
        low, high = min(self.values), max(self.values)
        return log_ticks(low, high) if self.log else ticks(low, high)


@dataclass(frozen=True, slots=True)
class Frame:
    """Two axes and the scales that they make."""

    x_axis: Axis
    y_axis: Axis

    @property
    def x(self) -> Scale:
        """Values onto places from left to right."""
        marks = self.x_axis.ticks
        return Scale(marks[0], marks[-1], _LEFT, WIDTH - _RIGHT, self.x_axis.log)

    @property
    def y(self) -> Scale:
        """Values onto places from the bottom up."""
        marks = self.y_axis.ticks
        return Scale(marks[0], marks[-1], HEIGHT - _BOTTOM, _TOP, self.y_axis.log)

    def parts(self) -> Iterator[Markup]:
        """Yield grid lines, labels of ticks, and the axes' titles."""
        x, y = self.x, self.y
        for value in self.y_axis.ticks:
            yield line(_LEFT, y.at(value), WIDTH - _RIGHT, y.at(value), "grid")
            yield text(self.y_axis.label(value), _LEFT - 6, y.at(value) + 4, "tick", "end")
        for value in self.x_axis.ticks:
            yield line(x.at(value), _TOP, x.at(value), HEIGHT - _BOTTOM, "grid")
            yield text(self.x_axis.label(value), x.at(value), HEIGHT - _BOTTOM + 16, "tick", "middle")
        yield text(self.x_axis.title, (_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 6, "axis-title", "middle")
        yield text(self.y_axis.title, 4, 11, "axis-title")
