"""Judging a run: what is asked, what is kept, and that nothing is lost or asked twice."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from judged_parts import fates, judge, judged_task

from r2d_bench.errors import UserError
from r2d_bench.judging.ask import JudgeOptions, plan_judging, read_judgments
from r2d_bench.judging.rubric import load_rubric
from r2d_bench.judging.store import find_judgments
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.runs.budget import Budget

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.task import Task

Judged = tuple["RunStore", "Task"]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return judged_task(tmp_path_factory.mktemp("judged"))


def test_every_rationale_has_a_verdict_or_a_reason(judged: Judged) -> None:
    outcome, store = judge(*judged, "mock:random,garbage=0.2,refuse=0.1,cut=0.1")
    verdicts = store.verdicts()
    found = fates(verdicts)
    assert len(verdicts) == 40 == found.total()
    assert found["rule"] > 0
    assert found["scored"] > 15
    assert set(found) <= {"scored", "rule", "parse", "refused", "truncated"}
    assert all(not v.scores for v in verdicts if v.unscored)
    assert all(set(v.scores) == {"label_support"} for v in verdicts if not v.unscored)
    assert outcome.incomplete == 0


def test_the_same_command_again_asks_nothing(judged: Judged) -> None:
    first, store = judge(*judged, "mock:random,seed=2")
    before = (store.folder / "verdicts.jsonl").read_bytes(), (store.folder / "responses.jsonl").read_bytes()
    again, _ = judge(*judged, "mock:random,seed=2")
    assert first.answered > 30
    assert again.answered == 0
    assert before == ((store.folder / "verdicts.jsonl").read_bytes(), (store.folder / "responses.jsonl").read_bytes())


def test_what_no_rule_decides_is_asked_and_nothing_else(judged: Judged) -> None:
    outcome, store = judge(*judged, "mock:random,seed=3")
    ruled = sum(verdict.source == "rule" for verdict in store.verdicts())
    assert outcome.answered == 40 - ruled
    stages = Counter(answer.stage for answer in store.answers())
    assert stages == {"judge": 40 - ruled}


def test_a_reply_that_cannot_be_read_is_asked_again_once(judged: Judged) -> None:
    _, store = judge(*judged, "mock:random,seed=4,garbage=0.4")
    stages = Counter(answer.stage for answer in store.answers())
    verdicts = store.verdicts()
    assert stages["judge?"] == sum(verdict.reasked for verdict in verdicts) > 5
    mended = [verdict for verdict in verdicts if verdict.reasked and verdict.unscored is None]
    assert mended
    assert any(verdict.unscored == "parse" and verdict.reasked for verdict in verdicts)


def test_a_budget_stops_and_the_same_command_goes_on(judged: Judged) -> None:
    part, store = judge(*judged, "mock:random,seed=5", budget=Budget(max_requests=7))
    assert part.answered == 7
    assert part.stopped == "--max-requests 7"
    assert part.incomplete == fates(store.verdicts())["transport"] > 0
    rest, _ = judge(*judged, "mock:random,seed=5")
    whole, other = judge(*judged, "mock:random,seed=5,latency=0.0001")
    assert other.folder == store.folder  # latency changes no answer
    assert (rest.incomplete, whole.answered) == (0, 0)
    keys = [json.loads(line)["key"] for line in (store.folder / "responses.jsonl").open()]
    assert len(keys) == len(set(keys))


def test_failed_requests_are_told_and_asked_again(judged: Judged) -> None:
    outcome, store = judge(*judged, "mock:random,seed=6,fail=0.5")
    lost = fates(store.verdicts())["transport"]
    assert outcome.incomplete == lost == outcome.failures["connection"] > 0
    for _ in range(30):
        outcome, _ = judge(*judged, "mock:random,seed=6,fail=0.5")
        if not outcome.incomplete:
            break
    assert fates(store.verdicts())["transport"] == 0


def test_a_sample_is_stamped_and_extended(judged: Judged) -> None:
    _, store = judge(*judged, "mock:random,seed=7", sample=8)
    assert len(store.verdicts()) == 8
    sitting = store.manifest()["sittings"][0]
    assert sitting["selection"]["partial"]
    _, same = judge(*judged, "mock:random,seed=7", sample=20)
    assert same.folder == store.folder
    assert len(store.verdicts()) == 20
    labels = Counter(example.gold for example in judged[1].examples() if example.id in store.ids())
    assert set(labels.values()) == {5}


def test_repeats_show_the_judges_noise(judged: Judged) -> None:
    _, store = judge(*judged, "mock:random,seed=8", sample=12, repeats=3, repeated=6)
    times = Counter(verdict.example_id for verdict in store.verdicts() if verdict.source == "judge")
    assert sorted(set(times.values())) in ([1, 3], [3])
    assert (
        sum(count == 3 for count in times.values())
        + sum(verdict.source == "rule" and verdict.example_id in store.repeats() for verdict in store.verdicts())
        == 6
    )
    assert {verdict.repeat for verdict in store.verdicts()} == {1, 2, 3}


def test_probabilities_are_another_judging(judged: Judged) -> None:
    _, plain = judge(*judged, "mock:random,seed=9", sample=8)
    _, store = judge(*judged, "mock:random,seed=9", sample=8, method="probability", rubric="clinical_rationale")
    assert plain.folder != store.folder
    asked = [verdict for verdict in store.verdicts() if verdict.source == "judge"]
    assert asked
    for verdict in asked:
        assert verdict.method == "probability"
        assert set(verdict.scores) == {c.name for c in load_rubric("clinical_rationale").spec.criteria}
        assert all(score is not None and 1 < score < 5 for score in verdict.scores.values())
        assert not verdict.flags


def test_reading_again_gives_the_same_and_needs_no_judge(judged: Judged) -> None:
    run, task = judged
    _, store = judge(run, task, "mock:random,seed=10,garbage=0.2")
    before = (store.folder / "verdicts.jsonl").read_bytes()
    (store.folder / "verdicts.jsonl").unlink()
    read_judgments(store, run, task)
    assert (store.folder / "verdicts.jsonl").read_bytes() == before
    assert store.name in {found.name for found in find_judgments(run.folder)}


def test_verdicts_come_back_as_they_were_written(judged: Judged) -> None:
    run, task = judged
    _, store = judge(run, task, "mock:random,seed=11,garbage=0.2", rubric="clinical_rationale")
    assert read_judgments(store, run, task) == store.verdicts()
    (store.folder / "verdicts.jsonl").write_text('{"example_id": "a", "colour": 1}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"line 1: not a verdict.*--parse-only"):
        store.verdicts()


def test_every_part_of_a_judge_has_a_folder_of_its_own(judged: Judged) -> None:
    run, task = judged

    def name(spec: str, rubric: str = "label_support", **options: str) -> str:
        model = make_model(parse_spec(spec), task=task, seed=0)
        planned = plan_judging(run, task, load_rubric(rubric), model, JudgeOptions(**options))  # type: ignore[arg-type]
        return planned.store.name

    names = [
        name("mock:random"),
        name("mock:random,seed=1"),
        name("mock:random", "clinical_rationale"),
        name("mock:random", method="probability"),
        name("api:openai/m,base_url=http://127.0.0.1:8000/v1"),
        name("api:openai/m,base_url=http://127.0.0.1:8000/v1,temperature=0.5"),
        name("api:openai/other,base_url=http://127.0.0.1:8000/v1"),
    ]
    assert len(set(names)) == len(names)
    assert name("api:openai/m,base_url=http://127.0.0.1:9999/v1") == names[4]  # the port is chance
    assert all("/" not in one and "8000" not in one for one in names)


@pytest.mark.parametrize(
    ("spec", "rubric", "message"),
    [
        ("baseline:majority", "label_support", "cannot judge: it reads no prompts"),
        ("mock:random", "pairwise", "compares two runs"),
        ("api:openai/m,base_url=http://127.0.0.1:9/v1", "label_support", "gives no probabilities"),
    ],
)
def test_what_cannot_judge_is_told_before_anything_is_written(
    judged: Judged, spec: str, rubric: str, message: str
) -> None:
    run, task = judged
    before = {path.name for path in (run.folder / "judgments").glob("*")}
    method = "probability" if spec.startswith("api") else "reply"
    with pytest.raises(UserError, match=message):
        judge(run, task, spec, rubric=rubric, method=method)
    assert {path.name for path in (run.folder / "judgments").glob("*")} == before


def test_a_run_without_rationales_has_nothing_to_judge(tmp_path: Path) -> None:
    from run_parts import Quiet, make_task, rows

    from r2d_bench.runs.execute import Sitting, execute
    from r2d_bench.runs.selection import select
    from r2d_bench.runs.setup import plan_run
    from r2d_bench.runs.store import RunStore

    task = make_task(tmp_path, rows(8))
    model = make_model(parse_spec("baseline:majority"), task=task, seed=0)
    model.fit(task.training(), task.validation())
    setup = plan_run(task, model)
    store = RunStore(tmp_path / "runs" / setup.folder)
    execute(task, model, setup, Sitting(select(task.examples())), store, Quiet())
    with pytest.raises(UserError, match="has no rationales to judge"):
        judge(store, task, "mock:random")
