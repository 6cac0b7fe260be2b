"""A training that is killed and called again ends in the weights of one that was not (CPU, fp32, bit by bit)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from training_parts import Heard, keyword_task, new_start, same_start, stage_data, tiny_recipe, train, weights

from r2d_bench.errors import UserError
from r2d_bench.training.checkpoints import StateFolder
from r2d_bench.training.stage import Start, run_stage

if TYPE_CHECKING:
    from r2d_bench.tasks.task import Task
    from r2d_bench.training.recipe import Recipe, StageName

STEPS = 12
HERE = Path(__file__).parent
# Sampling begins at once and at full strength, so that every step of stage 2 has sampled labels.
SAMPLED: dict[str, Any] = {"warmup": 0.1, "span": 0.0, "ceiling": 0.9}


class KilledError(Exception):
    """Stands for a kill within one process."""


class Killing(Heard):
    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def step(self, n: int, loss: float) -> None:
        super().step(n, loss)
        if n == self.at:
            raise KilledError


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return keyword_task(tmp_path_factory.mktemp("resume"))


@pytest.fixture(scope="module")
def start(task: Task) -> Start:
    return new_start(task, dropout=0.1)


def recipe_of(method: str, **settings: Any) -> Recipe:  # noqa: ANN401
    """Return a recipe whose last step gives no evaluation of its own rhythm, and whose last weights win."""
    stage = {"steps": STEPS, "evaluate_every": 5, "select_by": "loss"} | settings
    stages = dict.fromkeys(("explain", "decide") if method in {"r2d", "r2d_c"} else ("decide",), stage)
    more: dict[str, Any] = {}
    if method in {"r2d", "r2d_c"}:
        kind = "scheduled" if method == "r2d" else "confident"
        more["sampling"] = SAMPLED | {"kind": kind, "threshold_window": 3}
    return tiny_recipe(method, stages=stages, **more)


def assert_equal(found: Any, expected: Any) -> None:  # noqa: ANN401
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize(
    ("method", "stage", "settings", "at"),
    [
        ("sft", "decide", {}, (7,)),
        ("r2d", "explain", {"accumulation": 2, "schedule": "one_cycle"}, (6,)),
        ("r2d", "decide", {"schedule": "cosine", "warmup_ratio": 0.2}, (3, 8, 11)),
        ("r2d_c", "decide", {"accumulation": 4, "optimizer": "adafactor"}, (7, 12)),
        ("dss", "decide", {"schedule": "one_cycle", "weight_decay": 0.1}, (5,)),
    ],
)
def test_interrupted_and_called_again(
    task: Task,
    start: Start,
    tmp_path: Path,
    method: str,
    stage: StageName,
    settings: dict[str, Any],
    at: tuple[int, ...],
):
    recipe = recipe_of(method, **settings)
    whole, heard = train(recipe, same_start(start), task, tmp_path / "whole", stage=stage, seed=4)
    for step in at:
        with pytest.raises(KilledError):
            run_stage(stage, recipe, same_start(start), stage_data(task), tmp_path / "state", Killing(step), 4)
    again, later = train(recipe, same_start(start), task, tmp_path / "state", stage=stage, seed=4)
    assert_equal(weights(again.model), weights(whole.model))
    assert min(later.losses) == (at[-1] - 1) // 5 * 5 + 1, "it goes on where the last checkpoint was"
    assert {n: heard.losses[n] for n in later.losses} == later.losses
    assert (again.history, again.best, again.steps) == (whole.history, whole.best, whole.steps)


def test_killed_while_a_checkpoint_is_written(
    task: Task, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = recipe_of("r2d")
    whole, _ = train(recipe, same_start(start), task, tmp_path / "whole", seed=4)
    publish = StateFolder.publish

    def killed(self: StateFolder, step: int, keep: set[int]) -> None:
        if step == 10:
            (self.writing / "checkpoint-10" / "optimizer.pt").write_bytes(b"torn")
            raise KilledError
        publish(self, step, keep)

    monkeypatch.setattr(StateFolder, "publish", killed)
    with pytest.raises(KilledError):
        train(recipe, same_start(start), task, tmp_path / "state", seed=4)
    monkeypatch.undo()
    again, later = train(recipe, same_start(start), task, tmp_path / "state", seed=4)
    assert min(later.losses) == 6
    assert_equal(weights(again.model), weights(whole.model))


SCRIPT = """
import os, signal, sys
from pathlib import Path
import training_parts as parts
import test_resume

