"""The label parser: text in, `(label | None, status)` out.

`standard/1` reads, in this order, and takes the first that fits:

1. the whole text is a label or an alias (case, spaces, `_`, `-`, quotes, markdown and a final dot aside);
2. a line says `label: X`, `the answer is X`, …; two such lines with different labels are ambiguous;
3. the text begins with a label that a sentence break follows (`yes, because …`, `HOME_CARE. Call 911 if …`), but not
   a range (`ED or 911`, `yes/no`), which is ambiguous.

A label that is only mentioned in running text is never taken: replies name labels in advice (`call 911 if it gets
worse`), in negations and in hedges, which are not the answer.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError
from r2d_bench.records import Finish, LabelStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

PARSER = "standard/1"

Parsed = tuple[str | None, LabelStatus]

_DRESS = " \t\r\n\"'`*_“”‘’«»"
_SEPARATORS = re.compile(r"[\s_\-‐‑–]+")
_OPENERS = r"[\s\"'`*_“‘«(\[<]*"
_CLOSERS = r"[\"'`*_”’»)\]>]*"
_BREAK = re.compile(_CLOSERS + r"\s*(?:$|[.,;:!?\n(]|[-–—]\s)\s*")
_RANGE = re.compile(_CLOSERS + r"\s*[.,;(]?\s*(?:/|\||(?:or|and|and/or|to|versus|vs)\b)", re.IGNORECASE)
_ANSWER = re.compile(
    r"(?:^|[\n.!?])[\s#>*_-]*(?:so\s+|therefore,?\s+)?(?:my\s+|the\s+)?(?:final\s+|correct\s+|predicted\s+|best\s+)*"
    r"(?:answer|label|disposition|prediction|classification|decision)[*_]*\s*(?:is|[:=])[*_:]*\s*([^\n]+)",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"^\W*(?:i['’]?m\s+(?:so\s+)?sorry|i\s+am\s+sorry|sorry,|i\s+can(?:no|['’])t\b|i\s+cannot|i['’]?m\s+(?:not\s+able|unable)"
    r"|i\s+am\s+(?:not\s+able|unable)|i\s+won['’]t|as\s+an?\s+(?:ai|language\s+model)|i\s+must\s+decline)",
    re.IGNORECASE,
)


def normalise(text: str) -> str:
    """Return the form in which spellings of one label are equal."""
    text = unicodedata.normalize("NFKC", text).strip(_DRESS).rstrip(".").strip(_DRESS)
    return _SEPARATORS.sub(" ", text).strip().casefold()


def is_refusal(text: str) -> bool:
    """Tell whether an answer begins as refusals do."""
    return _REFUSAL.match(text) is not None


class Vocabulary:
    """The words that stand for labels, and the parser that reads them.

    Args:
        words: word → label, in the order of the label space; several words may stand for one label.
        open_text: any text is a label of its own (label space *open*).
    """

    def __init__(self, words: Mapping[str, str], *, open_text: bool = False) -> None:
        self._open = open_text
        self._labels: dict[str, str] = {}
        for word, label in words.items():
            if self._labels.setdefault(normalise(word), label) != label:
                raise UserError(f"'{word}' stands for two labels, {self._labels[normalise(word)]} and {label}")

    @cached_property
    def _any_word(self) -> str:
        """Alternatives of all words, longest first, with free separators inside."""
        longest_first = sorted(self._labels, key=len, reverse=True)
        return "|".join(r"[\s_\-‐‑–]+".join(re.escape(part) for part in word.split(" ")) for word in longest_first)

    @cached_property
    def _leading(self) -> re.Pattern[str]:
        return re.compile(rf"{_OPENERS}(?P<word>{self._any_word})(?!\w)", re.IGNORECASE)

    @cached_property
    def _mention(self) -> re.Pattern[str]:
        return re.compile(rf"(?<!\w)(?:{self._any_word})(?!\w)", re.IGNORECASE)

    def exact(self, text: str) -> str | None:
        """Return the label whose spelling the whole text is."""
        return self._labels.get(normalise(text))

    def parse(self, text: str, finish: Finish = Finish.STOP) -> Parsed:
        """Return the label of a model's answer and what became of it."""
        if finish in {Finish.REFUSED, Finish.FILTERED}:
            return None, LabelStatus.REFUSED
        if not text.strip():
            return None, LabelStatus.TRUNCATED if finish is Finish.LENGTH else LabelStatus.EMPTY
        if self._open:
            return text.strip(), LabelStatus.PARSED
        if (label := self.exact(text)) is not None:
            return label, LabelStatus.PARSED
        found = self._answers(text) or self._at_start(text)
        if len(found) == 1 and None not in found:
            return next(iter(found)), LabelStatus.PARSED
        return None, self._why_not(text, finish, ambiguous=bool(found))

    def _answers(self, text: str) -> set[str | None]:
        """Return the labels of lines that announce an answer; None in it stands for a range."""
        found: set[str | None] = set()
        for match in _ANSWER.finditer(text):
            exact = self.exact(match.group(1))
            found |= {exact} if exact is not None else self._at_start(match.group(1))
        return found

    def _at_start(self, text: str) -> set[str | None]:
        """Return the label at the start of the text; `{None}` for a range of labels; empty for none."""
        lead = self._leading.match(text)
        if lead is None:
            return set()
        label = self._labels[normalise(lead.group("word"))]
        rest = text[lead.end() :]
        if ranged := _RANGE.match(rest):
            other = self._leading.match(rest[ranged.end() :])
            return {None} if other and self._labels[normalise(other.group("word"))] != label else set()
        pause = _BREAK.match(rest)
        if pause is None:
            return set()
        follower = self._leading.match(rest[pause.end() :])
        another = follower and self._labels[normalise(follower.group("word"))] != label
        return (
            {None} if another and _BREAK.match(rest[pause.end() + (follower.end() if follower else 0) :]) else {label}
        )

    def _why_not(self, text: str, finish: Finish, *, ambiguous: bool) -> LabelStatus:
        if finish is Finish.LENGTH:
            return LabelStatus.TRUNCATED
        if is_refusal(text):
            return LabelStatus.REFUSED
        # Single letters (options of a choice) are articles and initials in running text.
        mentioned = any(len(match.group()) > 1 for match in self._mention.finditer(text))
        return LabelStatus.AMBIGUOUS if ambiguous or mentioned else LabelStatus.OFF_VOCABULARY


