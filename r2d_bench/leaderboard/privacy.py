"""What of a run may be published. Only a task that is public beyond doubt publishes texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from r2d_bench.errors import UserError
from r2d_bench.judging.meaning import FLAG
from r2d_bench.judging.rubric import load_rubric
from r2d_bench.leaderboard.document import Gap
from r2d_bench.leaderboard.parts import Figure
from r2d_bench.metrics import joint
from r2d_bench.protocols.registry import load_protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from r2d_bench.leaderboard.document import ChallengeFigures, Row, Slice
    from r2d_bench.leaderboard.judge_document import JudgeCard, Judgment, Jury, PairAgreement
    from r2d_bench.protocols.spec import Protocol
    from r2d_bench.tasks.spec import TaskSpec


SMALL = 10  # a part of fewer items may point at persons
WITHHELD = f"withheld: fewer than {SMALL} items, or next to such a part"

AnyFigure = TypeVar("AnyFigure", bound=Figure)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether texts are published, under which visibility, and the sentence that says so on the page."""

    texts: bool
    visibility: str
    sentence: str


def decide(
    spec: TaskSpec | None, namesakes: Sequence[TaskSpec], *, split: str, data_digest: str, sources: Iterable[str]
) -> Decision:
    """Decide what a run publishes.

    Args:
        spec: the `task.yaml` of the very version that was run; None where it is not at hand.
        namesakes: every `task.yaml` of that name that was found, whatever its version.
        split: the split that was run.
        data_digest: digest of the rows that were run.
        sources: where the rows came from in each sitting (bundled, local, hub).
    """
    if spec is None:
        return _aggregates("unknown", "the task.yaml of this version is not at hand, so it counts as private")
    for found in (spec, *namesakes):
        if found.visibility != "public":
            return _aggregates(found.visibility, f"the task is {found.visibility}")
    known = spec.splits[split].digest if split in spec.splits else None
    if known is not None and known != data_digest:
        return _aggregates("unknown", "its rows are not the task's known ones, so they count as private")
    # Data given with --data may be anybody's, unless the task knows their digest.
    if known is None and "local" in set(sources):
        return _aggregates("unknown", "local data stand in for the task's own, so they count as private")
    return Decision(texts=True, visibility="public", sentence="Texts are published: the task is public.")


def _aggregates(visibility: str, why: str) -> Decision:
    sentence = f"Aggregates only, no texts, ids, confusion matrix or figures per class: {why}."
    return Decision(texts=False, visibility=visibility, sentence=sentence)


def aggregates_only(row: Row, protocol: Protocol) -> Row:
    """Return the row without anything that speaks of single items or of small groups of them.

    Args:
        row: the row with everything.
        protocol: its protocol. The prompts of one that is not built in may quote examples and are withheld.
    """
    hidden = row.protocol
    if not _built_in(protocol):
        hidden = hidden.model_copy(
            update={"title": "", "description": "", "source": "", "label_map": {}, "stages": None}
        )
    return row.model_copy(
        update={
            "protocol": hidden,
            "selection": row.selection.model_copy(update={"digest": None}),
            "metrics": {name: _uncounted(figure) for name, figure in row.metrics.items()},
            "challenges": {name: _uncounted_set(one) for name, one in row.challenges.items()},
            "judgments": tuple(_few_hidden(one) for one in row.judgments),
            "juries": tuple(_jury(one) for one in row.juries),
            "slices": {name: _without_small_parts(one) for name, one in row.slices.items()},
            "confusion": None,
            "per_class": None,
            "reliability": None,
            "risk_coverage": None,
            "statuses": None,
            "rationale_statuses": None,
            "examples": None,
        }
    )


def _built_in(protocol: Protocol) -> bool:
    try:
        return load_protocol(protocol.name) == protocol
    except UserError:
        return False


def _uncounted_set(one: ChallengeFigures) -> ChallengeFigures:
    return one.model_copy(update={"metrics": {name: _uncounted(figure) for name, figure in one.metrics.items()}})


