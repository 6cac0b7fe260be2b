"""The main job: plan every run, then predict, score and build the page.

All input is checked before anything is asked or written: a wrong label in the second task does not surface after an
hour on the first.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from r2d_bench.errors import UserError
from r2d_bench.job import ModelJob
from r2d_bench.leaderboard.board import load_board
from r2d_bench.leaderboard.build import build, check_out
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.runs.execute import Outcome, Progress, execute
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run
from r2d_bench.runs.selection import Selection, select, union
from r2d_bench.runs.setup import RunSetup, plan_run
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.task import Task, load_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from r2d_bench.job import Job
    from r2d_bench.leaderboard.board import Board
    from r2d_bench.models.base import Model
    from r2d_bench.records import Json


class Reporter(Progress, Protocol):
    """Who is told how the job goes on."""

    def run_started(self, number: int, of: int, setup: RunSetup, selection: Selection) -> None:
        """A run begins."""

    def scoring(self) -> None:
        """The run's answers are being scored."""


@dataclass(frozen=True)
class PlannedRun:
    """One run that has been checked and not yet begun."""

    task: Task
    model: Model
    setup: RunSetup
    selection: Selection
    store: RunStore
    note: str | None = None


@dataclass(frozen=True)
class FinishedRun:
    """One run with its outcome and scores."""

    setup: RunSetup
    folder: Path
    outcome: Outcome
    scores: Mapping[str, Json]


@dataclass
class Report:
    """What a job did.

    Attributes:
        finished: every run with its scores, in the job's order.
        page: the first page of the site; None where none was asked for.
    """

    finished: list[FinishedRun] = field(default_factory=list)
    page: Path | None = None

    @property
    def incomplete(self) -> int:
        """Examples without an answer, over all runs."""
        return sum(run.outcome.incomplete for run in self.finished)

    @property
    def failures(self) -> Counter[str]:
        """Why requests failed, over all runs, commonest first."""
        return sum((run.outcome.failures for run in self.finished), Counter())


def benchmark(job: Job, reporter: Reporter) -> Report:
    """Run a whole job.

    Raises:
        UserError: anything in the job that cannot work, before anything is written.
    """
    board = load_board(job.board)
    _check_folders(job)
    planned = plan(job)
    options = ScoreOptions(bertscore=job.bertscore or board.bertscore, paper=job.paper, seed=job.seed)
    scorers, report = Scorers(), Report()
    for number, run in enumerate(planned, 1):
        reporter.run_started(number, len(planned), run.setup, run.selection)
        with closing(run.model):
            outcome = execute(run.task, run.model, run.setup, run.selection, run.store, reporter, note=run.note)
        reporter.scoring()
        scores = score_run(run.store, run.task, options, scorers)
        report.finished.append(FinishedRun(run.setup, run.store.folder, outcome, scores))
    if job.site is not None:
        folders = dict.fromkeys([*_task_dirs(job), *(run.task.folder for run in planned)])
        report.page = build(_with_tasks(board, planned), Path(job.runs), Path(job.site), list(folders))
    return report


def plan(job: Job) -> list[PlannedRun]:
    """Return every run of the job, checked: tasks loaded, models found, baselines fitted, no weights loaded.

    Raises:
        UserError: the first thing that cannot work.
    """
    planned: dict[str, PlannedRun] = {}
    for task in load_tasks(job.tasks, job.data, _task_dirs(job)):
        for wanted in _models(job, task):
            run = _plan_one(job, task, wanted)
            if (twin := planned.get(run.store.name)) is not None:  # the same run, asked for twice
                run = replace(run, selection=union(task.examples(), [twin.selection, run.selection]))
            planned[run.store.name] = run
    return list(planned.values())


def load_tasks(names: Sequence[str], data: Mapping[str, str], task_dirs: Sequence[Path]) -> list[Task]:
    """Return tasks by name, with their local data where given."""
    tasks = []
    for name in dict.fromkeys(names):
        path = data.get(name) or data.get(Path(name).resolve().name)
        tasks.append(load_task(name, data=Path(path) if path else None, task_dirs=task_dirs))
    return tasks


def _models(job: Job, task: Task) -> list[ModelJob]:
    own = [ModelJob(spec=spec) for spec in task.spec.baselines] if job.baselines else []
    return [*job.models, *own]


def _plan_one(job: Job, task: Task, wanted: ModelJob) -> PlannedRun:
    model = make_model(parse_spec(wanted.spec), task=task, seed=job.seed)
    splits = task.splits()
    model.fit(splits.get("train", []), splits.get("validation", []))
    setup = plan_run(
        task,
        model,
        protocol=wanted.protocol,
        label_method=wanted.label_method,
        max_new_tokens=wanted.max_new_tokens,
        seed=job.seed,
    )
    part = wanted if wanted.limit is not None or wanted.ids is not None else job
    selection = select(task.examples(), limit=part.limit, ids=part.ids)
    return PlannedRun(task, model, setup, selection, RunStore(Path(job.runs) / setup.folder), wanted.note)


def _task_dirs(job: Job) -> list[Path]:
    return [Path(folder) for folder in job.task_dirs]


def _with_tasks(board: Board, planned: Sequence[PlannedRun]) -> Board:
    """Return the board with the job's own tasks on it, so that a user's task appears without a board of its own."""
    if not board.tasks:  # such a board shows whatever was run
        return board
    names = dict.fromkeys([*board.tasks, *(run.task.name for run in planned)])
    return board.model_copy(update={"tasks": tuple(names)})


def _check_folders(job: Job) -> None:
    """Refuse folders that cannot be written, before an hour of work."""
    for name in (job.runs, job.site):
        if name is None:
            continue
        folder = Path(name)
        existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        if not existing.is_dir():
            raise UserError(f"{folder}: cannot be written ({existing} is a file)")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise UserError(f"{folder}: cannot be written (no permission in {existing})")
    if job.site is not None:
        check_out(Path(job.site))
