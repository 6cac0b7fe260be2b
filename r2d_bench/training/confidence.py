"""The threshold of trust of Reason2Decide-C: how confident a label has to be, judged by the confidences so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.training.schedules import warmup_steps

if TYPE_CHECKING:
    from r2d_bench.training.recipe import Sampling


@dataclass(slots=True)
class Threshold:
    """τ: the mean confidence over the warm-up, and later over the last window; the fallback where there was none.

    Only what lies between two moves has to be kept: the sum and number of confidences.

    Attributes:
        value: τ now.
        total, count: confidences since it last moved.
    """

    value: float
    total: float = 0.0
    count: int = 0

    def move(self, unit: int, sampling: Sampling) -> None:
        """Set τ anew where a window ends.

        Args:
            unit: steps (by the quirk: parts of batches) since the end of the warm-up; below 0 within it.
            sampling: the length of the window, and the fallback.
        """
        if unit >= 0 and unit % sampling.threshold_window == 0:
            self.value = self.total / self.count if self.count else sampling.threshold_fallback
            self.total, self.count = 0.0, 0

    def add(self, total: float, count: int) -> None:
        """Take in the sum of some confidences."""
        self.total += total
        self.count += count


def unit_of(step: int, part: int, *, steps: int, parts: int, sampling: Sampling, per_part: bool) -> int | None:
    """Return how many units of the window have passed since the warm-up; None where no unit begins here.

    Args:
        step: of the optimiser, from 0.
        part: of the batch, from 0.
        steps: M.
        parts: parts of a batch on one device.
        sampling: the share of the warm-up.
        per_part: a unit is a part of a batch (quirk), not a step.
    """
    since = step - warmup_steps(sampling.warmup, steps)
    if per_part:
        return since * parts + part
    return since if part == 0 else None
