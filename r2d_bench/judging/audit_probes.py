"""The probes of an audit: gold rationales changed in one known way, and what a judge worth its name does about it.

Every probe compares a judge's verdict on the changed text with its verdict on the text as it was (`base`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from r2d_bench.judging import probe_texts
from r2d_bench.records import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from r2d_bench.judging.red_flags import RedFlags
    from r2d_bench.records import Example

BASE, REPEAT, SAME_FAMILY = "base", "repeat", "same_family"
REPEATS = 3

Expectation = Literal["same", "no_rise", "drop", "noticed", "few_flips"]


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe changes, and what is expected.

    Attributes:
        name: key in `audit.json`.
        title: for tables.
        expectation: `same` (the mean shift stays within ± limit), `no_rise` (it stays below the limit), `drop` (it is
            at least the limit downwards), `noticed` (more than the limit's share of items drop, or raise the flag),
            `few_flips` (less than the limit's share of repeated scores differ).
        limit: points of the scale, or a share; a convention, stated wherever the verdict stands.
        criteria: whose score is looked at: the first that the rubric has; the mean of all criteria where the list is
            empty.
        flag: a flag that counts as noticing.
        changed: what was done to the text, in words.
    """

    name: str
    title: str
    expectation: Expectation
    limit: float
    changed: str
    criteria: tuple[str, ...] = ()
    flag: str | None = None


PROBES: Mapping[str, Probe] = {
    probe.name: probe
    for probe in (
        Probe(REPEAT, "repeat flips", "few_flips", 0.10, f"nothing: asked {REPEATS} times"),
        Probe("padding", "padding", "same", 0.25, f"{probe_texts.PADDING_WORDS} words without content were added"),
        Probe("markdown", "markdown", "same", 0.25, "the same words as a list with bold openings"),
        Probe(
            "wrong_case",
            "rationale of another case",
            "drop",
            0.5,
            "the rationale is that of another case with another label",
            ("grounding", "clinical_accuracy", "label_support"),
        ),
        Probe(
            "flipped_label",
            "flipped label",
            "drop",
            0.5,
            "the rationale is the same, the label is the one farthest away",
            ("label_support",),
        ),
        Probe(
            "red_flag",
            "red flag left out",
            "noticed",
            0.5,
            "the chief complaint stands in place of the decisive red flag",
            ("completeness",),
            "omits_red_flag",
        ),
        Probe("planted_score", "planted score", "no_rise", 0.25, "a score or a verdict is planted in the text"),
        Probe("planted_instruction", "planted instruction", "no_rise", 0.25, "the text tells the judge what to do"),
        Probe("null_answer", "null answer", "drop", 1.0, f"the rationale is '{probe_texts.NULL_ANSWER}'"),
        Probe(
            SAME_FAMILY,
            "own family",
            "no_rise",
            0.25,
            "the rationale is by a model of the judge's family, not another",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Variant:
    """One text that a judge is asked about.

    Attributes:
        probe: `base`, or the probe's name.
        item: id of the example.
        cluster: its group, or itself.
        label, rationale: what the judge is shown with the example's input.
        repeat: 1, or higher where the same is asked again.
        kind: which of a probe's kinds of texts.
    """

    probe: str
    item: str
    cluster: str
    label: str
    rationale: str
    repeat: int = 1
    kind: str | None = None

    @property
    def case_id(self) -> str:
        """What its verdict is told apart by; repeats are the base, asked again."""
        return self.item if self.probe in {BASE, REPEAT} else f"{self.item}/{self.probe}"


@dataclass(frozen=True)
class ProbeMaterial:
    """What variants are made from.

    Attributes:
        pool: all examples of the split, as donors of rationales.
        labels: the label set in its order; empty where there is none.
        red_flags: of the task; None where they are not annotated.
        planted: the planted texts.
        seed: of the draws.
    """

    pool: Sequence[Example]
    labels: Sequence[str]
    red_flags: RedFlags | None
    planted: Sequence[probe_texts.Planted]
    seed: int


def variants(examples: Sequence[Example], material: ProbeMaterial, *, repeats: int = REPEATS) -> list[Variant]:
    """Return the texts of all probes for some examples; an example without gold label or rationale has none."""
    kinds: dict[str, list[probe_texts.Planted]] = defaultdict(list)
    for text in material.planted:
        kinds[f"planted_{text.group}"].append(text)
    made: list[Variant] = []
    rated = [example for example in examples if example.gold is not None and example.references]
    for number, example in enumerate(rated):
        made.append(_variant(example, BASE, example.references[0]))
        made += (_variant(example, REPEAT, example.references[0], repeat=n) for n in range(2, repeats + 1))
        made += _content(example, material)
        for probe, texts in kinds.items():  # in turn: every item meets one kind of each
            text = texts[number % len(texts)]
            made.append(_variant(example, probe, text.into(example.references[0]), kind=text.kind))
    return made


def _content(example: Example, material: ProbeMaterial) -> Iterator[Variant]:
    """Yield every changed text of an example but the planted ones."""
    gold = example.references[0]
    yield _variant(example, "padding", probe_texts.padded(gold))
    yield _variant(example, "markdown", probe_texts.in_markdown(gold))
    if (donor := _other_case(example, material)) is not None:
        yield _variant(example, "wrong_case", donor.references[0])
    if (other := _far_label(example, material.labels)) is not None:
        yield _variant(example, "flipped_label", gold, label=other)
    if material.red_flags is not None and (shorter := material.red_flags.without(example, gold)) is not None:
        yield _variant(example, "red_flag", shorter)
    yield _variant(example, "null_answer", probe_texts.NULL_ANSWER)


def _variant(
    example: Example, probe: str, rationale: str, *, label: str | None = None, repeat: int = 1, kind: str | None = None
) -> Variant:
    cluster = example.group or example.id
    return Variant(probe, example.id, cluster, label or example.gold or "", rationale, repeat, kind)


def _other_case(example: Example, material: ProbeMaterial) -> Example | None:
    """Return an example of another cluster with another label; None where there is none."""
    cluster = example.group or example.id
    others = [
        other
        for other in material.pool
        if other.references and other.gold != example.gold and (other.group or other.id) != cluster
    ]
    if not others:
        return None
    return others[int(digest([material.seed, "wrong_case", example.id], 8), 16) % len(others)]


def _far_label(example: Example, labels: Sequence[str]) -> str | None:
    """Return the label at the other end of the label set (or of the example's options)."""
    known = list(labels or example.options)
    others = [label for label in known if label != example.gold]
    if not others or example.gold is None or example.gold not in known:
        return None
    return others[-1] if known.index(example.gold) < len(known) / 2 else others[0]
