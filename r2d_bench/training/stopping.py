"""When to stop early, and which evaluation was the best: pure functions of the evaluations so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The value of a metric after so many steps."""

    step: int
    value: float


def best(evaluations: Sequence[Evaluated], *, greater: bool) -> Evaluated | None:
    """Return the best evaluation, the earliest of equals; None where there is none."""
    sign = 1 if greater else -1
    return max(evaluations, key=lambda e: (sign * e.value, -e.step), default=None)


def should_stop(evaluations: Sequence[Evaluated], *, greater: bool, patience: int | None, since: int) -> bool:
    """Tell whether `patience` evaluations in a row were no better than the best before them.

    Args:
        evaluations: in order.
        greater: a greater value is better.
        patience: None never stops.
        since: evaluations at an earlier step may be the best one, but none of them counts as a failure.
    """
    if patience is None:
        return False
    failures, record = 0, None
    for evaluation in evaluations:
        if record is None or (evaluation.value > record if greater else evaluation.value < record):
            failures, record = 0, evaluation.value
        elif evaluation.step >= since:
            failures += 1
    return failures >= patience
