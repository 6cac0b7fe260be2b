from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from r2d_bench.cli.compare import margins_of
from r2d_bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from run_parts import Said

    Cli = Callable[..., Said]


@pytest.fixture
def runs(cli: Cli, tmp_path: Path) -> list[str]:
    """Run three cheap models on the task; returns their folders."""
    models = ("baseline:majority", "baseline:tfidf", "mock:random")
    said = cli("run", *models, "-t", "small", "--no-page", "--bertscore", "none", "--task-dir", ".")
    assert said.code == 0, said.err
    return sorted(str(path) for path in (tmp_path / "runs").iterdir())


def test_plain_lines_where_there_is_no_terminal(cli: Cli, runs: list[str]) -> None:
    said = cli("compare", *runs, "--task-dir", ".", "--resamples", "200")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == "# small@1, split test"
    assert "# Macro-F1, %: higher is better" in lines
    assert "pair\tdifference, points\t95 % interval\tp\tp, Holm over 3 pairs" in lines
    assert any(line.startswith("A and ") or " is better than " in line for line in lines)
    assert not any("┃" in line for line in lines)


def test_json_has_every_item(cli: Cli, runs: list[str]) -> None:
    found = cli("compare", *runs[:2], "--task-dir", ".", "--resamples", "200", "--json", "--metric", "accuracy").json
    assert [one["metric"] for one in found["metrics"]] == ["accuracy"]
    (changes,) = found["changes"]
    counted = len(changes["only_first"]) + len(changes["only_second"]) + changes["both"] + changes["neither"]
    assert counted == 12
    assert found["how"] == {"level": 0.95, "resamples": 200, "seed": 0}


def test_the_same_command_prints_the_same(cli: Cli, runs: list[str]) -> None:
    one, other = (cli("compare", *runs, "--task-dir", ".", "--resamples", "200", "--json").out for _ in range(2))
    assert one == other
    json.loads(one)


def test_markdown_escapes_what_others_wrote(cli: Cli, runs: list[str]) -> None:
    said = cli("compare", *runs, "--task-dir", ".", "--resamples", "200", "--markdown")
    assert "| pair | difference, points | 95 % interval | p | p, Holm over 3 pairs |" in said.out
    assert "\\[" in said.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--metric", "macro_f2"), "did you mean 'macro_f1'"),
        (("--margin", "wide"), "should be [METRIC=]SIZE"),
        (("--margin", "macro=1"), "metric 'macro': unknown"),
        (("--resamples", "5"), "give 100 or more"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(cli: Cli, runs: list[str], arguments: tuple[str, ...], words: str) -> None:
    said = cli("compare", *runs, "--task-dir", ".", *arguments)
    assert (said.code, said.out) == (2, "")
    assert words in said.err
    assert said.err.count("\n") == 1


def test_a_folder_that_is_no_run(cli: Cli) -> None:
    said = cli("compare", "here", "there")
    assert said.code == 2
    assert "not a run folder" in said.err


def test_margins_are_points_of_what_is_shown_in_per_cent() -> None:
    assert margins_of(["2", "chrf=1.5", "accuracy=0.5"]) == (0.02, {"chrf": 1.5, "accuracy": 0.005})
    with pytest.raises(UserError, match="SIZE"):
        margins_of(["-1"])
