"""Grounding: which facts of a rationale stand in the input.

A fact that the input does not hold is made up, however plausible. Two kinds are counted without a judge:

- numbers (temperatures, ages, durations, pressures, doses): a number is grounded where the input holds it, in digits or
  words; where both have a unit, it must measure the same (2 days are not 2 hours);
- annotated findings, where a task has them: the annotated texts of all its items are what can be mentioned; a mention
  is all content words of such a text within one part of a sentence. It is grounded where the item's own annotation
  holds it, on the same side: a finding that the note denies must not be claimed.

Both go by words, so that true gold rationales do not reach 1 either; their own share stands beside in
`grounding_of_gold`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from r2d_bench.metrics.base import About, Family, Metric
from r2d_bench.metrics.figures import cluster_codes, cluster_warnings, figure, spread
from r2d_bench.records import Estimate, missing
from r2d_bench.statistics.bootstrap import cluster_sums, mean_of_sums, resample_units

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from r2d_bench.metrics.base import Columns
    from r2d_bench.statistics.bootstrap import Floats


def _metric(name: str, title: str, text: str) -> Metric:
    return Metric(name, title, About.RATIONALE, percent=True, decimals=1, help=text)


METRICS: tuple[Metric, ...] = (
    _metric("grounding_numbers", "Grounded numbers", "Share of the numbers in rationales that stand in the input."),
    _metric(
        "grounding_findings",
        "Grounded findings",
        "Share of the findings mentioned in rationales that the input's annotation holds, as found or as denied.",
    ),
)

_UNITS = {
    "year": "y yo yr yrs year years",
    "month": "mo mos month months",
    "week": "wk wks week weeks",
    "day": "d day days",
    "hour": "h hr hrs hour hours",
    "minute": "min mins minute minutes",
    "second": "s sec secs second seconds",
    "degree": "°c °f degrees",
    "percent": "% percent",
    "pressure": "mmhg",
    "length": "cm mm inch inches",
    "mass": "kg g mg mcg lb lbs pounds",
    "volume": "ml l",
}
_KIND = {word: kind for kind, words in _UNITS.items() for word in words.split()}
_UNIT = "|".join(sorted(map(re.escape, _KIND), key=len, reverse=True))
_DIGITS = r"(\d+(?:[.,]\d+)?(?:/\d+)?)"
_WITH_UNIT = rf"(?:[\s-]?({_UNIT})(?![\w°]))?"
_STATED = re.compile(rf"(?<![\w.,]){_DIGITS}{_WITH_UNIT}", re.IGNORECASE)  # `B12` states no number
_GIVEN = re.compile(rf"(?<![\d.,]){_DIGITS}{_WITH_UNIT}", re.IGNORECASE)  # `T38.2` gives one
_NUMERALS = {
    word: str(n)
    for n, word in enumerate(
        (
            *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
            *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
            "twenty",
        )
    )
}
_NUMERAL = re.compile(rf"\b(?:{'|'.join(_NUMERALS)})\b", re.IGNORECASE)

_PART = re.compile(r"[.;:!?\n]|\b(?:but|yet|however|although|though)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_DENIAL = frozenset({"no", "not", "nor", "none", "without", "denies", "denied", "deny", "neg", "negative", "never"})
_EMPTY = frozenset(
    {
        *(
            "a",
            "an",
            "the",
            "of",
            "in",
            "on",
            "at",
            "to",
            "for",
            "from",
            "with",
            "and",
            "or",
            "by",
            "as",
            "than",
            "then",
            "when",
            "while",
            "after",
            "before",
        ),
        *(
            "is",
            "are",
            "was",
            "were",
            "be",
            "been",
            "has",
            "have",
            "had",
            "it",
            "its",
            "this",
            "that",
            "these",
            "those",
            "some",
            "any",
            "since",
            "one",
        ),
        *("he", "she", "they", "his", "her", "their", "him", "them", "up", "out", "over", "off", "into", "about"),
    }
)


class Fact(NamedTuple):
    """A number as a text states it; `kind` is what its unit measures, None without a unit."""

    number: str
    kind: str | None


class Finding(NamedTuple):
    """An annotated finding: what it is called (the same in all items that may share it), and the text of its span."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Annotated:
    """The findings of one item: those that its input tells of, and those that it denies."""

    present: Sequence[Finding]
    absent: Sequence[Finding]


def compute(
    columns: Columns,
    findings: Sequence[Annotated] | None = None,
    *,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = 2000,
) -> Family:
    """Compute the shares as ratios of sums, with BCa intervals over items (or clusters).

    n counts the items whose rationale states a fact; the others are unscored, since they have nothing to ground.

    Args:
        columns: rationales, beside the inputs.
        findings: the annotation of each item; None where the task has none.
        seed: seed of the bootstrap.
        level: coverage of the intervals.
        resamples: number of resamples.

    Raises:
        UserError: a group id is missing.
    """
    ratio = partial(_ratio, columns, seed=seed, level=level, resamples=resamples)
    if columns.no_rationale is not None:
        return Family({metric.name: missing(columns.no_rationale, unscored=len(columns)) for metric in METRICS})
    said = [text or "" for text in columns.hypotheses]
    gold = [texts[0] if texts else "" for texts in columns.references]
    own, of_gold = (_numbers(texts, columns.inputs) for texts in (said, gold))
    estimates = {"grounding_numbers": ratio(own, "no rationale states a number")}
    values, beside = {"grounding_numbers": _shares(own)}, {"grounding_numbers": _share(of_gold)}
    if findings is None:
        estimates["grounding_findings"] = missing("the task annotates no findings", unscored=len(columns))
    else:
        vocabulary = Vocabulary(findings)
        own, of_gold = (_mentions(texts, findings, vocabulary) for texts in (said, gold))
        nothing = "no rationale mentions an annotated finding in its words"
        estimates["grounding_findings"] = ratio(own, nothing)
        values["grounding_findings"], beside["grounding_findings"] = _shares(own), _share(of_gold)
    return Family(estimates, values, extra={"grounding_of_gold": beside})


