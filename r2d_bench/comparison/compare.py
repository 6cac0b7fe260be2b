"""Runs compared: run folders in, one document out. No model is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.comparison import judged
from r2d_bench.comparison.changes import changes
from r2d_bench.comparison.contest import Settings, bounds, contest
from r2d_bench.comparison.document import Compared, Comparison, Difference, LeftOut, Side, Value
from r2d_bench.comparison.loaded import TaskData, clusters_of, is_public, items_of, load_runs
from r2d_bench.comparison.measure import NotComparable
from r2d_bench.comparison.measures import measure
from r2d_bench.comparison.over_seeds import seeded
from r2d_bench.comparison.sides import Kin, alone, sides_of
from r2d_bench.comparison.words import Told, sentence
from r2d_bench.errors import UserError
from r2d_bench.metrics.base import Direction
from r2d_bench.metrics.figures import exact_rate
from r2d_bench.metrics.registry import METRICS, lookup
from r2d_bench.statistics.intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from r2d_bench.comparison.contest import Bounds, Contest
    from r2d_bench.comparison.loaded import Items, LoadedRun
    from r2d_bench.comparison.measure import Measure
    from r2d_bench.metrics.base import Metric
    from r2d_bench.runs.store import RunStore
    from r2d_bench.statistics.boards import Pair

USUAL = (
    "accuracy",
    "under_triage",
    "over_triage",
    "severe_under_triage",
    "critical_miss",
    "bertscore_f1",
    "bleu",
    "chrf",
)  # beside the task's primary metric; a task that is not ordinal has no rates of triage
MARGIN = 0.01  # 1 point: a difference in a rate or an F1 that does not matter, unless something else is said


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What is compared, and how.

    Attributes:
        metrics: names; empty: the task's primary metric and the usual ones that two sides or more have. `judge` stands
            for the figures of all judges.
        settings: resamples, seed and level.
        margin: a difference that does not matter, for metrics that are shown in per cent (a share: 0.01 is 1 point).
        margins: the same for single metrics, in the metric's own unit.
    """

    metrics: Sequence[str] = ()
    settings: Settings = field(default_factory=Settings)
    margin: float = MARGIN
    margins: Mapping[str, float] = field(default_factory=dict)

    def margin_of(self, metric: Metric) -> float | None:
        """Return the margin of a metric in its own unit; None where none is known."""
        return self.margins.get(metric.name, self.margin if metric.percent else None)


@dataclass(frozen=True, slots=True)
class _Board:
    """All that the tables of a comparison share."""

    items: Items
    sides: Sequence[Side]
    members: Sequence[Sequence[int]]
    codes: NDArray[np.int64] | None
    data: TaskData
    options: CompareOptions


def compare_runs(
    stores: Sequence[RunStore],
    options: CompareOptions,
    *,
    kin: Mapping[str, Kin],
    data: Path | None = None,
    task_dirs: Sequence[Path] = (),
) -> Comparison:
    """Compare runs of one task on the items that all of them were scored on.

    Args:
        stores: run folders, two or more.
        options: what is compared, and how.
        kin: run → what tells that runs differ in their seed alone.
        data: local data of the task, where run folders do not hold what is needed (clusters, private gold rationales).
        task_dirs: further folders to look for tasks in.

    Raises:
        UserError: fewer than two runs, runs that do not belong together, an unknown metric, a task that is not at hand.
    """
    if len(stores) < 2:
        raise UserError("a comparison needs two runs or more")
    for name in (*options.metrics, *options.margins):
        if not judged.is_judge(name):
            lookup(name)
    runs = load_runs(stores)
    task = TaskData(runs[0].setup, data, task_dirs)
    sides, members = sides_of(runs, kin)
    notes: tuple[str, ...] = ()
    if len(sides) < 2:
        sides, members = alone(runs, kin)
        notes = ("The runs differ in their seed alone: they are compared one by one.",)
    items = items_of(runs)
    board = _Board(items, sides, members, clusters_of(items), task, options)
    public = is_public(runs, task.task.spec)
    tables, left_out = _tables(board, runs)
    return Comparison(
        task=runs[0].setup.task,
        split=runs[0].setup.split,
        data_digest=runs[0].setup.data_digest,
        public=public,
        sides=sides,
        metrics=tuple(tables),
        left_out=tuple(left_out),
        changes=tuple(
            found
            for a, b in combinations(range(len(sides)), 2)
            if (found := changes(items, (members[a], members[b]), (sides[a].letter, sides[b].letter), public=public))
        ),
        how={
            "resamples": options.settings.resamples,
            "seed": options.settings.seed,
            "level": options.settings.level,
        },
        notes=notes,
    )


