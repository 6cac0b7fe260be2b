"""What a difference means, in plain words. The metric's meaning decides direction, unit and digits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from r2d_bench.metrics.base import Direction

if TYPE_CHECKING:
    from r2d_bench.metrics.base import Metric
    from r2d_bench.statistics.boards import Pair

_HUNDRED = 100.0  # metrics on this scale are read in points, as those in per cent are


@dataclass(frozen=True, slots=True)
class Told:
    """What a sentence about a pair needs beside the pair.

    Attributes:
        first, second: the names of the two sides.
        items: items that both were scored on.
        clusters: clusters that they form; None where they are independent.
        pairs: how many were tested together.
        level: coverage of the interval.
        margin: a difference that does not matter; None where none was given.
        detectable: the smallest difference that would be found; None where unknown.
    """

    first: str
    second: str
    items: int
    clusters: int | None
    pairs: int
    level: float
    margin: float | None
    detectable: float | None


def amount(metric: Metric, value: float) -> str:
    """Return the size of a difference with its unit: `3.1 points`, `0.012`."""
    text = number(metric, abs(value))
    if float(text) == 0 and value != 0:  # too small for the metric's digits, and yet something
        text = f"{abs(value) * (100 if metric.percent else 1):.2g}"
    if not _in_points(metric):
        return text
    return f"{text} point{'' if float(text) == 1 else 's'}"


class Form(Protocol):
    """How the figures of a metric are written."""

    @property
    def percent(self) -> bool:
        """Shown as per cent."""

    @property
    def decimals(self) -> int:
        """Digits behind the point."""


def number(form: Form, value: float) -> str:
    """Return a figure, or a difference of two, without its unit."""
    text = f"{value * 100 if form.percent else value:.{form.decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _in_points(metric: Metric) -> bool:
    return metric.percent or metric.high == _HUNDRED


def called(metric: Metric) -> str:
    """Return the metric's title as it stands within a sentence: `macro-F1`, but `BLEU`, `chrF` and `F1`."""
    return metric.title[0].lower() + metric.title[1:] if re.match(r"[A-Z][a-z]+\b", metric.title) else metric.title


def sentence(metric: Metric, pair: Pair, told: Told) -> str:
    """Return what is known of two sides in one sentence."""
    if pair.difference is None or pair.p is None:
        return f"{told.first} and {told.second}: not compared ({pair.reason})"
    if pair.identical:
        return f"{told.first} and {told.second} have the same score on each of the {_items(told)}"
    if pair.winner is not None:
        return _won(metric, pair, told)
    if pair.equivalent and told.margin is not None:
        seen = _seen(metric, pair, told)
        return f"{told.first} and {told.second} are equal within the margin of {_margin(metric, told)} ({seen})"
    return _unclear(metric, pair, told)


def _won(metric: Metric, pair: Pair, told: Told) -> str:
    first = pair.winner == pair.first
    names = (told.first, told.second) if first else (told.second, told.first)
    difference = pair.difference or 0.0
    sign = 1 if difference > 0 else -1
    unit = "of" if _in_points(metric) else "in"
    words = f"{names[0]} is {_better(metric)} than {names[1]} by {amount(metric, difference)} {unit} {called(metric)}"
    if metric.direction is Direction.LOWER:
        words += " (lower is better)"
    words += _between(metric, pair, told, sign)
    if pair.equivalent and told.margin is not None:
        words += f"; that is less than the margin of {_margin(metric, told)}"
    return words


def _better(metric: Metric) -> str:
    return "higher" if metric.direction is Direction.NONE else "better"


def _unclear(metric: Metric, pair: Pair, told: Told) -> str:
    words = f"{told.first} and {told.second} cannot be told apart with {_items(told)} ({_seen(metric, pair, told)})"
    if pair.p is not None and pair.corrected is not None and pair.p <= 1 - told.level:
        if pair.corrected > 1 - told.level:
            words += f": taken alone the pair would be (p {p_value(pair.p)}), among {told.pairs} pairs it may be chance"
        else:
            words += f": on these items they differ (p {p_value(pair.corrected)}), with other seeds they may not"
    if told.detectable is not None:
        words += f"; a difference under {amount(metric, told.detectable)} would not be seen"
    return words


def _seen(metric: Metric, pair: Pair, told: Told) -> str:
    """Return the difference as seen: who is higher by how much."""
    difference = pair.difference or 0.0
    names = (told.first, told.second) if difference >= 0 else (told.second, told.first)
    sign = 1 if difference >= 0 else -1
    if difference == 0:
        return f"no difference{_between(metric, pair, told, sign)}"
    return f"{names[0]} is {amount(metric, difference)} higher{_between(metric, pair, told, sign)}"


def _between(metric: Metric, pair: Pair, told: Told, sign: int) -> str:
    low, high = pair.interval.low, pair.interval.high
    if low is None or high is None:
        return ""
    ends = sorted((sign * low, sign * high))
    return f", {told.level * 100:g} % interval {number(metric, ends[0])} to {number(metric, ends[1])}"


def _items(told: Told) -> str:
    items = f"{told.items} item{'' if told.items == 1 else 's'}"
    return items if told.clusters is None else f"{items} in {told.clusters} groups"


def _margin(metric: Metric, told: Told) -> str:
    text = f"{(told.margin or 0.0) * (100 if metric.percent else 1):g}"
    return f"{text} point{'' if text == '1' else 's'}" if _in_points(metric) else text


def p_value(p: float | None) -> str:
    """Return p as it is read: three digits behind the point, never 0."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
