"""Asking: what is asked, what never again, and what becomes of failures and bad answers."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from run_parts import Counting, carry_out, make_task, row, rows, said

from r2d_bench.records import Failure, Finish, LabelMethod, LabelStatus, RationaleStatus, Response
from r2d_bench.runs.predictions import Reader
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run
from r2d_bench.runs.setup import plan_run

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Prediction
    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.task import Task


def predicted(task: Task, store: RunStore) -> dict[str, Prediction]:
    reader, responses = Reader(task, store.setup()), store.responses()
    return {e.id: reader.prediction(e, responses) for e in task.examples()}


def test_identical_requests_are_asked_once(tmp_path: Path):
    task = make_task(tmp_path, [row("t1", "yes", "same"), row("t2", "no", "same"), row("t3", "NA", "other")])
    model = Counting()
    store, outcome = carry_out(task, model, tmp_path / "runs")
    assert Counter(request.stage for request in model.asked) == {"predict": 2, "explain": 2}
    assert outcome.answered == 6  # each example has its own line
    assert {p.label for p in predicted(task, store).values()} == {"yes"}


def test_a_model_that_answers_by_item_is_asked_for_each(tmp_path: Path):
    task = make_task(tmp_path, [row("t1", "yes", "same"), row("t2", "no", "same")])
    model = Counting(pure=False)
    carry_out(task, model, tmp_path / "runs")
    assert len(model.asked) == 4


def test_a_stored_answer_is_never_asked_again(tmp_path: Path):
    task = make_task(tmp_path, rows(9))
    first, second, third = Counting(), Counting(), Counting()
    carry_out(task, first, tmp_path / "runs", limit=4)
    carry_out(task, second, tmp_path / "runs")
    _, outcome = carry_out(task, third, tmp_path / "runs")
    assert len(first.asked) == 8
    assert len(second.asked) == 10
    assert not {r.key for r in first.asked} & {r.key for r in second.asked}
    assert third.asked == []
    assert (outcome.answered, outcome.failures.total(), outcome.incomplete) == (0, 0, 0)


def test_the_second_stage_reads_the_raw_text_of_the_first(tmp_path: Path):
    task = make_task(tmp_path, [row("t1", "yes", "cough")])
    model = Counting(said({"t1": " Yes.\n"}))
    carry_out(task, model, tmp_path / "runs")
    assert model.asked[1].prompt == "given label:  Yes.\n, explain: cough"


def test_a_failure_is_an_attempt_and_asked_again(tmp_path: Path):
    task = make_task(tmp_path, rows(2))
    store, outcome = carry_out(task, Counting(said({"t0": "yes", "t1": Failure("timeout", "3 tries")})), tmp_path)
    assert (outcome.answered, outcome.failures.total(), outcome.incomplete) == (2, 1, 1)
    assert predicted(task, store)["t1"].unscored == "no answer in stage predict"
    attempt = json.loads((store.folder / "attempts.jsonl").read_text())
    assert (attempt["id"], attempt["stage"], attempt["reason"]) == ("t1", "predict", "timeout")
    scores = score_run(store, task, ScoreOptions(), Scorers())
    assert (scores["answered"], scores["unscored"]) == (1, {"no answer in stage predict": 1})
    assert (scores["metrics"]["accuracy"]["n"], scores["metrics"]["accuracy"]["unscored"]) == (1, 1)

    again = Counting(said({"t1": "no"}))
    _, outcome = carry_out(task, again, tmp_path)
    assert [request.example_id for request in again.asked] == ["t1", "t1"]
    assert (outcome.answered, outcome.incomplete) == (2, 0)
    assert predicted(task, store)["t1"].label == "no"


def test_a_failed_explanation_leaves_the_example_unscored(tmp_path: Path):
    task = make_task(tmp_path, rows(1))
    store, outcome = carry_out(
        task, Counting(lambda r: Response("yes") if r.stage == "predict" else Failure("cut off")), tmp_path
    )
    assert outcome.incomplete == 1
    assert predicted(task, store)["t0"].unscored == "no answer in stage explain"


def test_a_model_that_forgets_a_request_fails_it(tmp_path: Path):
    class Forgetful(Counting):
        def generate(self, requests):  # noqa: ANN001, ANN202
            yield from list(super().generate(requests))[1:]

    task = make_task(tmp_path, rows(3))
    store, outcome = carry_out(task, Forgetful(), tmp_path)
    assert outcome.failures.total() >= 1
    assert json.loads((store.folder / "attempts.jsonl").read_text().splitlines()[0])["reason"] == "no answer"


ANSWERS = [
    ("yes", Response("yes"), "yes", LabelStatus.PARSED),
    ("refused by words", Response("I'm sorry, but I can't help."), None, LabelStatus.REFUSED),
    ("refused by the provider", Response("yes", Finish.REFUSED), None, LabelStatus.REFUSED),
    ("filtered", Response("", Finish.FILTERED), None, LabelStatus.REFUSED),
    ("empty", Response("  "), None, LabelStatus.EMPTY),
    ("cut", Response("The", Finish.LENGTH), None, LabelStatus.TRUNCATED),
    ("stray", Response("later"), None, LabelStatus.OFF_VOCABULARY),
]


@pytest.mark.parametrize(("name", "response", "label", "status"), ANSWERS, ids=[a[0] for a in ANSWERS])
def test_bad_answers_are_answers(tmp_path: Path, name: str, response: Response, label: str | None, status: LabelStatus):
    del name
    task = make_task(tmp_path, [row("t1", "yes")])
    store, outcome = carry_out(task, Counting(said({"t1": response})), tmp_path)
    found = predicted(task, store)["t1"]
    assert (found.label, found.label_status, found.unscored, outcome.incomplete) == (label, status, None, 0)
    scores = score_run(store, task, ScoreOptions(), Scorers())
    assert scores["metrics"]["accuracy"]["value"] == (1.0 if label else 0.0)
    assert scores["metrics"]["unparsed"]["value"] == (0.0 if label else 1.0)
    assert scores["metrics"]["accuracy"]["n"] == 1
    assert scores["statuses"] == {str(status): 1}
    _, again = carry_out(task, Counting(said({"t1": "no"})), tmp_path)
    assert again.answered == 0


RATIONALES = [
    (Response("because of t1 it is so"), RationaleStatus.WRITTEN, 100.0),
    (Response(""), RationaleStatus.EMPTY, 0.0),
    (Response("zzz", Finish.LENGTH), RationaleStatus.TRUNCATED, 0.0),
    (Response("I cannot say.", Finish.REFUSED), RationaleStatus.REFUSED, None),
]


@pytest.mark.parametrize(("response", "status", "chrf"), RATIONALES, ids=[str(r[1]) for r in RATIONALES])
def test_bad_rationales_are_scored_as_the_text_they_are(
    tmp_path: Path, response: Response, status: RationaleStatus, chrf: float | None
):
    from sacrebleu.metrics import CHRF

    task = make_task(tmp_path, [row("t1", "yes")])
    store, _ = carry_out(task, Counting(lambda r: Response("yes") if r.stage == "predict" else response), tmp_path)
    scores = score_run(store, task, ScoreOptions(), Scorers())
    figure = scores["metrics"]["chrf"]
    expected = CHRF().corpus_score([response.text], [["because of t1 it is so"]]).score
    assert figure["value"] == pytest.approx(expected, abs=1e-9)
    assert figure["n"] == 1
    assert scores["rationale_statuses"] == {str(status): 1}
    if chrf is not None:
        assert figure["value"] == pytest.approx(chrf, abs=1e-9)


def test_a_cut_prompt_is_counted(tmp_path: Path):
    task = make_task(tmp_path, rows(4))
    model = Counting(lambda r: Response("yes", cut_tokens=3 if r.example_id == "t0" and r.stage == "explain" else 0))
    store, _ = carry_out(task, model, tmp_path)
    assert [p.input_cut for p in predicted(task, store).values()] == [True, False, False, False]
    assert score_run(store, task, ScoreOptions(), Scorers())["metrics"]["input_truncated"]["value"] == 0.25


def test_lone_surrogates_break_nothing(tmp_path: Path):
    task = make_task(tmp_path, [row("t1", "yes")])
    store, outcome = carry_out(task, Counting(lambda _: Response("a \ud83d half")), tmp_path)
    assert outcome.incomplete == 0
    assert predicted(task, store)["t1"].unscored is None
    score_run(store, task, ScoreOptions(), Scorers())
    assert carry_out(task, Counting(), tmp_path)[1].answered == 0


def test_a_run_stopped_in_the_middle_cancels_the_model_and_keeps_its_answers(tmp_path: Path):
    closed = []

    class Slow(Counting):
        def generate(self, requests):  # noqa: ANN001, ANN202
            try:
                for n, answer in enumerate(super().generate(requests)):
                    if n == 2:
                        raise KeyboardInterrupt
                    yield answer
            finally:
                closed.append(True)

    task = make_task(tmp_path, rows(5))
    model = Slow()
    setup = plan_run(task, model)
    with pytest.raises(KeyboardInterrupt):
        carry_out(task, model, tmp_path, setup=setup)
    assert closed == [True]
    fresh = Counting()
    store, outcome = carry_out(task, fresh, tmp_path, setup=setup)
    assert (outcome.answered, outcome.incomplete) == (8, 0)
    first, second = store.manifest()["sittings"]
    assert (first["finished"], second["finished"] is None) == (None, False)
    assert (first["answered"], second["answered"]) == (2, 8)  # what an interrupted sitting spent is not lost
    assert first["tokens"].keys() == second["tokens"].keys()
    assert first["seconds"] >= 0


@pytest.mark.parametrize("method", [LabelMethod.CONSTRAINED, LabelMethod.SCORED])
def test_scored_and_constrained_labels_are_candidates(tmp_path: Path, method: LabelMethod):
    from r2d_bench.models.registry import make_model, parse_spec

    task = make_task(tmp_path, rows(8))
    model = make_model(parse_spec("mock:random"), task=task, seed=0)
    store, _ = carry_out(task, model, tmp_path, setup=plan_run(task, model, label_method=method))
    found = predicted(task, store)
    assert all(p.label_status is LabelStatus.PARSED for p in found.values())
    if method is LabelMethod.SCORED:
        for p in found.values():
            assert p.scores is not None
            assert p.label == max(p.scores, key=lambda word: p.scores[word])


def test_a_sitting_holds_versions_and_no_paths(tmp_path: Path):
    task = make_task(tmp_path, rows(3))
    store, _ = carry_out(task, "mock:random", tmp_path / "runs", limit=2)
    (sitting,) = store.manifest()["sittings"]
    assert {"python", "numpy", "r2d-bench"} <= set(sitting["versions"])
    assert sitting["selection"]["partial"] is True
    assert sitting["answered"] == 4
    assert str(tmp_path) not in (store.folder / "run.json").read_text()
