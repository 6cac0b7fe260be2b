"""Run folders into the one document that every page is made of. A pure function of files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from r2d_bench import content
from r2d_bench.comparison.sides import Kin
from r2d_bench.documents import load, slug
from r2d_bench.errors import UserError
from r2d_bench.leaderboard import privacy
from r2d_bench.leaderboard.citing import bibtex, command_of, page_of
from r2d_bench.leaderboard.document import (
    Bin,
    Card,
    ChallengeFigures,
    ChallengeInfo,
    LabelInfo,
    ProtocolInfo,
    Results,
    Risk,
    Row,
    Scoring,
    Sittings,
    Skipped,
    Slice,
    SweepPoint,
    Table,
    Training,
)
from r2d_bench.leaderboard.example_index import read_index
from r2d_bench.leaderboard.judged import judged_tables, read_judged
from r2d_bench.leaderboard.ordering import columns_of, sorted_rows
from r2d_bench.leaderboard.origin import origin_of
from r2d_bench.leaderboard.parts import Figure, Frozen, MetricInfo, ModelInfo, Stamp
from r2d_bench.leaderboard.ranks import ranking_of
from r2d_bench.leaderboard.seeds import but_for_the_seed, gathered
from r2d_bench.metrics.registry import METRICS
from r2d_bench.models.base import Identity
from r2d_bench.models.cards import ModelCard
from r2d_bench.runs.scoring import SCORES_SCHEMA
from r2d_bench.runs.store import find_runs
from r2d_bench.tasks.spec import TaskSpec
from r2d_bench.training.lineage import from_json, marks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from r2d_bench.leaderboard.board import Board
    from r2d_bench.leaderboard.judge_document import JudgeCard
    from r2d_bench.leaderboard.judged import JudgedRun
    from r2d_bench.leaderboard.privacy import Decision
    from r2d_bench.records import Json
    from r2d_bench.runs.setup import RunSetup
    from r2d_bench.runs.store import RunStore

AUDITS = Path("audits")


_Part = TypeVar("_Part", bound=Frozen)


@dataclass(frozen=True, slots=True)
class _Run:
    """A run that comes into a table."""

    store: RunStore
    setup: RunSetup
    manifest: dict[str, Json]
    scores: dict[str, Json]
    spec: TaskSpec
    decision: Decision
    judged: JudgedRun

    @property
    def training(self) -> Training | None:
        """What its checkpoint tells of itself."""
        return _training(self.store.name, self.manifest, self.setup)

    @property
    def alike(self) -> str:
        """Digest of all that it is, apart from its seed."""
        return _alike(self.setup, self.training, self.scores)

    @property
    def table(self) -> tuple[str, str, str]:
        """What two runs must share to stand in one table: task@version, split, and its rows."""
        return self.setup.task, self.setup.split, self.setup.data_digest


class _Tasks:
    """Every `task.yaml` that can be found, whatever its version; the first of a version wins."""

    def __init__(self, dirs: Sequence[Path]) -> None:
        self._by_name: dict[str, list[TaskSpec]] = {}
        for root in content.roots("tasks", dirs):
            for folder in (root, *sorted(root.iterdir())):
                if (folder / "task.yaml").is_file():
                    spec = load(TaskSpec, folder / "task.yaml")
                    self._by_name.setdefault(spec.name, []).append(spec)

    def namesakes(self, full_name: str) -> list[TaskSpec]:
        """Return the specs of that name, the one of the very version in front if there is one.

        Raises:
            UserError: no task of that name.
        """
        name = full_name.rpartition("@")[0]
        if name not in self._by_name:
            # No hint with the known names: the message stands on a page, and they may be private.
            raise UserError(f"unknown task '{name}'")
        return sorted(self._by_name[name], key=lambda spec: spec.full_name != full_name)


def collect(board: Board, runs: Path, task_dirs: Sequence[Path] = (), audits: Path = AUDITS) -> Results:
    """Return everything that the pages of a board show.

    Args:
        board: the board.
        runs: the folder that holds the run folders.
        task_dirs: further folders to look for tasks in.
        audits: the folder that holds the audits of judges.

    Raises:
        UserError: no run folder, or a broken `task.yaml`.
    """
    stores = find_runs(runs)
    if not stores:
        raise UserError(f"{runs}: holds no run folder; run the benchmark first")
    tasks = _Tasks(task_dirs)
    taken: list[_Run] = []
    skipped: list[Skipped] = []
    for store in stores:
        try:
            taken.append(_read(store, board, tasks, audits))
        except UserError as error:
            # Paths of this machine do not belong on a page.
            reason = str(error).replace(f"{store.folder}/", "").replace(str(store.folder), store.name)
            skipped.append(Skipped(run=store.name, reason=reason))
    skipped += [Skipped(run=run.store.name, reason=reason) for run in taken for reason in run.judged.skipped]
    tables = tuple(_tables(board, taken, task_dirs))
    return Results(
        board=board,
        citation=bibtex(board, tables),
        metrics=tuple(MetricInfo(**asdict(metric)) for metric in METRICS.values()),
        tables=tables,
        judges=tuple(_judges(taken, {row.run for table in tables if not table.texts for row in table.rows})),
        skipped=tuple(skipped),
    )


def _judges(runs: Sequence[_Run], hidden: Collection[str]) -> Iterable[JudgeCard]:
    """Yield the cards of all judges, by name; `hidden` are the runs of tables that publish no texts."""
    cards: dict[str, JudgeCard] = {}
    private: set[str] = set()
    for run in runs:
        for card in run.judged.cards:
            cards[card.id] = card
            if run.store.name in hidden:
                private.add(card.id)
    for ident in sorted(cards):
        yield privacy.without_own_words(cards[ident]) if ident in private else cards[ident]


def _read(store: RunStore, board: Board, tasks: _Tasks, audits: Path) -> _Run:
    """Read one run folder.

    Raises:
        UserError: it is in no table of the board; the message says why.
    """
    manifest, setup, scores = store.manifest(), store.setup(), store.scores()
    name = setup.task.rpartition("@")[0]
    namesakes = tasks.namesakes(setup.task)
    if board.tasks and name not in board.tasks:
        raise UserError(f"task {name} is not on this board")
    if scores is None:
        raise UserError("not scored")
    if scores.get("schema") != SCORES_SCHEMA or scores.get("task") != setup.task:
        raise UserError("scores.json is of another version or task: score the run again")
    spec = namesakes[0]
    decision = privacy.decide(
        spec if spec.full_name == setup.task else None,
        namesakes,
        split=setup.split,
        data_digest=setup.data_digest,
        sources=[sitting["data"]["source"] for sitting in manifest["sittings"]],
    )
    if decision.texts and not (store.folder / "examples.parquet").is_file():
        raise UserError("has scores.json but no examples.parquet: score the run again")
    return _Run(store, setup, manifest, scores, spec, decision, read_judged(store, audits))


def _tables(board: Board, runs: Sequence[_Run], task_dirs: Sequence[Path]) -> Iterable[Table]:
    """Yield the tables in the board's order of tasks, the newest version in front."""
    grouped: dict[tuple[str, str, str], list[_Run]] = {}
    for run in runs:
        grouped.setdefault(run.table, []).append(run)

    def place(key: tuple[str, str, str]) -> tuple[int, str, int, str, str]:
        name, _, version = key[0].rpartition("@")
        order = board.tasks.index(name) if name in board.tasks else len(board.tasks)
        return order, name, -int(version), key[1], key[2]

    for key in sorted(grouped, key=place):
        alike = sum(other[0] == key[0] for other in grouped)
        yield _table(board, grouped[key], "-".join(key) if alike > 1 else key[0], task_dirs)


