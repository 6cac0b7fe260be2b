"""The shape of a comparison: what `compare --json` prints, and every number that its tables show."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from r2d_bench.records import Json

SCHEMA = 1

Range = tuple[float, float]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Side(_Part):
    """What is compared: a run, or runs that differ in their seed alone.

    Attributes:
        letter: how tables and sentences call it.
        title: its model, and what else tells it from the others.
        runs, seeds: its runs, in the order of seeds.
        flags: what a reader must know of it.
    """

    letter: str
    title: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    flags: tuple[str, ...] = ()


class Value(_Part):
    """The figure of one side on the items that all sides were scored on.

    Attributes:
        side: its letter.
        value, low, high, method: the figure with its interval; None where undefined.
        over_seeds: mean and standard deviation over seeds; None for a single run.
        rank: lowest and highest rank that it may have (1 is best); None where the metric has no better.
        tied: letters of the sides of its tie group; empty where it stands alone.
        top: it belongs to the tie group of the best.
        best: in which share of the resamples it is the best.
        missing: items that its runs have no score for, of those that all were asked.
        bounds: its figure if those were all as bad, or all as good, as can be; None where none is missing anywhere.
        warnings: of its interval.
    """

    side: str
    value: float | None
    low: float | None
    high: float | None
    method: str | None
    over_seeds: tuple[float, float] | None = None
    rank: tuple[int, int] | None
    tied: tuple[str, ...] = ()
    top: bool
    best: float | None
    missing: int
    bounds: Range | None = None
    warnings: tuple[str, ...] = ()


class Difference(_Part):
    """Two sides compared in one metric.

    Attributes:
        first, second: their letters.
        value, low, high: figure(first) - figure(second) with its interval; None where undefined.
        interval: what the interval was made over: items, clusters, or seeds and items.
        p: of this pair alone; None where it cannot be had, see `reason`.
        corrected: p corrected for all pairs of the table (Holm).
        winner: letter of the side that is significantly better (for a metric without a better: higher).
        equal: whether the whole interval lies within the margin; None without a margin or an interval.
        detectable: the smallest difference that would be found with a chance of 80 %; None where unknown.
        bounds: the difference if all missing items went against one side, and against the other.
        words: the effect in plain words.
        reason: why there is no p, else None.
    """

    first: str
    second: str
    value: float | None
    low: float | None
    high: float | None
    interval: Literal["items", "clusters", "seeds and items"]
    p: float | None
    corrected: float | None
    winner: str | None
    equal: bool | None
    detectable: float | None
    bounds: Range | None
    words: str
    reason: str | None = None


class Compared(_Part):
    """One metric.

    Attributes:
        metric, title, direction, percent, decimals: its meaning; see `metrics.base.Metric`.
        signature: under which all sides were scored, where it has one.
        items: how many all sides were scored on; `clusters` of them, None where they are independent.
        test: what gives p: mcnemar, permutation or randomisation.
        margin: a difference that does not matter, in the metric's own unit; None where none was given.
        values, differences: of each side, and of each pair.
        absent: letter → why that side takes no part.
        notes: what a reader must know of the table.
    """

    metric: str
    title: str
    direction: str
    percent: bool
    decimals: int
    signature: str | None
    items: int
    clusters: int | None
    test: str
    margin: float | None
    values: tuple[Value, ...]
    differences: tuple[Difference, ...]
    absent: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Item(_Part):
    """An item that one side has right and the other wrong. Labels stand here for public tasks alone.

    `first` and `second` hold what each run of the two sides said, in the order of seeds.
    """

    id: str
    gold: str | None = None
    first: tuple[str | None, ...] | None = None
    second: tuple[str | None, ...] | None = None


class Changes(_Part):
    """Which items two sides differ on in the label.

    A side with several seeds has an item right where most of its seeds have; with a draw it is in neither list.

    Attributes:
        first, second: letters of the sides.
        only_first, only_second: items that this side alone has right.
        both, neither: how many both, or none, have right.
    """

    first: str
    second: str
    only_first: tuple[Item, ...]
    only_second: tuple[Item, ...]
    both: int
    neither: int


class LeftOut(_Part):
    """A metric that is not compared, and why."""

    metric: str
    reason: str


class Comparison(_Part):
    """The whole of it.

    Attributes:
        task, split, data_digest: what all runs were made on.
        public: whether the task is public, and the rows its own; otherwise no labels stand beside the ids.
        sides: what is compared.
        metrics: a table each.
        left_out: metrics that were asked for, or are usual, and cannot be compared.
        changes: for each pair the items they differ on.
        how: seed, resamples and level.
        notes: what holds for all tables.
    """

    schema_version: int = Field(default=SCHEMA, serialization_alias="schema")
    task: str
    split: str
    data_digest: str
    public: bool
    sides: tuple[Side, ...]
    metrics: tuple[Compared, ...]
    left_out: tuple[LeftOut, ...]
    changes: tuple[Changes, ...]
    how: dict[str, Json]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Json]:
        """Return the document as it is printed."""
        return self.model_dump(mode="json", by_alias=True)
