"""What scoring makes of rationales: adequacy, the outside reader, probes for a rationale."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from full_task import KINDS, LABELS, make_full_task, row
from run_parts import Counting, Quiet
from small_task import write_task

from r2d_bench.errors import UserError
from r2d_bench.protocols.prompts import wrong_label
from r2d_bench.records import Failure, Response
from r2d_bench.runs.execute import Sitting, execute
from r2d_bench.runs.rationales import fit_reader
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run
from r2d_bench.runs.selection import select
from r2d_bench.runs.setup import plan_run
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.models.base import Model
    from r2d_bench.records import Json, Request
    from r2d_bench.tasks.task import Task

WORDS = {"NOW": "crushing pressure", "TODAY": "spreading redness", "HOME": "mild sniffles"}


def worded() -> list[dict[str, Json]]:
    """Return rows whose rationales tell their label by words of their own, but for the label's."""
    rows = []
    for split in ("test", "train"):
        for n in range(12):
            label = LABELS[n % 3]
            why = f"{WORDS[label]} in case {n}"
            rows.append(row(f"{split}{n}", label, split, edited=why, nurse=f"{label} {why}"))
    return rows


def make(folder: Path, **parts: Json) -> Task:
    return make_full_task(folder / "small", worded(), challenges=dict.fromkeys(KINDS), **parts)


def scored(task: Task, model: Model, runs: Path, probes: tuple[str, ...] = ()) -> dict[str, Json]:
    setup = plan_run(task, model)
    store = RunStore(runs / setup.folder)
    execute(task, model, setup, Sitting(select(task.examples()), probes=probes), store, Quiet())
    return score_run(store, task, ScoreOptions(resamples=50, paper=False), Scorers())


def explaining(task: Task, *, obedient: bool) -> Counting:
    golds = {example.id: str(example.gold) for example in task.examples()}

    def answer(request: Request) -> Response | Failure:
        label = golds[request.example_id]
        if request.stage == "predict":
            return Response(label)
        if request.stage == "rationale_for_wrong_label":
            if request.example_id == "test0":
                return Failure("timeout")
            asked = str(request.prompt).removeprefix("given label: ").split(",")[0]
            label = asked if obedient else label
        return Response(f"{label}: {WORDS[label]}")

    return Counting(answer, pure=False)


@pytest.mark.parametrize(("obedient", "share"), [(True, 1.0), (False, 0.0)])
def test_obedience_is_read_from_masked_rationales(tmp_path: Path, obedient: bool, share: float):
    task = make(tmp_path)
    scores = scored(task, explaining(task, obedient=obedient), tmp_path / "runs", ("rationale_for_wrong_label",))
    estimate = scores["metrics"]["obedience"]
    assert (estimate["value"], estimate["n"], estimate["unscored"]) == (share, 11, 1)
    assert scores["wrong_label_unasked"]["value"] == 0.0
    metrics = {name: scores["metrics"][name]["value"] for name in ("states_label", "reader_sufficiency", "reader_gold")}
    assert metrics == {"states_label": 1.0, "reader_sufficiency": 1.0, "reader_gold": 1.0}
    assert scores["signatures"]["obedience"].endswith("|style:edited")
    assert "style" not in scores["signatures"].get("states_label", "")


def test_an_answer_to_a_probe_is_asked_once(tmp_path: Path):
    task = make(tmp_path)
    model = explaining(task, obedient=True)
    for _ in range(2):
        scored(task, model, tmp_path / "runs", ("rationale_for_wrong_label",))
    asked = [r for r in model.asked if r.stage == "rationale_for_wrong_label"]
    assert len(asked) == 12 + 1  # the one that failed is asked again
    first = next(r for r in asked if r.example_id == "test1")
    wrong = wrong_label(task, next(e for e in task.examples() if e.id == "test1"))
    assert str(first.prompt).startswith(f"given label: {wrong}, ")


def test_a_label_only_model_is_asked_for_no_rationale(tmp_path: Path):
    task, model = make(tmp_path), Counting()
    setup = plan_run(task, model)
    only = type(setup)(**{**vars(setup), "no_rationale": "writes none"})
    assert [probe.name for probe in only.probes] == ["label_from_gold_rationale", "label_from_gold_rationale_masked"]
    assert "rationale_for_wrong_label" in [probe.name for probe in setup.probes]


def test_adequacy_is_as_the_task_says_and_named(tmp_path: Path):
    for folder, told, source in (
        ("usual", None, "overlap: rouge_l >= 0.3"),
        ("chrf", {"metric": "chrf", "threshold": 101}, "overlap: chrf >= 101"),
        ("bert", {"metric": "bertscore_f1", "threshold": 0.8}, "overlap: bertscore_f1 >= 0.8"),
    ):
        parts = {"metrics": {"adequacy": told}} if told else {}
        task = make(tmp_path / folder, **parts)
        scores = scored(task, explaining(task, obedient=False), tmp_path / folder / "runs")
        assert scores["joint"]["source"] == source
        cell = scores["metrics"]["right_for_right"]
        expected = {"usual": 1.0, "chrf": 0.0, "bert": None}[folder]
        assert cell["value"] == expected  # without an encoder nobody says what is adequate: no other overlap steps in
        if expected is None:
            assert cell["reason"] == "of no item it is known whether the rationale is adequate"
        else:
            assert scores["signatures"]["right_for_right"] == f"{source}|style:edited"


def test_why_there_is_no_outside_reader(tmp_path: Path):
    row_of_choices = {"id": "1", "note": "n", "label": "A b", "why": "w", "options": ["A b", "C d"]}
    rows = json.dumps(row_of_choices) + "\n"
    space = {"label": {"space": "choices", "values": []}, "fields": {"options": "{{ options }}"}}
    choices = load_task(str(write_task(tmp_path / "choices", rows, "rows.jsonl", **space)))
    assert fit_reader(choices) == "no outside reader: the task has no fixed label set"
    untrained = load_task(str(write_task(tmp_path / "untrained")))
    assert fit_reader(untrained) == "no outside reader: the training split has too few gold rationales"
    source = {"files": {"test": "rows.csv", "train": "gone.csv"}}
    absent = load_task(str(write_task(tmp_path / "absent", source=source)))
    with pytest.raises(UserError):
        absent.training()
    assert fit_reader(absent) == (
        "no outside reader: the training split cannot be read (see r2d-bench tasks validate absent)"
    )


def test_findings_that_are_no_findings_are_told(tmp_path: Path):
    task = make(tmp_path, metrics={"findings": {"present": "{{ acceptable }}", "absent": "{{ note }}"}})
    with pytest.raises(UserError, match=r"metrics\.findings: example test0: should be a list of objects with the keys"):
        scored(task, explaining(task, obedient=False), tmp_path / "runs")