def _table(board: Board, runs: Sequence[_Run], name: str, task_dirs: Sequence[Path]) -> Table:
    # One run that must not show texts keeps those of all others off the page: they share their items.
    decision = min((run.decision for run in runs), key=lambda d: d.texts)
    first = runs[0]
    rows = [_row(run, texts=decision.texts) for run in runs]
    primary = first.spec.metrics.primary
    metrics = dict.fromkeys((primary, *board.columns) if primary in METRICS else board.columns)
    groups = gathered(rows, {run.store.name: run.alike for run in runs})
    card = _card(first.spec)
    if decision.texts:
        index = read_index([run.store for run in runs], card, first.setup.split)
        rows = [row.model_copy(update={"examples": index.counts(row.run)}) for row in rows]
    ordered = sorted_rows(rows, next(iter(metrics)), groups)
    stores = {run.store.name: run.store for run in runs}
    ranking, duels = ranking_of(next(iter(metrics)), ordered, groups, stores, task_dirs, texts=decision.texts)
    return Table(
        id=slug(name.replace("@", "-v")),
        task=first.setup.task,
        split=first.setup.split,
        n=max(row.selection.of for row in rows),
        data_digest=first.setup.data_digest,
        card=card,
        visibility=decision.visibility,
        texts=decision.texts,
        decision=decision.sentence,
        primary=next(iter(metrics)),
        columns=tuple(columns_of(list(metrics), ordered, ranking)),
        rows=tuple(ordered),
        seeds=groups,
        ranking=ranking,
        duels=duels,
        judged=tuple(judged_tables(ordered, {card.id: card for run in runs for card in run.judged.cards})),
    )


