"""Drawing cases from a family: who calls about whom, which findings are present, which are ruled out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from r2d_bench.vignettes import slots
from r2d_bench.vignettes.material import YEARS, Edge, Family, Pair, Rule, Unknown, Why

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from r2d_bench.vignettes.lexicon import Lexicon

ATTEMPTS = 200


@dataclass(frozen=True, slots=True)
class Manner:
    """How a case is told, apart from what is the case. An invariance pair differs in one of these.

    Attributes:
        caller: who calls (`self` or a relation).
        sex: F or M.
        order: key of the order of facts.
        voice, region: how it is typed.
        around: key of the facts that do not matter.
    """

    caller: str
    sex: str
    order: str
    voice: str
    region: str
    around: str


@dataclass(frozen=True, slots=True)
class Case:
    """A case before it is written down.

    Attributes:
        key: names the case; every draw depends on it.
        family: where its material stands.
        rule_id: the rule, edge or unknown that it came from.
        label: what that decides.
        complaint: the chief complaint.
        who: kind of patient.
        age, unit: as told in the note.
        positives, negatives: findings that are stated, present and absent.
        decisive: those of the positives that the rule needs.
        pinned: a finding that is stated free-standing at a fixed place (it is flipped in a minimal pair).
        unknown: what cannot be learned, if so; with its noun phrase.
        values: drawn values of the family's slots and of each finding's.
    """

    key: str
    family: Family
    rule_id: str
    label: str
    why: Why
    difficulty: str
    complaint: str
    who: str
    age: int
    unit: str
    manner: Manner
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    decisive: tuple[str, ...]
    acceptable: tuple[str, ...] = ()
    pinned: str | None = None
    unknown: str | None = None
    unknown_term: str | None = None
    values: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def years(self) -> float:
        """The age in years."""
        return self.age * YEARS[self.unit]


class Drawer:
    """Draws the cases of one family."""

    def __init__(self, family: Family, lexicon: Lexicon) -> None:
        self._family = family
        self._lexicon = lexicon

    def of_rule(self, rule: Rule, key: str, *, pair: Pair | None = None) -> Case:
        """Return a case that `rule` decides; where a pair is given, one whose flip moves it to the pair's other rule.

        Raises:
            ValueError: the material allows none, with what stands in the way.
        """
        for attempt in range(ATTEMPTS):
            rng = self._lexicon.rng(key, "facts", attempt)
            drawn = self._facts(rule, rng, pair)
            if drawn is not None:
                who, positives, negatives, decisive = drawn
                case = self._case(key, rule.id, rule.label, rule.why, who)
                return replace(
                    case,
                    difficulty=rule.difficulty,
                    positives=positives,
                    negatives=negatives,
                    decisive=decisive,
                    pinned=pair.flip if pair else None,
                )
        flip = f", with '{pair.flip}' flipped to rule {pair.to}" if pair else ""
        raise ValueError(f"family {self._family.family}: rule {rule.id} cannot be reached{flip}")

    def of_edge(self, edge: Edge, key: str) -> Case:
        """Return a case on which clinicians differ."""
        case = self._fixed(edge, key)
        return replace(case, acceptable=edge.acceptable, difficulty="hard")

    def of_unknown(self, unknown: Unknown, key: str) -> Case:
        """Return a case in which what decides cannot be learned."""
        case = self._fixed(unknown, key)
        said = self._lexicon.rng(key, "unknown").choice(unknown.unknown)
        return replace(case, unknown=said, unknown_term=unknown.unknown_term, difficulty="hard")

    def _fixed(self, given: Edge | Unknown, key: str) -> Case:
        rng = self._lexicon.rng(key, "facts")
        who = rng.choice(given.who or tuple(self._family.who))
        case = self._case(key, given.id, given.label, given.why, who)
        return replace(case, positives=given.found, negatives=given.absent, decisive=given.found)

    def _facts(
        self, rule: Rule, rng: Random, pair: Pair | None
    ) -> tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]] | None:
        """Return kind of patient, positives, negatives and decisive ones, if the draw is a case of the rule."""
        family = self._family
        way = rng.choice(list(rule.condition.ways()))
        kinds = [who for who in rule.who or family.who if way & set(family.who) <= {who}]
        if not kinds:
            return None
        who = rng.choice(kinds)
        decisive = [name for name in rule.condition.names if name in way and name in family.findings]
        others = [name for name in rule.with_ if name not in decisive]
        extra = rng.sample(others, min(len(others), rng.choice((0, 1, 1, 2, 2))))
        positives = [*decisive, *extra]
        refused = [name for name in rule.condition.refused if name in family.findings]
        negatives = [name for name in dict.fromkeys([*rule.without, *refused]) if name not in positives]
        if family.rule_for({*positives, who}) is not rule:
            return None
        if pair is not None:
            flipped = {*positives, who} ^ {pair.flip}
            if (other := family.rule_for(flipped)) is None or other.id != pair.to:
                return None
            if pair.flip not in positives and pair.flip not in negatives:
                negatives.append(pair.flip)
        return who, tuple(positives), tuple(negatives), tuple(decisive)

    def _case(self, key: str, rule_id: str, label: str, why: Why, who: str) -> Case:
        family, kind = self._family, self._family.who[who]
        rng = self._lexicon.rng(key, "people")
        low, high, unit = kind.ages
        return Case(
            key=key,
            family=family,
            rule_id=rule_id,
            label=label,
            why=why,
            difficulty="medium",
            complaint=rng.choice(family.complaints),
            who=who,
            age=rng.randint(low, high),
            unit=unit,
            manner=self.manner(key, who),
            positives=(),
            negatives=(),
            decisive=(),
            values=self._values(key),
        )

    def manner(self, key: str, who: str) -> Manner:
        """Return how a case is told."""
        rng, kind = self._lexicon.rng(key, "manner"), self._family.who[who]
        regions = self._lexicon.regions
        return Manner(
            caller=rng.choice(kind.callers),
            sex=rng.choice("FM") if kind.sex == "any" else kind.sex,
            order=key,
            voice=rng.choice(sorted(self._lexicon.voices)),
            region=rng.choices(sorted(regions), [regions[name].share for name in sorted(regions)])[0],
            around=key,
        )

    def _values(self, key: str) -> dict[str, dict[str, str]]:
        family = self._family
        values = {"": slots.draw(family.slots, self._lexicon.rng(key, "slots"))}
        for name, finding in family.findings.items():
            values[name] = slots.draw(finding.slots, self._lexicon.rng(key, "slots", name))
        return values


def flipped(case: Case, pair: Pair) -> Case:
    """Return the other half of a minimal pair: the same case with one finding turned over.

    Raises:
        ValueError: the material gives it no rule.
    """
    family = case.family
    was_present = pair.flip in case.positives
    positives = tuple(name for name in case.positives if name != pair.flip)
    negatives = tuple(name for name in case.negatives if name != pair.flip)
    # What was turned over is told first: it rules the other level out.
    positives, negatives = (positives, (pair.flip, *negatives)) if was_present else ((*positives, pair.flip), negatives)
    rule = family.rule_for({*positives, case.who})
    if rule is None:
        raise ValueError(f"family {family.family}: no rule for {case.rule_id} with '{pair.flip}' flipped")
    decisive = tuple(name for name in rule.condition.names if name in positives)
    return replace(
        case,
        rule_id=rule.id,
        label=rule.label,
        why=rule.why,
        difficulty=rule.difficulty,
        positives=positives,
        negatives=negatives,
        decisive=decisive,
    )


CHANGES = ("sex", "caller", "order", "dialect", "distractor")


def retold(case: Case, lexicon: Lexicon, first: int) -> tuple[str, Case]:
    """Return the same case told differently, and what was changed (from `first` on, the first that can be)."""
    for offset in range(len(CHANGES)):
        change = CHANGES[(first + offset) % len(CHANGES)]
        manner = next((m for m in _changed(case, lexicon, change) if m != case.manner), None)
        if manner is not None:
            return change, replace(case, manner=manner)
    raise ValueError(f"case {case.key}: nothing can be told differently")  # order and distractor always can


def _changed(case: Case, lexicon: Lexicon, change: str) -> Iterator[Manner]:
    kind, manner = case.family.who[case.who], case.manner
    rng = lexicon.rng(case.key, "retold", change)
    if change == "sex" and kind.sex == "any":
        yield replace(manner, sex="M" if manner.sex == "F" else "F")
    if change == "caller":
        yield from (replace(manner, caller=caller) for caller in _shuffled(kind.callers, rng))
    if change == "order":
        yield replace(manner, order=f"{manner.order}/again")
    if change == "dialect":
        other = [name for name in sorted(lexicon.regions) if name != manner.region]
        voices = [name for name in sorted(lexicon.voices) if name != manner.voice]
        yield replace(manner, region=rng.choice(other), voice=rng.choice(voices))
    if change == "distractor":
        yield replace(manner, around=f"{manner.around}/again")


def _shuffled(items: Sequence[str], rng: Random) -> list[str]:
    return rng.sample(list(items), len(items))
