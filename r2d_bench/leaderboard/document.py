"""The shape of `results.json`: every number that the pages show. Pages only render it.

Additions keep `SCHEMA`; a change of meaning, or of a key's place, raises it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from r2d_bench.leaderboard.board import Board
from r2d_bench.leaderboard.judge_document import JudgeCard, JudgedTable, Judgment, Jury
from r2d_bench.leaderboard.parts import Figure, Frozen, MetricInfo, ModelInfo, Stamp
from r2d_bench.models.cards import ModelCard
from r2d_bench.records import Json

SCHEMA = 3


class LabelInfo(Frozen):
    """A label and what it means."""

    value: str
    title: str


class ChallengeInfo(Frozen):
    """A challenge set that a task declares."""

    name: str
    title: str
    kind: str
    split: str


class ChallengeFigures(Frozen):
    """A challenge set that was asked: its rows, how many were answered (None: so few are withheld), its own figures."""

    title: str
    kind: str
    n: int | None
    answered: int | None
    metrics: dict[str, Figure]


class Part(Frozen):
    """The items of one value of a slice. `n` and `unscored` are None where so few items are withheld."""

    value: str
    n: int | None
    unscored: int | None
    accuracy: Figure
    macro_f1: Figure


class Gap(Figure):
    """The gap in accuracy between the best and the worst part of a slice."""

    best: str | None
    worst: str | None


class Slice(Frozen):
    """One slice of the items: its parts, and the gap between them."""

    values: tuple[Part, ...]
    gap: Gap


class Card(Frozen):
    """What a reader must know of a task.

    `mix` (label → share of real calls) and `cost` (a row for each gold label, a column for each that is said) are empty
    where the task declares none.
    """

    title: str
    description: str
    domain: str
    language: str
    licence: str
    citation: str
    homepage: str
    superseded_by: str | None
    space: str
    labels: tuple[LabelInfo, ...]
    rationale_origin: str
    rationale_styles: tuple[str, ...]
    mix: dict[str, float]
    cost: tuple[tuple[float, ...], ...]
    challenges: tuple[ChallengeInfo, ...]


class ProtocolInfo(Frozen):
    """How label and rationale were elicited. `stages` is None where the prompts are withheld."""

    full_name: str
    title: str
    description: str
    source: str
    structured: bool
    label_map: dict[str, str]
    stages: tuple[dict[str, Json], ...] | None


class Sittings(Frozen):
    """When and with which versions the model was asked.

    `last` is a date (UTC), `seconds` the sum of all sittings, `card` what the newest one knows of the model.
    """

    count: int
    last: str
    seconds: float
    data: tuple[str, ...]
    versions: dict[str, str]
    card: ModelCard
    tokens: dict[str, int]
    cost: float


class Scoring(Frozen):
    """With what the run was scored."""

    parser: str
    resampling: dict[str, Json]
    versions: dict[str, str]


class Training(Frozen):
    """What a checkpoint was trained on and how, as its lineage tells; see `training.lineage`.

    Attributes:
        method, base, scratch: how it was made, and from what; `scratch`: from nothing.
        seed, recipe, lineage: of the training: seed, digests.
        alike: the same for checkpoints that differ in their seed alone.
        data: task, splits and styles of rationales that it learnt from.
        marks: what a reader must know of figures on this table's rows.
        loud: marks that make the figures worthless as a test: it was trained or chosen on these very rows.
    """

    method: str
    base: str
    scratch: bool
    seed: int
    recipe: str
    lineage: str
    alike: str
    data: str
    marks: tuple[str, ...]
    loud: tuple[str, ...]


class Spread(Frozen):
    """A figure over seeds: mean and sample standard deviation; without a mean, `reason` says why."""

    mean: float | None
    sd: float | None
    n: int
    reason: str | None = None


class SeedGroup(Frozen):
    """Rows that differ in their seed alone.

    Attributes:
        runs, seeds: in the order of seeds; the rows stand together in the table.
        title: the model's, without a seed.
        metrics: metric → mean and spread, where all of them have a figure under one signature.
        signatures: metric → that signature.
    """

    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    title: str
    metrics: dict[str, Spread]
    signatures: dict[str, str]


class ExampleCounts(Frozen):
    """The published examples of a run: how many in all, and how many of each outcome; of the evaluated split.

    Attributes:
        n: all of them.
        right, wrong: by the label; `wrong` includes `unparsed`, answers without a valid label.
        unscored: without an answer or without a gold label.
        under, over: labels below and above the gold one in urgency; None where labels have no order.
        differ: those where the runs of the table that answered gave different labels; None for a single run.
        poor: those that a judge gave a mean of at most a quarter up its scale (2 of 1 to 5); None where nothing was
            judged.
        challenges: challenge set → its rows, which are in no other count.
    """

    n: int
    right: int
    wrong: int
    unparsed: int
    unscored: int
    under: int | None = None
    over: int | None = None
    differ: int | None = None
    poor: int | None = None
    challenges: dict[str, int] = Field(default_factory=dict)


class SweepPoint(Frozen):
    """The mean cost where a level of under-triage costs `ratio` times a level of over-triage."""

    ratio: float
    figure: Figure


class Bin(Frozen):
    """Answers of like confidence: the mean of it, and how many of them are right."""

    confidence: float
    accuracy: float
    n: int


class Risk(Frozen):
    """The error rate of the surest answers."""

    coverage: float
    risk: float
    n: int


class Row(Frozen):
    """One run. The last group of keys is None where the task publishes aggregates only.

    `page` names the page of its model, which rows of several tasks may share; `command` is what would run it again,
    `origin` who vouches for its figures, `seconds_each` the time for one answer.
    `rationale_style` is the style of the gold rationales that were compared with, where the task declares several;
    `training` is None where the model does not tell what it was trained on; `judgments` and `juries` are what judges
    said of its rationales.
    """

    run: str
    page: str
    command: str
    origin: Literal["verified", "part", "community", "own"] = "own"
    model: ModelInfo
    protocol: ProtocolInfo
    label_method: str
    max_new_tokens: dict[str, int]
    no_rationale: str | None
    seed: int
    shots: int
    remarks: dict[str, int]
    served_models: dict[str, int]
    prompt_digest: str
    selection: Stamp
    answered: int
    complete: bool
    unscored: dict[str, int]
    metrics: dict[str, Figure]
    signatures: dict[str, str]
    rationale_style: str | None
    seconds_each: float | None
    challenges: dict[str, ChallengeFigures]
    slices: dict[str, Slice]
    sittings: Sittings
    scoring: Scoring
    training: Training | None = None
    judgments: tuple[Judgment, ...] = ()
    juries: tuple[Jury, ...] = ()

    confusion: dict[str, Json] | None
    per_class: tuple[dict[str, Json], ...] | None
    statuses: dict[str, int] | None
    rationale_statuses: dict[str, int] | None
    cost_sweep: tuple[SweepPoint, ...] | None = None
    reliability: tuple[Bin, ...] | None = None
    risk_coverage: tuple[Risk, ...] | None = None
    examples: ExampleCounts | None = None


class Column(Frozen):
    """A column of a table.

    Attributes:
        metric: the metric.
        signature: the one signature that its figures carry, where they carry one.
        split: the table has several columns of this metric, one per signature.
        first: the board asks for it; the others are shown on demand.
        best: in the primary metric the models that cannot be told from the best one; elsewhere those with the best
            figure as shown. Among models that answered the whole split.
    """

    metric: str
    signature: str | None
    split: bool
    first: bool
    best: tuple[str, ...]


class ToLeader(Frozen):
    """A side's difference to the leader, side minus leader, with its interval; `corrected` is p after Holm."""

    value: float | None
    low: float | None
    high: float | None
    p: float | None
    corrected: float | None


