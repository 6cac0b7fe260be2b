"""The main job: plan every run and train what has to be trained, then predict, score and build the page.

All input is checked before anything is asked or written: a wrong label in the second task does not surface after an
hour on the first.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.documents import check_writable
from r2d_bench.judging.panel import judge_planned, judges_for, plan_judgings
from r2d_bench.leaderboard.board import load_board
from r2d_bench.leaderboard.build import build, check_out
from r2d_bench.models.spread import executor_of, spread
from r2d_bench.planning import PlannedRun, Reporter, plan, task_dirs
from r2d_bench.runs.budget import Budget
from r2d_bench.runs.execute import Outcome, Sitting, execute
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from r2d_bench.job import Job
    from r2d_bench.judging.panel import FinishedJudging, Judge
    from r2d_bench.leaderboard.board import Board
    from r2d_bench.models.spread_cluster import Executor
    from r2d_bench.records import Json
    from r2d_bench.runs.setup import RunSetup


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
        judged: every judging of a run.
        page: the first page of the site; None where none was asked for.
    """

    finished: list[FinishedRun] = field(default_factory=list)
    judged: list[FinishedJudging] = field(default_factory=list)
    page: Path | None = None

    @property
    def incomplete(self) -> int:
        """Examples without an answer, or without a judge's reply, over all runs."""
        return sum(outcome.incomplete for outcome in self._outcomes)

    @property
    def stopped(self) -> str | None:
        """The limit of the budget that ended the job early, in words."""
        return next((outcome.stopped for outcome in self._outcomes if outcome.stopped), None)

    @property
    def failures(self) -> Counter[str]:
        """Why requests failed, over all runs, commonest first."""
        return sum((outcome.failures for outcome in self._outcomes), Counter())

    @property
    def _outcomes(self) -> list[Outcome]:
        return [run.outcome for run in self.finished] + [judging.outcome for judging in self.judged]


def benchmark(job: Job, reporter: Reporter) -> Report:
    """Run a whole job.

    Raises:
        UserError: anything in the job that cannot work, before anything is written.
    """
    board = load_board(job.board)
    _check_folders(job)
    with executor_of(job) as executor:
        return _benchmark(job, board, executor, reporter)


def _benchmark(job: Job, board: Board, executor: Executor | None, reporter: Reporter) -> Report:
    planned = plan(job, reporter, executor=executor)
    judges = plan_judges(job, planned)
    options = ScoreOptions(bertscore=job.bertscore or board.bertscore, paper=job.paper, seed=job.seed)
    budget = Budget(job.max_requests, job.max_cost)
    report = Report(_ask_and_score(planned, executor, budget, options, reporter))
    report.judged = _judge(planned, judges, budget, reporter)
    if job.site is not None:
        folders = dict.fromkeys([*task_dirs(job), *(run.task.folder for run in planned)])
        shown = _with_tasks(board, planned)
        report.page = build(shown, Path(job.runs), Path(job.site), list(folders), Path(job.audits))
    return report


def _ask_and_score(
    planned: Sequence[PlannedRun], executor: Executor | None, budget: Budget, options: ScoreOptions, reporter: Reporter
) -> list[FinishedRun]:
    """Ask one model after the other; a run is scored before the next begins, or beside it if that awaits an endpoint.

    A model that computes here needs the processor itself, so that scoring beside it would help neither.
    """
    scorers = Scorers()
    for run in planned:
        if run.setup.no_rationale is None and (encoder := scorers.encoder(run.task, options)) is not None:
            encoder.check()
    done: list[tuple[PlannedRun, Outcome, Future[dict[str, Json]]]] = []
    with ThreadPoolExecutor(1) as beside:  # one: the runs share encoders and readers
        for number, run in enumerate(planned, 1):
            for *_, earlier in done:
                if earlier.done():
                    earlier.result()  # what keeps a run from being scored ends the job now, not after the last model
            reporter.run_started(number, len(planned), run.setup, run.selection)
            outcome = _ask(run, executor, budget, reporter)
            reporter.scoring()
            scores = beside.submit(score_run, run.store, run.task, options, scorers)
            done.append((run, outcome, scores))
            if not any(later.model.capabilities.endpoint for later in planned[number : number + 1]):
                scores.result()
    return [FinishedRun(run.setup, run.store.folder, outcome, scores.result()) for run, outcome, scores in done]


def _ask(run: PlannedRun, executor: Executor | None, budget: Budget, reporter: Reporter) -> Outcome:
    """Ask the model of a run everything that has no answer yet."""
    card = run.card.model_dump(exclude_none=True)
    lineage = run.model.lineage.as_json() if run.model.lineage else None
    by = executor.cluster.as_json() if executor else None
    sitting = Sitting(run.selection, run.probes, run.challenges, budget, card, lineage, by)
    with closing(spread(run.model, run.spec, run.setup.seed, run.task, executor)) as model:
        return execute(run.task, model, run.setup, sitting, run.store, reporter)


def plan_judges(job: Job, planned: Sequence[PlannedRun]) -> dict[str, list[Judge]]:
    """Return the judges of each task, checked before anything is asked.

    Raises:
        UserError: one that does not exist, cannot judge, or may not see a task.
    """
    dirs = [Path(folder) for folder in job.judge_dirs]
    tasks = {run.task.name: run.task for run in planned}
    return {name: judges_for(task, job.judges, dirs, job.seed) for name, task in tasks.items()}


def _judge(
    planned: Sequence[PlannedRun], judges: Mapping[str, Sequence[Judge]], budget: Budget, reporter: Reporter
) -> list[FinishedJudging]:
    """Let the judges of each task go through its runs, one judge after the other."""
    finished: list[FinishedJudging] = []
    for name, panel in judges.items():
        runs = [(run.store, run.task) for run in planned if run.task.name == name]
        for judge in panel:
            with closing(judge.model):
                finished += judge_planned(plan_judgings(runs, judge), budget, reporter)
    return finished


def _with_tasks(board: Board, planned: Sequence[PlannedRun]) -> Board:
    """Return the board with the job's own tasks on it, so that a user's task appears without a board of its own."""
    if not board.tasks:  # such a board shows whatever was run
        return board
    names = dict.fromkeys([*board.tasks, *(run.task.name for run in planned)])
    return board.model_copy(update={"tasks": tuple(names)})


def _check_folders(job: Job) -> None:
    """Refuse folders that cannot be written, before an hour of work."""
    for name in filter(None, (job.runs, job.site)):
        check_writable(Path(name))
    if job.site is not None:
        check_out(Path(job.site))
