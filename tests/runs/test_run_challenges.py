"""Challenge sets and styles of rationales through a whole run: asked, stored, scored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from full_task import KINDS, make_full_task, row, rows
from run_parts import Counting, Quiet, said

from r2d_bench.planning import plan
from r2d_bench.errors import UserError
from r2d_bench.job import Job
from r2d_bench.metrics.challenges import NOT_ASKED
from r2d_bench.records import Failure, Response
from r2d_bench.runs.execute import Outcome, Sitting, execute
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run
from r2d_bench.runs.selection import select
from r2d_bench.runs.setup import plan_run
from r2d_bench.runs.store import RunStore
from r2d_bench.runs.table import read_examples

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.planning import PlannedRun
    from r2d_bench.models.base import Model
    from r2d_bench.records import Json
    from r2d_bench.tasks.task import Task

OPTIONS = ScoreOptions(resamples=50, paper=False)
ANSWERS = {
    **{f"t{k}": label for k, label in enumerate(["NOW", "TODAY", "HOME", "TODAY", "TODAY", "HOME"])},
    "p1": "TODAY",  # moved in the right direction, and wrong
    "p2": "NOW",  # both right
    "s1": "NOW",
    "s2": "what?",  # no valid label: changed
    "e1": "TODAY",  # acceptable
    "e2": "NOW",
    "i1": "NOW",  # safe
    "i2": "TODAY",  # exact
}


def sit(task: Task, model: Model, runs: Path, *, limit: int | None = None, **more: Json) -> tuple[RunStore, Outcome]:
    setup = plan_run(task, model)
    store = RunStore(runs / setup.folder)
    outcome = execute(task, model, setup, Sitting(select(task.examples(), limit=limit), **more), store, Quiet())
    return store, outcome


def planned(folder: Path, *specs: str, **more: Json) -> list[PlannedRun]:
    job = {"models": specs, "tasks": [str(folder)], "runs": str(folder.parent / "runs"), "site": None, **more}
    return plan(Job.model_validate(job), Quiet())  # type: ignore[arg-type]


def test_from_rows_to_figures(tmp_path: Path):
    task = make_full_task(tmp_path / "small")
    store, outcome = sit(task, Counting(said(ANSWERS)), tmp_path / "runs", challenges=tuple(KINDS))
    assert (outcome.answered, outcome.incomplete) == (2 * 14, 0)
    scores = score_run(store, task, OPTIONS, Scorers())
    value = {name: estimate["value"] for name, estimate in scores["metrics"].items()}
    assert value["pair_accuracy"] == 0.5
    assert value["pair_moved"] == 1
    assert value["invariance_flips"] == 0.5
    assert value["edge_acceptable"] == 0.5
    assert (value["insufficient_safe"], value["insufficient_exact"]) == (1, 0.5)
    assert {name: (one["kind"], one["n"]) for name, one in scores["challenges"].items()} == {
        name: (kind, 2) for name, kind in KINDS.items()
    }
    # t3 is NOW and was taken for TODAY (cost 4); the other five are right.
    assert value["accuracy"] == pytest.approx(5 / 6)
    assert value["accuracy_mix"] == pytest.approx(0.2 * 0.5 + 0.3 + 0.5)
    assert value["expected_cost"] == pytest.approx(4 / 6)
    assert value["expected_cost_mix"] == pytest.approx(0.2 * 4 / 2)
    assert value["acceptable_accuracy"] == pytest.approx(5 / 6)
    assert scores["cost"]["matrix"] == [[0, 4, 10], [1, 0, 2], [2, 1, 0]]
    assert [(part["value"], part["n"]) for part in scores["slices"]["ward"]["values"]] == [("A", 1), ("B", 5)]


def test_the_headline_knows_nothing_of_challenge_sets(tmp_path: Path):
    task = make_full_task(tmp_path / "small")
    alone, _ = sit(task, Counting(said(ANSWERS)), tmp_path / "alone")
    both, _ = sit(task, Counting(said(ANSWERS)), tmp_path / "both", challenges=tuple(KINDS))
    assert alone.name == both.name  # what is asked beside it is no part of the run's name
    first, second = (score_run(store, task, OPTIONS, Scorers()) for store in (alone, both))
    challenge = {name for name in first["metrics"] if first["metrics"][name].get("reason") == NOT_ASKED}
    assert len(challenge) == 6
    for name in set(first["metrics"]) - challenge:
        assert first["metrics"][name] == second["metrics"][name]
    assert {k: v for k, v in first.items() if k not in {"metrics", "challenges"}} == {
        k: v for k, v in second.items() if k not in {"metrics", "challenges"}
    }
    assert (first["challenges"], second["answered"]) == ({}, 6)


def test_the_table_keeps_the_rows_apart(tmp_path: Path):
    task = make_full_task(tmp_path / "small")
    store, _ = sit(task, Counting(said(ANSWERS)), tmp_path / "runs", challenges=("pairs", "edge"))
    score_run(store, task, OPTIONS, Scorers())
    table = read_examples(store.folder / "examples.parquet")
    assert [r["split"] for r in table] == ["test"] * 6 + ["pairs"] * 2 + ["edge"] * 2
    assert [r["pair"] for r in table[6:]] == ["t0", "t5", None, None]
    assert [r["metric.correct"] for r in table[6:]] == [None] * 4
    assert [r["metric.pair_accuracy"] for r in table] == [None] * 6 + [0, 1, None, None]
    assert [r["metric.edge_acceptable"] for r in table[8:]] == [1, 0]
    assert [r["label"] for r in table[6:]] == ["TODAY", "NOW", "TODAY", "NOW"]


def test_sets_extend_a_finished_run_and_nothing_is_asked_twice(tmp_path: Path):
    task = make_full_task(tmp_path / "small")
    sit(task, Counting(said(ANSWERS)), tmp_path / "runs")
    store, outcome = sit(task, Counting(said(ANSWERS)), tmp_path / "runs", challenges=("pairs",))
    assert outcome.answered == 2 * 2
    store, outcome = sit(task, Counting(said(ANSWERS)), tmp_path / "runs", challenges=("edge",))
    assert outcome.answered == 2 * 2
    assert set(score_run(store, task, OPTIONS, Scorers())["challenges"]) == {"pairs", "edge"}
    sittings = store.manifest()["sittings"]
    assert [list(s["challenges"]) for s in sittings] == [[], ["pairs"], ["edge"]]


def test_pairs_of_a_partial_run_need_both_members(tmp_path: Path):
    task = make_full_task(tmp_path / "small")
    model = Counting(said(ANSWERS))
    store, _ = sit(task, model, tmp_path / "runs", limit=3, challenges=tuple(KINDS))
    asked = {request.example_id for request in model.asked}
    assert {"p1", "p2", "s1", "s2", "e1", "e2", "i1", "i2"} <= asked
    scores = score_run(store, task, OPTIONS, Scorers())
    whole = [base for base in ("t0", "t5") if base in asked]
    pairs = scores["metrics"]["pair_accuracy"]
    assert (pairs["n"], pairs["unscored"]) == (len(whole), 0)
    if len(whole) < 2:
        assert f"pairs left out, their base was not asked: {2 - len(whole)}" in pairs.get("warnings", ())
    assert scores["selection"]["n"] == 3


def test_rows_without_an_answer_are_unscored_and_counted(tmp_path: Path):
    task = make_full_task(tmp_path / "small")
    answers = ANSWERS | {"p1": Failure("timeout"), "t5": Failure("timeout"), "i1": Failure("timeout")}
    store, outcome = sit(task, Counting(said(answers)), tmp_path / "runs", challenges=tuple(KINDS))
    assert outcome.incomplete == 3
    scores = score_run(store, task, OPTIONS, Scorers())
    counts = {name: (e["n"], e["unscored"]) for name, e in scores["metrics"].items()}
    assert counts["pair_accuracy"] == (0, 2)
    assert counts["insufficient_safe"] == (1, 1)
    assert scores["unscored"] == {"no answer in stage predict": 1}
    assert scores["challenges"]["thin"]["answered"] == 1


def test_probes_are_not_asked_of_challenge_rows(tmp_path: Path):
    task = make_full_task(tmp_path / "small")
    model = Counting(said(ANSWERS), pure=False)
    sit(task, model, tmp_path / "runs", challenges=tuple(KINDS), probes=["label_from_rationale"])
    probed = {request.example_id for request in model.asked if request.stage == "label_from_rationale"}
    assert probed == {f"t{k}" for k in range(6)}


def test_other_rows_in_a_set_are_refused_until_it_is_asked_again(tmp_path: Path):
    task = make_full_task(tmp_path / "small")
    sit(task, Counting(said(ANSWERS)), tmp_path / "runs", challenges=("edge",))
    other = make_full_task(tmp_path / "small", [r | {"acceptable": ["HOME"]} if r["id"] == "e1" else r for r in rows()])
    store = RunStore(next((tmp_path / "runs").iterdir()))
    with pytest.raises(UserError, match="the challenge set edge was asked on other rows"):
        score_run(store, other, OPTIONS, Scorers())
    sit(other, Counting(said(ANSWERS)), tmp_path / "runs", challenges=("edge",))
    assert score_run(store, other, OPTIONS, Scorers())["metrics"]["edge_acceptable"]["value"] == 0
    gone = make_full_task(tmp_path / "small", challenges={"edge": None})
    with pytest.raises(UserError, match="has no challenge set 'edge'"):
        score_run(store, gone, OPTIONS, Scorers())


# What a job asks


@pytest.mark.parametrize(
    ("job", "asked"),
    [
        ({}, tuple(KINDS)),
        ({"limit": 6}, tuple(KINDS)),
        ({"limit": 3}, ()),
        ({"ids": ["t0"]}, ()),
        ({"limit": 3, "challenges": "yes"}, tuple(KINDS)),
        ({"challenges": "no"}, ()),
    ],
)
def test_challenge_sets_go_with_the_whole_split(tmp_path: Path, job: dict[str, Json], asked: tuple[str, ...]):
    make_full_task(tmp_path / "small")
    (run,) = planned(tmp_path / "small", "mock:random", **job)
    assert run.challenges == asked


def test_two_parts_of_one_run_ask_the_sets_of_either(tmp_path: Path):
    make_full_task(tmp_path / "small")
    part = {"spec": "mock:random", "limit": 3}
    for models in (["mock:random", part], [part, "mock:random"]):
        (run,) = planned(tmp_path / "small", *models)
        assert run.challenges == tuple(KINDS)


@pytest.mark.parametrize(
    ("held", "challenges", "asked"),
    [
        (["t0"], None, ()),
        (["t0", "e1"], None, ("edge",)),  # e2 will be unscored
        (["t0"], "yes", tuple(KINDS)),
    ],
)
def test_recorded_predictions(tmp_path: Path, held: list[str], challenges: str | None, asked: tuple[str, ...]):
    task = make_full_task(tmp_path / "small")
    lines = [json.dumps({"id": ident, "label": ANSWERS[ident], "rationale": "so"}) + "\n" for ident in held]
    (tmp_path / "said.jsonl").write_text("".join(lines))
    (run,) = planned(tmp_path / "small", f"replay:{tmp_path / 'said.jsonl'}", challenges=challenges)
    assert run.challenges == asked
    sitting = Sitting(run.selection, challenges=run.challenges)
    execute(task, run.model, run.setup, sitting, run.store, Quiet())
    edge = score_run(run.store, task, OPTIONS, Scorers())["metrics"]["edge_acceptable"]
    counts = {(): (0, 0), ("edge",): (1, 1), tuple(KINDS): (0, 2)}[asked]
    assert (edge["n"], edge["unscored"]) == counts


@pytest.mark.parametrize("spec", ["baseline:majority", "baseline:stratified", "baseline:tfidf", "mock:random"])
def test_every_kind_of_model_answers_them(tmp_path: Path, spec: str):
    task = make_full_task(tmp_path / "small")
    (run,) = planned(tmp_path / "small", spec)
    outcome = execute(task, run.model, run.setup, Sitting(run.selection, (), run.challenges), run.store, Quiet())
    assert outcome.incomplete == 0
    scores = score_run(run.store, task, OPTIONS, Scorers())
    assert scores["metrics"]["pair_accuracy"]["n"] == 2
    assert scores["metrics"]["insufficient_exact"]["n"] == 2


def test_annotations_reach_challenge_rows(tmp_path: Path):
    content = [r | ({"nurse_label": ANSWERS[r["id"]]} if r["split"] in {"test", "edge"} else {}) for r in rows()]
    note = {"first": {"title": "A nurse", "label": "{{ nurse_label }}"}}
    make_full_task(tmp_path / "small", content, annotations=note)
    (run,) = planned(tmp_path / "small", "replay:first")
    assert run.challenges == ("edge",)


# Styles


def test_the_style_is_an_option_of_scoring(tmp_path: Path):
    task = make_full_task(tmp_path / "small")
    store, _ = sit(task, Counting(said(ANSWERS)), tmp_path / "runs")
    edited = score_run(store, task, OPTIONS, Scorers())
    nurse = score_run(store, task, ScoreOptions(resamples=50, rationale_style="nurse"), Scorers())
    assert (edited["rationale_style"], nurse["rationale_style"]) == ("edited", "nurse")
    assert edited["metrics"]["chrf"]["value"] != nurse["metrics"]["chrf"]["value"]
    assert edited["metrics"]["accuracy"] == nurse["metrics"]["accuracy"]
    assert edited["signatures"]["chrf"].endswith("|style:edited")
    assert nurse["signatures"]["chrf"].endswith("|style:nurse")  # the two never stand in one column
    with pytest.raises(UserError, match=r"has no rationale style 'nurs'"):
        score_run(store, task, ScoreOptions(rationale_style="nurs"), Scorers())


def test_scoring_keeps_the_style_of_the_newest_sitting(tmp_path: Path):
    task = make_full_task(tmp_path / "small")
    first, _ = sit(task, Counting(said(ANSWERS)), tmp_path / "runs")
    model = Counting(said(ANSWERS))
    second, outcome = sit(task.in_style("nurse"), model, tmp_path / "runs")
    assert (first.name, outcome.answered) == (second.name, 0)  # no answer can differ
    assert score_run(second, task, OPTIONS, Scorers())["rationale_style"] == "nurse"


def test_shots_that_show_rationales_make_another_run(tmp_path: Path):
    task = make_full_task(tmp_path / "small")
    nurse = task.in_style("nurse")
    setups = [plan_run(one, Counting(), shots=2) for one in (task, nurse)]
    assert len({setup.folder for setup in setups}) == 2
    assert len({plan_run(one, Counting(), shots=2, protocol="sft").folder for one in (task, nurse)}) == (
        2 if "rationale" in plan_run(task, Counting(), protocol="sft").protocol.gives else 1
    )
    store = RunStore(tmp_path / "runs" / setups[1].folder)
    execute(nurse, Counting(said(ANSWERS)), setups[1], Sitting(select(nurse.examples())), store, Quiet())
    for style in (None, "edited"):  # prompts are rebuilt as they were asked
        scores = score_run(store, task, ScoreOptions(resamples=50, rationale_style=style), Scorers())
        assert (scores["answered"], scores["rationale_style"]) == (6, style or "nurse")


def test_probes_of_gold_rationales_are_read_in_the_style_that_was_asked(tmp_path: Path):
    task = make_full_task(tmp_path / "small")
    probe = "label_from_gold_rationale"
    model = Counting(lambda r: Response(ANSWERS[r.example_id]))
    sit(task.in_style("nurse"), model, tmp_path / "runs", probes=[probe])
    shown = [str(request.prompt) for request in model.asked if request.stage == probe]
    assert len(shown) == 6
    assert all("terse words" in prompt for prompt in shown)
    store, _ = sit(task, Counting(said(ANSWERS)), tmp_path / "runs")  # a later sitting in the default style
    scores = score_run(store, task, OPTIONS, Scorers())
    assert scores["rationale_style"] == "edited"
    assert scores["metrics"]["gold_robustness"]["n"] == 6
    assert scores["signatures"]["gold_robustness"] == "style:nurse"
    assert "consistency" not in scores["signatures"]


def test_a_task_without_declarations_has_reasons(tmp_path: Path):
    none = dict.fromkeys(KINDS)
    task = make_full_task(
        tmp_path / "small",
        [row(f"t{k}", "NOW") for k in range(2)],
        challenges=none, slices={"ward": None}, label={"mix": None, "cost": None},
    )  # fmt: skip
    store, _ = sit(task, Counting(said(ANSWERS)), tmp_path / "runs")
    scores = score_run(store, task, OPTIONS, Scorers())
    reasons = {name: e.get("reason") for name, e in scores["metrics"].items()}
    assert reasons["pair_accuracy"] == "the task declares no challenge set of kind minimal_pair"
    assert reasons["accuracy_mix"] == "the task declares no mix of calls and no costs"
    assert reasons["acceptable_accuracy"] == "no item has acceptable labels beside the right one"
    assert (scores["slices"], scores["challenges"]) == ({}, {})
    assert {"mix", "cost"} & set(scores) == set()
