"""Two runs against each other: both orders, and only what both orders agree on is a win."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from judged_parts import Watched
from run_parts import Counting, carry_out, make_task, rows

from r2d_bench.errors import UserError
from r2d_bench.job import JudgeJob
from r2d_bench.judging.ask import cases_of
from r2d_bench.judging.pairwise import PairResult, compare_pair, plan_pairs, read_pairs
from r2d_bench.judging.rubric import load_rubric
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.records import Failure, Request, Response
from r2d_bench.runs.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from r2d_bench.judging.pairwise import PlannedPair
    from r2d_bench.models.base import Model
    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.task import Task

    Runs = list[tuple[RunStore, Task]]
    Say = Callable[[Request], Response | Failure]

N = 12


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    words = "cough since Monday with fever and a sore throat but no rash at all"
    task = make_task(tmp_path, [one | {"note": f"{words} {one['id']}"} for one in rows(N)])
    specs = ("mock:random,seed=1", "mock:random,seed=2")
    return [(carry_out(task, spec, tmp_path / "runs")[0], task) for spec in specs]


def reply(preference: str) -> Response:
    return Response(json.dumps({"explanation": "So it is.", "preference": preference}))


def job(**values: object) -> JudgeJob:
    return JudgeJob.model_validate({"judge": "pairwise", "models": ["mock:random"], **values})


def plan(runs: Runs, judge: Model, **values: object) -> PlannedPair:
    (pair,) = plan_pairs(runs, job(**values), [], judge)
    return pair


def compared(runs: Runs, say: Say, *, budget: Budget | None = None, **values: object) -> tuple[PairResult, Counting]:
    judge = Counting(say, chat=True)
    return compare_pair(plan(runs, judge, **values), budget or Budget(), Watched()), judge


def prefers(run: RunStore, task: Task) -> Say:
    """Return a judge that finds the rationales of one run better, wherever they stand."""
    cases = cases_of(run, task, load_rubric("pairwise"), [example.id for example in task.examples()])
    better = {case.candidate.example_id: case.candidate.rationale for case in cases}

    def say(request: Request) -> Response:
        shown = str(request.prompt[-1])
        return reply("first" if better[request.example_id] in shown.partition("<<<second answer")[0] else "second")

    return say


def total(result: PairResult) -> int:
    return result.wins + result.losses + result.ties + result.turned + sum(result.unscored.values())


def test_a_judge_that_knows_what_it_wants_names_the_same_run_in_both_orders(runs: Runs) -> None:
    one, other = runs
    won, judge = compared(runs, prefers(*one))
    assert (won.wins, won.losses, won.ties, won.turned) == (N, 0, 0, 0)
    assert won.advantage.value == 1.0
    assert won.consistency.value == 1.0
    assert len(judge.asked) == 2 * N
    lost, _ = compared([other, one], prefers(*one))
    assert (lost.wins, lost.losses) == (0, N)
    assert lost.advantage.value == -1.0


@pytest.mark.parametrize("place", ["first", "second"])
def test_a_judge_that_looks_at_the_place_alone_wins_nobody_anything(runs: Runs, place: str) -> None:
    result, _ = compared(runs, lambda _: reply(place))
    assert (result.wins, result.losses, result.ties, result.turned) == (0, 0, 0, N)
    assert result.advantage.value == 0.0
    assert result.consistency.value == 0.0


def test_a_tie_in_one_order_is_a_tie(runs: Runs) -> None:
    sure = prefers(*runs[0])
    result, _ = compared(runs, lambda asked: reply("tie") if asked.stage.endswith("ab") else sure(asked))
    assert (result.wins, result.losses, result.ties, result.turned) == (0, 0, N, 0)


def test_what_cannot_be_read_in_either_order_is_no_preference(runs: Runs) -> None:
    bad = {
        "t0": Response("first"),
        "t1": Response(json.dumps({"explanation": "So it is.", "preference": "third"})),
        "t2": Response(""),
        "t3": Response("I'm sorry, but I can't help with that."),
    }
    sure = prefers(*runs[0])
    result, _ = compared(runs, lambda a: bad[a.example_id] if a.example_id in bad and a.stage[-2:] == "ba" else sure(a))
    assert result.unscored == {"parse": 1, "schema": 1, "empty": 1, "refused": 1}
    assert (result.wins, total(result)) == (N - 4, N)
    assert result.advantage.n == N - 4


def test_a_failed_request_waits_and_the_same_command_asks_that_one_alone(runs: Runs) -> None:
    sure = prefers(*runs[0])
    lost = Failure("connection", "gone")
    first, _ = compared(runs, lambda a: lost if (a.example_id, a.stage[-2:]) == ("t0", "ba") else sure(a))
    assert first.waiting == first.unscored["transport"] == 1
    assert total(first) == N
    again, judge = compared(runs, sure)
    assert [(asked.example_id, asked.stage) for asked in judge.asked] == [("t0", "judge:ba")]
    assert (again.wins, again.waiting, again.unscored) == (N, 0, {})


def test_a_limit_stops_and_the_rest_is_asked_later(runs: Runs) -> None:
    sure = prefers(*runs[0])
    part, judge = compared(runs, sure, budget=Budget(max_requests=7))
    assert len(judge.asked) == 7
    assert part.waiting > 0
    rest, judge = compared(runs, sure)
    assert len(judge.asked) == 2 * N - 7
    assert rest.wins == N


def test_a_sample_is_part_of_what_is_asked_later_and_figures_are_on_all_of_it(runs: Runs) -> None:
    sure = prefers(*runs[0])
    small, _ = compared(runs, sure, sample=4)
    assert total(small) == 4
    whole, judge = compared(runs, sure)
    assert total(whole) == N
    assert len(judge.asked) == 2 * (N - 4)
    same, judge = compared(runs, sure, sample=4)
    assert not judge.asked
    assert total(same) == N  # nothing that was asked is forgotten


def test_reading_again_needs_no_judge_and_gives_the_same(runs: Runs) -> None:
    result, _ = compared(runs, lambda asked: reply(["first", "second", "tie"][len(asked.input) % 3]))
    store = plan(runs, Counting(chat=True)).store
    files = [store.folder / name for name in ("preferences.jsonl", "scores.json")]
    before = [path.read_bytes() for path in files]
    for path in files:
        path.unlink()
    (again,) = read_pairs(runs, "pairwise")
    assert again == result
    assert [path.read_bytes() for path in files] == before
    lines = [json.loads(line) for line in files[0].read_text().splitlines()]
    assert [line["example_id"] for line in lines] == [example.id for example in runs[0][1].examples()]
    assert read_pairs(runs[:1], "pairwise") == []  # one run alone is no comparison
    assert read_pairs(runs, "another") == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"repeats": 3, "repeated": 5}, "asks each pair once"),
        ({"method": "probability"}, "has no scores whose probability could be read"),
    ],
)
def test_what_makes_no_sense_of_two_runs_is_refused(runs: Runs, values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan(runs, Counting(chat=True), **values)


def test_the_budget_of_a_reply_is_kept_and_is_another_judging(runs: Runs) -> None:
    usual, short = plan(runs, Counting(chat=True)), plan(runs, Counting(chat=True), max_new_tokens=50)
    assert usual.store.folder != short.store.folder
    judge = Counting(lambda _: reply("tie"), chat=True)
    compare_pair(plan(runs, judge, max_new_tokens=50), Budget(), Watched())
    assert {asked.max_new_tokens for asked in judge.asked} == {50}


@pytest.mark.parametrize("count", [1, 5])
def test_two_to_four_runs(runs: Runs, count: int) -> None:
    with pytest.raises(UserError, match=f"compares two to 4 runs; {count} were given"):
        plan_pairs((runs * 3)[:count], job(), [], Counting(chat=True))


def test_a_private_task_goes_to_no_remote_judge(runs: Runs) -> None:
    remote = make_model(parse_spec("api:openai/m,base_url=https://judge.example/v1"), task=runs[0][1], seed=0)
    with pytest.raises(UserError, match=r"small is private.*judge\.example"):
        plan(runs, remote)
    assert not (runs[0][0].folder / "judgments").exists()