def _card(spec: TaskSpec) -> Card:
    label = spec.label
    return Card(
        title=spec.title,
        description=spec.description,
        domain=spec.domain,
        language=spec.language,
        licence=spec.licence,
        citation=spec.citation,
        homepage=spec.homepage,
        superseded_by=spec.superseded_by,
        space=label.space,
        labels=tuple(LabelInfo(value=value, title=label.titles.get(value, "")) for value in label.values),
        rationale_origin=spec.rationale.origin,
        rationale_styles=tuple(spec.rationale.styles),
        mix=label.mix,
        cost=label.cost_matrix,
        challenges=tuple(
            ChallengeInfo(name=name, title=one.title or name, kind=str(one.kind), split=one.split)
            for name, one in spec.challenges.items()
        ),
    )


def _row(run: _Run, *, texts: bool) -> Row:
    setup, scores = run.setup, run.scores
    selection = scores["selection"]
    sittings = _sittings(run.manifest["sittings"])
    row = Row(
        run=run.store.name,
        page=page_of(setup.model),
        command=command_of(setup, Stamp(**selection)),
        origin=origin_of(run.store),
        model=_model(setup.model),
        protocol=_protocol(setup),
        label_method=str(setup.label_method),
        max_new_tokens=dict(setup.max_new_tokens),
        no_rationale=setup.no_rationale,
        seed=setup.seed,
        shots=len(setup.shots),
        remarks=scores["remarks"],
        served_models=scores["served_models"],
        prompt_digest=setup.prompt_digest,
        selection=Stamp(**selection),
        answered=scores["answered"],
        complete=not selection["partial"] and scores["answered"] == selection["n"],
        unscored=scores["unscored"],
        metrics={name: _figure(scores["metrics"].get(name)) for name in METRICS},
        signatures={name: text for name, text in scores["signatures"].items() if name in METRICS},
        rationale_style=scores["rationale_style"],
        challenges={name: ChallengeFigures.model_validate(one) for name, one in scores["challenges"].items()},
        slices={name: Slice.model_validate(one) for name, one in scores["slices"].items()},
        sittings=sittings,
        seconds_each=round(sittings.seconds / scores["answered"], 4) if scores["answered"] else None,
        training=run.training,
        judgments=run.judged.judgments,
        juries=run.judged.juries,
        scoring=Scoring(parser=scores["parser"], resampling=scores["resampling"], versions=scores["versions"]),
        confusion=scores.get("confusion"),
        per_class=scores.get("per_class"),
        cost_sweep=_sweep(scores),
        reliability=_parts(Bin, scores.get("reliability")),
        risk_coverage=_parts(Risk, scores.get("risk_coverage")),
        statuses=scores["statuses"],
        rationale_statuses=scores["rationale_statuses"],
    )
    return row if texts else privacy.aggregates_only(row, setup.protocol, run.spec.label)


