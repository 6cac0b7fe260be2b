"""Replayed predictions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from run_parts import LABELS, carry_out, make_task, row

from r2d_bench.errors import UserError
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.records import LabelStatus, RationaleStatus
from r2d_bench.runs.predictions import Reader
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.models.base import Model
    from r2d_bench.records import Prediction
    from r2d_bench.tasks.task import Task


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return make_task(tmp_path, [row(f"t{k}", label) for k, label in enumerate(LABELS)])


def replay(task: Task, spec: str) -> Model:
    return make_model(parse_spec(f"replay:{spec}"), task=task, seed=0)


def predicted(task: Task, spec: str, runs: Path) -> list[Prediction]:
    store, _ = carry_out(task, replay(task, spec), runs)
    reader, responses = Reader(task, store.setup()), store.responses()
    return [reader.prediction(e, responses) for e in task.examples()]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_labels_that_look_like_something_else_survive(task: Task, tmp_path: Path, ending: str):
    path = tmp_path / f"said.{ending}"
    if ending == "jsonl":
        path.write_text("".join(json.dumps({"id": f"t{k}", "label": label}) + "\n" for k, label in enumerate(LABELS)))
    else:
        comma = "," if ending == "csv" else "\t"
        lines = [f"id{comma}label", *(f"t{k}{comma}{label}" for k, label in enumerate(LABELS))]
        path.write_text("\n".join(lines) + "\n")
    found = predicted(task, str(path), tmp_path / "runs")
    assert [p.label for p in found] == ["yes", "no", "None", "NA"]
    assert all(p.rationale is None and p.rationale_status is RationaleStatus.ABSENT for p in found)


def test_missing_answers_are_unscored_and_empty_ones_are_wrong(task: Task, tmp_path: Path):
    lines = [
        {"id": "t0", "label": "yes", "rationale": "so it is"},
        {"id": "t1", "label": "", "rationale": ""},
        {"id": "t2", "label": None, "rationale": "no label"},
        {"id": "elsewhere", "label": "yes", "rationale": "not of this task"},
    ]
    path = tmp_path / "said.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = predicted(task, str(path), tmp_path / "runs")
    assert [p.label_status for p in found[:2]] == [LabelStatus.PARSED, LabelStatus.EMPTY]
    assert [p.rationale_status for p in found[:2]] == [RationaleStatus.WRITTEN, RationaleStatus.EMPTY]
    assert [p.unscored for p in found] == [None, None, "no answer in stage label", "no answer in stage label"]
    store, outcome = carry_out(task, replay(task, str(path)), tmp_path / "runs")
    assert (outcome.failures.total(), outcome.incomplete) == (2, 2)
    reasons = [json.loads(line)["reason"] for line in (store.folder / "attempts.jsonl").open()]
    assert set(reasons) == {"not in the predictions"}
    scores = score_run(store, task, ScoreOptions(resamples=50), Scorers())
    accuracy = scores["metrics"]["accuracy"]
    assert (accuracy["value"], accuracy["n"], accuracy["unscored"]) == (0.5, 2, 2)


@pytest.mark.parametrize(
    ("text", "spec", "message"),
    [
        ("id,label\nt0,yes\nt0,no\n", "", "line 3: the id 't0' stands twice"),
        ("id,lable\nt0,yes\n", "", "the column 'label' is missing (did you mean 'lable'?)"),
        ("key,label\nt0,yes\n", "", "the column 'id' is missing"),
        ("id,label\n,yes\n", "", "line 2: id is empty"),
        ("id,label\nt0,yes\n", ",rationale=why", "the column 'why' is missing"),
        ("id,label\nt0,yes\n", ",lable=label", "unknown key 'lable' (did you mean 'label'?)"),
        ("id,label\nt0,yes\n", ",row=dog", "key 'row'"),
        ("id,label\nx0,yes\n", "", "none of its ids is one of task small"),
        ("", "", "the file is empty"),
        ("id,label\nt0,yes,more\n", "", "line 2: 3 cells where the header has 2"),
    ],
)
def test_broken_files_are_told(task: Task, tmp_path: Path, text: str, spec: str, message: str):
    path = tmp_path / "said.csv"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        replay(task, f"{path}{spec}")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_columns_may_have_other_names(task: Task, tmp_path: Path):
    path = tmp_path / "said.csv"
    path.write_text("n,answer,why\nt0,yes,reasons\n")
    found = predicted(task, f"{path},id=n,label=answer,rationale=why,title=Mine,row=human", tmp_path / "runs")
    assert (found[0].label, found[0].rationale) == ("yes", "reasons")
    identity = replay(task, f"{path},id=n,label=answer,title=Mine,row=human").identity
    assert (identity.title, identity.row) == ("replay:Mine", "human")


def test_the_identity_is_what_is_said_not_where_it_lies(task: Task, tmp_path: Path):
    for folder, label in (("a", "yes"), ("b", "yes"), ("c", "no")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "said.csv").write_text(f"id,label\nt0,{label}\n")
    a, b, c = (replay(task, str(tmp_path / folder / "said.csv")).identity for folder in "abc")
    assert a == b
    assert a != c
    assert a.name == "said"


def test_predictions_of_the_rows_themselves_make_a_human_row(tmp_path: Path):
    folder = tmp_path / "small"
    make_task(tmp_path, [row("t0", "yes") | {"nurse": "no"}, row("t1", "no") | {"nurse": "no"}])
    card = (folder / "task.yaml").read_text()
    (folder / "task.yaml").write_text(card + "annotations: {nurse: {title: A nurse, label: '{{ nurse }}'}}\n")
    from r2d_bench.tasks.task import load_task

    task = load_task(str(folder))
    assert [p.label for p in predicted(task, "nurse", tmp_path / "runs")] == ["no", "no"]
    assert replay(task, "nurse").identity.row == "human"
    with pytest.raises(UserError, match="did you mean 'nurse'"):
        replay(task, "nurs")
