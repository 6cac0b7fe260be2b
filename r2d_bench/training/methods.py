"""The four methods as declared objects: what each stage asks, which losses it has, when it may stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.training.schedules import full_sampling_step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from r2d_bench.training.recipe import MethodName, Recipe, StageName


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of training.

    Attributes:
        protocol: the built-in protocol whose prompts it trains on.
        predict: it has the loss of the label (`predict: x → y`).
        explain: it has the loss of the rationale.
        conditioned: the explain prompt holds a label, which may be sampled.
    """

    protocol: str
    predict: bool
    explain: bool
    conditioned: bool = False


@dataclass(frozen=True, slots=True)
class Method:
    """A way to train.

    Attributes:
        title: its name on pages.
        protocol: the protocol that a checkpoint is asked by.
        stages: in order; each starts from the one before.
    """

    title: str
    protocol: str
    stages: Mapping[StageName, Stage]


_BOTH = Stage("r2d", predict=True, explain=True, conditioned=True)
# Stage 1 asks `explain: x`, as Distilling Step-by-Step does.
_RATIONALE = Stage("dss", predict=False, explain=True)

METHODS: Mapping[MethodName, Method] = {
    "sft": Method("SFT", "sft", {"decide": Stage("sft", predict=True, explain=False)}),
    "dss": Method("Distilling Step-by-Step", "dss", {"decide": Stage("dss", predict=True, explain=True)}),
    "r2d": Method("Reason2Decide", "r2d", {"explain": _RATIONALE, "decide": _BOTH}),
    "r2d_c": Method("Reason2Decide-C", "r2d", {"explain": _RATIONALE, "decide": _BOTH}),
}


def counting_from(stage: StageName, recipe: Recipe) -> int:
    """Return the step from which evaluations count towards early stopping: W + T where labels are sampled."""
    if stage == "explain" or recipe.sampling.kind == "none":
        return 0
    return full_sampling_step(recipe.stages[stage].steps, recipe.sampling)