def kin_of(store: RunStore) -> Kin:
    """Return what tells that a run differs from another in its seed alone.

    Raises:
        UserError: no run folder, or it is not scored.
    """
    setup, scores = store.setup(), store.scores()
    if scores is None:
        raise UserError(f"{store.folder}: not scored yet: r2d-bench score {store.folder}")
    training = _training(store.name, store.manifest(), setup)
    seed = setup.seed if training is None else training.seed
    return Kin(_alike(setup, training, scores), seed, trained=training is not None)


def _sweep(scores: Mapping[str, Json]) -> tuple[SweepPoint, ...] | None:
    points = scores.get("cost_sweep", {}).get("points", [])
    found = [
        SweepPoint(ratio=point["ratio"], figure=_figure({k: v for k, v in point.items() if k != "ratio"}))
        for point in points
    ]
    return tuple(found) or None


def _parts(kind: type[_Part], rows: Sequence[Mapping[str, Json]] | None) -> tuple[_Part, ...] | None:
    return tuple(kind.model_validate(row) for row in rows) if rows else None


def _alike(setup: RunSetup, training: Training | None, scores: Mapping[str, Json]) -> str:
    return but_for_the_seed(setup, training, scores["selection"]["digest"], scores["rationale_style"])


def _training(name: str, manifest: Mapping[str, Json], setup: RunSetup) -> Training | None:
    """Return what the newest sitting tells of the checkpoint's lineage, and what follows for figures on these rows."""
    told = next((s["lineage"] for s in reversed(manifest["sittings"]) if s.get("lineage")), None)
    if told is None:
        return None
    lineage = from_json(told, f"{name}: lineage")
    usual, loud = marks(lineage, setup.task, setup.split, setup.data_digest)
    return Training(
        method=lineage.method,
        base=lineage.base.name,
        scratch=lineage.base.digest is None,
        seed=lineage.seed,
        recipe=lineage.recipe,
        lineage=lineage.digest,
        alike=lineage.but_for_the_seed,
        data=lineage.training_data,
        marks=tuple(usual),
        loud=tuple(loud),
    )


def _figure(data: Mapping[str, Json] | None) -> Figure:
    if data is None:
        return Figure(value=None, reason="not computed when the run was scored")
    return Figure(**data)


def _model(data: Mapping[str, Json]) -> ModelInfo:
    identity = Identity(**data)
    return ModelInfo(**asdict(identity), title=identity.title)


def _protocol(setup: RunSetup) -> ProtocolInfo:
    protocol = setup.protocol
    kept = protocol.model_dump(mode="json", by_alias=True, exclude_none=True)
    asked = {stage.name for stage in setup.stages}
    return ProtocolInfo(
        full_name=protocol.full_name,
        title=protocol.title,
        description=protocol.description,
        source=protocol.source,
        structured=protocol.structured,
        label_map=protocol.label_map,
        stages=tuple(stage for stage in kept["stages"] if stage["name"] in asked),
    )


def _sittings(sittings: Sequence[Mapping[str, Json]]) -> Sittings:
    """Sum up the sittings; one that was killed has no end, and its seconds are not known."""
    versions: dict[str, dict[str, None]] = {}
    for sitting in sittings:
        for package, version in sitting["versions"].items():
            versions.setdefault(package, {})[version] = None
    return Sittings(
        count=len(sittings),
        last=max(((s["finished"] or s["started"])[:10] for s in sittings), default=""),
        seconds=round(sum(s.get("seconds") or 0.0 for s in sittings), 3),
        data=tuple(sorted({" ".join(filter(None, (s["data"]["source"], s["data"]["commit"]))) for s in sittings})),
        versions={package: ", ".join(found) for package, found in sorted(versions.items())},
        card=ModelCard(**next((s["card"] for s in reversed(sittings) if s["card"]), {})),
        tokens={kind: sum(s.get("tokens", {}).get(kind, 0) for s in sittings) for kind in ("input", "output")},
        cost=round(sum(s.get("cost") or 0.0 for s in sittings), 6),
    )
