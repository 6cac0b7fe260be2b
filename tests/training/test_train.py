"""Training as a whole: found again, gone on with, sharing its first stage, refused before it begins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file
from tiny import tiny_causal, triage_pairs
from trained_parts import SFT, STAGE, STYLED, learnt_task, small_base, tiny_plan, write_recipe
from training_parts import Heard

from r2d_bench.errors import UserError
from r2d_bench.models.r2d import find_base
from r2d_bench.training.listener import Silent
from r2d_bench.training.planning import describe, plan_training, resolve_recipe, tiny_base
from r2d_bench.training.train import train

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.tasks.task import Task
    from r2d_bench.training.planning import Plan


class KilledError(Exception):
    """Stands for a kill within one process."""


class Killing(Heard):
    def __init__(self, stage: str, at: int) -> None:
        super().__init__()
        self._stage, self._at = stage, at

    def step(self, n: int, loss: float) -> None:
        super().step(n, loss)
        if (self.stages[-1][0], n) == (self._stage, self._at):
            raise KilledError


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return learnt_task(tmp_path_factory.mktemp("task"), **STYLED)


def weights(plan: Plan) -> dict[str, torch.Tensor]:
    return load_file(plan.folder / "model.safetensors")


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def changed(path: Path, **stages: dict[str, Any]) -> Path:
    made = {name: STAGE | ({"select_by": "loss"} if name == "explain" else {}) for name in ("explain", "decide")}
    return write_recipe(path, stages={name: made[name] | stages.get(name, {}) for name in made})


def test_the_same_lineage_is_found_and_not_trained_again(task: Task, tmp_path: Path):
    heard = Heard()
    plan = tiny_plan(task, tmp_path)
    assert not plan.found
    first = train(plan, heard)
    assert (first.folder, first.found) == (plan.folder, False)
    assert heard.stages == [("explain", 6), ("decide", 6)]
    assert sorted(heard.losses) == [1, 2, 3, 4, 5, 6]
    before, again = weights(plan), Heard()
    second = train(tiny_plan(task, tmp_path), again)
    assert (second.folder, second.found, again.stages) == (plan.folder, True, [])
    assert second.lineage == first.lineage
    assert_equal(weights(plan), before)
    other = train(tiny_plan(task, tmp_path, seed=2), Silent())
    assert other.folder != first.folder
    assert not torch.equal(load_file(other.folder / "model.safetensors")["shared.weight"], before["shared.weight"])


def test_killed_at_any_moment_it_ends_in_the_same_weights(task: Task, tmp_path: Path):
    whole = tiny_plan(task, tmp_path / "whole")
    train(whole, Silent())
    plan = tiny_plan(task, tmp_path / "killed")
    for stage, step in (("explain", 2), ("explain", 5), ("decide", 1), ("decide", 5)):
        with pytest.raises(KilledError):
            train(tiny_plan(task, tmp_path / "killed"), Killing(stage, step))
        assert not plan.folder.exists()
    heard = Heard()
    train(plan, heard)
    assert heard.stages == [("decide", 6)]
    assert min(heard.losses) == 4
    assert_equal(weights(plan), weights(whole))
    for name in ("lineage.json", "recipe.yaml", "history.json", "README.md", "config.json", "tokenizer.json"):
        assert (plan.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name


def test_from_a_base_it_goes_on_as_well(task: Task, tmp_path: Path):
    base = str(small_base(tmp_path / "base"))
    recipe = resolve_recipe(base, str(write_recipe(tmp_path / "r.yaml")), {"lora.r": "2", "dropout": "0.1"})

    def plan(folder: str) -> Plan:
        start = find_base(base, task, recipe, 1)
        return plan_training(task, start, recipe, seed=1, checkpoints=tmp_path / folder)

    train(plan("whole"), Silent())
    with pytest.raises(KilledError):
        train(plan("killed"), Killing("decide", 5))
    train(plan("killed"), Silent())
    made, again = (load_file(plan(name).folder / "adapter_model.safetensors") for name in ("whole", "killed"))
    assert_equal(again, made)
    assert json.loads((plan("whole").folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "base"


def test_a_first_stage_is_shared(task: Task, tmp_path: Path):
    styles = ("short", "long")
    plans = [
        tiny_plan(task, tmp_path, recipe=changed(tmp_path / f"{style}.yaml", decide={"rationale_style": style}))
        for style in styles
    ]
    parent = plans[0].parent
    assert parent is not None
    assert parent == plans[1].parent
    heard = [Heard(), Heard()]
    train(plans[0], heard[0], needed={parent})
    assert parent.exists()
    assert not plans[0].state.exists()
    train(plans[1], heard[1])
    assert [h.stages for h in heard] == [[("explain", 6), ("decide", 6)], [("decide", 6)]]
    assert not parent.exists(), "nobody waits for it any more"
    alone = tiny_plan(task, tmp_path / "alone", recipe=tmp_path / "long.yaml")
    train(alone, Silent())
    assert_equal(weights(plans[1]), weights(alone))


def test_state_is_kept_on_request(task: Task, tmp_path: Path):
    plan = tiny_plan(task, tmp_path)
    train(plan, Silent(), keep_state=True)
    assert plan.parent is not None
    assert (plan.state / "decide" / "finished.json").is_file()
    assert (plan.parent / "explain" / "finished.json").is_file()
    train(tiny_plan(task, tmp_path), Silent())
    assert [path.name for path in plan.folder.parent.iterdir()] == [plan.folder.name]


class Tracking(Heard):
    """Writes where TensorBoard does."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._plan = plan

    def step(self, n: int, loss: float) -> None:
        super().step(n, loss)
        stage = self.stages[-1][0]
        state = self._plan.parent if stage == "explain" else self._plan.state
        assert state is not None
        runs = state / stage / "runs" / "here"
        runs.mkdir(parents=True, exist_ok=True)
        (runs / "events").write_text(f"{n}\n")


