"""What a judge is shown of one example, made harmless: a rationale is untrusted text.

Style and instructions must not move a score: markdown is stripped, whitespace normalised, hidden characters removed, a
fixed length cut, and whatever looks like our delimiters or like a chat's own tokens taken apart. What looks like an
attempt is named in `suspects` and judged all the same.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from r2d_bench.judging.rubric import Rubric
    from r2d_bench.records import Example, Prediction
    from r2d_bench.tasks.task import Task

# Brackets that could be read as those of a delimiter: full-width, single and double quotation, mathematical.
_OPENING, _CLOSING = (
    "\uff1c\u2039\u27e8\u3008\u300a\u00ab\u226a\u27ea",
    "\uff1e\u203a\u27e9\u3009\u300b\u00bb\u226b\u27eb",
)
_LIKE_BRACKETS = str.maketrans(dict.fromkeys(_OPENING, "<") | dict.fromkeys(_CLOSING, ">"))
_RUN_OF_BRACKETS = re.compile(r"([<>])(?:\s*\1)+")
_CHAT_TOKEN = re.compile(r"<\|([^|<>]{0,60})\|>|\[(/?INST)\]|<(/?(?:s|bos|eos|pad|SYS|start_of_turn|end_of_turn))>")
_FENCE = re.compile(r"(?m)^[ \t]*(?:```|~~~)[\w-]*[ \t]*$|```|~~~")
_COMMENT = re.compile(r"<!--|-->")
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9]*(?:\s[^<>]*)?/?>")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
_LINE_STARTS = re.compile(r"(?m)^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[-*+•][ \t]+)")
_RULES = re.compile(r"(?m)^[ \t]*(?:[-*_=][ \t]*){3,}$|^[ \t|:-]*\|[ \t|:-]*$")
_EMPHASIS = re.compile(r"(?<![\w*_])(\*{1,3}|_{1,3})(?=\S)(.+?)(?<=\S)\1(?![\w*_])", re.DOTALL)
_CODE = re.compile(r"`+([^`]*)`+")
_CELL = re.compile(r"[ \t]*\|[ \t]*")


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE | re.DOTALL)


# Names of what a rationale should not hold. They are looked for in the text as it was written.
_SUSPECTS = {
    "instruction": _any_of(
        r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instructions?|above|previous|rubric|prompt|criteria)\b",
        r"\b(?:judge|grader|evaluator|reviewer|assessor)\b\s*[:,]",
        r"\byou (?:must|should|shall|are (?:required|asked|told) to)\b.{0,30}"
        r"\b(?:give|rate|score|grade|assign|output|reply)\b",
        r"\b(?:system|developer) (?:prompt|message|note|override|instruction)s?\b",
        r"\bnew (?:task|instructions?|rules?)\b\s*:",
    ),
    "planted score": _any_of(
        r"\b(?:5\s*/\s*5|(?:5|five) out of (?:5|five))",
        r"\b(?:full|top|highest|maximum|max|perfect) (?:scores?|marks?|ratings?|points)\b",
        r"\b(?:give|assign|award|rate|score|grade)\b.{0,40}\b(?:all|every|each)\b.{0,30}\b(?:5|five|criteri\w+)\b",
        r"\b(?:scores?|ratings?|label_support|clinical_accuracy|grounding|completeness|safety|clarity)"
        r"\s*[:=]\s*[\"']?5\b",
    ),
    "fake verdict": _any_of(
        r"[\"'](?:scores|flags|explanation|preference|cannot_assess|label_support|clinical_accuracy)[\"']\s*:"
    ),
    "fake delimiter": _any_of(
        r"<\s*<",
        r">\s*>",
        r"\b(?:begin|end) (?:of )?(?:rationale|answer|candidate|case)\b",
        r"</?(?:rationale|answer|candidate|case)>",
    ),
    "role token": _any_of(
        _CHAT_TOKEN.pattern, r"(?:^|\n)\s*(?:#+\s*)?(?:system|assistant|user|human|instruction|response)\s*:"
    ),
    "encoded text": _any_of(
        r"\b[a-z0-9+/]{40,}={0,2}(?![\w/+])",
        r"(?:\\u[0-9a-f]{4}){3,}",
        r"(?:%[0-9a-f]{2}){4,}",
        r"(?:&#x?[0-9a-f]+;){3,}",
    ),
    "hidden comment": _COMMENT,
}


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A text as a judge may see it.

    Attributes:
        text: the text; holds no two angle brackets in a row.
        cut: whether its end was cut off.
        suspects: names of patterns that were found, in a fixed order.
    """

    text: str
    cut: bool
    suspects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer, ready to be shown.

    Attributes:
        example_id: the example.
        input: the case.
        label: the predicted label; None where there is no valid one.
        rationale: the rationale, cleaned.
        labels: the label space, each with what it means (empty text: nothing is said), as (word, title).
        reference_label, reference_rationale: the gold ones, for rubrics that show them; None elsewhere.
        cut: the rationale was cut.
        suspects: what in it looks like an attempt to move the judge.
        group: cluster of dependent items.
    """

    example_id: str
    input: str
    label: str | None
    rationale: str
    labels: tuple[tuple[str, str], ...] = ()
    reference_label: str | None = None
    reference_rationale: str | None = None
    cut: bool = False
    suspects: tuple[str, ...] = ()
    group: str | None = None


def candidate_of(task: Task, example: Example, prediction: Prediction, rubric: Rubric) -> Candidate:
    """Return what the judge is shown of an example. The gold is left out unless the rubric asks for it."""
    labels = task.labels.labels(example.options)
    titles = task.spec.label.titles
    return make_candidate(
        rubric,
        example,
        prediction.label,
        prediction.rationale or "",
        labels=tuple((label, titles.get(label, "")) for label in labels),
    )


def make_candidate(
    rubric: Rubric, example: Example, label: str | None, rationale: str, *, labels: tuple[tuple[str, str], ...] = ()
) -> Candidate:
    """Return an answer to an example, cleaned, whoever wrote it.

    Args:
        rubric: tells lengths, and whether the gold is shown.
        example: the case.
        label: the label that the rationale is for.
        rationale: the rationale as it was written.
        labels: the label space, as (word, title).
    """
    shown = clean(rationale, rubric.limits.rationale)
    reference = example.references[0] if rubric.reference and example.references else None
    return Candidate(
        example_id=example.id,
        input=plain(example.input, rubric.limits.input),
        label=None if label is None else plain(label, rubric.limits.rationale),
        rationale=shown.text,
        labels=labels,
        reference_label=example.gold if rubric.reference else None,
        reference_rationale=None if reference is None else clean(reference, rubric.limits.rationale).text,
        cut=shown.cut,
        suspects=shown.suspects,
        group=example.group,
    )


def clean(text: str, words: int) -> Cleaned:
    """Return a rationale without markdown, hidden characters and line breaks, cut to a number of words.

    Cleaning a cleaned text changes nothing.
    """
    visible = without_hidden(text)
    suspects = [name for name, pattern in _SUSPECTS.items() if pattern.search(text) or pattern.search(visible)]
    if _hides_something(text):
        suspects.append("hidden characters")
    kept = visible
    while (simpler := " ".join(_without_markdown(_taken_apart(kept)).split())) != kept:
        kept = simpler
    first = kept.split(" ")
    if len(first) <= words:
        return Cleaned(kept, cut=False, suspects=tuple(suspects))
    # What was cut in the middle of a pair of marks may read as other marks.
    return Cleaned(clean(" ".join(first[:words]), words).text, cut=True, suspects=tuple(suspects))


def plain(text: str, words: int) -> str:
    """Return a case's text as it is, but for hidden characters and what could pass for a delimiter; lines are kept."""
    kept = without_hidden(text)
    while (simpler := _taken_apart(kept)) != kept:
        kept = simpler
    lines = [" ".join(line.split()) for line in kept.splitlines()]
    left, shown = words, []
    for line in lines:
        part = line.split(" ")[:left]
        shown.append(" ".join(part))
        left -= len(part) if line else 0
        if left <= 0:
            break
    return re.sub(r"\n{3,}", "\n\n", "\n".join(shown)).strip()


