"""The judges of a job: made and checked before anything is asked, then put to work run by run."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError
from r2d_bench.judging.ask import JudgeOptions, PlannedJudging, check_judge, judge_run, plan_judging
from r2d_bench.judging.rubric import LoadedRubric, load_rubric
from r2d_bench.judging.setup import JudgeSetup, make_setup
from r2d_bench.models.registry import known_adapters, make_model, parse_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import Protocol

    from r2d_bench.job import JudgeJob
    from r2d_bench.models.base import Model
    from r2d_bench.runs.asking import Progress
    from r2d_bench.runs.budget import Budget
    from r2d_bench.runs.execute import Outcome
    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.task import Task

    class JudgeReporter(Progress, Protocol):
        """Who is told how judging goes on."""

        def judging(self, run: str, setup: JudgeSetup, *, asked: int, of: int) -> None:
            """A judge begins with the rationales of a run."""


@dataclass(frozen=True)
class Judge:
    """One model that judges by one rubric, for one task.

    Attributes:
        rubric: the rubric.
        model: who judges; no weights are loaded yet.
        options: how much is judged.
    """

    rubric: LoadedRubric
    model: Model
    options: JudgeOptions

    @property
    def setup(self) -> JudgeSetup:
        """What verdicts are bound to."""
        return make_setup(self.rubric, self.model, self.options.method)


@dataclass(frozen=True)
class FinishedJudging:
    """One judging with its outcome."""

    planned: PlannedJudging
    outcome: Outcome


def split_specs(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the specs of `SPEC[,SPEC…]`: a comma begins a new one where a kind follows, else a parameter."""
    kinds = "|".join(re.escape(kind) for kind in known_adapters())
    specs = [spec.strip() for text in texts for spec in re.split(rf",(?=\s*(?:{kinds}):)", text)]
    return tuple(dict.fromkeys(spec for spec in specs if spec))


def rubric_of(job: JudgeJob, dirs: Sequence[Path]) -> LoadedRubric:
    """Return the rubric that a job asks for, with the job's own budget of a reply where it has one.

    Raises:
        UserError: an unknown or broken rubric.
    """
    rubric = load_rubric(job.judge, dirs)
    if job.max_new_tokens is None:
        return rubric
    return replace(rubric, spec=rubric.spec.model_copy(update={"max_new_tokens": job.max_new_tokens}))


def judges_for(task: Task, jobs: Sequence[JudgeJob], dirs: Sequence[Path], seed: int) -> list[Judge]:
    """Return the judges of a task, checked as far as that is possible without a run.

    Raises:
        UserError: an unknown rubric or model, one that cannot judge, or one that may not see the task.
    """
    found = []
    for job in jobs:
        rubric = rubric_of(job, dirs)
        options = JudgeOptions(job.sample, job.repeats, job.repeated, job.method)
        for spec in job.models:
            model = make_model(parse_spec(spec), task=task, seed=seed)
            check_judge(task, model)
            judge = Judge(rubric, model, options)
            _ = judge.setup  # refuses what cannot judge
            if rubric.spec.mode == "pairwise":
                raise UserError(f"judge {rubric.spec.name} compares two runs: use r2d-bench judge RUN RUN")
            found.append(judge)
    return found


def plan_judgings(runs: Sequence[tuple[RunStore, Task]], judge: Judge) -> list[PlannedJudging]:
    """Return what one judge will be asked about several runs; runs without rationales are passed over.

    Raises:
        UserError: a run was made on other data, or the judge may not see its task.
    """
    return [
        plan_judging(run, task, judge.rubric, judge.model, judge.options)
        for run, task in runs
        if run.setup().no_rationale is None
    ]


def judge_planned(
    planned: Sequence[PlannedJudging], budget: Budget, reporter: JudgeReporter
) -> Iterator[FinishedJudging]:
    """Let one judge go through the rationales of several runs.

    Raises:
        UserError: a folder is held by another process, or cannot be written.
    """
    for one in planned:
        reporter.judging(one.run.name, one.setup, asked=len(one.selection.ids), of=one.selection.of)
        yield FinishedJudging(one, judge_run(one, budget, reporter))


def plan_panel(
    runs: Sequence[tuple[RunStore, Task]], job: JudgeJob, dirs: Sequence[Path], seed: int
) -> list[list[PlannedJudging]]:
    """Return what each judge of a job will be asked about finished runs; all is checked before anything is asked.

    Returns:
        A list for each judge and task; its judgings share one model, which the caller closes.

    Raises:
        UserError: whatever `judges_for` and `plan_judging` refuse, or no run with rationales.
    """
    tasks = {task.name: task for _, task in runs}
    panels = {name: judges_for(task, [job], dirs, seed) for name, task in tasks.items()}
    planned = [
        plan_judgings([(run, task) for run, task in runs if task.name == name], judge)
        for name, panel in panels.items()
        for judge in panel
    ]
    if not any(planned):
        raise UserError("none of these runs has rationales to judge")
    return [own for own in planned if own]
