"""From the judgings of run folders, and the audits of their judges, to what pages show of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from r2d_bench.documents import slug
from r2d_bench.errors import UserError
from r2d_bench.judging.agreement import FIGURES
from r2d_bench.judging.audit_probes import PROBES
from r2d_bench.judging.audit_store import find_audit
from r2d_bench.judging.audit_words import UNUSABLE
from r2d_bench.judging.calibrated import calibrated_figures
from r2d_bench.judging.calibration import Calibration
from r2d_bench.judging.family import families, families_of_manifest
from r2d_bench.judging.jury import read_juries
from r2d_bench.judging.meaning import MEAN, judge_metrics, without_private_host
from r2d_bench.judging.score import FULL, SCHEMA
from r2d_bench.judging.setup import LOOPBACK
from r2d_bench.judging.store import JudgmentStore, find_judgments
from r2d_bench.leaderboard.judge_document import (
    AuditInfo,
    CalibrationInfo,
    Cells,
    HumanAgreement,
    JudgeCard,
    JudgedTable,
    Judgment,
    Jury,
    Noise,
    PairAgreement,
    ProbeInfo,
    RubricInfo,
    Spent,
    VerdictCounts,
)
from r2d_bench.leaderboard.parts import Figure, MetricInfo, ModelInfo, Stamp
from r2d_bench.metrics.base import About, Direction, Metric
from r2d_bench.metrics.display import shown
from r2d_bench.tasks.privacy import public_host

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from r2d_bench.judging.setup import JudgeSetup
    from r2d_bench.leaderboard.document import Row
    from r2d_bench.records import Json
    from r2d_bench.runs.store import RunStore

UNCALIBRATED = "uncalibrated: no audit of this judge has been run"
PRIVATE_HOST = "a private server"


@dataclass(frozen=True)
class JudgedRun:
    """What judges said of one run.

    Attributes:
        judgments: one for each judge, by its id.
        juries: several judges of one rubric.
        cards: the judges.
        skipped: why judgings are not shown.
    """

    judgments: tuple[Judgment, ...]
    juries: tuple[Jury, ...]
    cards: tuple[JudgeCard, ...]
    skipped: tuple[str, ...]


def read_judged(run: RunStore, audits: Path) -> JudgedRun:
    """Return everything that judges said of a run.

    Args:
        run: the run.
        audits: the folder of audits.
    """
    judgments: dict[str, Judgment] = {}
    cards: list[JudgeCard] = []
    ids: dict[str, str] = {}
    skipped: list[str] = []
    asked = {ident for part in run.selections() for ident in part.ids}
    for store in find_judgments(run.folder):
        try:
            setup = store.setup()
            if setup.rubric.spec.mode == "pairwise":
                continue
            audit = find_audit(audits, setup.digest)
            card = card_of(setup, families_of_manifest(store.manifest()), audit)
            judgments[card.id] = _judgment(store, card.id, audit, asked)
        except UserError as error:
            # Paths, and names of private servers in them, do not belong on a page.
            skipped.append(f"a judging is left out: {_told(error, store)}")
        else:
            cards.append(card)
            ids[store.name] = card.id
    found = [jury for _, jury in read_juries(run.folder) if set(jury["judges"]) <= set(ids)]
    juries = tuple(_jury(jury, ids) for jury in found)
    return JudgedRun(tuple(judgments[ident] for ident in sorted(judgments)), juries, tuple(cards), tuple(skipped))


def _told(error: UserError, store: JudgmentStore) -> str:
    text = str(error)
    for name in (f"{store.folder}/", str(store.folder), store.name):
        text = text.replace(name, "")
    return text.lstrip(": ")


def _judgment(store: JudgmentStore, judge: str, audit: Mapping[str, Json] | None, asked: set[str]) -> Judgment:
    """Return the figures of one judging.

    Raises:
        UserError: it has none, or of another version.
    """
    scores = store.scores()
    if scores is None or scores.get("schema") != SCHEMA:
        raise UserError("it has no figures of this version: read its replies again (judge --parse-only)")
    calibration = (audit or {}).get("calibration", {})
    calibrated = {}
    if "scores" in calibration:
        found = calibrated_figures(scores, store.verdicts(), Calibration.from_json(calibration))
        calibrated = {name: Figure(**asdict(figure)) for name, figure in found.items()}
    noise = scores["repeats"]
    return Judgment(
        judge=judge,
        selection=Stamp(**scores["selection"]),
        asked=scores["asked"],
        scored=scores["scored"],
        whole=asked <= store.ids() and scores["scored"] >= FULL * scores["asked"],
        metrics=_figures(scores["metrics"]),
        calibrated=calibrated,
        care=scores["care"],
        same_family=scores["family"]["same"],
        families=tuple(scores["family"]["model"]),
        joint=_cells(scores["joint"]),
        counts=VerdictCounts(**scores["counts"]),
        noise=None if noise is None else _noise(noise),
        spent=Spent(**scores["spent"]),
        served_models=scores["served_models"],
    )


def _figures(estimates: Mapping[str, Json]) -> dict[str, Figure]:
    return {name: Figure(**estimate) for name, estimate in estimates.items()}


def _cells(joint: Mapping[str, Json]) -> Cells:
    return Cells(source=joint["source"], adequate=joint["adequate"], counts=joint["counts"])


def _noise(noise: Mapping[str, Json]) -> Noise:
    figures = {name: Figure(**noise[name]) for name in ("flips", "spread", "mean")}
    return Noise(examples=noise["examples"], times=noise["times"], **figures)


def _jury(found: Mapping[str, Json], ids: Mapping[str, str]) -> Jury:
    return Jury(
        judges=tuple(ids[name] for name in found["judges"]),
        method=found["score_method"],
        selection=Stamp(**found["selection"]),
        asked=found["asked"],
        scored=found["scored"],
        metrics=_figures(found["metrics"]),
        care=found["care"],
        joint=_cells(found["joint"]),
        alpha=_figures(found["alpha"]),
        kappa=tuple(
            PairAgreement(judges=(ids[pair["judges"][0]], ids[pair["judges"][1]]), criteria=_figures(pair["criteria"]))
            for pair in found["kappa"]
        ),
    )


# Cards


def card_of(setup: JudgeSetup, kin: Iterable[str], audit: Mapping[str, Json] | None) -> JudgeCard:
    """Return a judge's card.

    Args:
        setup: judge and rubric.
        kin: families of the judge, where its manifest tells; else its name is asked.
        audit: its `audit.json`; None where it has not been audited.
    """
    spec = setup.rubric.spec
    identity = without_private_host(setup.identity)
    info = None if audit is None else _audit(audit)
    return JudgeCard(
        id=slug(f"{spec.name}--{identity.kind}--{identity.name.rpartition('/')[2]}--{setup.digest[:8]}"),
        title=title_of(setup),
        rubric=_rubric(setup),
        model=ModelInfo(**asdict(identity), title=identity.title),
        where=where(setup.endpoint),
        remote=setup.endpoint not in (None, LOOPBACK),
        chat=setup.chat,
        method=setup.method,
        families=tuple(sorted(kin or families(setup.model, {}))),
        metrics=tuple(MetricInfo(**asdict(metric)) for metric in judge_metrics(spec).values()),
        audit=info,
        status=UNCALIBRATED if info is None else info.sentence,
    )


def title_of(setup: JudgeSetup) -> str:
    """Return a judge's name for people: the model, and by which rubric it judges."""
    return f"{without_private_host(setup.identity).title}, {setup.rubric.spec.full_name}"