class LabelSpace:
    """The labels of a task: the fixed set, or what each example allows."""

    def __init__(
        self, space: str, values: tuple[str, ...] = (), aliases: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        self.space = space
        self.values = values
        self._aliases = aliases or {}
        self._by_options: dict[tuple[str, ...], Vocabulary] = {}

    @property
    def fixed(self) -> bool:
        """Whether every example has the same labels."""
        return self.space in {"closed", "ordinal"}

    def labels(self, options: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return the labels an example may have; empty where any text may be one."""
        return self.values if self.fixed else tuple(dict.fromkeys(options))

    def vocabulary(self, options: tuple[str, ...] = (), label_map: Mapping[str, str] | None = None) -> Vocabulary:
        """Return the parser of an example; `label_map` adds a checkpoint's own words (word → label)."""
        key = (*options, "\0", *(f"{k}\0{v}" for k, v in (label_map or {}).items()))
        if key not in self._by_options:
            if len(self._by_options) > 1024:  # options differ per example: keep memory flat
                self._by_options.clear()
            self._by_options[key] = self._make(options, label_map or {})
        return self._by_options[key]

    def _make(self, options: tuple[str, ...], label_map: Mapping[str, str]) -> Vocabulary:
        if self.space == "open":
            return Vocabulary({}, open_text=True)
        if self.space == "choices":
            words = {option: option for option in options}
            texts = {normalise(option) for option in options}
            for index, option in enumerate(options):
                letter = chr(ord("A") + index)
                for name in (letter, f"option {letter}"):
                    if normalise(name) not in texts:  # an option's own text stands before its letter
                        words[name] = option
            return Vocabulary(words)
        for label in label_map.values():
            if label not in self.values:
                raise UserError(f"label_map leads to '{label}', which is not in the label set {', '.join(self.values)}")
        words = dict(label_map)
        taken = {normalise(word) for word in words}
        for value in self.values:
            words |= {name: value for name in (value, *self._aliases.get(value, ())) if normalise(name) not in taken}
        return Vocabulary(words)

    def candidates(self, options: tuple[str, ...] = (), label_map: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """Return the words a constrained or scored label is chosen from, one per label."""
        first_word: dict[str, str] = {}
        for word, label in (label_map or {}).items():
            first_word.setdefault(label, word)
        return tuple(first_word.get(label, label) for label in self.labels(options))
