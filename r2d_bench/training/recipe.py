"""The contract of a recipe: everything that decides what a training run does."""

from __future__ import annotations

import types
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from r2d_bench.documents import check, read_yaml
from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.records import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from r2d_bench.records import Json

Share = Field(ge=0, le=1)
MethodName = Literal["sft", "dss", "r2d", "r2d_c"]
StageName = Literal["explain", "decide"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StageRecipe(_Part):
    """How one stage is trained.

    Attributes:
        steps: the most optimiser steps.
        batch_size: examples of one optimiser step, over all devices and accumulated batches.
        accumulation: parts that a batch is computed in, to save memory.
        learning_rate, schedule, warmup_ratio, weight_decay, optimizer, clip: of the optimiser.
        evaluate_every: steps between two evaluations.
        patience: evaluations without a better one before it stops; None trains all steps.
        select_by: what the best checkpoint is best in, on the validation split.
        rationale_style: style of the gold rationales, for tasks that declare several; None takes the task's default.
    """

    steps: int = Field(ge=1)
    batch_size: int = Field(default=64, ge=1)
    accumulation: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=5e-5, gt=0)
    schedule: Literal["linear", "constant", "cosine", "one_cycle"] = "linear"
    warmup_ratio: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    optimizer: Literal["adamw", "adafactor"] = "adamw"
    clip: float = Field(default=1.0, gt=0)
    evaluate_every: int = Field(ge=1)
    patience: int | None = Field(default=None, ge=1)
    select_by: Literal["macro_f1", "loss"] = "macro_f1"
    rationale_style: str | None = None

    @model_validator(mode="after")
    def _parts(self) -> Self:
        if self.batch_size % self.accumulation:
            raise ValueError(f"batch_size {self.batch_size} cannot be split into {self.accumulation} equal parts")
        return self


class LabelWeight(_Part):
    """Weight α of the label's loss, and the share of the steps over which it rises from 0."""

    value: float = Share
    warmup: float = Share


class Sampling(_Part):
    """Scheduled sampling at task level; `confident` also weighs a prediction by its confidence (Reason2Decide-C).

    Attributes:
        kind: none, scheduled or confident.
        warmup, span: shares of the steps before sampling begins, and over which it rises.
        ceiling: the highest probability.
        steepness, threshold_window, threshold_fallback: of the trust in a prediction.
    """

    kind: Literal["none", "scheduled", "confident"] = "none"
    warmup: float = Field(default=0.05, ge=0, le=1)
    span: float = Field(default=0.6, ge=0, le=1)
    ceiling: float = Field(default=0.9, ge=0, le=1)
    steepness: float = Field(default=10.0, gt=0)
    threshold_window: int = Field(default=1000, ge=1)
    threshold_fallback: float = Field(default=0.75, ge=0, le=1)


class Cycle(_Part):
    """The cycle loss of Reason2Decide-C; weight 0 leaves it out."""

    weight: float = Field(default=0.0, ge=0)
    temperature_floor: float = Field(default=0.5, gt=0)
    temperature_decay: float = Field(default=0.6931, ge=0)


class Quirks(_Part):
    """What the papers' released code does and common sense does not; all off unless a recipe asks for it.

    Attributes:
        dropout_in_sampling: labels for sampling are predicted with dropout on.
        explain_cut: once sampling has begun, explain prompts are cut to so many tokens (the code: 512).
        confidence_padding: padding counts in the confidence of a label.
        window_per_micro_batch: the confidence window moves with every part of a batch.
        evaluation_label_tokens: labels are decoded no further than this in validation (the code: 20).
    """

    dropout_in_sampling: bool = False
    explain_cut: int | None = Field(default=None, ge=1)
    confidence_padding: bool = False
    window_per_micro_batch: bool = False
    evaluation_label_tokens: int | None = Field(default=None, ge=1)


class Scratch(_Part):
    """A small T5 with a tokenizer of its own, trained from nothing on the task's texts."""

    d_model: int = Field(default=128, ge=8)
    d_ff: int = Field(default=256, ge=8)
    heads: int = Field(default=4, ge=1)
    layers: int = Field(default=2, ge=1)
    vocabulary: int = Field(default=4000, ge=100)


class Lora(_Part):
    """Low-rank adapters in place of all weights; `target_modules` as peft names them."""

    r: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] = ("q", "v")