def where(endpoint: str | None) -> str:
    """Return where texts go, for people: never more than a host, and that only of a public server."""
    if endpoint is None:
        return "in this process"
    if endpoint == LOOPBACK:
        return LOOPBACK
    return public_host(endpoint) or PRIVATE_HOST


def _rubric(setup: JudgeSetup) -> RubricInfo:
    spec = setup.rubric.spec
    return RubricInfo(
        name=spec.name,
        full_name=spec.full_name,
        title=spec.title,
        description=spec.description,
        reference=spec.reference,
        low=spec.scale.low,
        high=spec.scale.high,
        criteria=tuple(one.model_dump(mode="json") for one in spec.criteria),
        flags=tuple(flag.model_dump(mode="json") for flag in spec.flags),
        empty=spec.empty.flags,
        limits=spec.limits.model_dump(),
        max_new_tokens=spec.max_new_tokens,
        system=spec.system,
        prompt=setup.rubric.source,
        digest=setup.rubric.digest,
    )


def _audit(audit: Mapping[str, Json]) -> AuditInfo:
    covered, calibration = audit["coverage"], audit["calibration"]
    human = tuple(
        HumanAgreement(
            title=one["title"], raters=one["raters"], criterion=one["criterion"], figures=_figures(one["figures"])
        )
        for one in audit["human"].values()
    )
    kept = ("title", "changed", "criterion", "expected", "verdict")
    return AuditInfo(
        sentence=audit["sentence"],
        usable=bool(human) and UNUSABLE not in audit["sentence"],
        task=audit["task"]["name"],
        finished=audit["finished"][:10],
        people=FIGURES,
        human=human,
        without_people=audit["without_people"],
        probes=tuple(
            ProbeInfo(**{key: one[key] for key in kept}, shift=Figure(**one["shift"]), share=Figure(**one["share"]))
            for one in sorted(audit["probes"].values(), key=_place)
        ),
        asked=covered["asked"],
        scored=covered["scored"],
        parse_rate=Figure(**covered["parse_rate"]),
        calibration=_calibration(calibration),
    )


