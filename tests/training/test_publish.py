"""The published checkpoint: whole or absent, without pickles and local paths, and readable by whoever gets it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from safetensors.torch import load_file
from trained_parts import SFT, STYLED, learnt_task, small_base, tiny_plan, write_recipe

from r2d_bench.errors import UserError
from r2d_bench.models.hf import HF, HFParams
from r2d_bench.models.r2d import find_base
from r2d_bench.models.weights import find_weights
from r2d_bench.protocols.registry import load_protocol
from r2d_bench.training import train as training
from r2d_bench.training.lineage import read_lineage, write_lineage
from r2d_bench.training.listener import Silent
from r2d_bench.training.planning import plan_training, resolve_recipe
from r2d_bench.training.recipe import load_recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from r2d_bench.tasks.task import Task
    from r2d_bench.training.planning import Plan

FILES = {
    "README.md", "config.json", "generation_config.json", "history.json", "lineage.json", "model.safetensors",
    "recipe.yaml", "tokenizer.json", "tokenizer_config.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return learnt_task(tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="module")
def plan(task: Task, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Return a training that was carried out."""
    made = tiny_plan(task, tmp_path_factory.mktemp("trained"))
    training.train(made, Silent())
    return made


def front_matter(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "README.md").read_text().split("---")[1])


def test_its_files(plan: Plan):
    assert {path.name for path in plan.folder.iterdir()} == FILES
    assert [path.name for path in plan.folder.parent.iterdir()] == [plan.folder.name], "no state, no half folder"
    assert plan.folder.name == f"learnt--r2d--tiny--s1--{plan.lineage.digest[:8]}"


def test_it_holds_no_local_path(plan: Plan):
    for path in plan.folder.iterdir():
        assert str(plan.folder.parents[1]).encode() not in path.read_bytes(), path.name


def test_the_recipe_can_be_trained_again(plan: Plan):
    assert load_recipe(str(plan.folder / "recipe.yaml")) == plan.recipe


def test_history_and_lineage(plan: Plan):
    history = json.loads((plan.folder / "history.json").read_text())
    assert {name: stage["steps"] for name, stage in history.items()} == {"explain": 6, "decide": 6}
    assert history["explain"]["best"]["metric"] == "loss"
    assert history["decide"]["best"]["metric"] == "macro_f1"
    assert [entry["step"] for entry in history["decide"]["log"] if "macro_f1" in entry] == [3, 6]
    lineage = read_lineage(plan.folder)
    assert lineage is not None
    assert lineage.digest == plan.lineage.digest
    assert lineage.examples == {"explain": 40, "decide": 40}
    weights = load_file(plan.folder / "model.safetensors")
    assert lineage.parameters == sum(tensor.numel() for tensor in weights.values())


def test_the_model_card(plan: Plan):
    text = (plan.folder / "README.md").read_text()
    metadata = front_matter(plan.folder)
    assert (metadata["library_name"], metadata["language"]) == ("transformers", "en")
    assert "base_model" not in metadata, "it was made from nothing"
    assert "Not for clinical use" in text
    assert "It shows the way, not the quality of the method." in text
    assert "`learnt@1`, public, licence none): train (40 examples)." in text
    best = json.loads((plan.folder / "history.json").read_text())["decide"]["best"]
    assert f"| decide | macro_f1 | {best['value']:.4f} | {best['step']} |" in text


def test_only_methods_that_are_asked_in_another_way_bring_a_protocol(plan: Plan, task: Task, tmp_path: Path):
    assert not (plan.folder / "protocol.yaml").exists()
    sft = tiny_plan(task, tmp_path, recipe=write_recipe(tmp_path / "sft.yaml", **SFT))
    folder = training.train(sft, Silent()).folder
    assert {path.name for path in folder.iterdir()} == FILES | {"protocol.yaml"}
    assert load_protocol(str(folder / "protocol.yaml")) == load_protocol("sft")
    model = HF(find_weights(str(folder)), HFParams())
    assert model.protocol_file == folder / "protocol.yaml"


@pytest.mark.parametrize("head", [False, True])
def test_a_base_with_a_head_of_its_own_keeps_it(task: Task, tmp_path: Path, head: bool):
    base = small_base(tmp_path / "base", head=head)
    recipe = resolve_recipe(str(base), str(write_recipe(tmp_path / "recipe.yaml")), {"learning_rate": "1e-4"})
    plan = plan_training(task, find_base(str(base), task, recipe, 1), recipe, seed=1, checkpoints=tmp_path / "out")
    folder = training.train(plan, Silent()).folder
    weights = load_file(folder / "model.safetensors")
    assert ("lm_head.weight" in weights) == head
    assert front_matter(folder)["base_model"] == "base"
    if head:
        before = load_file(base / "model.safetensors")
        moved = (weights["lm_head.weight"] - before["lm_head.weight"]).abs().max()
        assert 0 < moved < 0.01, "trained from where it was, not tied and not made anew"
        assert json.loads((folder / "config.json").read_text())["scale_decoder_outputs"] is False


def test_private_data_are_told_of(tmp_path: Path):
    private = learnt_task(tmp_path, visibility="private", **STYLED)
    recipe = write_recipe(tmp_path / "r.yaml")
    data = yaml.safe_load(recipe.read_text())
    data["stages"]["explain"]["rationale_style"] = "long"
    recipe.write_text(yaml.safe_dump(data))
    folder = training.train(tiny_plan(private, tmp_path, recipe=recipe), Silent()).folder
    text = (folder / "README.md").read_text()
    assert "whoever may not see the data should not be given the weights" in text
    assert "- stage explain: 6 of at most 6 steps of 8 examples, 40 examples, rationales of style long" in text
    assert "- stage decide: 6 of at most 6 steps of 8 examples, 40 examples, rationales of style short" in text


def test_killed_while_it_is_written(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plan = tiny_plan(task, tmp_path)

    def killed(folder: Path, _: object) -> None:
        torn = folder.parents[1] / f".{plan.folder.name}-torn"  # as `kill -9` leaves one
        torn.mkdir()
        (torn / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("r2d_bench.training.publish.write_lineage", killed)
    with pytest.raises(KeyboardInterrupt):
        training.train(plan, Silent())
    assert not plan.folder.exists()
    monkeypatch.undo()
    training.train(plan, Silent())
    assert [path.name for path in plan.folder.parent.iterdir()] == [plan.folder.name]
    assert {path.name for path in plan.folder.iterdir()} == FILES


def _foreign(folder: Path, plan: Plan) -> None:  # noqa: ARG001
    (folder / "notes.txt").write_text("mine")


def _another(folder: Path, plan: Plan) -> None:
    write_lineage(folder, plan.lineage.model_copy(update={"seed": 9}))


def _weightless(folder: Path, plan: Plan) -> None:
    write_lineage(folder, plan.lineage)


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (_foreign, "exists and is not a checkpoint of r2d-bench"),
        (_another, r"holds a checkpoint of another lineage \(seed 9, not 1\)"),
        (_weightless, "has lost its weights"),
    ],
)
def test_a_folder_of_something_else_is_refused(
    task: Task, plan: Plan, tmp_path: Path, fill: Callable[[Path, Plan], None], message: str
):
    out = tmp_path / "mine"
    out.mkdir()
    assert not tiny_plan(task, tmp_path / "a", out=out).found, "an empty folder may be taken"
    fill(out, plan)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(UserError, match=message):
        tiny_plan(task, tmp_path / "a", out=out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
