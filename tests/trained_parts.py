"""A task with train, validation and test rows, bases and recipes, for tests of trained checkpoints and their runs."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import yaml
from small_task import write_task
from tiny import COMPLAINTS, tiny_t5, triage_pairs

from r2d_bench.tasks.task import Task, load_task
from r2d_bench.training.planning import Plan, plan_training, resolve_recipe, tiny_base

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Json

STAGE: dict[str, Any] = {"steps": 6, "batch_size": 8, "learning_rate": 2e-3, "evaluate_every": 3}
RECIPE: dict[str, Any] = {
    "method": "r2d",
    "stages": {"explain": STAGE | {"select_by": "loss"}, "decide": STAGE},
    "sampling": {"kind": "scheduled"},
    "precision": "fp32",
    "max_input_tokens": 64,
    "max_label_tokens": 8,
    "max_rationale_tokens": 24,
    "scratch": {"d_model": 32, "d_ff": 64, "heads": 2, "layers": 1, "vocabulary": 300},
}
SFT = {"method": "sft", "stages": {"decide": STAGE}, "sampling": None}
STYLED: dict[str, Any] = {
    "rationale": {"styles": {"short": "{{ why }}", "long": "because of the note: {{ why }}"}, "style": "short"},
}


def learnt_task(
    folder: Path, *, train: int = 40, validation: int = 12, test: int = 12, references: bool = True, **parts: Json
) -> Task:
    """Write the task `learnt`: notes with one complaint, of which the label and the rationale follow."""
    rng = random.Random(0)
    lines = ["id,split,note,label,why"]
    sizes = {"train": train, "validation": validation, "test": test}
    for i, split in enumerate(name for name, n in sizes.items() for _ in range(n)):
        label = rng.choice(tuple(COMPLAINTS))
        sign = rng.choice(COMPLAINTS[label])
        words = " ".join(rng.choice(("calm", "tired", "worried", "alone")) for _ in range(rng.randint(1, 9)))
        lines.append(f"e{i},{split},the patient is {words} and reports {sign},{label},{sign} means {label}")
    settings: dict[str, Any] = {
        "source": {"files": {"all": "rows.csv"}, "split": "{{ split }}"},
        "label": {"space": "closed", "values": list(COMPLAINTS)},
        "visibility": "public",
    }
    made = write_task(folder / "learnt", "\n".join(lines) + "\n", **settings | parts)
    if not references or "rationale" in parts:  # styles stand for the one source of rationales
        card = json.loads((made / "task.yaml").read_text())
        del card["fields"]["references"]
        (made / "task.yaml").write_text(json.dumps(card))
    return load_task(str(made))


def write_recipe(path: Path, **changes: Json) -> Path:
    """Write the small recipe, keys replaced; None takes a key out."""
    data = {key: value for key, value in (RECIPE | changes).items() if value is not None}
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def tiny_plan(task: Task, folder: Path, *, seed: int = 1, recipe: Path | None = None, **places: Any) -> Plan:  # noqa: ANN401
    """Plan a training from nothing; the recipe is written into the folder unless it is given."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = resolve_recipe("tiny", str(recipe or write_recipe(folder / "recipe.yaml")), {})
    where = {"checkpoints": folder / "checkpoints"} | places
    return plan_training(task, tiny_base(task, chosen, seed), chosen, seed=seed, **where)


def small_base(folder: Path, *, head: bool = False) -> Path:
    """Write a T5 that has hardly learnt; with a `head` of its own it is like Flan-T5 and v1.1, which tie no weights."""
    import torch
    from safetensors.torch import load_file, save_file

    tiny_t5(folder, triage_pairs(100), steps=1)
    if head:
        weights = load_file(folder / "model.safetensors")
        generator = torch.Generator().manual_seed(0)
        weights["lm_head.weight"] = torch.randn(weights["shared.weight"].shape, generator=generator) * 0.05
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((folder / "config.json").read_text())
        config |= {"tie_word_embeddings": False, "scale_decoder_outputs": False}
        (folder / "config.json").write_text(json.dumps(config))
    return folder
