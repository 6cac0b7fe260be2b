"""Schedules of Reason2Decide, pure functions of the step.

Source: arXiv 2512.20074 (label weight, sampling), Computers 2026, 15(5), 279 (trust, Gumbel temperature).
M is the most steps of the stage; warm-up lasts W = ⌊share × M⌋ steps, sampling rises over T = ⌊span × M⌋ more.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from r2d_bench.training.recipe import Cycle, LabelWeight, Sampling


def warmup_steps(share: float, steps: int) -> int:
    """Return W = ⌊share × M⌋."""
    return math.floor(share * steps)


def label_weight(step: int, steps: int, weight: LabelWeight) -> float:
    """Return α_s, the weight of the label's loss: it rises to its value over the warm-up, and stays there.

    Args:
        step: s, from 0.
        steps: M.
        weight: its final value, and the share of M that the warm-up takes.
    """
    warmup = warmup_steps(weight.warmup, steps)
    return weight.value * step / warmup if step < warmup else weight.value


def sampling_probability(step: int, steps: int, sampling: Sampling) -> float:
    """Return π_s, the probability that an explain prompt holds the model's own label instead of the gold one.

    It is 0 up to the end of the warm-up and then rises evenly to its ceiling: min(ceiling, (s − W) / T).
    """
    if sampling.kind == "none":
        return 0.0
    warmup = warmup_steps(sampling.warmup, steps)
    if step < warmup:
        return 0.0
    span = math.floor(sampling.span * steps)
    return min(sampling.ceiling, (step - warmup) / span if span else 1.0)


def full_sampling_step(steps: int, sampling: Sampling) -> int:
    """Return W + T, the step from which early stopping counts: sampling has run its course."""
    return warmup_steps(sampling.warmup, steps) + math.floor(sampling.span * steps)


def trust(confidence: float, threshold: float, steepness: float) -> float:
    """Return λ = σ(steepness × (confidence − threshold)), how far a prediction is trusted (Reason2Decide-C)."""
    return 1.0 / (1.0 + math.exp(-steepness * (confidence - threshold)))


def gumbel_temperature(step: int, steps: int, cycle: Cycle) -> float:
    """Return τ_g = max(floor, exp(−decay × s / M)), the temperature of the soft rationale (Reason2Decide-C)."""
    return max(cycle.temperature_floor, math.exp(-cycle.temperature_decay * step / steps))
