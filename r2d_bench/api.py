"""The public functions, for use from Python; the command line calls the same ones."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.benchmark import Report, benchmark
from r2d_bench.comparison.compare import CompareOptions, compare_runs
from r2d_bench.documents import check
from r2d_bench.job import Job, JudgeJob
from r2d_bench.judging.panel import FinishedJudging, judge_planned, plan_panel
from r2d_bench.leaderboard.board import load_board
from r2d_bench.leaderboard.build import build
from r2d_bench.leaderboard.results import kin_of
from r2d_bench.planning import Reporter, load_tasks
from r2d_bench.runs.budget import Budget
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.task import Task, load_task
from r2d_bench.training.listener import Silent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from r2d_bench.comparison.document import Comparison
    from r2d_bench.judging.setup import JudgeSetup
    from r2d_bench.records import Json
    from r2d_bench.runs.selection import Selection
    from r2d_bench.runs.setup import RunSetup
    from r2d_bench.training.listener import Listener
    from r2d_bench.training.planning import Plan

__all__ = ["build_leaderboard", "compare", "judge", "load_task", "run", "score"]


class _Silent(Reporter):
    """Tells nobody."""

    def stage(self, name: str, *, total: int, stored: int) -> None:
        """A stage begins."""

    def advance(self, *, failed: bool) -> None:
        """One request was answered, or failed."""

    def run_started(self, number: int, of: int, setup: RunSetup, selection: Selection) -> None:
        """A run begins."""

    def scoring(self) -> None:
        """The run's answers are being scored."""

    def left_out(self, spec: str, why: str) -> None:
        """A model of the board's panel does not fit a task."""

    def training(self, number: int, of: int, plan: Plan) -> Listener:  # noqa: ARG002
        """A training begins."""
        return Silent()

    def judging(self, run: str, setup: JudgeSetup, *, asked: int, of: int) -> None:
        """A judge begins with the rationales of a run."""


def run(
    models: Sequence[str | dict[str, Json]],
    *,
    tasks: Sequence[str],
    reporter: Reporter | None = None,
    **job: Json,
) -> Report:
    """Predict, score and build the page, as `r2d-bench run` does.

    Args:
        models: specs, or mappings with `spec`, `protocol`, `label_method`, `limit`, … (see `ModelJob`).
        tasks: names or folders of tasks.
        reporter: who is told how it goes on.
        **job: any other key of a job file (see `Job`).

    Raises:
        UserError: anything in the job that cannot work.
    """
    checked = check(Job, {"models": list(models), "tasks": list(tasks), **job}, "job")
    return benchmark(checked, reporter or _Silent())


def score(
    run_folder: Path | str,
    *,
    data: Path | None = None,
    task_dirs: Sequence[Path] = (),
    options: ScoreOptions | None = None,
    scorers: Scorers | None = None,
) -> dict[str, Json]:
    """Score a run folder again, without a model; returns the content of its `scores.json`.

    Raises:
        UserError: no run folder, or other data than it was made on.
    """
    store = RunStore(Path(run_folder))
    name = store.setup().task.partition("@")[0]
    task = load_task(name, data=data, task_dirs=task_dirs)
    return score_run(store, task, options or ScoreOptions(), scorers or Scorers())


def load_runs(
    folders: Sequence[Path | str], data: Mapping[str, str], task_dirs: Sequence[Path]
) -> list[tuple[RunStore, Task]]:
    """Return finished runs with their tasks; one task is loaded once.

    Raises:
        UserError: a folder is no run, before any task is loaded; or a task cannot be.
    """
    stores = [RunStore(Path(folder)) for folder in dict.fromkeys(folders)]
    names = [store.setup().task.rpartition("@")[0] for store in stores]
    tasks = {name: load_tasks([name], data, task_dirs)[0] for name in dict.fromkeys(names)}
    return [(store, tasks[name]) for store, name in zip(stores, names, strict=True)]


def judge(
    run_folders: Sequence[Path | str],
    job: JudgeJob | Mapping[str, Json],
    *,
    data: Mapping[str, Path] | None = None,
    task_dirs: Sequence[Path] = (),
    judge_dirs: Sequence[Path] = (),
    seed: int = 0,
    budget: Budget | None = None,
    reporter: Reporter | None = None,
) -> list[FinishedJudging]:
    """Let language models judge the rationales of finished runs, as `r2d-bench judge` does with a pointwise rubric.

    Args:
        run_folders: the runs; the same call again goes on where it stopped.
        job: by which rubric, who judges and how much (see `JudgeJob`): `{"judge": …, "models": [spec, …]}`.
        data: task → local data, where a run folder does not hold what is needed.
        task_dirs: further folders to look for tasks in.
        judge_dirs: further folders to look for rubrics in.
        seed: of the judges.
        budget: where to stop.
        reporter: who is told how it goes on.

    Raises:
        UserError: anything that cannot work, before anything is asked.
    """
    wanted = job if isinstance(job, JudgeJob) else check(JudgeJob, dict(job), "judge")
    runs = load_runs(run_folders, {name: str(path) for name, path in (data or {}).items()}, task_dirs)
    spending, told = budget or Budget(), reporter or _Silent()
    finished: list[FinishedJudging] = []
    for planned in plan_panel(runs, wanted, judge_dirs, seed):
        with closing(planned[0].model):
            finished += judge_planned(planned, spending, told)
    return finished


def compare(
    run_folders: Sequence[Path | str],
    *,
    data: Mapping[str, Path] | None = None,
    task_dirs: Sequence[Path] = (),
    options: CompareOptions | None = None,
) -> Comparison:
    """Compare runs of one task, without a model; `as_json()` of the result is what `compare --json` prints.

    Args:
        run_folders: two or more; those that differ in their seed alone become one side.
        data: task → local data, where a run folder does not hold what is needed.
        task_dirs: further folders to look for tasks in.
        options: what is compared, and how.

    Raises:
        UserError: runs that cannot be compared, or an unknown metric.
    """
    stores = [RunStore(Path(folder)) for folder in run_folders]
    kin = {store.name: kin_of(store) for store in stores}
    names = {store.setup().task.rpartition("@")[0] for store in stores}
    local = next((path for name, path in (data or {}).items() if name in names), None)
    return compare_runs(stores, options or CompareOptions(), kin=kin, data=local, task_dirs=task_dirs)


def build_leaderboard(
    board: str = "main",
    *,
    runs: Path | str = "runs",
    out: Path | str = "site",
    task_dirs: Sequence[Path] = (),
    audits: Path | str = "audits",
    single: bool = False,
) -> Path:
    """Build the pages of a board from run folders and the audits of judges; returns the first page.

    `single` also writes everything as one file, and returns that.

    Raises:
        UserError: unknown board, or an output folder that is not a site.
    """
    return build(load_board(board), Path(runs), Path(out), task_dirs, Path(audits), single=single)
