"""What a training would do, checked before anything begins: no engine is loaded and nothing is written.

`resolve_recipe` and a `Base` come first; `plan_training` makes a `Plan` of them, which `train` carries out.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2d_bench.documents import slug
from r2d_bench.errors import MissingDependencyError, UserError
from r2d_bench.tasks.privacy import check_endpoint
from r2d_bench.training.lineage import LearntBase, Lineage, lineage_of
from r2d_bench.training.methods import METHODS
from r2d_bench.training.publish import published
from r2d_bench.training.recipe import Recipe, Scratch, load_recipe
from r2d_bench.training.texts import all_texts, rationale

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from r2d_bench.records import Example, Json
    from r2d_bench.tasks.task import Task
    from r2d_bench.training.recipe import StageName

CHECKPOINTS = "checkpoints"
TINY = "tiny"  # the name of a base that is made from nothing
RECIPE, TINY_RECIPE = "default", "demo"
STATE = "--state"
WANDB, TRACKIO = "https://api.wandb.ai", "https://huggingface.co"
OFFLINE = {"offline", "disabled", "dryrun"}


@dataclass(frozen=True)
class Base:
    """A model that can be trained on.

    Attributes:
        name: the name that a reader knows it by; never a local path.
        digest: of its weights and tokenizer.
        load: returns model (float32, on the CPU) and tokenizer.
        tokenizer: returns the tokenizer alone.
    """

    name: str
    digest: str | None
    load: Callable[[], tuple[Any, Any]]
    tokenizer: Callable[[], Any]


@dataclass(frozen=True)
class StagePlan:
    """What one stage would do.

    Attributes:
        name: explain or decide.
        steps: at most so many.
        batch_size: examples of a step.
        train, validation: how many examples.
        task: the task in the style of rationales that the stage learns.
    """

    name: StageName
    steps: int
    batch_size: int
    train: int
    validation: int
    task: Task


@dataclass(frozen=True)
class Plan:
    """A training that has been checked and not yet begun.

    Attributes:
        task: as it was given, whatever its style of rationales.
        base, recipe, seed: what is trained, how.
        lineage: what it will be.
        stages: in order.
        folder: where the checkpoint is, or will be.
    """

    task: Task
    base: Base
    recipe: Recipe
    seed: int
    lineage: Lineage
    stages: tuple[StagePlan, ...]
    folder: Path

    @property
    def found(self) -> bool:
        """Whether the checkpoint is there already.

        Raises:
            UserError: the folder holds something else.
        """
        return published(self.folder, self.lineage)

    @property
    def steps(self) -> dict[str, int]:
        """Stage → the most steps."""
        return {stage.name: stage.steps for stage in self.stages}

    @property
    def sources(self) -> str | None:
        """The styles of rationales that the stages learn, where the recipe chooses them; they tell trainings apart."""
        if all(stage.rationale_style is None for stage in self.recipe.stages.values()):
            return None
        return " → ".join(style for style in self.lineage.styles.values() if style is not None) or None

    @property
    def parent(self) -> Path | None:
        """The folder of the first stage's state, for methods with two."""
        if self.lineage.parent is None:
            return None
        return self.folder.parent / (_name(self.lineage, "explain", self.lineage.parent) + STATE)

    @property
    def state(self) -> Path:
        """The folder of the resume state."""
        return self.folder.with_name(self.folder.name + STATE)


def resolve_recipe(base: str, name: str | None, overrides: Mapping[str, str]) -> Recipe:
    """Return the recipe of a base: `tiny` is made from nothing, any other name is a model that there is.

    Raises:
        UserError: as `load_recipe`; or adapters on a model that is made from nothing.
    """
    recipe = load_recipe(name or (TINY_RECIPE if base == TINY else RECIPE), overrides)
    # Whether anything is made from nothing hangs on the base alone: a recipe must not pass over a model in silence.
    recipe = recipe.model_copy(update={"scratch": (recipe.scratch or Scratch()) if base == TINY else None})
    if base == TINY and recipe.lora is not None:
        raise UserError("lora: adapters need a base model; one that is made from nothing is trained as a whole")
    return recipe


def tiny_base(task: Task, recipe: Recipe, seed: int) -> Base:
    """Return the base that is made from nothing on the task's training texts."""

    def load() -> tuple[Any, Any]:
        from r2d_bench.training.scratch import tiny_start  # noqa: PLC0415 - torch

        model, tokenizer = tiny_start(recipe.scratch or Scratch(), _corpus(task, recipe), seed)
        # As a model that was loaded has it; else the first checkpoint would write it into the configuration, by which
        # a stage knows its own state again.
        model.config.architectures, model.config.dtype = [type(model).__name__], "float32"
        return model, tokenizer

    return Base(TINY, None, load, lambda: load()[1])


def _corpus(task: Task, recipe: Recipe) -> Iterator[str]:
    """Yield the training texts in all styles: a tokenizer must not differ with the style of a later stage."""
    for style in task.spec.rationale.styles or (None,):
        yield from all_texts(task, METHODS[recipe.method], task.in_style(style).training())


