"""The contract of `lexicon.yaml`: what notes of every family share."""

from __future__ import annotations

import re
from functools import cached_property
from random import Random
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from r2d_bench.vignettes.slots import UNITS

_NUMBER_BEFORE = re.compile(r"[\d}] $")

Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Voice(_Part):
    """How a note is typed: shares of abbreviations and quotations, capitals, what joins facts, section labels."""

    abbreviate: Share
    quote: Share
    capitals: bool
    join: str
    labels: bool


class Region(_Part):
    """How often a region occurs, and the share of its notes in degrees Fahrenheit."""

    share: int
    fahrenheit: Share


class Sizes(_Part):
    """How much is made: cases a family in the core, and how many of each other kind in all."""

    core: int = Field(ge=1)
    train_extra: int = Field(ge=0)
    pairs: int = Field(ge=0)
    invariance: int = Field(ge=0)
    edge: int = Field(ge=0)
    insufficient: int = Field(ge=0)


class Lexicon(_Part):
    """A whole `lexicon.yaml`. `seed` decides every draw; dispositions and time_words are regular expressions."""

    seed: str
    sizes: Sizes
    voices: dict[str, Voice]
    regions: dict[str, Region]
    dialect: dict[str, dict[str, str]]
    abbreviations: dict[str, tuple[str, ...]]
    openers: dict[str, tuple[str, ...]]
    denials: tuple[tuple[str, str, str, str], ...]
    labels: dict[str, tuple[str, ...]]
    fillers: tuple[str, ...]
    frames: dict[str, tuple[tuple[str, ...], ...]]
    dispositions: tuple[str, ...]
    time_words: tuple[str, ...]

    def rng(self, *parts: object) -> Random:
        """Return a generator that depends on the seed and on `parts` alone."""
        return Random("/".join([self.seed, *map(str, parts)]))  # noqa: S311 - reproducible, not secret

    @cached_property
    def disposition(self) -> re.Pattern[str]:
        """Matches words of the dispositions."""
        return _any_of(self.dispositions)

    @cached_property
    def giveaway(self) -> re.Pattern[str]:
        """Matches words of the dispositions and of their time frames."""
        return _any_of([*self.dispositions, *self.time_words])

    @cached_property
    def _words(self) -> re.Pattern[str]:
        known = sorted({*self.dialect, *self.abbreviations}, key=len, reverse=True)
        return re.compile(r"(?<![\w/'-])(" + "|".join(map(re.escape, known)) + r")(?![\w/'-])", re.IGNORECASE)

    def local(self, text: str, region: str, abbreviate: float, key: str) -> str:
        """Return a text in a region's words, a share of its common words abbreviated; `key` and text decide which."""
        if self._words.search(text) is None:  # most texts: seeding a generator would cost more than all else
            return text
        rng = self.rng(key, "words", text)

        def other(found: re.Match[str]) -> str:
            word = found[1].lower()
            replaced = self.dialect.get(word, {}).get(region)
            if replaced is not None:
                return replaced
            short = self.abbreviations.get(word)
            if word in UNITS and not _NUMBER_BEFORE.search(text, 0, found.start()):  # `spent hours at a parade`
                return found[1]
            return rng.choice(short) if short and rng.random() < abbreviate else found[1]

        return self._words.sub(other, text)

    def pattern(self, text: str, slots: dict[str, str]) -> str:
        """Return a regular expression that matches every form in which `local` and the slots can put a text."""
        out, at = [], 0
        for found in re.finditer(r"\{(\w+)\}|" + self._words.pattern, text, re.IGNORECASE):
            out.append(re.escape(text[at : found.start()]))
            out.append(self._forms(found, slots))
            at = found.end()
        return "".join([*out, re.escape(text[at:])])

    def _forms(self, found: re.Match[str], slots: dict[str, str]) -> str:
        if found[1]:
            return slots[found[1]]
        word = found[2].lower()
        forms = {word, *self.dialect.get(word, {}).values(), *self.abbreviations.get(word, ())}
        forms |= {word.removesuffix("s")} if word in UNITS else set()
        return "(?:" + "|".join(map(re.escape, sorted(forms, key=lambda form: (-len(form), form)))) + ")"


def _any_of(patterns: tuple[str, ...] | list[str]) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)(?:" + "|".join(patterns) + r")(?!\w)", re.IGNORECASE)
