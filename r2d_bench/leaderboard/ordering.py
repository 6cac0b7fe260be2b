"""The order of rows, the columns of a table, and which figures are its best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.leaderboard.document import Column
from r2d_bench.metrics.base import Direction
from r2d_bench.metrics.display import shown
from r2d_bench.metrics.registry import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from r2d_bench.leaderboard.document import Ranking, Row, SeedGroup


def sorted_rows(rows: Sequence[Row], metric: str, groups: Sequence[SeedGroup] = ()) -> list[Row]:
    """Return the rows with the best figure in front and missing ones last; equal ones by name of the run.

    Rows of a group stand together at the place of their mean, in the order of seeds. The order is no ranking:
    neighbours mostly cannot be told apart, and rows are not numbered.
    """
    sign = 1 if METRICS[metric].direction is Direction.LOWER else -1
    place = {run: (group, n) for group in groups for n, run in enumerate(group.runs)}

    def key(row: Row) -> tuple[bool, float, str, int]:
        group, n = place.get(row.run, (None, 0))
        value = row.metrics[metric].value if group is None else group.metrics[metric].mean
        return value is None, 0.0 if value is None else sign * value, row.run if group is None else group.runs[0], n

    return sorted(rows, key=key)


def columns_of(first: Sequence[str], rows: Sequence[Row], ranking: Ranking) -> Iterator[Column]:
    """Yield the columns of a table: those that the board asks for, then every other metric that a row has a figure in.

    Figures compare only under one signature, so that a metric with several gets a column for each.
    """
    tied = _tied_with_best(ranking, rows)
    others = [
        name for name in METRICS if name not in first and any(row.metrics[name].value is not None for row in rows)
    ]
    for metric in (*first, *others):
        signed = [row for row in rows if row.metrics[metric].value is not None]
        signatures = sorted({row.signatures.get(metric) for row in signed}, key=lambda text: text or "")
        for signature in signatures or [None]:
            mine = [row for row in signed if row.signatures.get(metric) == signature]
            best = tied if tied and metric == ranking.metric else _best(metric, mine)
            several = len(signatures) > 1
            yield Column(metric=metric, signature=signature, split=several, first=metric in first, best=best)


def may_rank(row: Row) -> bool:
    """Tell whether a row takes part in the tests: it answered the whole split, and has not learnt these very rows."""
    return row.complete and not (row.training and row.training.loud)


def _tied_with_best(ranking: Ranking, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the models of the first tie group that has one; people are a yardstick rather than a competitor."""
    models = {row.run for row in rows if row.model.row == "model"}
    for number in sorted({one.group for one in ranking.standings if one.group is not None}):
        group = [run for one in ranking.standings if one.group == number for run in one.runs if run in models]
        if group:
            return tuple(row.run for row in rows if row.run in group)
    return ()


def _best(metric: str, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the runs with the best figure, as it is shown, among models that answered the whole split.

    Partial runs are asked other items, people are a yardstick rather than a competitor, and who has learnt the very
    rows is none either. With fewer than two to compare there is no best.
    """
    direction = METRICS[metric].direction
    taking_part = [row for row in rows if may_rank(row) and row.model.row == "model"]
    if direction is Direction.NONE or len(taking_part) < 2:
        return ()
    values = {row.run: value for row in taking_part if (value := row.metrics[metric].value) is not None}
    pick = max if direction is Direction.HIGHER else min
    top = shown(metric, pick(values.values()))
    return tuple(run for run, value in values.items() if shown(metric, value) == top)
