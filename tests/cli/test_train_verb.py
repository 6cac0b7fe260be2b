"""`train` as a user types it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_causal, triage_pairs
from trained_parts import SFT, STAGE, learnt_task, write_recipe

from r2d_bench.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from run_parts import Said

    Cli = Callable[..., Said]

TASK = ("-t", "./learnt", "--recipe", "r.yaml")
TINY = ("train", "--from-scratch", "tiny", *TASK)


@pytest.fixture(autouse=True)
def _folder(cli: Cli, tmp_path: Path) -> None:  # noqa: ARG001 - it changes into the folder
    learnt_task(tmp_path)
    write_recipe(tmp_path / "r.yaml")
    write_recipe(tmp_path / "sft.yaml", **SFT)


def test_a_dry_run_tells_everything_and_trains_nothing(cli: Cli, tmp_path: Path):
    told = cli(*TINY, "--seeds", "1,2", "--dry-run", "--set", "max_rationale_tokens=2")
    assert told.code == 0
    lines = told.out.splitlines()
    assert lines[0].startswith("checkpoints/learnt--r2d--tiny--s1--")
    assert lines[1:6] == [
        "  r2d on learnt@1, base tiny, seed 1",
        "  train train: 40 examples, digest " + lines[2].rpartition(" ")[2],
        "  validation validation: 12 examples, digest " + lines[3].rpartition(" ")[2],
        "  stage explain: at most 6 steps of 8, 40 examples, 12 for validation; texts cut: rationales 40",
        "  stage decide: at most 6 steps of 8, 40 examples, 12 for validation; texts cut: rationales 40",
    ]
    assert lines[7].startswith("checkpoints/learnt--r2d--tiny--s2--")
    assert not (tmp_path / "checkpoints").exists()
    (plan,) = cli(*TINY, "--dry-run", "--json").json
    assert (plan["found"], plan["lineage"]["seed"], plan["stages"]["decide"]["steps"]) == (False, 0, 6)


def test_it_trains_each_seed_tells_its_progress_and_finds_it_again(cli: Cli, tmp_path: Path):
    told = cli(*TINY, "--seeds", "1,2")
    assert told.code == 0
    folders = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    lines = told.out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"checkpoints/{name}" for name in folders]
    assert ": seed 1, validation macro_f1 0." in lines[0]
    progress = told.err.splitlines()
    assert progress[0].startswith("training [1/2] learnt@1 · tiny · r2d, seed 1: checkpoints/learnt--r2d--tiny--s1--")
    assert progress[1] == "  explain: at most 6 steps"
    assert any(line.startswith("  decide: step 6, validation macro_f1 0.") for line in progress)
    again = cli(*TINY, "--seeds", "2,1", "--json")
    assert [(one["found"], one["lineage"]["seed"]) for one in again.json] == [(True, 2), (True, 1)]
    assert again.json[0]["history"]["decide"]["steps"] == 6
    assert "is there: nothing to train" in cli(*TINY, "--seeds", "1", "--dry-run").out
    ran = cli("run", "r2d:tiny,recipe=r.yaml,seed=2", "-t", "./learnt", "--no-page", "--bertscore", "none")
    assert (ran.code, "training" in ran.err) == (0, False), "run finds what train has made"


def test_run_has_a_place_for_checkpoints_and_tells_the_training(cli: Cli, tmp_path: Path):
    told = cli(
        "run", "r2d:tiny,recipe=sft.yaml", "-t", "./learnt", "--checkpoints", "kept", "--no-page", "--bertscore", "none"
    )  # fmt: skip
    assert told.code == 0
    assert "training [1/1] learnt@1 · tiny · sft, seed 0: kept/learnt--sft--tiny--s0--" in told.err
    assert [path.name.partition("--s0")[0] for path in (tmp_path / "kept").iterdir()] == ["learnt--sft--tiny"]
    dry = cli("run", "r2d:tiny,recipe=r.yaml", "-t", "./learnt", "--dry-run")
    assert "explain 6, decide 6\tpredict 12, explain 12\t0" in dry.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", *TASK), "give a BASE model (a folder or a hub id), or --from-scratch tiny, and not both"),
        (("train", "./chat", *TASK), "base model chat: a causal language model"),
        ((*TINY, "--set", "stepps=3"), "recipe r.yaml: unknown key 'stepps' (did you mean 'steps'?)"),
        ((*TINY, "--set", "steps"), "--set: 'steps' should be KEY=VALUE"),
        ((*TINY, "--seeds", "1,x"), "--seeds: '1,x' should be numbers"),
        ((*TINY, "--seeds", "1,2", "--out", "mine"), "--out: a folder of one checkpoint, and there are several seeds"),
        ((*TINY, "--out", "learnt"), "learnt: exists and is not a checkpoint of r2d-bench"),
        ((*TINY, "--nproc", "3"), "cannot be split over 3 processes"),
        ((*TINY, "--nproc", "0"), "--nproc: should be 1 or more"),
        ((*TINY, "--data", "other=learnt"), "--data: 'other' is not the task that is trained on (learnt)"),
        ((*TINY, "-t", "small", "--task-dir", "."), "batch_size: 16 is more than the 8 training examples"),
    ],
)
def test_bad_input_is_told_in_one_line(cli: Cli, tmp_path: Path, arguments: tuple[str, ...], message: str):
    if "./chat" in arguments:
        tiny_causal(tmp_path / "chat", triage_pairs(20), steps=1)
    if "small" in arguments:
        write_recipe(tmp_path / "r.yaml", **SFT | {"stages": {"decide": STAGE | {"batch_size": 16}}})
    before = sorted(path.name for path in tmp_path.iterdir())
    told = cli(*arguments)
    assert told.code == 2
    assert told.err.startswith("r2d-bench: ")
    assert message in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "r2d_bench.cli.main", *arguments]


def kill_at(said: str, arguments: list[str]) -> None:
    """Run a command and kill it (-9) as soon as it has said something."""
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any(said in line for line in process.stderr)
        os.kill(process.pid, signal.SIGKILL)


def test_killed_with_9_and_repeated(cli: Cli, tmp_path: Path):
    slow = {name: STAGE | {"steps": 40, "evaluate_every": 5} for name in ("explain", "decide")}
    write_recipe(tmp_path / "r.yaml", stages=slow | {"explain": slow["explain"] | {"select_by": "loss"}})
    kill_at("explain: step 10, validation", command(*TINY))
    kill_at("decide: step 10, validation", command(*TINY))
    assert not list((tmp_path / "checkpoints").glob("*/model.safetensors"))
    told = cli(*TINY)
    assert told.code == 0
    assert "explain: at most" not in told.err
    assert cli(*TINY, "--checkpoints", "whole").code == 0
    one, other = (load_file(next((tmp_path / at).glob("*/model.safetensors"))) for at in ("checkpoints", "whole"))
    assert all(torch.equal(one[name], value) for name, value in other.items())


def test_two_processes_train_one_checkpoint(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = subprocess.run(command(*TINY, "--nproc", "2", "--out", "two"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("two: seed 0, validation macro_f1 0.")
    assert done.stdout.count("\n") == 1, "the first process alone reports"
    assert done.stderr.count("explain: at most 6 steps") == 1
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("two")) == ["two"]
    assert cli(*TINY, "--out", "one").code == 0
    two, one = (load_file(tmp_path / name / "model.safetensors") for name in ("two", "one"))
    # The same batches, added up in another order.
    assert all(torch.allclose(two[name], value, atol=1e-4) for name, value in one.items())


def test_an_error_in_two_processes_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_recipe(tmp_path / "r.yaml", **SFT | {"stages": {"decide": STAGE | {"learning_rate": 1e30}}})
    arguments = command(*TINY, "--nproc", "2", "--out", "two")
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if "r2d-bench: " in line]
    assert len(said) == 1
    assert "the loss is" in said[0]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "two").exists()


def test_the_verb_is_known(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "r2d-bench train google/flan-t5-base -t triage" in capsys.readouterr().out