folder, method, stage, at = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
task = parts.keyword_task(folder / "task")

class Fatal(parts.Heard):
    def step(self, n, loss):
        print(n, flush=True)
        if n == at:
            os.kill(os.getpid(), signal.SIGKILL)

recipe = test_resume.recipe_of(method, accumulation=2)
start = parts.new_start(task, dropout=0.1)
result = parts.run_stage(stage, recipe, start, parts.stage_data(task), folder / "state", Fatal(), 4)
result.model.save_pretrained(folder / "result")
"""


@pytest.mark.parametrize(("method", "stage"), [("r2d", "explain"), ("r2d_c", "decide")])
def test_kill_9(task: Task, start: Start, tmp_path: Path, method: str, stage: StageName):
    from safetensors.torch import load_file

    def call(at: int) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(HERE), str(HERE.parent)])
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path), method, stage, str(at)],
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    assert call(8).returncode == -signal.SIGKILL
    done = call(0)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "6"
    again = load_file(tmp_path / "result" / "model.safetensors")
    torch.set_num_threads(1)
    whole, _ = train(recipe_of(method, accumulation=2), same_start(start), task, tmp_path / "here", stage=stage, seed=4)
    whole.model.save_pretrained(tmp_path / "whole")
    assert_equal(again, load_file(tmp_path / "whole" / "model.safetensors"))


def test_a_finished_stage_is_loaded(task: Task, start: Start, tmp_path: Path):
    recipe = recipe_of("sft")
    first, _ = train(recipe, same_start(start), task, tmp_path / "state")
    second, heard = train(recipe, same_start(start), task, tmp_path / "state")
    assert not heard.stages
    assert_equal(weights(second.model), weights(first.model))
    assert (second.history, second.best, second.steps) == (first.history, first.best, first.steps)
    left = {path.name for path in (tmp_path / "state").rglob("*") if path.is_file()}
    assert not any(name.endswith((".pt", ".pth", ".bin")) for name in left), "no pickle stays"


def test_pickles_lie_in_the_state_folder_alone_and_are_plain_tensors(task: Task, start: Start, tmp_path: Path):
    with pytest.raises(KilledError):
        run_stage("decide", recipe_of("r2d"), same_start(start), stage_data(task), tmp_path / "state", Killing(6), 4)
    pickles = [path for path in tmp_path.rglob("*") if path.suffix in {".pt", ".pth", ".bin"}]
    assert {path.parent for path in pickles} == {tmp_path / "state" / "checkpoint-5"}
    for path in pickles:
        torch.load(path, weights_only=True)
    assert {path.name for path in pickles} == {"optimizer.pt", "scheduler.pt"}


def test_a_folder_of_another_training_is_refused(task: Task, start: Start, tmp_path: Path):
    with pytest.raises(KilledError):
        run_stage("decide", recipe_of("r2d"), same_start(start), stage_data(task), tmp_path / "state", Killing(6), 4)
    before = json.loads((tmp_path / "state" / "training.json").read_text())
    for recipe, seed in ((recipe_of("r2d"), 5), (recipe_of("r2d", learning_rate=1e-3), 4)):
        with pytest.raises(UserError, match="another training"):
            train(recipe, same_start(start), task, tmp_path / "state", seed=seed)
    assert json.loads((tmp_path / "state" / "training.json").read_text()) == before
