"""`judge`, `judges` and the judge of a job, as a user calls them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from run_parts import Said

    Cli = Callable[..., Said]

TASK = ("-t", "small", "--task-dir", ".", "--no-page", "--bertscore", "none")
DIRS = ("--task-dir", ".")


@pytest.fixture
def run(cli: Cli) -> str:
    """Return the folder of a finished run with rationales."""
    assert cli("run", "mock:random", *TASK).code == 0
    return str(next(Path("runs").glob("*--mock--*")))


def judgments(run: str) -> list[str]:
    """Return the folders of judgings; a jury's file stands beside them."""
    return sorted(path.parent.name for path in Path(run, "judgments").glob("*/judge.json"))


def test_judging_prints_a_table_and_writes_a_folder(cli: Cli, run: str) -> None:
    said = cli("judge", run, "--judge", "clinical_rationale", "--model", "mock:random", *DIRS)
    assert said.code == 0
    assert "clinical_rationale@1" in said.out
    assert "Judge mean" in said.out
    (folder,) = judgments(run)
    assert folder.startswith("clinical_rationale--mock--random--")
    assert len(Path(run, "judgments", folder, "verdicts.jsonl").read_text().splitlines()) == 12


def test_several_judges_with_parameters_behind_commas(cli: Cli, run: str) -> None:
    both = "mock:random,seed=1,garbage=0.1,mock:random,seed=2"
    assert cli("judge", run, "--judge", "label_support", "--model", both, *DIRS).code == 0
    assert len(judgments(run)) == 2
    said = cli("judge", run, "--judge", "label_support", "--model", "mock:random", "--model", both, "--json", *DIRS)
    told = json.loads(said.out)
    assert len(told) == len(judgments(run)) == 3
    assert {one["run"] for one in told} == {Path(run).name}
    assert all(one["scores"]["metrics"]["judge_mean"]["value"] is not None for one in told)


def test_a_dry_run_asks_nothing(cli: Cli, run: str) -> None:
    said = cli("judge", run, "--judge", "label_support", "--model", "mock:random", "--dry-run", "--json", *DIRS)
    (told,) = json.loads(said.out)
    assert told["requests"] == {"judge": 12}
    assert told["input_tokens"] > 12 * 100
    assert not Path(run, "judgments").exists()


def test_a_limit_stops_cleanly_and_the_same_command_goes_on(cli: Cli, run: str) -> None:
    how = ("judge", run, "--judge", "label_support", "--model", "mock:random", *DIRS)
    stopped = cli(*how, "--max-requests", "5")
    assert stopped.code == 3
    assert "7 rationales have no verdict yet (stopped at --max-requests 5); go on with: r2d-bench judge" in stopped.err
    assert cli(*how).code == 0
    (folder,) = judgments(run)
    assert len(Path(run, "judgments", folder, "responses.jsonl").read_text().splitlines()) == 12


def test_stored_replies_are_read_again_without_a_judge(cli: Cli, run: str) -> None:
    cli("judge", run, "--judge", "label_support", "--model", "mock:random", *DIRS)
    (folder,) = judgments(run)
    verdicts = Path(run, "judgments", folder, "verdicts.jsonl")
    before = verdicts.read_bytes()
    verdicts.unlink()
    assert cli("judge", run, "--judge", "label_support", "--parse-only", *DIRS).code == 0
    assert verdicts.read_bytes() == before
    absent = cli("judge", run, "--judge", "clinical_rationale", "--parse-only", *DIRS)
    assert absent.code == 2
    assert "no replies of judge clinical_rationale are stored" in absent.err


def test_the_judge_of_a_job_works_in_the_same_command(cli: Cli) -> None:
    judge = ("--judge", "label_support", "--judge-model", "mock:random", "--judge-sample", "6")
    said = cli("run", "mock:random", "baseline:majority", *TASK, *judge, "--json")
    assert said.code == 0
    told = json.loads(said.out)
    assert [one["scores"]["metrics"]["judge_coverage"]["n"] for one in told["judgments"]] == [6]
    Path("job.yaml").write_text(
        "models: [mock:random]\ntasks: [small]\ntask_dirs: ['.']\nsite: none\nbertscore: {model: none}\n"
        "judges: [{judge: label_support, models: ['mock:random,seed=3'], sample: 4}]\n",
        encoding="utf-8",
    )
    assert cli("run", "--config", "job.yaml").code == 0
    assert len(judgments(next(str(p) for p in Path("runs").glob("*--mock--*")))) == 2


def test_runs_without_rationales_are_passed_over_and_alone_refused(cli: Cli, run: str) -> None:
    assert cli("run", "baseline:majority", *TASK).code == 0
    silent = str(next(Path("runs").glob("*--baseline--*")))
    how = ("--judge", "label_support", "--model", "mock:random", *DIRS)
    alone = cli("judge", silent, *how)
    assert alone.code == 2
    assert "none of these runs has rationales to judge" in alone.err
    assert cli("judge", silent, run, *how).code == 0
    assert (judgments(silent), len(judgments(run))) == ([], 1)


def test_what_is_there_is_shown_before_the_rest_is_asked_for(cli: Cli, run: str) -> None:
    said = cli(
        "judge", run, "--judge", "label_support", "--model", "mock:random", "--max-requests", "5", "--json", *DIRS
    )
    assert said.code == 3
    (told,) = json.loads(said.out)
    assert told["scores"]["counts"]["unscored"] == {"transport": 7}


