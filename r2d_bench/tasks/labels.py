"""The label parser: text in, `(label | None, status)` out.

`standard/1` reads, in this order, and takes the first that fits:

1. the whole text is a label or an alias (case, spaces, `_`, `-`, quotes, markdown and a final dot aside);
2. a line says `label: X`, `the answer is X`, …; two such lines with different labels are ambiguous;
3. the text begins with a label that a sentence break follows (`yes, because …`, `HOME_CARE. Call 911 if …`), but not
   a range (`ED or 911`, `yes/no`), which is ambiguous; a letter may stand before its option (`B) aspirin`).

A label that is only mentioned in running text is never taken: replies name labels in advice (`call 911 if it gets
worse`), in negations and in hedges, which are not the answer.

In an open label space the whole answer is the label, unless it is a refusal or was cut.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from string import ascii_uppercase
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError
from r2d_bench.records import Finish, LabelStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PARSER = "standard/1"

Parsed = tuple[str | None, LabelStatus]

_DRESS = " \t\r\n\"'`*_“”‘’«»"
# A minus sign before a number separates nothing: -1 and 1 are two labels.
_SEPARATORS = re.compile(r"(?:[\s_‐‑–]|(?<=\w)-|-(?!\.?\d))+")
_OPENERS = r"[\s\"'`*_#>“‘«(\[<]*"
_CLOSERS = r"[\"'`*_”’»)\]>]*"
# A point, comma or colon inside a number (`1.5`) ends nothing; a bracket does (`B) aspirin`).
_BREAK = re.compile(
    rf"(?:{_CLOSERS}\s*(?:$|[;!?\n(]|[.,:](?!\d)|—|[-–]\s)|[\"'`*_”’»>]*[)\]])\s*(?:and\s+)?", re.IGNORECASE
)
_OR = re.compile(rf"{_CLOSERS}\s*[.,;(]?\s*(?:/|\||(?:and/)?or\b)", re.IGNORECASE)
_AND = re.compile(rf"{_CLOSERS}\s*(?:and|to|versus|vs)\b", re.IGNORECASE)
_ANSWER = re.compile(
    r"(?:^|[\n.!?])[ \t\r#>*_-]*(?:so\s+|therefore,?\s+)?(?:my\s+|the\s+)?(?:final\s+|correct\s+|predicted\s+|best\s+)*"
    r"(?:answer|label|disposition|prediction|classification|decision)[*_]*\s*(?:is\b|[:=])[*_:]*\s*"
    r"(?=([^\n]+))",  # looked at, not consumed: another answer may stand in the same line
    re.IGNORECASE,
)
_UNABLE = r"(?:can(?:no|['’])t|cannot|(?:am|['’]m|m)\s+(?:not\s+able\s+to|unable\s+to))"
_ASKED = r"(?:help|assist|provide|give|offer|answer|comply|do\s+(?:that|this|so)|make|diagnose|advise|respond|discuss)"
_REFUSAL = re.compile(
    # `I cannot rule out …` is a finding and `I'm sorry to hear …` a courtesy: neither refuses.
    rf"^\W*(?:i(?:['’]?m|\s+am)\s+(?:(?:so|very)\s+)?sorry\b(?!\s+(?:to\s+hear|you|that\s+you))|sorry,"
    rf"|i\s*{_UNABLE}(?:\s+\w+)?\s+{_ASKED}|i\s+(?:cannot|can['’]t)\s*(?:[.,!]|$)"
    r"|i\s+won['’]t|as\s+an?\s+(?:ai|language\s+model)|i\s+must\s+decline)",
    re.IGNORECASE,
)


def normalise(text: str) -> str:
    """Return the form in which spellings of one label are equal."""
    text = unicodedata.normalize("NFKC", text).strip(_DRESS).rstrip(".").strip(_DRESS)
    return _SEPARATORS.sub(" ", text).strip().casefold()


def _key(text: str) -> str:
    """Return the form to look a label up by: options such as `+` have nothing to normalise."""
    return normalise(text) or text.strip()


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
            if (other := self._labels.setdefault(_key(word), label)) != label:
                raise UserError(f"'{word}' stands for two labels, {other} and {label}")

    @cached_property
    def _any_word(self) -> str:
        """Alternatives of all words, longest first, with free separators inside."""
        # Words without a letter or digit would be found in any punctuation: they are read only as a whole text.
        words = [word for word in self._labels if re.search(r"\w", word)]
        longest_first = sorted(words, key=len, reverse=True)
        return "|".join(r"[\s_\-‐‑–]+".join(re.escape(part) for part in word.split(" ")) for word in longest_first)

    @cached_property
    def _leading(self) -> re.Pattern[str]:
        return re.compile(rf"{_OPENERS}(?P<word>{self._any_word})(?!\w)", re.IGNORECASE)

    @cached_property
    def _mention(self) -> re.Pattern[str]:
        return re.compile(rf"(?<!\w)(?:{self._any_word})(?!\w)", re.IGNORECASE)

    def exact(self, text: str) -> str | None:
        """Return the label whose spelling the whole text is."""
        return self._labels.get(_key(text))

    def parse(self, text: str, finish: Finish = Finish.STOP) -> Parsed:
        """Return the label of a model's answer and what became of it."""
        if finish in {Finish.REFUSED, Finish.FILTERED}:
            return None, LabelStatus.REFUSED
        if not text.strip():
            return None, LabelStatus.TRUNCATED if finish is Finish.LENGTH else LabelStatus.EMPTY
        if self._open:
            whole = finish is not Finish.LENGTH and not is_refusal(text)
            return (text.strip(), LabelStatus.PARSED) if whole else (None, self._why_not(text, finish, ambiguous=False))
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

    def _lead(self, text: str) -> tuple[str, str] | None:
        """Return the label that the text begins with, and the text behind it."""
        lead = self._leading.match(text)
        # Case folding in patterns is wider than ours (a dotless i matches `i`): then there is no such label.
        label = self._labels.get(_key(lead.group("word"))) if lead else None
        return (label, text[lead.end() :]) if lead and label is not None else None

    def _at_start(self, text: str) -> set[str | None]:
        """Return the label at the start of the text; `{None}` for several labels; empty for none."""
        first: str | None = None
        while lead := self._lead(text):
            label, rest = lead
            pause = _BREAK.match(rest)
            if first is not None and label != first:
                return {None} if pause else {first}
            if joined := _OR.match(rest) or _AND.match(rest):
                other = self._lead(rest[joined.end() :])
                return {None} if other and other[0] != label else set()
            if pause is None:
                break
            first, text = label, rest[pause.end() :]
        return {first} if first is not None else set()

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
        """Return the labels an example may have; empty where any text may be one.

        Options that differ in case, spaces or a final dot are one label, in the first of these spellings.
        """
        if self.fixed:
            return self.values
        first: dict[str, str] = {}
        for option in options:
            first.setdefault(_key(option), option)
        return tuple(first.values())

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
        labels = self.labels(options)
        for label in label_map.values():
            if self.fixed and label not in labels:
                raise UserError(f"label_map leads to '{label}', which is not in the label set {', '.join(labels)}")
        words = {word: label for word, label in label_map.items() if label in labels}
        taken = {_key(word) for word in words}
        for name, label in self._names(labels, options):
            if _key(name) not in taken:  # a checkpoint's own word, or an option's text, stands before a letter
                taken.add(_key(name))
                words[name] = label
        return Vocabulary(words)

    def _names(self, labels: tuple[str, ...], options: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Yield the names of each label, those that stand before others first."""
        yield from zip(labels, labels, strict=True)
        for label in labels:
            yield from ((alias, label) for alias in self._aliases.get(label, ()))
        first = {_key(label): label for label in labels}
        for letter, option in zip(ascii_uppercase, options, strict=False):
            yield letter, first[_key(option)]
            yield f"option {letter}", first[_key(option)]

    def candidates(self, options: tuple[str, ...] = (), label_map: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """Return the words a constrained or scored label is chosen from, one per label."""
        first_word: dict[str, str] = {}
        for word, label in (label_map or {}).items():
            first_word.setdefault(label, word)
        return tuple(first_word.get(label, label) for label in self.labels(options))
