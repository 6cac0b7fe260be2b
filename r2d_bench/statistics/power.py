"""What a comparison of this size could have seen."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from scipy.special import ndtri


@dataclass(frozen=True, slots=True)
class Power:
    """The smallest true difference that a comparison of this size would find, and what it was reckoned from.

    Attributes:
        detectable: that difference, in the figure's own unit; None where it cannot be told.
        standard_error: of the paired difference, as seen on these units.
        units: independent units compared (items, or clusters).
        level: 1 minus the chance of calling equal models different.
        power: the chance that a difference of this size is found.
        comparisons: how many are tested together.
        reason: why it cannot be told, else None.
    """

    detectable: float | None
    standard_error: float | None
    units: int
    level: float
    power: float
    comparisons: int
    reason: str | None = None

    def units_needed(self, difference: float) -> int | None:
        """Return how many units of the same kind would show a difference of this size; None where unknown.

        The standard error shrinks with the root of the number of units.

        Args:
            difference: the true difference to be found, not 0.
        """
        if self.detectable is None or difference == 0:
            return None
        return max(2, ceil(self.units * (self.detectable / difference) ** 2))


def smallest_detectable(
    standard_error: float | None, units: int, *, level: float = 0.95, power: float = 0.8, comparisons: int = 1
) -> Power:
    """Return the smallest difference that would be found with the given power.

    (z(1 - alpha/2m) + z(power)) · standard error, two-sided (Chow, Shao and Wang 2008, 3.1). The standard error is
    that of the difference actually seen between two models on the same units (the spread of the paired bootstrap),
    so that what both models share is already taken out. Where m comparisons are tested together, the strictest of
    Holm's steps is assumed.

    Args:
        standard_error: of the paired difference; None where unknown.
        units: independent units that it comes from.
        level: 1 minus alpha.
        power: the chance of finding it, between 0 and 1.
        comparisons: m, how many are tested together.

    Raises:
        ValueError: a level or power outside (0, 1), or fewer than one comparison.
    """
    if not (0 < level < 1 and 0 < power < 1 and comparisons >= 1):
        raise ValueError(f"level and power lie in (0, 1), comparisons from 1: {level}, {power}, {comparisons}")
    if standard_error is None:
        return Power(None, None, units, level, power, comparisons, "the spread of the difference is unknown")
    if standard_error <= 0:
        reason = "the models never differ here: nothing is known of the spread of their difference"
        return Power(None, 0.0, units, level, power, comparisons, reason)
    reach = float(ndtri(1 - (1 - level) / (2 * comparisons)) + ndtri(power))
    return Power(reach * standard_error, standard_error, units, level, power, comparisons)
