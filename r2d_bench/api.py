"""The public functions, for use from Python; the command line calls the same ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.benchmark import Report, Reporter, benchmark
from r2d_bench.comparison.compare import CompareOptions, compare_runs
from r2d_bench.documents import check
from r2d_bench.job import Job
from r2d_bench.leaderboard.board import load_board
from r2d_bench.leaderboard.build import build
from r2d_bench.leaderboard.results import kin_of
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.task import load_task
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

__all__ = ["build_leaderboard", "compare", "load_task", "run", "score"]


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
) -> Path:
    """Build the pages of a board from run folders and the audits of judges; returns the first page.

    Raises:
        UserError: unknown board, or an output folder that is not a site.
    """
    return build(load_board(board), Path(runs), Path(out), task_dirs, Path(audits))
