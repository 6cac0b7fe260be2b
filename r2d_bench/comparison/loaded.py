"""Run folders as a comparison needs them: their tables side by side, item by item."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.errors import UserError
from r2d_bench.runs.scoring import SCORES_SCHEMA, check_data
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from r2d_bench.records import Example, Json
    from r2d_bench.runs.setup import RunSetup
    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.spec import TaskSpec
    from r2d_bench.tasks.task import Task

Key = tuple[str, str]  # split and id


@dataclass(frozen=True, slots=True)
class LoadedRun:
    """One run folder.

    Attributes:
        store: the folder.
        setup: what the run is.
        scores: its `scores.json`.
        columns: `examples.parquet` without the inputs, column by column.
    """

    store: RunStore
    setup: RunSetup
    scores: Mapping[str, Json]
    columns: Mapping[str, list[Json]]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.store.name

    @property
    def keys(self) -> list[Key]:
        """Split and id of each row."""
        return list(zip(self.columns["split"], self.columns["id"], strict=True))

    def estimate(self, metric: str) -> Mapping[str, Json]:
        """Return the run's own figure as it stands in `scores.json`."""
        found: Mapping[str, Json] = self.scores["metrics"].get(metric) or {
            "value": None,
            "reason": "not computed when the run was scored",
        }
        return found


def load_runs(stores: Sequence[RunStore]) -> list[LoadedRun]:
    """Read runs that can be compared: of one task@version, on one split of the same rows.

    Raises:
        UserError: no run folder, not scored, or runs that do not belong together.
    """
    setups = [store.setup() for store in stores]
    first = setups[0]
    for store, setup in zip(stores, setups, strict=True):
        for what, mine, other in (
            ("task", first.task, setup.task),
            ("split", first.split, setup.split),
            ("rows", first.data_digest, setup.data_digest),
        ):
            if mine != other:
                raise UserError(
                    f"runs on other items cannot be compared: {stores[0].name} has {what} {mine}, "
                    f"{store.name} has {other}"
                )
    names = [store.name for store in stores]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"run {twice} is named twice: a comparison needs different runs")
    return [_load(store, setup) for store, setup in zip(stores, setups, strict=True)]


def _load(store: RunStore, setup: RunSetup) -> LoadedRun:
    import pyarrow.parquet as pq  # noqa: PLC0415 - slow to import

    scores, path = store.scores(), store.folder / "examples.parquet"
    if scores is None or not path.is_file():
        raise UserError(f"{store.folder}: not scored yet: r2d-bench score {store.folder}")
    if scores.get("schema") != SCORES_SCHEMA or scores.get("task") != setup.task:
        raise UserError(f"{store.folder}: scored by another version: score the run again")
    table = pq.read_table(path)
    kept = [name for name in table.column_names if name != "input"]  # long, and never asked for
    return LoadedRun(store, setup, scores, table.select(kept).to_pydict())


def is_public(runs: Sequence[LoadedRun], spec: TaskSpec) -> bool:
    """Tell whether what the task says of single items may be shown: it is public, and these are its own rows.

    Local data may be anybody's, unless the task knows their digest (as for pages, see `leaderboard.privacy`).
    """
    split = spec.splits.get(runs[0].setup.split)
    if split is not None and split.digest is not None:
        own = split.digest == runs[0].setup.data_digest
    else:
        own = all(sitting["data"]["source"] != "local" for run in runs for sitting in run.store.manifest()["sittings"])
    return spec.visibility == "public" and own


class TaskData:
    """The task of the runs; its examples are read only where a run folder does not hold what is needed.

    Args:
        setup: of one of the runs.
        data: local data that stand in for the task's source.
        task_dirs: further folders to look for tasks in.
    """

    def __init__(self, setup: RunSetup, data: Path | None = None, task_dirs: Sequence[Path] = ()) -> None:
        self._setup, self._data, self._dirs = setup, data, task_dirs

    @cached_property
    def task(self) -> Task:
        """The task.

        Raises:
            UserError: no task of that name and version is at hand.
        """
        task = load_task(self._setup.task.rpartition("@")[0], data=self._data, task_dirs=self._dirs)
        if task.spec.full_name != self._setup.task:
            raise UserError(
                f"the runs were made on {self._setup.task}, the task at hand is {task.spec.full_name}: "
                "give the folder of that version with --task-dir"
            )
        return task

    def examples(self, style: str | None = None) -> dict[Key, Example]:
        """Return the task's examples, challenge sets included, by split and id.

        Args:
            style: of the gold rationales.

        Raises:
            UserError: the data are not at hand, or are other ones than the runs were made on.
        """
        task = self.task.in_style(style)
        check_data(self._setup, task)
        found = [*task.examples(self._setup.split), *(e for name in task.spec.challenges for e in task.challenge(name))]
        return {(example.split, example.id): example for example in found}


@dataclass(frozen=True, slots=True)
class Items:
    """All items that any of R runs was asked, N of them, and where each run has them.

    Attributes:
        runs: the runs.
        keys: split and id of each item, in the order of the first run that has it.
        rows: the item's row in each run's table, shape (R, N); -1 where the run was not asked.
        gold: gold label of each item.
        main: whether the item belongs to the evaluated split (others are challenge rows), shape (N,).
    """

    runs: Sequence[LoadedRun]
    keys: Sequence[Key]
    rows: NDArray[np.int64]
    gold: Sequence[str | None]
    main: NDArray[np.bool_]

    @property
    def asked(self) -> NDArray[np.bool_]:
        """Which items every run was asked, shape (N,)."""
        return np.asarray((self.rows >= 0).all(axis=0))

    def texts(self, run: int, column: str) -> list[Json]:
        """Return a column of one run's table for all items; None where there is nothing."""
        values = self.runs[run].columns.get(column)
        return [None if values is None or row < 0 else values[row] for row in self.rows[run]]

    def numbers(self, run: int, column: str) -> NDArray[np.float64]:
        """Return a column of numbers or truth values for all items; NaN where there is nothing."""
        return np.array([np.nan if value is None else float(value) for value in self.texts(run, column)])

    def take(self, runs: Sequence[int]) -> Items:
        """Return the same items for some of the runs."""
        return Items([self.runs[run] for run in runs], self.keys, self.rows[list(runs)], self.gold, self.main)


def items_of(runs: Sequence[LoadedRun]) -> Items:
    """Lay the tables of runs side by side."""
    place: dict[Key, int] = {}
    gold: list[str | None] = []
    for run in runs:
        for key, label in zip(run.keys, run.columns["gold"], strict=True):
            if key not in place:
                place[key] = len(place)
                gold.append(label)
    rows = np.full((len(runs), len(place)), -1, dtype=np.int64)
    for number, run in enumerate(runs):
        rows[number, [place[key] for key in run.keys]] = np.arange(len(run.keys))
    main = np.array([split == runs[0].setup.split for split, _ in place], dtype=bool)
    return Items(runs, list(place), rows, gold, main)


def clusters_of(items: Items) -> NDArray[np.int64] | None:
    """Return the cluster of each item, 0 to C-1, shape (N,); None where the task declares none.

    Raises:
        UserError: an item has no group, though others have.
    """
    groups: list[str | None] = [None] * len(items.keys)
    for run in range(len(items.runs)):
        groups = [mine or other for mine, other in zip(groups, items.texts(run, "group"), strict=True)]
    if not any(groups):
        return None
    if not all(groups):
        missing = items.keys[groups.index(None)][1]
        raise UserError(f"example {missing}: no group id, but the task declares groups: fill the field")
    numbers: dict[str | None, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)