def _tables(board: _Board, runs: Sequence[LoadedRun]) -> tuple[list[Compared], list[LeftOut]]:
    tables: list[Compared] = []
    left_out: list[LeftOut] = []
    for name in dict.fromkeys(board.options.metrics or _usual(runs)):
        try:
            names = judged.named(name, board.items) if judged.is_judge(name) else [name]
        except NotComparable as reason:
            left_out.append(LeftOut(metric=name, reason=str(reason)))
            continue
        for one in names:
            try:
                tables.append(_table(board, one))
            except NotComparable as reason:
                left_out.append(LeftOut(metric=one, reason=str(reason)))
    return tables, left_out


def _usual(runs: Sequence[LoadedRun]) -> Iterator[str]:
    """Yield the primary metric, and the usual ones that make sense for the task."""
    primary = runs[0].scores["primary"]
    for name in (primary, *USUAL):
        if name in METRICS and any(name in run.scores["metrics"] for run in runs):
            yield name
    if judged.any_judged(runs):
        yield judged.ALL


def _table(board: _Board, name: str) -> Compared:
    """Return the table of one metric, of the sides that have it.

    Raises:
        NotComparable: fewer than two have it, or it cannot be had from the run folders.
    """
    present, absent = [], {}
    for number, side in enumerate(board.sides):
        reasons = [reason for run in board.members[number] if (reason := _lacks(board.items.runs[run], name))]
        if reasons:
            absent[side.letter] = reasons[0]
        else:
            present.append(number)
    if len(present) < 2:
        raise NotComparable("; ".join(dict.fromkeys(absent.values())))
    part = [run for number in present for run in board.members[number]]
    place = {run: n for n, run in enumerate(part)}
    members = [[place[run] for run in board.members[number]] for number in present]
    sides = [board.sides[number] for number in present]
    items = board.items.take(part)
    found = judged.measure(name, items) if judged.is_judge(name) else measure(name, items, board.data)
    margin = board.options.margin_of(found.metric)
    outcome = contest(found, members, board.codes, board.options.settings, margin)
    if outcome is None:
        raise NotComparable("no item was scored for all of them")
    limits = bounds(found, members, items)
    return Compared(
        metric=name,
        title=found.metric.title,
        direction=str(found.metric.direction),
        percent=found.metric.percent,
        decimals=found.metric.decimals,
        signature=found.signature,
        items=outcome.board.items,
        clusters=outcome.clusters,
        test=next((str(pair.test) for pair in outcome.board.pairs if pair.test), str(found.test)),
        margin=margin,
        values=tuple(_values(found, outcome, sides, members, items, limits)),
        differences=tuple(_differences(found, outcome, sides, members, limits, margin)),
        absent=absent,
        notes=tuple(_notes(found, outcome, items)),
    )


def _lacks(run: LoadedRun, name: str) -> str | None:
    """Return why a run has no figure; None where it has one."""
    if judged.is_judge(name):
        return judged.lacks(run, name)
    estimate = run.estimate(name)
    return None if estimate["value"] is not None else str(estimate.get("reason"))


