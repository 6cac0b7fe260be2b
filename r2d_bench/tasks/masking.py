"""The words of labels in running text: which labels a text states, and the text without them.

A rationale that names its label proves nothing when the label is read back from it. Names are matched as the label
parser matches them (case, spaces, `_` and `-` aside). Where the parser asks "what is the answer?", this asks "is the
answer given away?", so that a mere mention counts. Short names (`no`, `None`, `B`) are ordinary words of running text:
they count only where they stand alone between breaks (`No, the …`) or are announced (`the answer is no`).
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from r2d_bench.tasks.labels import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from r2d_bench.records import Example
    from r2d_bench.tasks.task import Task

MASK = "[masked]"  # where the task names no token of its own
SHORT = 4  # letters of a name that is an ordinary word of running text

_SEPARATOR = r"[\s_\-‐‑–]+"
_ANNOUNCED = r"(?:^|(?<=[.!?;:\n])|\b(?:answer|label|disposition|prediction|decision)\s+is\b)[\s\"'`*(“‘]*"
_BREAK = r"(?=[\"'`*”’]*\s*(?:[.,;:!?)\n—–]|$))"


class LabelWords:
    """The names of some labels.

    Args:
        names: name → label; several names may stand for one label.
        also: further words that give a label away without naming it: masked, and no statement of a label.
        token: what stands for a masked word.
    """

    def __init__(self, names: Mapping[str, str], also: Sequence[str] = (), token: str = MASK) -> None:
        self._labels: dict[str, str] = {}
        for name, label in names.items():
            self._labels.setdefault(normalise(name), label)
        self._also = [normalise(word) for word in also]
        self._token = token

    @cached_property
    def _stating(self) -> re.Pattern[str] | None:
        return _pattern(self._labels)

    @cached_property
    def _masked(self) -> re.Pattern[str] | None:
        return _pattern(self._labels, self._also) if self._also else self._stating

    def stated(self, text: str) -> frozenset[str]:
        """Return the labels that a text states."""
        if self._stating is None:
            return frozenset()
        words = (normalise(match[match.lastgroup or 0]) for match in self._stating.finditer(text))
        # Case folding in patterns is wider than ours (a dotless i matches `i`): then there is no such label.
        return frozenset(self._labels[word] for word in words if word in self._labels)

    def mask(self, text: str) -> str:
        """Return the text with every stated name, and every further word, replaced by the token."""
        if self._masked is None:
            return text
        parts, at = [], 0
        for match in self._masked.finditer(text):
            start, end = match.span(match.lastgroup or 0)
            parts += [text[at:start], self._token]
            at = end
        return "".join([*parts, text[at:]])


def _pattern(names: Iterable[str], also: Sequence[str] = ()) -> re.Pattern[str] | None:
    """Return what finds normalised names (and, of whatever length, further words); None where there is none."""
    known = sorted({name for name in (*names, *also) if re.search(r"\w", name)}, key=lambda name: (-len(name), name))
    long = [_words(name) for name in known if len(name) > SHORT or name in also]
    short = [_words(name) for name in known if len(name) <= SHORT and name not in also]
    ways = []
    if long:
        ways.append(rf"(?<!\w)(?P<long>{'|'.join(long)})(?!\w)")
    if short:
        ways.append(rf"{_ANNOUNCED}(?P<short>{'|'.join(short)})(?!\w){_BREAK}")
    return re.compile("|".join(ways), re.IGNORECASE) if ways else None


def _words(name: str) -> str:
    return _SEPARATOR.join(re.escape(part) for part in name.split(" "))


class Masker:
    """The label words of a task's examples, made once where all examples have the same.

    These are labels, aliases, titles and a checkpoint's own words; of choices the texts of the options (their letters
    stand for nothing in running text); in an open label space the gold label alone.

    Args:
        task: the task.
        label_map: the words of a checkpoint's own, word → label.
    """

    def __init__(self, task: Task, label_map: Mapping[str, str] | None = None) -> None:
        self._task = task
        self._label_map = dict(label_map or {})
        self._shared: LabelWords | None = None

    def words(self, example: Example) -> LabelWords:
        """Return the label words of an example."""
        if not self._task.labels.fixed:
            return self._make(self._task.labels.labels(example.options) or ((example.gold,) if example.gold else ()))
        if self._shared is None:
            self._shared = self._make(self._task.labels.values)
        return self._shared

    def mask(self, example: Example, text: str) -> str:
        """Return a text about an example without its label words."""
        return self.words(example).mask(text)

    def _make(self, labels: Sequence[str]) -> LabelWords:
        card = self._task.spec.label
        names = {label: label for label in labels}
        names |= {alias: label for label in labels for alias in card.aliases.get(label, ())}
        names |= {card.titles[label]: label for label in labels if label in card.titles}
        names |= {word: label for word, label in self._label_map.items() if label in labels}
        rationale = self._task.spec.rationale
        return LabelWords(names, rationale.mask_words, rationale.mask_token or MASK)