def _place(probe: Mapping[str, Json]) -> int:
    """Return the place of a probe; those of another version come last."""
    titles = [one.title for one in PROBES.values()]
    return titles.index(probe["title"]) if probe["title"] in titles else len(titles)


def _calibration(calibration: Mapping[str, Json]) -> CalibrationInfo:
    if "reason" in calibration:
        return CalibrationInfo(reason=calibration["reason"])
    return CalibrationInfo(
        criterion=calibration["criterion"],
        scores=calibration["scores"],
        values=calibration["values"],
        checks={name: _figures(checks) for name, checks in calibration["checks"].items()},
    )


# Tables


def judged_tables(rows: Sequence[Row], cards: Mapping[str, JudgeCard]) -> list[JudgedTable]:
    """Return a table for each judge of any of the rows, those with most rows in front."""
    by_judge: dict[str, list[tuple[Row, Judgment]]] = {}
    for row in rows:
        for judgment in row.judgments:
            by_judge.setdefault(judgment.judge, []).append((row, judgment))
    order = sorted(by_judge, key=lambda judge: (-len(by_judge[judge]), judge))
    return [_judged_table(cards[judge], by_judge[judge]) for judge in order]


def _judged_table(card: JudgeCard, pairs: Sequence[tuple[Row, Judgment]]) -> JudgedTable:
    def place(pair: tuple[Row, Judgment]) -> tuple[bool, float, str]:
        value = pair[1].metrics[MEAN].value
        return value is None, -(value or 0.0), pair[0].run

    fair = [
        (row.run, judgment.metrics)
        for row, judgment in pairs
        if judgment.whole and row.complete and row.model.row == "model" and not (row.training and row.training.loud)
    ]
    usable = card.audit is not None and card.audit.usable
    metrics = [judge_metric(info) for info in card.metrics]
    best = {metric.name: _best(metric, fair) for metric in metrics} if usable and len(fair) > 1 else {}
    return JudgedTable(judge=card.id, runs=tuple(row.run for row, _ in sorted(pairs, key=place)), best=best)


def judge_metric(info: MetricInfo) -> Metric:
    """Return the metric that stands in the document as data."""
    values = info.model_dump()
    return Metric(**values | {"about": About(info.about), "direction": Direction(info.direction)})


def _best(metric: Metric, fair: Sequence[tuple[str, Mapping[str, Figure]]]) -> tuple[str, ...]:
    """Return the runs with the best figure, as it is shown."""
    values = {run: value for run, figures in fair if (value := figures[metric.name].value) is not None}
    if metric.direction is Direction.NONE or len(values) < 2:
        return ()
    top = shown(metric, (max if metric.direction is Direction.HIGHER else min)(values.values()))
    return tuple(run for run, value in values.items() if shown(metric, value) == top)