def _values(
    found: Measure,
    outcome: Contest,
    sides: Sequence[Side],
    members: Sequence[Sequence[int]],
    items: Items,
    limits: Bounds,
) -> Iterator[Value]:
    board = outcome.board
    ranked = found.metric.direction is not Direction.NONE
    for number, (side, standing) in enumerate(zip(sides, board.standings, strict=True)):
        runs = members[number]
        interval = _interval(found, outcome, items, runs, standing.interval)
        per_seed = [value for run in runs if (value := found.value(run, outcome.kept)) is not None]
        group = board.groups[standing.group] if standing.group is not None and ranked else ()
        yield Value(
            side=side.letter,
            value=standing.value,
            low=interval.low,
            high=interval.high,
            method=interval.method,
            over_seeds=(fmean(per_seed), stdev(per_seed)) if len(per_seed) > 1 else None,
            rank=standing.rank if ranked else None,
            tied=tuple(sides[other].letter for other in sorted(group) if other != number),
            top=ranked and standing.group == 0,
            best=standing.best if ranked else None,
            missing=sum(limits.missing[run] for run in runs),
            bounds=limits.sides[number],
            warnings=(interval.warning,) if interval.warning else (),
        )


def _interval(found: Measure, outcome: Contest, items: Items, runs: Sequence[int], of_board: Interval) -> Interval:
    """Return the interval of a side's figure.

    That of the run's page where the items are the same; an exact one where the run has one; else that of the board.
    """
    own = items.runs[runs[0]].estimate(found.metric.name)
    if len(runs) > 1 or own.get("method") is None:
        return of_board
    if np.array_equal(found.scored[runs[0]], outcome.kept):
        return Interval(own["low"], own["high"], own["method"], "; ".join(own.get("warnings", ())) or None)
    if own["method"] != "exact":
        return of_board
    hits = found.stats[runs[0], outcome.kept, 0] == 1
    exact = exact_rate(hits, outcome.codes, level=outcome.board.level)
    return Interval(exact.low, exact.high, exact.method, "; ".join(exact.warnings) or None)


def _differences(
    found: Measure,
    outcome: Contest,
    sides: Sequence[Side],
    members: Sequence[Sequence[int]],
    limits: Bounds,
    margin: float | None,
) -> Iterator[Difference]:
    board = outcome.board
    for pair in board.pairs:
        power = board.power(pair)
        first, second = sides[pair.first].letter, sides[pair.second].letter
        told = Told(
            first=first,
            second=second,
            items=board.items,
            clusters=outcome.clusters,
            pairs=len(board.pairs),
            level=board.level,
            margin=margin,
            detectable=power.detectable,
        )
        yield Difference(
            first=first,
            second=second,
            value=pair.difference,
            low=pair.interval.low,
            high=pair.interval.high,
            interval="seeds and items"
            if seeded(members, pair)
            else "items"
            if outcome.clusters is None
            else "clusters",
            p=pair.p,
            corrected=pair.corrected,
            winner=None if pair.winner is None else sides[pair.winner].letter,
            equal=_equal(pair),
            detectable=power.detectable,
            bounds=limits.difference(pair.first, pair.second),
            words=sentence(found.metric, pair, told),
            reason=pair.reason,
        )


def _equal(pair: Pair) -> bool | None:
    return True if pair.identical else pair.equivalent


def _notes(found: Measure, outcome: Contest, items: Items) -> Iterator[str]:
    due = int((items.asked & found.scored.any(axis=0)).sum())
    if (lost := due - outcome.board.items) > 0:
        yield f"{lost} of {due} items that all were asked are left out: some run has no score for them."
    if (unasked := int((found.scored.any(axis=0) & ~items.asked).sum())) > 0:
        yield f"{unasked} items are left out: not all runs were asked them."
    if outcome.board.warning:
        yield outcome.board.warning[0].upper() + outcome.board.warning[1:] + "."
    if outcome.clusters is not None and outcome.clusters < 10:
        yield f"Only {outcome.clusters} groups of dependent items: intervals and tests are rough."