class Recipe(_Part):
    """A whole training run, but for the task, the base model and the seed.

    Attributes:
        method: sft, dss, r2d or r2d_c.
        stages: `explain` (stage 1 of r2d and r2d_c) and `decide` (the only one of sft and dss).
        label_weight: α; its warm-up is 0 for dss.
        scratch: trains from nothing; the base's name is then only a name.
    """

    title: str = ""
    method: MethodName
    stages: dict[StageName, StageRecipe]
    label_weight: LabelWeight = LabelWeight(value=0.7, warmup=0.05)
    sampling: Sampling = Sampling()
    cycle: Cycle = Cycle()
    max_input_tokens: int = Field(default=1024, ge=8)
    max_label_tokens: int = Field(default=50, ge=1)
    max_rationale_tokens: int = Field(default=256, ge=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    gradient_checkpointing: bool = False
    dropout: float | None = Field(default=None, ge=0, lt=1)
    group_by_length: bool = True
    scratch: Scratch | None = None
    lora: Lora | None = None
    trackers: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = ()
    quirks: Quirks = Quirks()

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        needed = {"explain", "decide"} if self.method in {"r2d", "r2d_c"} else {"decide"}
        if set(self.stages) != needed:
            raise ValueError(f"method {self.method} has the stages {', '.join(sorted(needed))}")
        if "explain" in self.stages and self.stages["explain"].select_by != "loss":
            raise ValueError("stages.explain.select_by: this stage gives no label, it is selected by loss")
        if self.sampling.kind != "none" and self.method not in {"r2d", "r2d_c"}:
            raise ValueError(f"sampling: method {self.method} has none")
        if self.cycle.weight and self.method != "r2d_c":
            raise ValueError(f"cycle: method {self.method} has none")
        return self

    @property
    def digest(self) -> str:
        """Eight hex digits over everything that can change the weights."""
        return digest(self.model_dump(mode="json", exclude={"title", "trackers"}), 8)

    def stage_digest(self, stage: StageName) -> str:
        """Eight hex digits over what can change the weights that one stage gives, the start aside.

        Recipes that differ in stage 2 alone agree in the digest of stage 1.
        """
        apart = {"title", "trackers", "stages"}
        if stage == "explain":
            apart |= {"method", "label_weight", "sampling", "cycle", "quirks", "max_label_tokens"}
        return digest(
            [stage, self.stages[stage].model_dump(mode="json"), self.model_dump(mode="json", exclude=apart)], 8
        )


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    folder = _builtin()
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def _builtin() -> Path:
    return Path(str(files("r2d_bench.training"))) / "recipes"


def load_recipe(name: str, overrides: Mapping[str, str] = types.MappingProxyType({})) -> Recipe:
    """Return a recipe by name or file, with some of its fields replaced.

    Args:
        name: a name of `recipe_names`, or a YAML file.
        overrides: dotted key → value as text (`sampling.ceiling=0.5`). A key of a stage without its stage
            (`steps=200`) goes to every stage.

    Raises:
        UserError: no such recipe, an unknown key, or a value that does not fit.
    """
    data = _read(name)
    for key, value in overrides.items():
        _replace(data, key, value, name)
    return check(Recipe, data, f"recipe {name}")


def _read(name: str) -> dict[str, Json]:
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        if name not in recipe_names():
            raise UserError(f"recipe '{name}': no such recipe{did_you_mean(name, recipe_names())}, nor a .yaml file")
        path = _builtin() / f"{name}.yaml"
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise UserError(f"{path}: should hold keys and values")
    return data


def _replace(data: dict[str, Json], key: str, value: str, name: str) -> None:
    """Put a value at a dotted key."""
    first, _, rest = key.partition(".")
    stages = data.get("stages") or {}
    if not rest and first in StageRecipe.model_fields and first not in Recipe.model_fields:
        for stage in stages.values():
            stage[first] = value
        return
    known = [*Recipe.model_fields, *StageRecipe.model_fields]
    if first not in Recipe.model_fields:
        raise UserError(f"recipe {name}: unknown key '{key}'{did_you_mean(first, known)}")
    place, *deeper = key.split(".")
    target = data
    for part in deeper:
        inner = target.setdefault(place, {})
        if not isinstance(inner, dict):
            raise UserError(f"recipe {name}: '{key}': {place} holds no keys")
        target, place = inner, part
    target[place] = value.split(",") if place in {"trackers", "target_modules"} else value