def processes() -> int:
    """Return how many processes train together (torchrun says so)."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def plan_training(
    task: Task,
    base: Base,
    recipe: Recipe,
    *,
    seed: int,
    checkpoints: Path = Path(CHECKPOINTS),
    out: Path | None = None,
    together: int | None = None,
) -> Plan:
    """Check a training and tell what it would do; no engine is loaded and nothing is written.

    Args:
        task: what is learnt.
        base: what it starts from.
        recipe: how, resolved for this base (see `resolve_recipe`).
        seed: of all draws.
        checkpoints: the folder that checkpoints lie in, each in one of its own.
        out: the checkpoint's own folder, where it is to have another name.
        together: how many processes train; those of torchrun by default.

    Raises:
        UserError: data, recipe or folder that cannot work.
    """
    _check_engines(recipe)
    _check_trackers(task, recipe)
    if not task.training():
        wanted = ", ".join(task.spec.training)
        raise UserError(f"task {task.name} has no training split ({wanted}), so that nothing can be trained on it")
    stages = tuple(_stage_plan(task, recipe, name, together or processes()) for name in METHODS[recipe.method].stages)
    lineage = lineage_of(task, recipe, LearntBase(name=base.name, digest=base.digest), seed)
    lineage = lineage.model_copy(update={"examples": {stage.name: stage.train for stage in stages}})
    folder = out or checkpoints / _name(lineage, recipe.method, lineage.digest)
    plan = Plan(task, base, recipe, seed, lineage, stages, folder)
    _ = plan.found  # a folder of another lineage is refused here
    _check_writable(folder)
    return plan


def _name(lineage: Lineage, method: str, digest: str) -> str:
    """Return a folder's name: readable in front, eight digits of the digest behind."""
    parts = [lineage.task.partition("@")[0], method, lineage.base.name, f"s{lineage.seed}"]
    return "--".join(slug(part)[:48] for part in parts) + f"--{digest[:8]}"


def _check_engines(recipe: Recipe) -> None:
    for engine in ("torch", "transformers", "accelerate"):
        if importlib.util.find_spec(engine) is None:
            raise MissingDependencyError("training", "train")
    if recipe.lora is not None and importlib.util.find_spec("peft") is None:
        raise MissingDependencyError("training with LoRA", "lora")
    if recipe.precision == "bf16":
        from r2d_bench.training.stage import uses_bf16  # noqa: PLC0415 - torch

        uses_bf16(recipe)


def _check_trackers(task: Task, recipe: Recipe) -> None:
    """Let figures of a task that is not public go to a tracker only where its card names the place."""
    places = {
        "wandb": None if os.environ.get("WANDB_MODE") in OFFLINE else os.environ.get("WANDB_BASE_URL", WANDB),
        # Without a space trackio writes into a local folder.
        "trackio": TRACKIO if os.environ.get("TRACKIO_SPACE_ID") else None,
        "tensorboard": None,
    }
    for tracker in recipe.trackers:
        check_endpoint(task.spec, places[tracker], f"tracker {tracker}")
        found = ("tensorboard", "tensorboardX") if tracker == "tensorboard" else (tracker,)
        if all(importlib.util.find_spec(package) is None for package in found):
            raise UserError(f"trackers: {tracker} is not installed: pip install {tracker}")


def _stage_plan(task: Task, recipe: Recipe, name: StageName, together: int) -> StagePlan:
    stage, settings = METHODS[recipe.method].stages[name], recipe.stages[name]
    styled = task.in_style(settings.rationale_style if stage.explain else None)

    def fit(examples: Collection[Example]) -> int:
        return sum(e.gold is not None and (stage.predict or rationale(e) is not None) for e in examples)

    train = styled.training()
    if stage.explain and not any(rationale(example) for example in train):
        raise UserError(
            f"task {task.name}: no training example has a gold rationale, which method {recipe.method} learns from:"
            " only sft needs none (recipe paper/sft, or demo/sft)"
        )
    count = fit(train)
    if not count:
        raise UserError(f"task {task.name}: no training example has a gold label")
    if settings.batch_size > count:
        raise UserError(
            f"stages.{name}.batch_size: {settings.batch_size} is more than the {count} training examples:"
            f" take one of {count} or less"
        )
    if settings.batch_size % (settings.accumulation * together):
        raise UserError(
            f"stages.{name}.batch_size: {settings.batch_size} cannot be split over {together} processes with"
            f" accumulation {settings.accumulation}: take a multiple of {settings.accumulation * together}"
        )
    return StagePlan(name, settings.steps, settings.batch_size, count, fit(styled.validation()), styled)


def _check_writable(folder: Path) -> None:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{folder}: cannot be written (no folder, or no permission, at {existing})")


def texts_cut(plan: Plan) -> dict[str, dict[str, int]]:
    """Return stage → what (`predict`, `labels`, `explain`, `rationales`) → training texts that are cut.

    The tokenizer of the base is loaded for it; one that is made from nothing is made.
    """
    from r2d_bench.training.data import Encoder, encode_rows  # noqa: PLC0415 - torch
    from r2d_bench.training.texts import StageTexts  # noqa: PLC0415

    encoder = Encoder(plan.base.tokenizer())
    found: dict[str, dict[str, int]] = {}
    for stage in plan.stages:
        texts = StageTexts(stage.task, METHODS[plan.recipe.method].stages[stage.name])
        found[stage.name] = dict(encode_rows(texts, stage.task.training(), encoder, plan.recipe).truncated)
    return found


def describe(plan: Plan) -> dict[str, Json]:
    """Return what a training would do, for `--dry-run`."""
    return {
        "folder": str(plan.folder),
        "found": plan.found,
        "lineage": plan.lineage.as_json(),
        "stages": {
            stage.name: {
                "steps": stage.steps,
                "batch_size": stage.batch_size,
                "examples": stage.train,
                "validation": stage.validation,
                "rationale_style": plan.lineage.styles[stage.name],
                "cut": cut,
            }
            for (stage, cut) in zip(plan.stages, texts_cut(plan).values(), strict=True)
        },
    }
