"""The checkpoint that a training publishes: weights, tokenizer and everything that tells where they come from.

The folder appears whole or not at all, holds no pickle and no local path, and is read by transformers, by `hf:` and by
the hub.
"""

from __future__ import annotations

import glob
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from r2d_bench.documents import to_json
from r2d_bench.errors import UserError
from r2d_bench.protocols.registry import builtin
from r2d_bench.quiet import quiet
from r2d_bench.training.lineage import Lineage, read_lineage, write_lineage
from r2d_bench.training.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from r2d_bench.records import Json
    from r2d_bench.tasks.task import Task
    from r2d_bench.training.recipe import Recipe, StageName
    from r2d_bench.training.stage import StageResult

DEFAULT_PROTOCOL = "r2d"  # what `hf:` asks an encoder-decoder by, unless protocol.yaml says otherwise
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors")
# What transformers or peft would tell of this machine's folders.
PATHS = {"config.json": "_name_or_path", "tokenizer_config.json": "name_or_path"}


def published(folder: Path, lineage: Lineage) -> bool:
    """Tell whether the folder holds the checkpoint of this lineage.

    Raises:
        UserError: it holds something else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    found = read_lineage(folder) if folder.is_dir() else None
    if found is None:
        raise UserError(f"{folder}: exists and is not a checkpoint of r2d-bench: choose another folder, or remove it")
    if found.digest != lineage.digest:
        raise UserError(
            f"{folder}: holds a checkpoint of another lineage ({_difference(found, lineage)}):"
            " choose another folder, or remove it"
        )
    if not any((folder / name).is_file() for name in WEIGHTS):
        raise UserError(f"{folder}: the checkpoint has lost its weights: remove the folder to train it again")
    return True


def _difference(found: Lineage, asked: Lineage) -> str:
    """Return the first thing in which two lineages differ, as a person would name it."""
    for name in ("task", "method", "seed", "recipe", "splits", "styles", "base"):
        there, here = getattr(found, name), getattr(asked, name)
        if there == here:
            continue
        if name in {"splits", "styles"}:
            return "other training data" if name == "splits" else "other styles of rationales"
        if name == "base":
            same = there.name == here.name
            return f"base {there.name}, " + ("of other weights" if same else f"not {here.name}")
        return f"{name} {there}, not {here}"
    return "another first stage"


def publish(
    folder: Path, task: Task, recipe: Recipe, lineage: Lineage, results: Mapping[StageName, StageResult]
) -> None:
    """Write the checkpoint of the last stage's result into a folder that is not there yet.

    Args:
        folder: where it goes.
        task: what it was trained on.
        recipe: the resolved recipe.
        lineage: with the counts of this training.
        results: stage → what it gave, in order.

    Raises:
        UserError: the folder cannot be written.
    """
    last = list(results.values())[-1]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.is_dir():  # `published` saw that it is empty
            folder.rmdir()
        for torn in folder.parent.glob(f".{glob.escape(folder.name)}-*"):  # a kill while it was written
            shutil.rmtree(torn, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            made = Path(scratch) / "checkpoint"
            made.mkdir()
            with quiet():
                last.model.save_pretrained(made)
                last.tokenizer.save_pretrained(made)
            _forget_paths(made, lineage)
            write_lineage(made, lineage)
            for name, text in _texts(task, recipe, lineage, results):
                (made / name).write_text(text, encoding="utf-8")
            if (protocol := METHODS[recipe.method].protocol) != DEFAULT_PROTOCOL:
                shutil.copyfile(builtin()[protocol], made / "protocol.yaml")
            made.rename(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from None


def _texts(
    task: Task, recipe: Recipe, lineage: Lineage, results: Mapping[StageName, StageResult]
) -> Iterator[tuple[str, str]]:
    resolved = recipe.model_dump(mode="json", exclude_none=True)
    yield "recipe.yaml", yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=120)
    yield "history.json", to_json(history(results)) + "\n"
    yield "README.md", card(task, recipe, lineage, results)


def history(results: Mapping[StageName, StageResult]) -> dict[str, Json]:
    """Return what was logged: stage → steps, the evaluation that its result was chosen by, what was cut, the log."""
    return {
        name: {
            "steps": result.steps,
            "best": None if result.best is None else _best(result),
            "examples": result.examples,
            "truncated": dict(result.truncated),
            "log": [dict(entry) for entry in result.history],
        }
        for name, result in results.items()
    }


def _best(result: StageResult) -> dict[str, Json]:
    best = result.best
    return {} if best is None else {"step": best.step, "metric": best.metric, "value": best.value}


def _forget_paths(folder: Path, lineage: Lineage) -> None:
    """Take local paths out of what transformers and peft have written; an adapter names its base."""
    for name, key in PATHS.items():
        _edit(folder / name, lambda config, key=key: config.pop(key, None))
    _edit(folder / "adapter_config.json", lambda config: config.update(base_model_name_or_path=lineage.base.name))
    (folder / "training_args.bin").unlink(missing_ok=True)


def _edit(path: Path, change: Any) -> None:  # noqa: ANN401 - a function of a JSON object
    if path.is_file():
        config = json.loads(path.read_text(encoding="utf-8"))
        change(config)
        path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


# --- the model card ---


def card(task: Task, recipe: Recipe, lineage: Lineage, results: Mapping[StageName, StageResult]) -> str:
    """Return README.md: metadata for the hub, then what a reader must know."""
    method = METHODS[recipe.method]
    parts = [
        f"# {method.title} on {task.spec.title}\n",
        "For research and benchmarking only. **Not for clinical use**: nothing here is validated for patient care.\n",
        *_model_lines(recipe, lineage),
        "## Training data\n",
        _data_line(task, lineage),
        _private(task),
        "## Training\n",
        *_stage_lines(recipe, lineage, results),
        "## Figures on the validation split\n",
        *_figure_lines(results),
        "## How it is asked\n",
        *_prompt_lines(method.protocol),
        "## Limits\n",
        "- It repeats the biases and mistakes of its training data, and fails on texts unlike them.",
        "- A rationale is a text that follows the label; it need not be the reason for it.",
        "- Figures on other data are not known unless somebody has measured them.\n",
        f"Lineage `{lineage.digest}` (lineage.json); the recipe stands in recipe.yaml, the log in history.json.\n",
    ]
    return _metadata(task, recipe, lineage) + "\n".join(part for part in parts if part)


def _metadata(task: Task, recipe: Recipe, lineage: Lineage) -> str:
    data: dict[str, Json] = {
        "language": task.spec.language,
        "library_name": "peft" if recipe.lora else "transformers",
        "tags": ["r2d-bench", "reason2decide", METHODS[recipe.method].title, task.spec.name, "not-for-clinical-use"],
    }
    if recipe.scratch is None:
        data["base_model"] = lineage.base.name
    return "---\n" + yaml.safe_dump(data, sort_keys=False, allow_unicode=True) + "---\n\n"


def _model_lines(recipe: Recipe, lineage: Lineage) -> Iterator[str]:
    size = f"{lineage.parameters:,} parameters" if lineage.parameters else "size unknown"
    if recipe.scratch is not None:
        yield (
            f"A tiny T5 ({size}) with a tokenizer of its own, trained from nothing on this task's texts."
            " It shows the way, not the quality of the method.\n"
        )
        return
    how = "low-rank adapters (LoRA) on" if recipe.lora else "fine-tuned from"
    yield f"An encoder-decoder ({size}), {how} `{lineage.base.name}`, whose licence holds for it too.\n"


def _data_line(task: Task, lineage: Lineage) -> str:
    spec, learnt = task.spec, lineage.training_data.partition(": ")[2]
    return f"{spec.title} (`{lineage.task}`, {spec.visibility}, licence {spec.licence}): {learnt}.\n"


def _private(task: Task) -> str:
    if task.public:
        return ""
    return (
        f"The data are {task.spec.visibility}. A model can give back texts that it was trained on:"
        " whoever may not see the data should not be given the weights.\n"
    )


def _stage_lines(recipe: Recipe, lineage: Lineage, results: Mapping[StageName, StageResult]) -> Iterator[str]:
    method = METHODS[recipe.method]
    yield f"Method {recipe.method} ({method.title}), recipe digest `{lineage.recipe}`, seed {lineage.seed}.\n"
    for name, result in results.items():
        settings, style = recipe.stages[name], lineage.styles[name]
        learns = f", rationales of style {style}" if style else ""
        yield (
            f"- stage {name}: {result.steps} of at most {settings.steps} steps of {settings.batch_size} examples,"
            f" {result.examples} examples{learns}, learning rate {settings.learning_rate:g} ({settings.schedule})"
        )
    packages = ", ".join(f"{package} {number}" for package, number in lineage.versions.items())
    yield f"\nMade with {packages}.\n"


def _figure_lines(results: Mapping[StageName, StageResult]) -> Iterator[str]:
    chosen = {name: result.best for name, result in results.items() if result.best is not None}
    if not chosen:
        yield "The task has no validation split: the last checkpoint was taken, and there are no figures.\n"
        return
    yield "The best checkpoint was chosen by these, so that they are too good; a test split tells more.\n"
    rows = [f"| {name} | {best.metric} | {best.value:.4f} | {best.step} |" for name, best in chosen.items()]
    yield "\n".join(["| stage | metric | value | at step |", "|---|---|---|---|", *rows, ""])


def _prompt_lines(protocol: str) -> Iterator[str]:
    prompts = {
        "r2d": "`predict: {text}`, then `given label: {label}, explain: {text}` with the label that it gave",
        "dss": "`predict: {text}` for the label, `explain: {text}` for the rationale",
        "sft": "`predict: {text}`; it writes no rationale",
    }
    yield f"{prompts[protocol]}; greedy decoding. `r2d-bench run hf:FOLDER -t TASK` does it.\n"