def _without_small_parts(one: Slice) -> Slice:
    """Withhold counts and figures of small parts of a slice, but not the parts' names.

    What is withheld holds `SMALL` items or more together: the size of a single small part would be the difference
    between the whole and the others.
    """
    hidden: set[str] = set()
    left = 0
    for part in sorted(one.values, key=lambda part: part.n or 0):
        n = part.n or 0
        if n >= SMALL and (left >= SMALL or not hidden):
            break
        hidden.add(part.value)
        left += n
    nothing = Figure(value=None, reason=WITHHELD)
    blank = {"n": None, "unscored": None, "accuracy": nothing, "macro_f1": nothing}
    values = [
        part.model_copy(
            update=blank
            if part.value in hidden
            else {"accuracy": _uncounted(part.accuracy), "macro_f1": _uncounted(part.macro_f1)}
        )
        for part in one.values
    ]
    gap = _uncounted(one.gap)
    if hidden & {gap.best, gap.worst}:
        gap = Gap(value=None, reason=WITHHELD, best=None, worst=None)
    return one.model_copy(update={"values": tuple(values), "gap": gap})


# Judges


def without_own_words(card: JudgeCard) -> JudgeCard:
    """Return a judge's card without the words of a rubric that is not built in: they may quote examples."""
    try:
        built_in = load_rubric(card.rubric.name)
    except UserError:
        built_in = None
    if built_in is not None and built_in.digest == card.rubric.digest:
        return card
    bare = {"question": "", "anchors": {}}
    rubric = card.rubric.model_copy(
        update={
            "title": "",
            "description": "",
            "criteria": tuple(one | bare for one in card.rubric.criteria),
            "flags": tuple(one | {"question": ""} for one in card.rubric.flags),
            "system": None,
            "prompt": None,
        }
    )
    metrics = tuple(metric.model_copy(update={"help": ""}) for metric in card.metrics)
    return card.model_copy(update={"rubric": rubric, "metrics": metrics})


def _few_hidden(one: Judgment) -> Judgment:
    """Return what a judge said without small cells, and without counts of reasons."""
    noise = one.noise if one.noise is not None and one.noise.examples >= SMALL else None
    return one.model_copy(
        update={
            "selection": one.selection.model_copy(update={"digest": None}),
            "metrics": _without_small(one.metrics),
            "calibrated": _without_small(one.calibrated),
            "joint": one.joint.model_copy(update={"counts": None}),
            "counts": None,
            "noise": noise,
        }
    )


def _jury(one: Jury) -> Jury:
    return one.model_copy(
        update={
            "selection": one.selection.model_copy(update={"digest": None}),
            "metrics": _without_small(one.metrics),
            "joint": one.joint.model_copy(update={"counts": None}),
            "alpha": _without_small(one.alpha),
            "kappa": tuple(_pair(pair) for pair in one.kappa),
        }
    )


def _pair(pair: PairAgreement) -> PairAgreement:
    return pair.model_copy(update={"criteria": _without_small(pair.criteria)})


def _without_small(figures: Mapping[str, Figure]) -> dict[str, Figure]:
    """Return figures of a judge without those over fewer than ten items.

    A flag that fewer than ten items have, or lack, is withheld as well, and so are all four cells of label and
    rationale where one of them is so small: a single one would be the difference between the others and the whole.
    """
    small = {name for name, figure in figures.items() if 0 < figure.n < SMALL}
    small |= {name for name, figure in figures.items() if name.startswith(FLAG) and _small_cell(figure, both=True)}
    cells = [metric.name for metric in joint.METRICS if metric.name in figures]
    if any(_small_cell(figures[name], both=False) for name in cells):
        small |= set(cells)
    nothing = Figure(value=None, reason=WITHHELD)
    return {name: nothing if name in small else _uncounted(figure) for name, figure in figures.items()}


def _small_cell(figure: Figure, *, both: bool) -> bool:
    """Tell whether a share stands for fewer than ten items, but for some; `both`: or its complement does."""
    hits = round((figure.value or 0.0) * figure.n)
    return 0 < hits < SMALL or (both and 0 < figure.n - hits < SMALL)


def _uncounted(figure: AnyFigure) -> AnyFigure:
    """Cut what warnings say of single classes: "fewer than 10 gold items: maybe (3)" is a small cell."""
    return figure.model_copy(update={"warnings": tuple(text.partition(":")[0] for text in figure.warnings)})