def test_local_logs_stay_beside_the_checkpoint(task: Task, tmp_path: Path):
    plan = tiny_plan(task, tmp_path)
    with pytest.raises(KilledError):
        train(plan, Killing("explain", 5))
    train(plan, Tracking(plan))
    logs = plan.folder.with_name(plan.folder.name + "--logs")
    assert sorted(path.relative_to(logs).as_posix() for path in logs.rglob("events")) == [
        "decide/here/events", "explain/here/events",
    ]  # fmt: skip
    assert {path.name for path in plan.folder.parent.iterdir()} == {plan.folder.name, logs.name}


def test_two_processes_do_not_train_the_same(task: Task, tmp_path: Path):
    plan = tiny_plan(task, tmp_path)
    plan.state.mkdir(parents=True)
    with (
        FileLock(plan.state / "lock", timeout=0),
        pytest.raises(UserError, match=r"--state: another process is training this; wait for it, or stop it"),
    ):
        train(plan, Silent())


def test_the_folder_may_have_another_name(task: Task, tmp_path: Path):
    plan = tiny_plan(task, tmp_path, out=tmp_path / "mine")
    train(plan, Silent())
    assert (tmp_path / "mine" / "model.safetensors").is_file()
    assert tiny_plan(task, tmp_path, out=tmp_path / "mine").found
    with pytest.raises(UserError, match=r"mine: holds a checkpoint of another lineage \(seed 1, not 2\)"):
        tiny_plan(task, tmp_path, seed=2, out=tmp_path / "mine")


def test_what_it_would_do(task: Task, tmp_path: Path):
    recipe = changed(tmp_path / "r.yaml", explain={"rationale_style": "long"}, decide={"steps": 9})
    cut = resolve_recipe("tiny", str(recipe), {"max_rationale_tokens": "4"})
    plan = plan_training(task, tiny_base(task, cut, 1), cut, seed=1, checkpoints=tmp_path / "none")
    told = describe(plan)
    assert not (tmp_path / "none").exists()
    assert (told["found"], told["folder"]) == (False, str(plan.folder))
    assert told["lineage"] == plan.lineage.as_json()
    assert told["stages"]["explain"] | {"cut": 0} == {
        "steps": 6, "batch_size": 8, "examples": 40, "validation": 12, "rationale_style": "long", "cut": 0,
    }  # fmt: skip
    assert told["stages"]["decide"]["steps"] == 9
    assert told["stages"]["explain"]["cut"] == {"rationales": 40}


def test_the_base_decides_whether_anything_is_made_from_nothing(tmp_path: Path):
    recipe = str(write_recipe(tmp_path / "r.yaml"))
    assert resolve_recipe("tiny", recipe, {}).scratch is not None
    assert resolve_recipe("./my-t5", recipe, {}).scratch is None
    assert resolve_recipe("tiny", None, {}).title == "Reason2Decide, tiny from scratch"
    assert resolve_recipe("./my-t5", None, {}).title == "Reason2Decide"
    assert resolve_recipe("tiny", "paper/sft", {}).scratch is not None
    for name in ("demo/sft", "demo/dss", "demo/r2d_c"):
        assert resolve_recipe("tiny", name, {}).method == name.partition("/")[2]


