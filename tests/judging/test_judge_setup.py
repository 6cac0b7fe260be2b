"""What a judging is: what its name and digest are made of, and what they must not tell."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from judged_parts import Watched, judged_task
from run_parts import Counting

from r2d_bench import api
from r2d_bench.errors import UserError
from r2d_bench.estimate import estimate_judging
from r2d_bench.job import JudgeJob
from r2d_bench.judging.ask import JudgeOptions, judge_run, plan_judging
from r2d_bench.judging.panel import judges_for, plan_panel, rubric_of, split_specs
from r2d_bench.judging.rubric import load_rubric
from r2d_bench.judging.setup import JudgeSetup, make_setup
from r2d_bench.runs.budget import Budget

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.task import Task

JUDGED = {"judge": "label_support", "models": ["mock:random"]}


@pytest.fixture
def judged(tmp_path: Path) -> tuple[RunStore, Task]:
    return judged_task(tmp_path, 8)


def setup_of(**changes: object) -> JudgeSetup:
    return replace(make_setup(load_rubric("label_support"), Counting(chat=True)), **changes)  # type: ignore[arg-type]


def test_a_setup_comes_back_from_its_json() -> None:
    setup = setup_of()
    back = JudgeSetup.from_json(json.loads(json.dumps(setup.as_json())))
    assert (back.digest, back.folder, back.as_json()) == (setup.digest, setup.folder, setup.as_json())


@pytest.mark.parametrize(
    "change",
    [
        {"chat": False},
        {"endpoint": "https://judge.example/v1"},
        {"method": "probability"},
        {"model": {"kind": "counting", "name": "other", "digest": None, "params": {}}},
        {"rubric": load_rubric("clinical_rationale")},
        {"rubric": replace(load_rubric("label_support"), source="{{ case }}{{ answer }}{{ format }}")},
    ],
)
def test_whatever_can_change_a_verdict_changes_the_digest(change: dict[str, object]) -> None:
    assert setup_of(**change).digest != setup_of().digest


def test_words_about_a_rubric_change_nothing() -> None:
    rubric = load_rubric("label_support")
    reworded = rubric.spec.model_copy(update={"title": "Another title", "description": "Other words"})
    assert setup_of(rubric=replace(rubric, spec=reworded, card="A card")).digest == setup_of().digest


@pytest.mark.parametrize("name", ["/home/someone/models/my judge", "org/My:Judge", "../../etc/passwd"])
def test_a_folder_is_a_plain_name_without_a_path(name: str) -> None:
    folder = setup_of(model={"kind": "hf", "name": name, "digest": "d", "params": {}}).folder
    assert re.fullmatch(r"label_support--[\w.-]+--[0-9a-f]{8}", folder)
    assert "someone" not in folder
    assert ".." not in folder


def test_a_shorter_reply_is_another_rubric() -> None:
    usual, short = (rubric_of(JudgeJob.model_validate(JUDGED | more), []) for more in ({}, {"max_new_tokens": 50}))
    assert short.spec.max_new_tokens == 50
    assert (
        usual.digest != short.digest == rubric_of(JudgeJob.model_validate(JUDGED | {"max_new_tokens": 50}), []).digest
    )


@pytest.mark.parametrize(
    ("texts", "specs"),
    [
        (["mock:random"], ("mock:random",)),
        (
            ["mock:random,seed=1,garbage=0.1,mock:random,seed=2"],
            ("mock:random,seed=1,garbage=0.1", "mock:random,seed=2"),
        ),
        (
            ["api:openai/a,base_url=http://127.0.0.1:1/v1, hf:./b"],
            ("api:openai/a,base_url=http://127.0.0.1:1/v1", "hf:./b"),
        ),
        (["mock:random", "mock:random"], ("mock:random",)),
        (["mock:random,"], ("mock:random,",)),
    ],
)
def test_a_comma_begins_a_judge_where_a_kind_follows(texts: list[str], specs: tuple[str, ...]) -> None:
    assert split_specs(texts) == specs


@pytest.mark.parametrize("spec", ["baseline:majority", "baseline:tfidf"])
def test_baselines_do_not_judge(judged: tuple[RunStore, Task], spec: str) -> None:
    with pytest.raises(UserError, match="cannot judge: it reads no prompts"):
        judges_for(judged[1], [JudgeJob.model_validate(JUDGED | {"models": [spec]})], [], 0)


def test_replays_do_not_judge(judged: tuple[RunStore, Task], tmp_path: Path) -> None:
    file = tmp_path / "said.jsonl"
    file.write_text("".join(json.dumps({"id": e.id, "label": "yes"}) + "\n" for e in judged[1].examples()))
    with pytest.raises(UserError, match="cannot judge: it reads no prompts"):
        judges_for(judged[1], [JudgeJob.model_validate(JUDGED | {"models": [f"replay:{file}"]})], [], 0)


def test_everything_is_checked_before_the_first_judge_is_asked(tmp_path: Path) -> None:
    """The second run was made on other data: the first must not be judged before that is noticed."""
    run, task = judged_task(tmp_path, 8)
    other, _ = judged_task(tmp_path / "other", 6)
    with pytest.raises(UserError):
        plan_panel([(run, task), (other, task)], JudgeJob.model_validate(JUDGED), [], 0)
    assert not (run.folder / "judgments").exists()


def test_judging_from_python(judged: tuple[RunStore, Task], tmp_path: Path) -> None:
    run, _ = judged
    dirs = [tmp_path]
    part = api.judge([run.folder], JUDGED, task_dirs=dirs, budget=Budget(max_requests=3))
    assert [(one.outcome.answered, one.outcome.stopped) for one in part] == [(3, "--max-requests 3")]
    (done,) = api.judge([str(run.folder)], JudgeJob.model_validate(JUDGED), task_dirs=dirs)
    assert done.outcome.incomplete == 0
    assert len(done.planned.store.verdicts()) == 8
    with pytest.raises(UserError, match="judge: unknown key 'modles'"):
        api.judge([run.folder], {"judge": "label_support", "modles": []}, task_dirs=dirs)
    with pytest.raises(UserError, match="use r2d-bench judge RUN RUN"):
        api.judge([run.folder], JUDGED | {"judge": "pairwise"}, task_dirs=dirs)


def test_an_estimate_counts_what_is_then_asked(judged: tuple[RunStore, Task]) -> None:
    run, task = judged
    options = JudgeOptions(repeats=3, repeated=4)
    told = estimate_judging(plan_judging(run, task, load_rubric("label_support"), Counting(chat=True), options))
    judge = Counting(chat=True)
    judge_run(plan_judging(run, task, load_rubric("label_support"), judge, options), Budget(), Watched())
    first = [asked for asked in judge.asked if "?" not in asked.stage]
    assert sum(told.requests.values()) == len(first) > 8