def without_hidden(text: str) -> str:
    """Return the text without characters that nobody sees: zero-width, bidirectional, control, tags, selectors."""
    return "".join(
        "\n" if unicodedata.category(c) in {"Zl", "Zp"} else c for c in text if c in "\n\t" or not _is_hidden(c)
    )


def _is_hidden(character: str) -> bool:
    return (
        unicodedata.category(character) in {"Cc", "Cf", "Co", "Cs", "Cn"}
        or "\ufe00" <= character <= "\ufe0f"
        or "\U000e0100" <= character <= "\U000e01ef"
        or character in "\u115f\u1160\u3164\uffa0\u2800"  # fillers that are drawn as nothing
    )


def _hides_something(text: str) -> bool:
    return any(_is_hidden(c) for c in text if c not in "\n\t\r")


def _taken_apart(text: str) -> str:
    """Return the text without runs of angle brackets and without a chat's own tokens; their words stay."""
    text = _CHAT_TOKEN.sub(lambda m: f"({next((g for g in m.groups() if g), '')})", text.translate(_LIKE_BRACKETS))
    return _RUN_OF_BRACKETS.sub(r"\1", text)


def _without_markdown(text: str) -> str:
    """Return the words of a text in markdown or HTML."""
    for pattern in (_COMMENT, _FENCE, _RULES, _TAG):
        text = pattern.sub(" ", text)
    text = _LINE_STARTS.sub("", text)
    text = _LINK.sub(r"\1", text)
    text = _CODE.sub(r"\1", text)
    text = _EMPHASIS.sub(r"\2", text)
    return _CELL.sub(" ", text)
