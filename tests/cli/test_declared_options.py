"""Challenge sets and styles of rationales on the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from full_task import KINDS, make_full_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from run_parts import Said

    Cli = Callable[..., Said]

RUN = ("run", "mock:random", "-t", "small", "--task-dir", ".", "--no-page", "--bertscore", "none")


@pytest.fixture
def full(cli: Cli, tmp_path: Path) -> Cli:
    """The command line in a folder with the task that declares everything."""
    make_full_task(tmp_path / "small")
    return cli


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ((), 14),
        (("--no-challenges",), 6),
        (("--limit", "3"), 3),
        (("--limit", "3", "--challenges"), 11),
    ],
)
def test_a_dry_run_and_a_run_count_alike(full: Cli, tmp_path: Path, options: tuple[str, ...], asked: int):
    (estimate,) = full(*RUN, *options, "--dry-run", "--json").json
    assert estimate["requests"] == {"predict": asked, "explain": asked}
    done = full(*RUN, *options, "--json")
    assert done.code == 0
    (run,) = done.json["runs"]
    assert run["answered"] == 2 * asked
    manifest = json.loads((tmp_path / run["folder"] / "run.json").read_text())
    assert set(manifest["sittings"][0]["challenges"]) == (set(KINDS) if asked > 6 else set())


def test_a_job_file_may_say_so(full: Cli, tmp_path: Path):
    (tmp_path / "job.yaml").write_text(
        "models: [mock:random]\ntasks: [small]\ntask_dirs: [.]\nsite: none\nbertscore: {model: none}\n"
        "challenges: no\nrationale_style: nurse\n"
    )
    (run,) = full("run", "--config", "job.yaml", "--json").json["runs"]
    assert (run["scores"]["challenges"], run["scores"]["rationale_style"]) == ({}, "nurse")
    (run,) = full("run", "--config", "job.yaml", "--challenges", "--rationale-style", "edited", "--json").json["runs"]
    assert (set(run["scores"]["challenges"]), run["scores"]["rationale_style"]) == (set(KINDS), "edited")


def test_one_folder_scored_in_either_style(full: Cli):
    (run,) = full(*RUN, "--rationale-style", "nurse", "--json").json["runs"]
    folder = ("score", run["folder"], "--task-dir", ".", "--bertscore", "none", "--json")
    styles = [full(*folder, *more).json[0]["rationale_style"] for more in ((), ("--rationale-style", "edited"))]
    assert styles == ["nurse", "edited"]
    (again,) = full(*RUN, "--json").json["runs"]
    assert (again["folder"], again["answered"]) == (run["folder"], 0)
    shown = full("runs", "show", run["run"])
    assert "challenge set pairs" in shown.out
    assert "pair_accuracy" in shown.out


def test_tasks_are_looked_at_in_a_style(full: Cli):
    words = [
        full("tasks", "validate", "./small", "--rationale-style", style, "--json").json["splits"]["test"]
        for style in ("nurse", "edited")
    ]
    assert [split["rationale_words"]["median"] for split in words] == [4, 6]
    assert words[0]["digest"] == words[1]["digest"]
    assert full("tasks", "show", "./small", "--rationale-style", "nurse").code == 0


def test_wrong_styles_are_one_line(full: Cli):
    for command in (RUN, ("tasks", "show", "./small"), ("tasks", "validate", "./small")):
        said = full(*command, "--rationale-style", "nurze")
        assert said.code != 0
        assert (
            said.err.strip()
            .splitlines()[-1]
            .endswith("task small has no rationale style 'nurze' (did you mean 'nurse'?)")
        )