def test_a_dry_run_of_a_job_counts_repeats_and_every_criterion(cli: Cli) -> None:
    judge = "{judge: clinical_rationale, models: ['mock:random'], repeats: 3, repeated: 4}"
    scored = "{judge: clinical_rationale, models: ['mock:random'], method: probability, sample: 2}"
    Path("job.yaml").write_text(
        f"models: [mock:random]\ntasks: [small]\ntask_dirs: ['.']\nsite: none\njudges: [{judge}, {scored}]\n",
        encoding="utf-8",
    )
    _, repeated, probable = json.loads(cli("run", "--config", "job.yaml", "--dry-run", "--json").out)
    assert sum(repeated["requests"].values()) == 12 + 2 * 4
    assert sum(probable["requests"].values()) == 2 * 6


def test_a_dry_run_of_a_job_tells_what_its_judge_would_ask(cli: Cli) -> None:
    judge = ("--judge", "label_support", "--judge-model", "mock:random")
    said = cli("run", "mock:random", *TASK, *judge, "--dry-run", "--json")
    run, judging = json.loads(said.out)
    assert judging["requests"] == {"judge": 12}
    assert judging["run"].startswith(run["run"] + "/label_support--mock")
    assert not Path("runs").exists()


def test_pairs_in_both_orders(cli: Cli, run: str) -> None:
    assert cli("run", "mock:random,seed=7", *TASK).code == 0
    both = sorted(str(path) for path in Path("runs").glob("*--mock--*"))
    said = cli("judge", *both, "--judge", "pairwise", "--model", "mock:random", "--json", *DIRS)
    (told,) = json.loads(said.out)
    assert told["wins"] + told["losses"] + told["ties"] + told["turned"] + sum(told["unscored"].values()) == 12
    assert told["advantage"]["value"] == pytest.approx((told["wins"] - told["losses"]) / 12)
    (folder,) = judgments(both[0])
    assert "--vs--" in folder
    assert len(Path(both[0], "judgments", folder, "responses.jsonl").read_text().splitlines()) == 24
    assert "A better" in cli("judge", *both, "--judge", "pairwise", "--model", "mock:random", *DIRS).out
    before = Path(both[0], "judgments", folder, "scores.json").read_bytes()
    again = cli("judge", *both, "--judge", "pairwise", "--parse-only", "--json", *DIRS)
    assert (again.code, json.loads(again.out)) == (0, [told])
    assert Path(both[0], "judgments", folder, "scores.json").read_bytes() == before
    nothing = cli("judge", both[0], "--judge", "pairwise", "--parse-only", *DIRS)
    assert nothing.code == 2
    assert "name both runs of a comparison" in nothing.err
    part = cli("judge", *both, "--judge", "pairwise", "--model", "mock:random,seed=5", "--max-requests", "3", *DIRS)
    assert part.code == 3
    assert "comparisons have no reply yet (stopped at --max-requests 3); go on with: r2d-bench judge" in part.err
    assert cli("judge", *both, "--judge", "pairwise", "--model", "mock:random", "--repeats", "2", *DIRS).code == 2
    alone = cli("judge", run, "--judge", "pairwise", "--model", "mock:random", *DIRS)
    assert alone.code == 2
    assert "compares two to 4 runs" in alone.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--judge", "label_supports", "--model", "mock:random"), "did you mean 'label_support'"),
        (("--judge", "label_support"), "no judge given"),
        (("--judge", "label_support", "--model", "baseline:majority"), "cannot judge: it reads no prompts"),
        (("--judge", "label_support", "--model", "mokc:random"), "did you mean 'mock'"),
        (("--judge", "label_support", "--model", "mock:random", "--sample", "0"), "sample"),
        (("--judge", "label_support", "--model", "api:openai/m,base_url=https://x.example/v1"), "small is private"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(cli: Cli, run: str, options: tuple[str, ...], message: str) -> None:
    said = cli("judge", run, *options, *DIRS)
    assert said.code == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not Path(run, "judgments").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--judge", "label_support"), "needs --judge-model SPEC"),
        (("--judge-model", "mock:random"), "needs --judge NAME"),
        (("--judge", "pairwise", "--judge-model", "mock:random"), "compares two runs"),
        (("--judge", "nobody", "--judge-model", "mock:random"), "unknown judge 'nobody'"),
    ],
)
def test_a_job_with_half_a_judge_is_refused_before_it_begins(cli: Cli, options: tuple[str, ...], message: str) -> None:
    said = cli("run", "mock:random", *TASK, *options)
    assert said.code == 2
    assert message in said.err
    assert not Path("runs").exists()


def test_rubrics_are_listed_shown_and_checked(cli: Cli) -> None:
    listed = json.loads(cli("judges", "list", "--json").out)
    assert {one["name"] for one in listed} >= {"clinical_rationale", "label_support", "clinical_reference", "pairwise"}
    shown = cli("judges", "show", "label_support")
    assert "digest" in shown.out
    assert "  5  " in shown.out
    assert "schema" in json.loads(cli("judges", "show", "label_support", "--json").out)
    bundled = Path(__file__).parents[2] / "judges" / "label_support"
    shutil.copytree(bundled, "mine/label_support")
    assert cli("judges", "validate", "./mine/label_support").code == 0
    assert cli("judges", "list", "--judge-dir", "mine").code == 0
    prompt = Path("mine/label_support/prompt.j2")
    prompt.write_text(prompt.read_text(encoding="utf-8").replace("{{ case }}", ""), encoding="utf-8")
    broken = cli("judges", "validate", "./mine/label_support")
    assert broken.code == 2
    assert "case" in broken.err
