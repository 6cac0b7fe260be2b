"""Where a checkpoint comes from: task, rows, method, recipe, base, seed. It lies beside the weights as `lineage.json`.

Two trainings with the same digest are the same training: the second finds what the first has made. Package versions,
counts and sizes stand beside the digest and are no part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from r2d_bench.documents import check, read_json, to_json
from r2d_bench.errors import UserError
from r2d_bench.machine import versions
from r2d_bench.records import digest
from r2d_bench.tasks.task import rows_digest, style_of
from r2d_bench.training.methods import METHODS
from r2d_bench.training.recipe import MethodName, StageName

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from r2d_bench.records import Example, Json
    from r2d_bench.tasks.task import Task
    from r2d_bench.training.recipe import Recipe

FILE = "lineage.json"
SCHEMA: Literal["r2d-bench lineage 1"] = "r2d-bench lineage 1"
DIGITS = 32
IDENTITY = ("task", "splits", "styles", "method", "recipe", "base", "parent", "seed")
PACKAGES = ("r2d-bench", "torch", "transformers", "tokenizers", "accelerate", "peft")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LearntSplit(_Part):
    """A split that a checkpoint was trained on or chosen on.

    Attributes:
        role: `train`, or `validation` (the best checkpoint was chosen on it).
        rows: how many examples.
        digest: of its rows, in whatever style of rationales, as a task digests its splits.
    """

    role: Literal["train", "validation"]
    rows: int
    digest: str


class LearntBase(_Part):
    """What the first stage started from; the digest of its weights is None for a model made from nothing."""

    name: str
    digest: str | None


class Lineage(_Part):
    """A whole `lineage.json`.

    Attributes:
        task: `name@version`.
        splits: split → what it was for, with the digest of its rows.
        styles: stage → style of the gold rationales that it learns; None where it learns none, or there are no styles.
        method: sft, dss, r2d or r2d_c.
        recipe: digest of the resolved recipe.
        base: the model that it started from.
        parent: digest of the first stage, for methods with two.
        seed: of all draws.
        examples: stage → how many examples it learnt from.
        parameters: how many the model has.
        versions: of the packages that trained it.
    """

    schema_name: Literal["r2d-bench lineage 1"] = Field(default=SCHEMA, alias="schema")
    task: str
    splits: dict[str, LearntSplit]
    styles: dict[StageName, str | None]
    method: MethodName
    recipe: str
    base: LearntBase
    parent: str | None = None
    seed: int
    examples: dict[StageName, int] = Field(default_factory=dict)
    parameters: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Hex digits over everything that decides on the weights."""
        return digest(self._identity(), DIGITS)

    @property
    def but_for_the_seed(self) -> str:
        """The same digest for trainings that differ in their seed alone (the parent's digest holds it too)."""
        return digest({key: value for key, value in self._identity().items() if key not in {"seed", "parent"}}, DIGITS)

    @property
    def train_splits(self) -> dict[str, LearntSplit]:
        """The splits that were trained on."""
        return {name: split for name, split in self.splits.items() if split.role == "train"}

    @property
    def training_data(self) -> str:
        """What it was trained on, in one line."""
        parts = ", ".join(f"{name} ({split.rows} examples)" for name, split in self.train_splits.items())
        order = METHODS[self.method].stages  # a file keeps its keys sorted
        named = {stage: style for stage in order if (style := self.styles.get(stage)) is not None}
        styles = "".join(f"; rationales of stage {stage}: {style}" for stage, style in named.items())
        return f"{self.task}: {parts}{styles}"

    def as_json(self) -> dict[str, Json]:
        """Return the document, with its digest for readers that are not Python."""
        return self.model_dump(mode="json", by_alias=True) | {"digest": self.digest}

    def _identity(self) -> dict[str, Json]:
        return self.model_dump(mode="json", include=set(IDENTITY))


def lineage_of(task: Task, recipe: Recipe, base: LearntBase, seed: int) -> Lineage:
    """Return the lineage of a training that has not begun."""
    method = METHODS[recipe.method]
    styles = {
        name: style_of(task.spec, recipe.stages[name].rationale_style) if stage.explain else None
        for name, stage in method.stages.items()
    }
    made = Lineage(
        task=task.spec.full_name,
        splits=_splits(task),
        styles=styles,
        method=recipe.method,
        recipe=recipe.digest,
        base=base,
        seed=seed,
        versions=versions(PACKAGES),
    )
    return made.model_copy(update={"parent": _parent(made, recipe)}) if "explain" in method.stages else made


def _parent(lineage: Lineage, recipe: Recipe) -> str:
    """Return the digest of the first stage alone: trainings that differ in the second share it."""
    alike = lineage.model_dump(mode="json", include={"task", "splits", "base", "seed"})
    return digest(alike | {"style": lineage.styles["explain"], "recipe": recipe.stage_digest("explain")}, DIGITS)


def _splits(task: Task) -> dict[str, LearntSplit]:
    parts: dict[str, list[Example]] = {}
    for example in task.training():
        parts.setdefault(example.split, []).append(example)
    found = {name: _split("train", part) for name, part in parts.items()}
    if validation := task.validation():
        name = validation[0].split
        found.setdefault(name, _split("validation", validation))
    return found


def _split(role: Literal["train", "validation"], part: Sequence[Example]) -> LearntSplit:
    return LearntSplit(role=role, rows=len(part), digest=rows_digest(part))


def from_json(data: Json, where: str) -> Lineage:
    """Read a lineage back.

    Raises:
        UserError: it does not fit, or was edited by hand.
    """
    told = dict(data)
    digest_told = told.pop("digest", None)
    found = check(Lineage, told, where)
    if digest_told != found.digest:
        raise UserError(f"{where}: its digest does not fit its content: it was edited, or written by another version")
    return found


def read_lineage(folder: Path) -> Lineage | None:
    """Return the lineage of a checkpoint folder; None where there is none, or one of another program.

    Raises:
        UserError: it is broken.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    data = read_json(path)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        return None
    return from_json(data, str(path))


def write_lineage(folder: Path, lineage: Lineage) -> None:
    """Write `lineage.json`."""
    (folder / FILE).write_text(to_json(lineage.as_json()) + "\n", encoding="utf-8")


def marks(lineage: Lineage, task: str, split: str, data_digest: str) -> tuple[list[str], list[str]]:
    """Tell what a reader must know of figures on a split, from what the checkpoint was trained on.

    Args:
        lineage: of the checkpoint.
        task: `name@version` that is evaluated.
        split: the split that is evaluated.
        data_digest: digest of its rows.

    Returns:
        what is usual (trained on the task's own training split), and what makes the figures worthless as a test.
    """
    same_task = lineage.task.rpartition("@")[0] == task.rpartition("@")[0]
    loud = []
    for name, learnt in lineage.splits.items():
        verb = "trained" if learnt.role == "train" else "chosen"
        if learnt.digest == data_digest:
            loud.append(f"{verb} on the very rows that it is evaluated on ({lineage.task}, split {name})")
        elif same_task and name == split:
            loud.append(f"{verb} on split {name} of {lineage.task}, the split that it is evaluated on, with other rows")
    return (["trained on this task's training split"] if same_task else []), loud
