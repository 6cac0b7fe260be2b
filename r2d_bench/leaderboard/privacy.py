"""What of a run may be published. Only a task that is public beyond doubt publishes texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError
from r2d_bench.judging.meaning import COVERAGE, CRITICAL, FLAG, PARSED
from r2d_bench.judging.rubric import load_rubric
from r2d_bench.leaderboard.confusion_cells import SMALL, is_small
from r2d_bench.leaderboard.slice_cells import safe_slices
from r2d_bench.leaderboard.suppression import (
    has_small_cells,
    in_tens,
    rounded,
    safe_challenges,
    safe_figures,
    shares_with_small_cells,
    uncounted,
    withheld,
)
from r2d_bench.metrics import joint
from r2d_bench.protocols.registry import load_protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from r2d_bench.leaderboard.document import Row
    from r2d_bench.leaderboard.judge_document import JudgeCard, Judgment, Jury, Noise, PairAgreement
    from r2d_bench.leaderboard.parts import Figure
    from r2d_bench.protocols.spec import Protocol
    from r2d_bench.tasks.spec import Labels, TaskSpec


NO_ANSWER = "no answer"
DIGITS = 3  # of a judge's figures


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


def aggregates_only(row: Row, protocol: Protocol, label: Labels) -> Row:
    """Return the row without anything that speaks of single items or of small groups of them; see `suppression`.

    Args:
        row: the row with everything.
        protocol: its protocol. The prompts of one that is not built in may quote examples and are withheld.
        label: the task's labels.
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
            "metrics": {name: uncounted(figure) for name, figure in safe_figures(row, label).items()},
            "challenges": safe_challenges(row.challenges),
            "unscored": {NO_ANSWER: sum(row.unscored.values())} if row.unscored else {},
            "remarks": {text: count for text, count in row.remarks.items() if not is_small(count)},
            "cost_sweep": None if has_small_cells(row) else row.cost_sweep,
            "judgments": tuple(_few_hidden(one) for one in row.judgments),
            "juries": tuple(_jury(one) for one in row.juries),
            "slices": safe_slices(row.slices),
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
    return one.model_copy(
        update={
            "selection": one.selection.model_copy(update={"digest": None}),
            "metrics": _without_small(one.metrics, one.scored),
            "calibrated": _without_small(one.calibrated, one.scored),
            "joint": one.joint.model_copy(update={"counts": None}),
            "counts": None,
            "noise": None if one.noise is None or one.noise.examples < SMALL else _noise(one.noise),
        }
    )


def _noise(noise: Noise) -> Noise:
    figures = {"flips": noise.flips, "spread": noise.spread, "mean": noise.mean}
    kept = withheld(figures, shares_with_small_cells(figures))
    return noise.model_copy(update={name: uncounted(rounded(figure, DIGITS)) for name, figure in kept.items()})


def _jury(one: Jury) -> Jury:
    return one.model_copy(
        update={
            "selection": one.selection.model_copy(update={"digest": None}),
            "metrics": _without_small(one.metrics, one.scored),
            "joint": one.joint.model_copy(update={"counts": None}),
            "alpha": _without_small(one.alpha),
            "kappa": tuple(_pair(pair) for pair in one.kappa),
        }
    )


def _pair(pair: PairAgreement) -> PairAgreement:
    return pair.model_copy(update={"criteria": _without_small(pair.criteria)})


def _without_small(figures: Mapping[str, Figure], scored: int | None = None) -> dict[str, Figure]:
    """Return figures of a judge without small cells, and means over nearly all items with an n in tens.

    A flag that fewer than ten items have, or lack, is withheld, and with it the rate of critical fails, of which it may
    be the only unknown part. So are all four cells of label and rationale where one of them is so small: a single one
    would be the difference between the others and the whole. How many replies could be read is said of the judge.

    Args:
        figures: by metric.
        scored: rationales that have a verdict, where the figures are over them.
    """
    small = {name for name, figure in figures.items() if is_small(figure.n)}
    flags = [name for name in figures if name.startswith(FLAG) or name == CRITICAL]
    few = {name for name in flags if _small_cell(figures[name], both=True)}
    small |= few | ({CRITICAL} if few else set())
    cells = [metric.name for metric in joint.METRICS if metric.name in figures]
    if any(_small_cell(figures[name], both=False) for name in cells):
        small |= set(cells)
    kept = withheld(figures, small)
    return {name: _without_rest(name, uncounted(figure), scored) for name, figure in kept.items()}


def _without_rest(name: str, figure: Figure, scored: int | None) -> Figure:
    figure = rounded(figure, DIGITS)
    return figure if scored is None or name in (COVERAGE, PARSED) else in_tens(figure, scored, (scored,))


def _small_cell(figure: Figure, *, both: bool) -> bool:
    """Tell whether a share stands for fewer than ten items, but for some; `both`: or its complement does."""
    hits = round((figure.value or 0.0) * figure.n)
    return is_small(hits) or (both and is_small(figure.n - hits))
