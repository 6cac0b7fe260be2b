"""Where the runs of a table stand in one metric: the boards' part of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.comparison.contest import Settings, contest
from r2d_bench.comparison.loaded import TaskData, clusters_of, items_of, load_runs
from r2d_bench.comparison.measure import NotComparable
from r2d_bench.comparison.measures import measure
from r2d_bench.statistics.paired import mcnemar_exact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from r2d_bench.comparison.contest import Contest
    from r2d_bench.runs.store import RunStore


@dataclass(frozen=True, slots=True)
class Standings:
    """Sides in one metric, in the order given.

    Attributes:
        sides: the runs of each.
        contest: figures, differences, ranks and tie groups.
        right: whether each side's label is right, shape (S, N) over the items compared; NaN where it is not known, and
            for sides of several seeds.
    """

    sides: tuple[tuple[str, ...], ...]
    contest: Contest
    right: NDArray[np.float64]

    def cells(self, first: int, second: int) -> Cells | None:
        """Return the items by whose label is right; None where that is not known of every one."""
        one, other = self.right[first], self.right[second]
        if np.isnan(one).any() or np.isnan(other).any():
            return None
        a, b = one > 0, other > 0
        return Cells(int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum()), int((~a & ~b).sum()))


@dataclass(frozen=True, slots=True)
class Cells:
    """How many items both sides have right, only the first, only the second, neither."""

    both: int
    first_only: int
    second_only: int
    neither: int

    @property
    def p(self) -> float:
        """McNemar's exact p, two-sided, not corrected; it takes items as independent."""
        return mcnemar_exact(self.first_only, self.second_only)


def standings(
    metric: str,
    sides: Sequence[Sequence[RunStore]],
    *,
    task_dirs: Sequence[Path] = (),
    settings: Settings | None = None,
) -> Standings:
    """Return the standings of sides, each one run or several that differ in their seed alone.

    Args:
        metric: what they are ranked by.
        sides: run folders of one table.
        task_dirs: further folders to look for the task in, where the clusters of its items do not stand in the runs.
        settings: how.

    Raises:
        NotComparable: fewer than two sides, or the metric cannot be had from the folders.
        UserError: the task's clusters are needed and not at hand.
    """
    if len(sides) < 2:
        raise NotComparable("fewer than two rows can be compared")
    stores = [store for side in sides for store in side]
    runs = load_runs(stores)
    items = items_of(runs)
    place = {store.name: number for number, store in enumerate(stores)}
    members = [[place[store.name] for store in side] for side in sides]
    task = TaskData(runs[0].setup, None, task_dirs)
    found = contest(measure(metric, items, task), members, clusters_of(items), settings or Settings())
    if found is None:
        raise NotComparable("no item was scored for all of them")
    unknown = np.full(int(found.kept.sum()), np.nan)
    right = [items.numbers(side[0], "metric.correct")[found.kept] if len(side) == 1 else unknown for side in members]
    return Standings(tuple(tuple(store.name for store in side) for side in sides), found, np.stack(right))
