"""A keyword task with train and validation rows, tiny starts and recipes, for tests of the training room."""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any

from small_task import write_task
from tiny import COMPLAINTS

from r2d_bench.documents import check
from r2d_bench.tasks.task import Task, load_task
from r2d_bench.training.data import StageData
from r2d_bench.training.methods import METHODS
from r2d_bench.training.recipe import Recipe, Scratch
from r2d_bench.training.scratch import set_dropout, tiny_start
from r2d_bench.training.stage import StageResult, Start, run_stage
from r2d_bench.training.texts import all_texts

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from transformers import PreTrainedModel

    from r2d_bench.records import Json

SCRATCH = Scratch(d_model=32, d_ff=64, heads=2, layers=1, vocabulary=300)
LABELS = tuple(COMPLAINTS)


def keyword_task(folder: Path, train: int = 60, validation: int = 24, **parts: Json) -> Task:
    """Write the keyword task: notes with one complaint, of which the label and the rationale follow."""
    rng = random.Random(0)
    lines = ["id,split,note,label,why"]
    for i in range(train + validation):
        label = rng.choice(LABELS)
        sign = rng.choice(COMPLAINTS[label])
        words = " ".join(rng.choice(("calm", "tired", "worried", "alone", "at home")) for _ in range(rng.randint(1, 9)))
        split = "train" if i < train else "validation"
        lines.append(f"e{i},{split},the patient is {words} and reports {sign},{label},{sign} means {label}")
    settings: dict[str, Any] = {
        "source": {"files": {"all": "rows.csv"}, "split": "{{ split }}"},
        "label": {"space": "closed", "values": list(LABELS)},
        "evaluate": "validation",
    }
    return load_task(str(write_task(folder / "keywords", "\n".join(lines) + "\n", **settings | parts)))


def stage_data(task: Task) -> StageData:
    return StageData(task, task.examples("train"), task.examples("validation"))


def tiny_recipe(method: str, **changes: Json) -> Recipe:
    """Return a recipe of few small steps; `stages` replaces settings of the stages by name."""
    stage: dict[str, Any] = {"steps": 6, "batch_size": 8, "learning_rate": 2e-3, "evaluate_every": 3}
    stages = {"decide": stage}
    if method in {"r2d", "r2d_c"}:
        stages["explain"] = stage | {"select_by": "loss"}
    for name, more in changes.pop("stages", {}).items():
        stages[name] = stages[name] | more
    data: dict[str, Any] = {
        "method": method,
        "stages": stages,
        "precision": "fp32",
        "max_input_tokens": 64,
        "max_label_tokens": 8,
        "max_rationale_tokens": 24,
    }
    if method in {"r2d", "r2d_c"}:
        data["sampling"] = {"kind": "scheduled" if method == "r2d" else "confident"}
    if method == "r2d_c":
        data["cycle"] = {"weight": 0.1}
    return check(Recipe, data | changes, "test")


def new_start(task: Task, *, seed: int = 0, dropout: float = 0.0, scratch: Scratch = SCRATCH) -> Start:
    """Return a tiny T5 with random weights."""
    model, tokenizer = tiny_start(scratch, all_texts(task, METHODS["r2d"], task.examples("train")), seed)
    set_dropout(model, dropout)
    return Start(model, tokenizer)


def same_start(start: Start) -> Start:
    """Return a copy that can be trained by itself."""
    return Start(copy.deepcopy(start.model), start.tokenizer)


class Heard:
    """A listener that keeps what it was told."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int]] = []
        self.losses: dict[int, float] = {}
        self.values: dict[int, tuple[str, float]] = {}

    def stage(self, name: str, steps: int) -> None:
        self.stages.append((name, steps))

    def step(self, n: int, loss: float) -> None:
        self.losses[n] = loss

    def evaluated(self, n: int, metric: str, value: float) -> None:
        self.values[n] = (metric, value)


def train(
    recipe: Recipe, start: Start, task: Task, folder: Path, *, stage: str = "decide", seed: int = 0
) -> tuple[StageResult, Heard]:
    heard = Heard()
    name: Any = stage
    return run_stage(name, recipe, start, stage_data(task), folder, heard, seed), heard


def weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
