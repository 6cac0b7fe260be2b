"""What paired tests say of the order of a table's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.comparison.measure import NotComparable
from r2d_bench.comparison.standings import standings
from r2d_bench.errors import UserError
from r2d_bench.leaderboard.document import Ranking, Standing, ToLeader
from r2d_bench.leaderboard.ordering import may_rank
from r2d_bench.metrics.base import Direction
from r2d_bench.metrics.registry import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from r2d_bench.comparison.standings import Standings
    from r2d_bench.leaderboard.document import Row, SeedGroup
    from r2d_bench.runs.store import RunStore

# What exactly is missing may name a path of this machine, which does not belong on a page.
NOT_AT_HAND = "the run folders do not hold what a comparison needs, and the task's data are not at hand"


def ranking_of(
    metric: str,
    rows: Sequence[Row],
    groups: Sequence[SeedGroup],
    stores: Mapping[str, RunStore],
    task_dirs: Sequence[Path] = (),
) -> Ranking:
    """Return the ranks that the rows of a table may have in its primary metric.

    Args:
        metric: the metric.
        rows: in the order of the table.
        groups: rows that differ in their seed alone; they have one rank together, if all of them may have one.
        stores: run → its folder.
        task_dirs: folders to look for the task in.
    """
    if METRICS[metric].direction is Direction.NONE:
        return Ranking(metric=metric, reason="neither way is better")
    able = {row.run for row in rows if may_rank(row) and row.metrics[metric].value is not None}
    together = {run: group.runs for group in groups for run in group.runs}
    sides = [runs for runs in dict.fromkeys(together.get(row.run, (row.run,)) for row in rows) if able.issuperset(runs)]
    try:
        found = standings(metric, [[stores[run] for run in side] for side in sides], task_dirs=task_dirs)
    except NotComparable as reason:
        return Ranking(metric=metric, reason=str(reason))
    except UserError:
        return Ranking(metric=metric, reason=NOT_AT_HAND)
    board = found.contest.board
    return Ranking(
        metric=metric,
        items=board.items,
        clusters=found.contest.clusters,
        pairs=len(board.pairs),
        level=board.level,
        standings=tuple(_standings(found)),
        warning=board.warning,
    )


def _standings(found: Standings) -> Iterator[Standing]:
    board = found.contest.board
    leader = board.order[0] if board.order else None
    for number, (runs, one) in enumerate(zip(found.sides, board.standings, strict=True)):
        yield Standing(
            runs=runs,
            rank=one.rank,
            group=one.group,
            tied=one.group is not None and len(board.groups[one.group]) > 1,
            leads=number == leader,
            best=one.best,
            to_leader=None if leader is None or number == leader else _to_leader(found, number, leader),
        )


def _to_leader(found: Standings, number: int, leader: int) -> ToLeader:
    pair = found.contest.board.pair(number, leader)
    sign = 1 if pair.first == number else -1
    low, high = pair.interval.low, pair.interval.high
    ends = (None, None) if low is None or high is None else sorted((sign * low, sign * high))
    return ToLeader(
        value=None if pair.difference is None else sign * pair.difference,
        low=ends[0],
        high=ends[1],
        p=pair.p,
        corrected=pair.corrected,
    )
