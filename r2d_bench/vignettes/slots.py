"""Slots of phrases: `x {min} min` with `min: 20-50/5`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

_NAME = re.compile(r"\{([A-Za-z_]\w*)\}")
UNITS = ("minutes", "hours", "days", "weeks", "months", "years")
_ONE = re.compile(r"(?<![\d.,/-])1 (minute|hour|day|week|month|year)s\b")  # `{d} days` with d = 1
_RANGE = re.compile(r"(?:(temp) +)?(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)(?:/(\d+(?:\.\d+)?))?")

MOST_CHOICES = 400


def names(text: str) -> list[str]:
    """Return the names of the slots in a text, in order."""
    return _NAME.findall(text)


def choices(slot: str) -> tuple[str, ...]:
    """Return every value that a slot can take, as text.

    Args:
        slot: `LOW-HIGH`, `LOW-HIGH/STEP`, `temp LOW-HIGH`, or `a|b|c`.

    Raises:
        ValueError: none of these, or more values than a reader could need.
    """
    matched = _RANGE.fullmatch(slot.strip())
    if matched is None:
        parts = tuple(part.strip() for part in slot.split("|"))
        if len(parts) < 2 or not all(parts) or any(_RANGE.fullmatch(part) for part in parts):
            raise ValueError(f"slot '{slot}': should be LOW-HIGH, LOW-HIGH/STEP, temp LOW-HIGH or a|b|c")
        return parts
    low, high = float(matched[2]), float(matched[3])
    decimals = max(len(part.partition(".")[2]) for part in matched.groups()[1:] if part)
    step = float(matched[4]) if matched[4] else 10.0**-decimals
    count = int(round((high - low) / step, 6)) + 1
    if not 1 <= count <= MOST_CHOICES:
        raise ValueError(f"slot '{slot}': has {count} values, should have 1 to {MOST_CHOICES}")
    return tuple(f"{low + index * step:.{decimals}f}" for index in range(count))


def is_temperature(slot: str) -> bool:
    """Return whether a slot's values are degrees Celsius."""
    return slot.strip().startswith("temp ")


def fahrenheit(celsius: str) -> str:
    """Return a temperature in degrees Fahrenheit, to one place."""
    return f"{float(celsius) * 9 / 5 + 32:.1f}"


def draw(slots: Mapping[str, str], rng: Random) -> dict[str, str]:
    """Return one value for each slot."""
    return {name: rng.choice(choices(slot)) for name, slot in sorted(slots.items())}


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return a text with its slots filled; `1 days` becomes `1 day`.

    Raises:
        KeyError: a slot has no value.
    """
    return _ONE.sub(r"1 \1", _NAME.sub(lambda found: values[found[1]], text))