def _numbers(texts: Sequence[str], inputs: Sequence[str]) -> Floats:
    """Return how many numbers of each text stand in the input, and how many it states, shape (N, 2)."""
    found = [grounded_numbers(text, given) for text, given in zip(texts, inputs, strict=True)]
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def _mentions(texts: Sequence[str], findings: Sequence[Annotated], vocabulary: Vocabulary) -> Floats:
    """Return how many mentioned findings of each text are grounded, and how many it mentions, shape (N, 2)."""
    found = [vocabulary.grounded(text, annotated) for text, annotated in zip(texts, findings, strict=True)]
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def grounded_numbers(rationale: str, given: str) -> tuple[int, int]:
    """Return how many numbers of a rationale stand in the input, and how many it states."""
    kinds: dict[str, set[str | None]] = {}
    for fact in _facts(_GIVEN, _NUMERAL.sub(lambda word: _NUMERALS[word[0].casefold()], given)):
        kinds.setdefault(fact.number, set()).add(fact.kind)
    stated = set(_facts(_STATED, rationale))
    held = [
        fact.number in kinds and (fact.kind is None or bool({None, fact.kind} & kinds[fact.number])) for fact in stated
    ]
    return sum(held), len(held)


def _facts(pattern: re.Pattern[str], text: str) -> Iterator[Fact]:
    for number, unit in pattern.findall(text):
        plain = number.replace(",", ".")
        yield Fact(plain if "/" in plain else f"{float(plain):g}", _KIND.get(unit.casefold()))


class Mention(NamedTuple):
    """A finding that a rationale mentions, by its content words."""

    words: frozenset[str]
    denied: bool


class Vocabulary:
    """The findings that rationales can mention: the annotated texts of all items, each as its content words.

    Texts that hold a denial themselves (`gets by without a stick`) are left out: which side they are on cannot be told
    from the words around them.
    """

    def __init__(self, findings: Iterable[Annotated]) -> None:
        self._names: dict[frozenset[str], set[str]] = {}
        self._by_word: dict[str, set[frozenset[str]]] = {}
        for name, text in {finding for item in findings for finding in (*item.present, *item.absent)}:
            words = content_words(text)
            if words and not _denies(text):
                self._names.setdefault(words, set()).add(name)
                self._by_word.setdefault(min(words), set()).add(words)

    def mentions(self, rationale: str) -> set[Mention]:
        """Return the findings that a text mentions; of one within another only the longer."""
        found = set()
        for part in _PART.split(rationale):
            tokens = _tokens(part)
            said = frozenset(tokens)
            first_denial = next((place for place, word in enumerate(tokens) if word in _DENIAL), len(tokens))
            fitting = [words for word in said for words in self._by_word.get(word, ()) if words <= said]
            for words in fitting:
                if not any(words < other for other in fitting):
                    found.add(Mention(words, first_denial < min(tokens.index(word) for word in words)))
        return found

    def grounded(self, rationale: str, annotated: Annotated) -> tuple[int, int]:
        """Return how many mentions of a rationale the annotation holds on their side, and how many there are.

        It holds a mention whose words stand in one of its texts, or that is another item's wording of the same finding.
        """
        found = self.mentions(rationale)
        held = [self._holds(annotated.absent if m.denied else annotated.present, m.words) for m in found]
        return sum(held), len(held)

    def _holds(self, side: Sequence[Finding], words: frozenset[str]) -> bool:
        return any(one.name in self._names[words] or words <= content_words(one.text) for one in side)


def content_words(text: str) -> frozenset[str]:
    """Return the words of a text that carry meaning, lower-cased, without a plural's s."""
    return frozenset(word for word in _tokens(text) if word not in _DENIAL)


def _denies(text: str) -> bool:
    return any(word in _DENIAL for word in _tokens(text))


def _tokens(text: str) -> list[str]:
    words = _WORD.findall(text.casefold().replace("w/o", "without"))
    return [
        word[:-1] if len(word) > 3 and word.endswith("s") and word[-2] != "s" else word
        for word in words
        if word not in _EMPTY
    ]


def _ratio(columns: Columns, counts: Floats, nothing: str, *, seed: int, level: float, resamples: int) -> Estimate:
    """Return Σ grounded / Σ stated over the items that state something."""
    stating = counts[:, 1] > 0
    if not stating.any():
        return missing(nothing, unscored=len(columns))
    codes = cluster_codes(columns, stating)
    units = counts[stating] if codes is None else cluster_sums(counts[stating], codes)
    drawn = resample_units(units, seed=seed, resamples=resamples)
    return figure(
        float(mean_of_sums(counts.sum(axis=0))),
        drawn.interval(mean_of_sums, level),
        n=int(stating.sum()),
        unscored=int((~stating).sum()),
        level=level,
        warnings=cluster_warnings(codes),
    )


def _share(counts: Floats) -> float | None:
    """Return Σ grounded / Σ stated; None where nothing is stated."""
    grounded, stated = counts.sum(axis=0)
    return float(grounded / stated) if stated else None


def _shares(counts: Floats) -> Floats:
    """Return the share of each item; NaN where it states nothing, shape (N,)."""
    stating = counts[:, 1] > 0
    return spread(counts[stating, 0] / counts[stating, 1], stating)
