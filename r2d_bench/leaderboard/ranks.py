"""What paired tests say of the order of a table's rows, and of each two of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from r2d_bench.comparison.measure import NotComparable
from r2d_bench.comparison.standings import standings
from r2d_bench.comparison.words import Told, sentence
from r2d_bench.errors import UserError
from r2d_bench.leaderboard.document import Duel, Ranking, RightWrong, Standing, ToLeader
from r2d_bench.leaderboard.ordering import may_rank
from r2d_bench.leaderboard.suppression import safe_standings
from r2d_bench.metrics.base import Direction
from r2d_bench.metrics.registry import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from r2d_bench.comparison.standings import Standings
    from r2d_bench.leaderboard.document import Row, SeedGroup
    from r2d_bench.metrics.base import Metric
    from r2d_bench.runs.store import RunStore

# What exactly is missing may name a path of this machine, which does not belong on a page.
NOT_AT_HAND = "the run folders do not hold what a comparison needs, and the task's data are not at hand"


def ranking_of(
    metric: str,
    rows: Sequence[Row],
    groups: Sequence[SeedGroup],
    stores: Mapping[str, RunStore],
    task_dirs: Sequence[Path] = (),
    *,
    texts: bool,
) -> tuple[Ranking, tuple[Duel, ...]]:
    """Return the ranks that the rows of a table may have in its primary metric, and how each two of them compare.

    Args:
        metric: the metric.
        rows: in the order of the table.
        groups: rows that differ in their seed alone; they have one rank together, if all of them may have one.
        stores: run → its folder.
        task_dirs: folders to look for the task in.
        texts: whether the task publishes texts; counts of single items belong to them.
    """
    if METRICS[metric].direction is Direction.NONE:
        return Ranking(metric=metric, reason="neither way is better"), ()
    able = {row.run for row in rows if may_rank(row) and row.metrics[metric].value is not None}
    together = {run: group.runs for group in groups for run in group.runs}
    sides = [runs for runs in dict.fromkeys(together.get(row.run, (row.run,)) for row in rows) if able.issuperset(runs)]
    try:
        found = standings(metric, [[stores[run] for run in side] for side in sides], task_dirs=task_dirs)
    except NotComparable as reason:
        return Ranking(metric=metric, reason=str(reason)), ()
    except UserError:
        return Ranking(metric=metric, reason=NOT_AT_HAND), ()
    found = found if texts else safe_standings(metric, found, rows)
    board = found.contest.board
    ranking = Ranking(
        metric=metric,
        items=board.items,
        clusters=found.contest.clusters,
        pairs=len(board.pairs),
        level=board.level,
        standings=tuple(_standings(found)),
        warning=board.warning,
    )
    return ranking, tuple(_duels(METRICS[metric], found, _names(found, rows, groups), texts=texts))


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


def _names(found: Standings, rows: Sequence[Row], groups: Sequence[SeedGroup]) -> list[str]:
    """Return the name of each side, as its row has it."""
    titles = {(row.run,): row.model.title for row in rows} | {group.runs: group.title for group in groups}
    return [titles[runs] for runs in found.sides]


def _duels(metric: Metric, found: Standings, names: Sequence[str], *, texts: bool) -> Iterator[Duel]:
    board = found.contest.board
    for pair in board.pairs:
        cells = found.cells(pair.first, pair.second) if texts else None
        told = Told(
            first=names[pair.first],
            second=names[pair.second],
            items=board.items,
            clusters=found.contest.clusters,
            pairs=len(board.pairs),
            level=board.level,
            margin=None,
            detectable=board.power(pair).detectable,
        )
        yield Duel(
            first=found.sides[pair.first],
            second=found.sides[pair.second],
            difference=pair.difference,
            low=pair.interval.low,
            high=pair.interval.high,
            p=pair.p,
            corrected=pair.corrected,
            sentence=sentence(metric, pair, told),
            labels=None if cells is None else RightWrong(**asdict(cells), p=cells.p),
        )
