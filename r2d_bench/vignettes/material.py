"""The contract of a family file: what notes of one scenario are composed from, and what decides their label."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from r2d_bench.documents import load
from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.vignettes import slots
from r2d_bench.vignettes.conditions import Condition

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Texts = tuple[str, ...]

_AGE = re.compile(r"(\d+)-(\d+) (years|months|weeks|days)")
YEARS = {"years": 1.0, "months": 1 / 12, "weeks": 7 / 365.25, "days": 1 / 365.25}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _slots_exist(texts: Iterable[str], known: Collection[str]) -> None:
    for text in texts:
        for name in slots.names(text):
            if name not in known:
                raise ValueError(f"'{text}': slot {{{name}}} is not declared{did_you_mean(name, known)}")


def _readable(declared: dict[str, str]) -> dict[str, str]:
    for slot in declared.values():
        slots.choices(slot)
    return declared


Slots = Annotated[dict[str, str], AfterValidator(_readable)]


class Who(_Part):
    """A kind of patient: `LOW-HIGH years|months|weeks|days`, sex, and who may call about them."""

    age: str
    sex: Literal["any", "F", "M"] = "any"
    callers: Texts = Field(min_length=1)

    @field_validator("age")
    @classmethod
    def _age(cls, age: str) -> str:
        if (found := _AGE.fullmatch(age)) is None or int(found[1]) > int(found[2]):
            raise ValueError(f"age '{age}': should be 'LOW-HIGH years' (or months, weeks, days)")
        return age

    @cached_property
    def ages(self) -> tuple[int, int, str]:
        """Lowest and highest age, and the unit."""
        found = _AGE.fullmatch(self.age)
        if found is None:
            raise ValueError(self.age)
        return int(found[1]), int(found[2]), found[3]


class Finding(_Part):
    """A fact of the case, with the ways to state it and to rule it out.

    Attributes:
        red: whether it raises the urgency.
        found: wordings that state it, each able to stand alone.
        said: wordings in the caller's own words, put in quotation marks.
        absent: wordings that rule it out, each able to stand alone.
        none: noun phrases that rule it out in a list (`denies …`).
        term, brief: the fact in a fluent and in a terse rationale.
        no_term: what follows `no` in a rationale.
        slots: values drawn per case.
    """

    red: bool = False
    found: Texts = Field(min_length=2)
    said: Texts = ()
    absent: Texts = Field(min_length=1)
    none: Texts = Field(min_length=1)
    term: str
    brief: str
    no_term: str
    slots: Slots = {}

    @property
    def wordings(self) -> Texts:
        """Every wording that states it."""
        return (*self.found, *self.said)

    @property
    def texts(self) -> Texts:
        """Everything that is said of it."""
        return (*self.wordings, *self.absent, *self.none, self.term, self.brief, self.no_term)


class Why(_Part):
    """Why a time frame is right: a clause per style, in versions."""

    nurse: Texts = Field(min_length=1)
    edited: Texts = Field(min_length=1)
    llm: Texts = Field(min_length=1)


class Rule(_Part):
    """A clinical picture and its label. The first rule of a family that holds decides."""

    id: Name
    label: str
    when: str
    with_: tuple[Name, ...] = Field(default=(), alias="with")
    without: tuple[Name, ...] = Field(min_length=1)
    who: tuple[Name, ...] = ()
    difficulty: Literal["easy", "medium", "hard"]
    why: Why

    @cached_property
    def condition(self) -> Condition:
        """What must be true."""
        return Condition(self.when)

    @field_validator("when")
    @classmethod
    def _condition(cls, when: str) -> str:
        Condition(when)
        return when


class Pair(_Part):
    """A minimal pair: a case of `rule`; with `flip` toggled the label is that of rule `to`."""

    rule: Name
    flip: Name
    to: Name


class Edge(_Part):
    """A case on which reasonable clinicians differ between two neighbouring labels."""

    id: Name
    acceptable: tuple[str, str]
    label: str
    found: tuple[Name, ...] = Field(min_length=1)
    absent: tuple[Name, ...] = Field(min_length=1)
    who: tuple[Name, ...] = ()
    why: Why
    differ: str


class Unknown(_Part):
    """A case in which what decides cannot be learned; the safe label is the more urgent one."""

    id: Name
    label: str
    found: tuple[Name, ...] = Field(min_length=1)
    absent: tuple[Name, ...] = Field(min_length=1)
    who: tuple[Name, ...] = ()
    unknown: Texts = Field(min_length=1)
    unknown_term: str
    why: Why


class Vital(_Part):
    """A normal home reading, left out where one of `unless` is found."""

    text: str
    unless: tuple[Name, ...] = ()
    slots: Slots = {}


class Background(_Part):
    """What a note holds beside the case: true and unrevealing at every level."""

    history: Texts = Field(min_length=3)
    tried: Texts = Field(min_length=2)
    context: Texts = Field(min_length=3)
    ask: Texts = Field(min_length=2)


class Family(_Part):
    """A whole family file."""

    family: Name
    title: str
    part: Literal["train", "validation", "test"]
    complaints: Texts = Field(min_length=3)
    who: dict[Name, Who] = Field(min_length=1)
    slots: Slots = {}
    stories: Texts = Field(min_length=4)
    findings: dict[Name, Finding] = Field(min_length=1)
    background: Background
    vitals: tuple[Vital, ...] = ()
    rules: tuple[Rule, ...] = Field(min_length=1)
    safety_net: Texts = Field(min_length=1)
    pairs: tuple[Pair, ...] = ()
    edges: tuple[Edge, ...] = ()
    unknowns: tuple[Unknown, ...] = ()

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        used = {rule.id: {*rule.with_, *rule.without} for rule in self.rules}
        used |= {edge.id: {*edge.found, *edge.absent} for edge in self.edges}
        used |= {one.id: {*one.found, *one.absent} for one in self.unknowns}
        used |= {f"pair {pair.rule}": {pair.flip} for pair in self.pairs}
        used |= {f"vital '{vital.text}'": set(vital.unless) for vital in self.vitals}
        for place, names in used.items():
            for name in sorted(names):
                if name not in self.findings:
                    raise ValueError(f"{place}: '{name}' is no finding{did_you_mean(name, self.findings)}")
        cases: list[Rule | Edge | Unknown] = [*self.rules, *self.edges, *self.unknowns]
        for case in cases:
            for name in case.who:
                if name not in self.who:
                    raise ValueError(f"{case.id}: '{name}' is not among who{did_you_mean(name, self.who)}")
        ids = [rule.id for rule in self.rules]
        for pair in self.pairs:
            for name in (pair.rule, pair.to):
                if name not in ids:
                    raise ValueError(f"pairs: '{name}' is no rule{did_you_mean(name, ids)}")
        return self

    @model_validator(mode="after")
    def _conditions(self) -> Self:
        if clash := set(self.who) & set(self.findings):
            raise ValueError(f"'{min(clash)}' names a finding and a kind of patient")
        for rule in self.rules:
            for name in rule.condition.names:
                if name not in self.findings and name not in self.who:
                    raise ValueError(f"rule {rule.id}: '{name}' is no finding{did_you_mean(name, self.findings)}")
        return self

    @model_validator(mode="after")
    def _texts(self) -> Self:
        for name, finding in self.findings.items():
            known = {*finding.slots, *self.slots}
            _slots_exist((*finding.wordings, *finding.absent, *finding.none, finding.term, finding.brief), known)
            _slots_exist((finding.no_term,), self.slots)
            promised = {*slots.names(finding.term), *slots.names(finding.brief)}
            for wording in finding.wordings:
                if lacking := promised - set(slots.names(wording)):
                    raise ValueError(f"findings.{name}: '{wording}' lacks {{{min(lacking)}}}, which its term states")
        around = self.background
        _slots_exist((*self.stories, *around.history, *around.tried, *around.context, *around.ask), self.slots)
        for vital in self.vitals:
            _slots_exist((vital.text,), {*vital.slots, *self.slots})
        return self

    @property
    def whys(self) -> list[Why]:
        """The reasons of all its cases."""
        return [rule.why for rule in self.rules] + [e.why for e in self.edges] + [u.why for u in self.unknowns]

    def rule_for(self, true: Collection[str]) -> Rule | None:
        """Return the first rule that holds where exactly the names in `true` do."""
        return next((rule for rule in self.rules if rule.condition.holds(true)), None)


def load_family(path: Path) -> Family:
    """Return a family file.

    Raises:
        UserError: it does not fit the schema, or its name is not the file's.
    """
    family = load(Family, path)
    if family.family != path.stem:
        raise UserError(f"{path}: family: '{family.family}' should be the file's name, '{path.stem}'")
    return family
