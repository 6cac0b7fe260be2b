"""What `results.json` holds of judges: their cards, what they said of each run, and their audits; see `document`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from r2d_bench.leaderboard.parts import Figure, Frozen, MetricInfo, ModelInfo, Stamp
from r2d_bench.records import Json


class RubricInfo(Frozen):
    """By what is judged; see `judging.rubric`.

    Attributes:
        criteria, flags: as in `judge.yaml`, with every level's description.
        system, prompt: the turns of the judge; None where they are withheld (a rubric that is not built in, on a task
            that is not public, may quote examples), as are questions and levels then.
        digest: of all that can change a verdict.
    """

    name: str
    full_name: str
    title: str
    description: str
    reference: bool
    low: int
    high: int
    criteria: tuple[dict[str, Json], ...]
    flags: tuple[dict[str, Json], ...]
    empty: tuple[str, ...]
    limits: dict[str, int]
    max_new_tokens: int
    system: str | None
    prompt: str | None
    digest: str


class HumanAgreement(Frozen):
    """How far a judge agrees with the raters of one set; `figures` by the names of `judging.agreement`."""

    title: str
    raters: str
    criterion: str
    figures: dict[str, Figure]


class ProbeInfo(Frozen):
    """One probe of an audit. `shift` is the mean change of the score, `share` that of items that did as they should."""

    title: str
    changed: str
    criterion: str
    expected: str
    verdict: str
    shift: Figure
    share: Figure


class CalibrationInfo(Frozen):
    """The map from a judge's scores to people's, or the reason why there is none."""

    criterion: str | None = None
    scores: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    checks: dict[str, dict[str, Figure]] = Field(default_factory=dict)
    reason: str | None = None


class AuditInfo(Frozen):
    """The audit of a judge.

    Attributes:
        sentence: what a reader must know.
        usable: whether nothing in it says that the scores should not compare models.
        task: whose gold rationales were changed.
        finished: date.
        people: titles of the figures of agreement, in order.
        human: a set each; `without_people` says why there is none.
        probes: in order.
        asked, scored: questions, and verdicts that could be read.
        parse_rate: share of replies that are a verdict.
        calibration: to people's scores.
    """

    sentence: str
    usable: bool
    task: str
    finished: str
    people: dict[str, str]
    human: tuple[HumanAgreement, ...]
    without_people: str | None
    probes: tuple[ProbeInfo, ...]
    asked: int
    scored: int
    parse_rate: Figure
    calibration: CalibrationInfo


class JudgeCard(Frozen):
    """A judge: a rubric and the model that judges by it.

    Attributes:
        id: name of its page.
        title: the model, and by which rubric.
        model: who judges, without the host of a private server.
        where: where texts went: this process, this machine, or a host.
        remote: they left the machine.
        chat: it is asked in turns of a chat.
        method: `reply` or `probability`.
        families: that the model is of; empty where not known.
        metrics: the meaning of its figures, in order.
        audit: None without one.
        status: what a reader must know wherever its figures stand.
    """

    id: str
    title: str
    rubric: RubricInfo
    model: ModelInfo
    where: str
    remote: bool
    chat: bool
    method: Literal["reply", "probability"]
    families: tuple[str, ...]
    metrics: tuple[MetricInfo, ...]
    audit: AuditInfo | None
    status: str


class Cells(Frozen):
    """Label and rationale together. `counts` is None where there are none, or they are withheld."""

    source: str
    adequate: str | None
    counts: dict[str, int] | None


class VerdictCounts(Frozen):
    """How verdicts came about.

    Attributes:
        by_rule: verdicts that needed no call (an empty or refused rationale).
        replies: replies of the judge; `at_once` of them could be read, `reasked` were asked again for the form alone.
        cut: cases or rationales that were cut before they were shown.
        suspected: rationales that hold what looks like an attempt to move the judge; `suspects` says of what kind.
        cannot_assess: criterion → verdicts that left it open.
        unscored: reason → rationales without a verdict.
    """

    by_rule: int
    replies: int
    at_once: int
    reasked: int
    cut: int
    suspected: int
    suspects: dict[str, int]
    cannot_assess: dict[str, int]
    unscored: dict[str, int]


class Noise(Frozen):
    """What a judge says when it is asked the same again; see `judging.repeats`."""

    examples: int
    times: int
    flips: Figure
    spread: Figure
    mean: Figure


class Spent(Frozen):
    """When a judge was asked, and what it cost; `cost` in US dollars, as far as prices are known."""

    sittings: int
    last: str
    requests: int
    seconds: float
    tokens: dict[str, int]
    cost: float


class Judgment(Frozen):
    """What one judge said of a run's rationales.

    Attributes:
        judge: id of its card.
        selection: the part of the split that was judged.
        asked, scored: rationales that were to be judged, and that have a verdict.
        whole: all that the run was asked was judged, and 98 % or more of it has a verdict.
        metrics: by the names of the card's metrics.
        calibrated: the same after the audit's calibration, where it has one.
        care: the sentence that stands beside the means where coverage is low.
        same_family: judge and model are of one family; None where that of either is not known.
        families: of the run's model.
        joint: label and rationale together.
        counts: None where the task publishes aggregates only.
        noise: None where nothing was asked twice.
        spent: tokens, cost, time.
        served_models: models that an API says have answered.
    """

    judge: str
    selection: Stamp
    asked: int
    scored: int
    whole: bool
    metrics: dict[str, Figure]
    calibrated: dict[str, Figure]
    care: str | None
    same_family: bool | None
    families: tuple[str, ...]
    joint: Cells
    counts: VerdictCounts | None
    noise: Noise | None
    spent: Spent
    served_models: dict[str, int]


class PairAgreement(Frozen):
    """Quadratic kappa of two judges, a figure for each criterion."""

    judges: tuple[str, str]
    criteria: dict[str, Figure]


class Jury(Frozen):
    """Several judges of one run and rubric, together; see `judging.jury`."""

    judges: tuple[str, ...]
    method: Literal["reply", "probability"]
    selection: Stamp
    asked: int
    scored: int
    metrics: dict[str, Figure]
    care: str | None
    joint: Cells
    alpha: dict[str, Figure]
    kappa: tuple[PairAgreement, ...]


class JudgedTable(Frozen):
    """The rows of a table that one judge has judged.

    Attributes:
        judge: id of its card.
        runs: best judge mean in front, those without one last.
        best: metric → runs with the best figure, as shown; none where the judge is not audited, or its audit says
            that its scores should not compare models.
    """

    judge: str
    runs: tuple[str, ...]
    best: dict[str, tuple[str, ...]]
