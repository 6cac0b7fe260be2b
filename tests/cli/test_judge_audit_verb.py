from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from r2d_bench.judging.audit_probes import PROBES
from r2d_bench.judging.audit_store import find_audit

if TYPE_CHECKING:
    from conftest import Cli

AUDIT = ("judge-audit", "--judge", "clinical_rationale", "--model", "mock:random", "--sample", "3")


@pytest.fixture
def rated(tmp_path: Path) -> Path:
    """A folder with rated claims."""
    folder = tmp_path / "judge_validation"
    folder.mkdir()
    words = ["Entailment", "Neutral", "Contradiction"]
    lines = [
        {
            "id": k,
            "question": f"Question {k}?",
            "answer": "Yes, in most cases.",
            "claim": f"claim {k}",
            "majority": words[k % 3],
            "labels": [words[k % 3], words[k % 3], words[k % 2]],
        }
        for k in range(12)
    ]
    (folder / "kqa_nli.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def test_an_audit_prints_its_tables_and_a_sentence(cli: Cli, rated: Path) -> None:
    said = cli(*AUDIT, "--data", str(rated))
    assert said.code == 0, said.err
    assert "agreement with people" in said.out
    assert "people among themselves" in said.out
    for probe in PROBES.values():
        assert probe.title in said.out
    assert "on K-QA" in said.out
    assert "calibration: none" in said.out
    folder = next(Path("audits").iterdir())
    audit = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    assert audit["sentence"] in said.out
    assert find_audit(Path("audits"), audit["setup"]["digest"]) == audit
    assert str(rated) not in (folder / "audit.json").read_text(encoding="utf-8")


def test_json_and_the_folder_for_audits(cli: Cli, rated: Path) -> None:
    said = cli(*AUDIT, "--data", f"kqa={rated}", "--audits", "elsewhere", "--json")
    assert said.code == 0, said.err
    assert said.json["data"]["kqa"]["items"] == 3
    assert said.json["data"]["kqa"]["of"] == 12
    assert Path(said.json["folder"]).parent == Path("elsewhere")
    assert said.json["spent"]["requests"] == said.json["coverage"]["asked"] - 3  # markdown is no call of its own


def test_a_dry_run_asks_nothing_and_tells_how_much_it_would(cli: Cli, rated: Path) -> None:
    said = cli(*AUDIT, "--data", str(rated), "--dry-run", "--json")
    assert said.code == 0, said.err
    planned = said.json[0]["requests"]["judge"]
    assert not Path("audits").exists()
    done = cli(*AUDIT, "--data", str(rated), "--json")
    assert done.json["spent"]["requests"] == planned
    left = cli(*AUDIT, "--data", str(rated), "--dry-run", "--json").json[0]
    assert (left["requests"]["judge"], left["stored"]) == (0, planned)


def test_a_limit_stops_it_and_the_same_command_goes_on(cli: Cli) -> None:
    stopped = cli(*AUDIT, "--max-requests", "5")
    assert stopped.code == 3
    assert "stopped at --max-requests 5" in stopped.err
    assert "judge-audit --judge" in stopped.err
    done = cli(*AUDIT, "--json")
    assert done.code == 0
    assert done.json["coverage"]["unscored"] == {}
    assert "no human set was given" in done.json["without_people"]


def test_a_judge_by_probabilities_is_not_asked_twice(cli: Cli) -> None:
    said = cli(*AUDIT, "--score-method", "probability", "--json")
    assert said.code == 0, said.err
    assert said.json["probes"]["repeat"]["verdict"] == "not measured"
    assert said.json["probes"]["padding"]["shift"]["n"] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--judge", "clinical_rational", "--model", "mock:random"), "did you mean 'clinical_rationale'"),
        (("--judge", "pairwise", "--model", "mock:random"), "pairwise"),
        (("--judge", "label_support", "--model", "baseline:majority"), "cannot judge"),
        (("--judge", "label_support", "--model", "mock:random", "--data", "kqq=x"), "did you mean 'kqa'"),
        (("--judge", "label_support", "--model", "mock:random", "--sample", "0"), "--sample 0"),
        (("--judge", "label_support", "--model", "mock:random", "--run", "nowhere", "--sample", "1"), "nowhere"),
        (
            (
                "--judge",
                "label_support",
                "--model",
                "api:openai/m,base_url=https://judge.example/v1",
                "--task",
                "./small",
            ),
            "would send its texts to judge.example",
        ),
    ],
)
def test_what_cannot_work_is_told_in_one_line_and_nothing_is_written(
    cli: Cli, arguments: tuple[str, ...], said: str
) -> None:
    found = cli("judge-audit", *arguments)
    assert found.code == 2
    assert said in found.err
    assert found.err.count("\n") == 1
    assert not Path("audits").exists()


def judged(cli: Cli) -> str:
    """Return the folder of a run of the mock that the mock has judged."""
    assert cli("run", "mock:random", "-t", "./small", "--no-page").code == 0
    run = str(next(Path("runs").iterdir()))
    said = cli("judge", run, "--judge", "label_support", "--model", "mock:random", "--task-dir", ".")
    assert said.code == 0, said.err
    return run


def test_verdicts_beside_a_teams_own_ratings(cli: Cli, tmp_path: Path) -> None:
    run = judged(cli)
    lines = ["example_id,rater,criterion,score"]
    lines += [
        f"t{k},{rater},label_support,{1 + (k + shift) % 5}" for k in range(12) for shift, rater in enumerate("ab")
    ]
    file = tmp_path / "ratings.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    how = ("judge-agreement", str(file), "--run", run, "--task-dir", str(tmp_path))
    said = cli(*how, "--json")
    assert said.code == 0, said.err
    found = said.json["criteria"]["label_support"]
    assert found["raters"] == ["a", "b"]
    assert found["items"] == 12
    assert found["consensus"]["kappa"]["n"] + sum(found["unscored"].values()) == 12
    assert found["consensus"]["ceiling"]["n"] == 12
    table = cli(*how, "--judge", "label_support")
    assert "label_support: 12 rated items" in table.out
    file.write_text("\n".join([*lines, "t99,a,label_support,3"]) + "\n", encoding="utf-8")
    unknown = cli(*how)
    assert unknown.code == 2
    assert "no example 't99'" in unknown.err
    other = cli(*how, "--judge", "clarity")
    assert other.code == 2
    assert "no judgments by 'clarity'" in other.err


def test_runs_without_judgments_are_told_how_to_get_them(cli: Cli, tmp_path: Path) -> None:
    assert cli("run", "mock:random", "-t", "./small", "--no-page").code == 0
    run = str(next(Path("runs").iterdir()))
    (tmp_path / "r.csv").write_text("example_id,rater,criterion,score\nt0,a,clarity,1\n", encoding="utf-8")
    said = cli("judge-agreement", "r.csv", "--run", run)
    assert said.code == 2
    assert "r2d-bench judge" in said.err


def test_a_mock_has_no_family_to_favour(cli: Cli) -> None:
    run = judged(cli)
    said = cli(
        "judge-audit", "--judge", "label_support", "--model", "mock:random", "--sample", "1", "--run", run, "--json"
    )
    assert said.code == 0, said.err
    own = said.json["probes"]["same_family"]
    assert own["unscored"] == {"family not known": 1}
    assert own["verdict"] == "cannot tell"
