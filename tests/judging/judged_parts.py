"""A run with rationales, and judges on loopback or in the process that judge it."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from fault_server import completion
from run_parts import Quiet, make_task, rows

from r2d_bench.judging.ask import JudgeOptions, judge_run, plan_judging
from r2d_bench.judging.rubric import load_rubric
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.runs.budget import Budget
from r2d_bench.runs.execute import Sitting, execute
from r2d_bench.runs.selection import select
from r2d_bench.runs.setup import plan_run
from r2d_bench.runs.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from r2d_bench.judging.setup import JudgeSetup
    from r2d_bench.judging.store import JudgmentStore
    from r2d_bench.judging.verdict import Verdict
    from r2d_bench.runs.execute import Outcome
    from r2d_bench.tasks.task import Task

GOOD = json.dumps({"explanation": "It follows.", "scores": {"label_support": 4}})


class Watched(Quiet):
    """Is also told which judge begins with which run; keeps their names."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []

    def judging(self, run: str, setup: JudgeSetup, *, asked: int, of: int) -> None:  # noqa: ARG002
        self.begun.append((run, asked))


def judged_task(folder: Path, n: int = 40, *, visibility: str = "private") -> tuple[RunStore, Task]:
    """Return a finished run of the mock on a small task; some of its rationales are empty or refused."""
    task = make_task(folder, rows(n), visibility=visibility)
    model = make_model(parse_spec("mock:random,refuse=0.05,empty=0.05"), task=task, seed=0)
    setup = plan_run(task, model)
    store = RunStore(folder / "runs" / setup.folder)
    execute(task, model, setup, Sitting(select(task.examples())), store, Quiet())
    return store, task


def judge(
    run: RunStore,
    task: Task,
    spec: str,
    *,
    rubric: str = "label_support",
    budget: Budget | None = None,
    **options: Any,  # noqa: ANN401 - as in JudgeOptions
) -> tuple[Outcome, JudgmentStore]:
    """Let a model judge a run."""
    model = make_model(parse_spec(spec), task=task, seed=0)
    planned = plan_judging(run, task, load_rubric(rubric), model, JudgeOptions(**options))
    return judge_run(planned, budget or Budget(), Quiet()), planned.store


def fates(verdicts: list[Verdict]) -> Counter[str]:
    """Return what became of each verdict: scored, rule, or why it is unscored."""
    return Counter(v.unscored or ("rule" if v.source == "rule" else "scored") for v in verdicts)


def replying(reply: Callable[[str], tuple[str | None, str]]) -> Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]:
    """Return a server's script that answers with text and finish reason, given the first user turn."""

    def script(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        first = next(turn["content"] for turn in body["messages"] if turn["role"] == "user")
        text, finish = reply(first)
        return 200, completion(text, finish=finish)

    return script