@pytest.mark.parametrize(
    ("overrides", "parts", "message"),
    [
        ({}, {"train": 0}, r"task learnt has no training split \(train\)"),
        ({}, {"references": False}, "no training example has a gold rationale, which method r2d learns from: only sft"),
        (
            {"batch_size": "64"},
            {},
            r"stages.explain.batch_size: 64 is more than the 40 training examples: take .*40 or",
        ),
        ({"accumulation": "3"}, {}, "batch_size 8 cannot be split into 3 equal parts"),
        ({"rationale_style": "nurse"}, {}, r"has no rationale style 'nurse' \(it declares none\)"),
        ({"lora.r": "4"}, {}, "lora: adapters need a base model"),
        ({"stepps": "4"}, {}, r"unknown key 'stepps' \(did you mean 'steps'\?\)"),
        ({"sampling.celing": "0.5"}, {}, r"unknown key 'sampling.celing' \(did you mean 'ceiling'\?\)"),
        ({"trackers": "trackio"}, {}, "trackers: trackio is not installed: pip install trackio"),
    ],
)
def test_what_cannot_work_is_told_in_one_line(
    tmp_path: Path, overrides: dict[str, str], parts: dict[str, Any], message: str
):
    made = learnt_task(tmp_path, **parts)

    def plan() -> None:
        recipe = resolve_recipe("tiny", str(write_recipe(tmp_path / "r.yaml")), overrides)
        plan_training(made, tiny_base(made, recipe, 1), recipe, seed=1, checkpoints=tmp_path / "out")

    with pytest.raises(UserError, match=message) as caught:
        plan()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_labels_alone_need_no_rationales(tmp_path: Path):
    made = learnt_task(tmp_path, references=False)
    plan = tiny_plan(made, tmp_path, recipe=write_recipe(tmp_path / "sft.yaml", **SFT))
    assert plan.steps == {"decide": 6}
    assert plan.parent is None


def test_a_batch_is_split_over_processes(task: Task, tmp_path: Path):
    assert tiny_plan(task, tmp_path, together=4).steps
    with pytest.raises(UserError, match="batch_size: 8 cannot be split over 3 processes with accumulation 1"):
        tiny_plan(task, tmp_path, together=3)


def test_a_folder_that_cannot_be_written(task: Task, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/model: cannot be written"):
        tiny_plan(task, tmp_path, out=tmp_path / "file" / "model")


def test_bases_that_cannot_be_trained(task: Task, tmp_path: Path):
    recipe = resolve_recipe("x", str(write_recipe(tmp_path / "r.yaml")), {})
    causal = tiny_causal(tmp_path / "chat", triage_pairs(20), steps=1)
    with pytest.raises(UserError, match="base model chat: a causal language model; training needs an encoder-decoder"):
        find_base(str(causal), task, recipe, 1)
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    (encoder / "config.json").write_text('{"architectures": ["T5EncoderModel"], "model_type": "t5"}')
    (encoder / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="encoder: T5EncoderModel writes no text"):
        find_base(str(encoder), task, recipe, 1)
    with pytest.raises(UserError, match="no such folder"):
        find_base(str(tmp_path / "nowhere"), task, recipe, 1)


@pytest.mark.parametrize(
    ("visibility", "endpoints", "environment", "refused"),
    [
        ("public", [], {}, False),
        ("private", [], {}, True),
        ("gated", [], {}, True),
        ("private", ["https://api.wandb.ai"], {}, False),
        ("private", [], {"WANDB_MODE": "offline"}, False),
        ("private", [], {"WANDB_BASE_URL": "http://127.0.0.1:8080"}, False),
        ("private", [], {"WANDB_BASE_URL": "https://wandb.example.org"}, True),
    ],
)
def test_trackers_pass_the_privacy_gate(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    visibility: str,
    endpoints: list[str],
    environment: dict[str, str],
    refused: bool,
):
    for name in ("WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made = learnt_task(tmp_path, visibility=visibility, endpoints=endpoints)
    recipe = write_recipe(tmp_path / "r.yaml", trackers=["wandb"])
    # wandb itself is no part of the test's environment: what the gate lets through fails for want of it.
    with pytest.raises(UserError, match="tracker wandb would send" if refused else "wandb is not installed"):
        tiny_plan(made, tmp_path, recipe=recipe)