class Standing(Frozen):
    """Where a row stands, or the rows of a group of seeds by their mean.

    Attributes:
        runs: one, or those of the group.
        rank: the lowest and the highest rank that it may have; 1 is best.
        group: its tie group, 0 is the top: who is not significantly worse than the first of the group.
        tied: it shares its group with others.
        leads: it has the best figure on the items compared.
        best: in which share of the resamples it is the best.
        to_leader: None for the leader itself.
    """

    runs: tuple[str, ...]
    rank: tuple[int, int] | None
    group: int | None
    tied: bool
    leads: bool
    best: float | None
    to_leader: ToLeader | None


class Ranking(Frozen):
    """What paired tests say of the order of a table's rows in its primary metric.

    Rows that answered the whole split take part; those that were trained or chosen on these very rows do not.

    Attributes:
        metric: the metric.
        items: items compared; `clusters` of them, None where they are independent.
        pairs: tests that were made, all pairs; p is corrected for them (Holm).
        level: coverage of the intervals.
        standings: in the order of the rows.
        reason: why there is no ranking, else None.
        warning: what a reader must know of the tests.
    """

    metric: str
    items: int = 0
    clusters: int | None = None
    pairs: int = 0
    level: float = 0.95
    standings: tuple[Standing, ...] = ()
    reason: str | None = None
    warning: str | None = None


class RightWrong(Frozen):
    """Items by whose label is right, and McNemar's exact p, which takes the items as independent."""

    both: int
    first_only: int
    second_only: int
    neither: int
    p: float


class Duel(Frozen):
    """Two rows (or groups of seeds) compared in the primary metric, on the items of the ranking.

    Attributes:
        first, second: their runs.
        difference: first minus second, `low` and `high` its interval; None where one is undefined.
        p: of this pair alone; `corrected` is p after Holm, from which the words follow.
        sentence: what is known of the two, in words.
        labels: None for groups of seeds, and where the task publishes aggregates only.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    corrected: float | None
    sentence: str
    labels: RightWrong | None


class Table(Frozen):
    """All runs on the same rows of one task@version. Rows are sorted by the primary metric; the order is no ranking.

    Rows of a group of `seeds` stand together, at the place of their mean. `ranking` says which ranks are possible,
    `duels` how each two of its standings compare.
    """

    id: str
    task: str
    split: str
    n: int
    data_digest: str
    card: Card
    visibility: str
    texts: bool
    decision: str
    primary: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    seeds: tuple[SeedGroup, ...] = ()
    ranking: Ranking
    duels: tuple[Duel, ...] = ()
    judged: tuple[JudgedTable, ...] = ()


class Skipped(Frozen):
    """A run folder that is in no table, and why."""

    run: str
    reason: str


class Results(Frozen):
    """The whole document. `citation` is a BibTeX entry for it."""

    schema_version: int = Field(default=SCHEMA, serialization_alias="schema")
    board: Board
    citation: str
    metrics: tuple[MetricInfo, ...]
    tables: tuple[Table, ...]
    judges: tuple[JudgeCard, ...] = ()
    skipped: tuple[Skipped, ...]

    def as_json(self) -> dict[str, Json]:
        """Return the document as it stands in `results.json`."""
        return self.model_dump(mode="json", by_alias=True)
