"""What a judge is shown of one example, made harmless: case and rationale are untrusted text.

Style and instructions must not move a score: markdown is stripped, whitespace normalised, hidden characters removed, a
fixed length cut, and whatever looks like our delimiters or like a chat's own tokens taken apart. What looks like an
attempt to move the judge is named in `suspects`, and judged all the same.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from r2d_bench.judging.rubric import Rubric
    from r2d_bench.records import Example, Prediction
    from r2d_bench.tasks.task import Task

# A text without spaces is cut as well: so many characters count as a word, on average.
CHARACTERS = 10
# Markdown is taken out of so much more than can be shown; what lies behind is cut unseen, so that time is bounded.
_READ_AHEAD = 4

LABEL_WORDS = 40
EMPTY_CASE = "(nothing)"
_PRINTED = re.compile(r"[\t\x20-\x7e]*+(?:\n[\t\x20-\x7e]++)*+")  # a newline at the end would be taken off

# Brackets that could be read as those of a delimiter, quotation marks that look like them, and bars of chat tokens.
_LEFT = "\uff1c\ufe64\u02c2\u1438\u27e8\u2329\u3008\u300a\u226a\u22d8\u27ea\u276e\u2770\u2aa1"
_RIGHT = "\uff1e\ufe65\u02c3\u1433\u27e9\u232a\u3009\u300b\u226b\u22d9\u27eb\u276f\u2771\u2aa2"
_LIKE = str.maketrans(
    dict.fromkeys(_LEFT, "<")
    | dict.fromkeys(_RIGHT, ">")
    | dict.fromkeys("\u00ab\u00bb", '"')
    | dict.fromkeys("\u2039\u203a", "'")
    | dict.fromkeys("\uff5c\u2223\u2758", "|")
)
_RUN_OF_BRACKETS = re.compile(r"([<>])(?:[\s\u0300-\u036f\u20d0-\u20ff]*\1)+")
_BARRED = re.compile(r"<\s*\||\|\s*>")
_CHAT_TOKEN = re.compile(
    r"\[(/?(?:INST|SYS|SYSTEM_PROMPT|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS|gMASK))\]"
    r"|<(/?(?:s|bos|eos|pad|unk|sop|eop|SYS|think|tool_call|start_of_turn|end_of_turn|extra_id_\d+))>",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_COMMENT = re.compile(r"<!--|-->")
_FENCE = re.compile(r"(?:`{3,}+|~{3,}+)[\w-]*+[ \t]*+$|`{3,}|~{3,}", re.MULTILINE)
_RULES = re.compile(r"^[ \t]*(?:[-*_=][ \t]*){3,}$|^(?=[^\n]*\|)[ \t|:-]+$", re.MULTILINE)
_TAG = re.compile(  # by name: `<b and c>` is HTML, `<day 3 and >day 5` is none
    r"</?(?:a|b|big|blockquote|body|br|center|code|details|div|em|font|h[1-6]|head|hr|html|i|img|li|mark|ol|p|pre|script"
    r"|small|span|strike|strong|style|sub|summary|sup|table|tbody|td|th|thead|title|tr|tt|u|ul)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
# A lone `#` stands for a fracture, and `> 38` for more than 38: neither is a heading or a quotation.
_LINE_STARTS = re.compile(
    r"^[ \t]*(?:#{2,6}[ \t]+|#[ \t]+(?=[A-Z][^\n]{0,60}\n)|>+[ \t]?(?![\s\d=.])|[-*+•][ \t]+)", re.MULTILINE
)
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
_CODE = re.compile(r"`+([^`]*)`+")
_EMPHASIS = re.compile(r"(?<![\w*_])(\*{1,3}|_{1,3})(?=\S)([^\n]{1,200}?)(?<=\S)\1(?![\w*_])")

_CRITERIA = r"label_support|clinical_accuracy|grounding|completeness|safety|clarity"
# Names of what a rationale should not hold, and how it is found.
_SUSPECTS = {
    "instruction": re.compile(
        r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instructions?|above|previous|earlier|rubric|prompt|criteria)\b"
        r"|\b(?:judge|grader|evaluator|assessor|rater)\b\s*[:,]"
        r"|\b(?:dear|(?:to|for|attention) (?:the|all)) (?:judge|grader|evaluator|rater)s?\b"
        r"|\b(?:must|should|shall|please|now)\s+(?:rate|grade|assign|output|award|reply with|respond with|return)\b"
        r"|\b(?:give|rate|score|grade) (?:this|the) (?:rationale|answer|candidate|text|response|explanation)\b"
        r"|\b(?:system|developer) (?:prompt|message|note|override|instruction)s?\b"
        r"|\bnew (?:task|instructions?|rules?)\b\s*:|\byou are now\b",
        re.IGNORECASE | re.DOTALL,
    ),
    "planted score": re.compile(
        r"\b(?:5\s*/\s*5|(?:5|five) (?:out )?of (?:5|five))(?![\w/])"
        r"|\b(?:full|top|highest|best|maximum|max|perfect) (?:scores?|marks?|ratings?|grades?)\b"
        r"|\b(?:give|assign|award|rate|score|grade|set)\b.{0,40}\b(?:all|every|each|this)\b.{0,30}\b(?:5|five|criteri\w+)\b"
        # A score of the text, not of the patient: `Wells score: 5` is a finding.
        r"|(?:^|[.;,(\n])\s{0,3}(?:(?:overall|final|your) )*(?:scores?|ratings?|grades?)\s{0,3}[:=]\s{0,3}5(?![\w/])"
        rf"|\b(?:{_CRITERIA})[\"']?\s{{0,3}}(?:[:=]|is|to)\s{{0,3}}[\"']?[1-5]\b",
        re.IGNORECASE | re.DOTALL,
    ),
    "fake verdict": re.compile(
        rf"[\"'](?:scores|flags|explanation|preference|verdict|{_CRITERIA})\\?[\"']\s*:", re.IGNORECASE
    ),
    "fake delimiter": re.compile(
        r"<\s*<|>\s*>|\b(?:begin|start|end) of (?:the )?(?:rationale|answer|candidate|case|reference)\b"
        r"|</?(?:rationale|answer|candidate|case)>|[=-]{3}[ \t]*(?:begin|end)\b",
        re.IGNORECASE,
    ),
    "role token": re.compile(
        rf"{_CHAT_TOKEN.pattern}|<\||\|>"
        r"|(?:^|\n)[ \t]*(?:[#*]+[ \t]*)?(?:system|assistant|user|human|instruction|response)(?:\*\*)?\s*:",
        re.IGNORECASE,
    ),
    "encoded text": re.compile(
        r"(?<![\w+/])[A-Za-z0-9+/]{40,}={0,2}(?![\w/+])|(?:\\[ux]\{?[0-9a-fA-F]{2,6}\}?){3,}"
        r"|(?:%[0-9A-Fa-f]{2}){4,}|(?:&#x?[0-9A-Fa-f]+;){3,}"
    ),
    "hidden comment": _COMMENT,
}


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A text as a judge may see it.

    Attributes:
        text: the text; no two angle brackets of a kind follow each other in it.
        cut: its end was cut off.
        suspects: names of patterns that were found, in a fixed order.
    """

    text: str
    cut: bool
    suspects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer, ready to be shown.

    Attributes:
        example_id: the example.
        input: the case.
        label: the predicted label; None where there is no valid one.
        rationale: the rationale, cleaned.
        labels: the label space as (word, what it means), the latter empty where nothing is said.
        reference_label, reference_rationale: the gold ones, for rubrics that show them; None elsewhere.
        cut: the rationale was cut.
        input_cut: the case was cut.
        suspects: what in the rationale looks like an attempt to move the judge.
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
    input_cut: bool = False
    suspects: tuple[str, ...] = ()
    group: str | None = None


def candidate_of(task: Task, example: Example, prediction: Prediction, rubric: Rubric) -> Candidate:
    """Return what the judge is shown of an example. The gold is left out unless the rubric asks for it."""
    titles = task.spec.label.titles
    labels = tuple((label, titles.get(label, "")) for label in task.labels.labels(example.options))
    return make_candidate(rubric, example, prediction.label, prediction.rationale or "", labels=labels)


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
    case, shown = plain(example.input, rubric.limits.input), clean(rationale, rubric.limits.rationale)
    gold = example.gold if rubric.reference else None
    reference = example.references[0] if rubric.reference and example.references else None
    return Candidate(
        example_id=example.id,
        input=case.text or EMPTY_CASE,
        label=None if label is None else _one_line(label),
        rationale=shown.text,
        labels=tuple((_one_line(word), _one_line(title)) for word, title in labels),
        reference_label=None if gold is None else _one_line(gold),
        reference_rationale=None if reference is None else clean(reference, rubric.limits.rationale).text,
        cut=shown.cut,
        input_cut=case.cut,
        suspects=shown.suspects,
        group=example.group,
    )


def clean(text: str, words: int) -> Cleaned:
    """Return a rationale as one line without markdown and hidden characters, cut to a number of words.

    Cleaning a cleaned text changes nothing.
    """
    visible = without_hidden(text)
    head = visible[: words * CHARACTERS * _READ_AHEAD]
    kept, cut = _settled(head, _simplified), len(head) < len(visible)
    while (shorter := " ".join(kept.split(" ")[:words])[: words * CHARACTERS].rstrip()) != kept:
        kept, cut = _settled(shorter, _simplified), True  # half a pair of marks may read as other marks
    return Cleaned(kept, cut, suspects_in(text))


def plain(text: str, words: int) -> Cleaned:
    """Return a case as it is, lines and all, but for hidden characters and what could pass for a delimiter."""
    kept = _settled(without_hidden(text), _taken_apart)
    lines = "\n".join(" ".join(line.split()) for line in kept.splitlines())
    whole = re.sub(r"\n{3,}", "\n\n", lines).strip()
    ends = [word.end() for word in re.finditer(r"\S+", whole)]
    shown = (whole[: ends[words - 1]] if len(ends) > words else whole)[: words * CHARACTERS].rstrip()
    return Cleaned(shown, cut=len(shown) < len(whole))


def suspects_in(text: str) -> tuple[str, ...]:
    """Return the names of what looks like an attempt to move a judge, in a fixed order."""
    visible = without_hidden(text)
    forms = {visible, unicodedata.normalize("NFKC", visible), html.unescape(visible).translate(_LIKE)}
    found = [name for name, pattern in _SUSPECTS.items() if any(pattern.search(form) for form in forms)]
    return (*found, "hidden characters") if any(map(_is_covert, text)) else tuple(found)


def without_hidden(text: str) -> str:
    """Return the text without characters that nobody sees; every kind of line break becomes a newline."""
    if _PRINTED.fullmatch(text):  # nearly all texts: looking at each character takes long
        return text
    return "".join(c for c in "\n".join(text.splitlines()) if c in "\n\t" or not _is_hidden(c))


def _is_hidden(character: str) -> bool:
    """Tell control, format (zero-width, bidirectional), private and lone surrogate characters, selectors, fillers."""
    return (
        unicodedata.category(character) in {"Cc", "Cf", "Co", "Cs"}
        or "\ufe00" <= character <= "\ufe0f"
        or "\U000e0000" <= character <= "\U000e0fff"
        or character in "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
    )


def _is_covert(character: str) -> bool:
    """Tell hidden characters that honest text does not hold: emoji, hyphenation and some scripts need the others."""
    honest = "\n\t\r\v\f\x1c\x1d\x1e\x85\u00ad\u200c\u200d\u200e\u200f\ufeff\ufe0e\ufe0f"
    return _is_hidden(character) and character not in honest


def _settled(text: str, step: Callable[[str], str]) -> str:
    """Apply a step until it changes nothing: what one takes away may have hidden another. No step makes text longer."""
    while (after := step(text)) != text:
        text = after
    return text


def _taken_apart(text: str) -> str:
    """Return the text without runs of angle brackets and without a chat's own tokens; their words stay."""
    text = _RUN_OF_BRACKETS.sub(r"\1", text.translate(_LIKE))
    text = _CHAT_TOKEN.sub(lambda found: f"({found.group(1) or found.group(2)})", text)
    return _BARRED.sub("|", text)


def _simplified(text: str) -> str:
    text = without_hidden(_ENTITY.sub(lambda found: html.unescape(found.group()), text))
    return " ".join(_without_markdown(_taken_apart(text)).split())


def _without_markdown(text: str) -> str:
    """Return the words of a text in markdown or HTML."""
    for pattern in (_COMMENT, _FENCE, _RULES, _TAG):
        text = pattern.sub(" ", text)
    text = _LINE_STARTS.sub("", text)
    text = _LINK.sub(r"\1", text)
    text = _CODE.sub(r"\1", text)
    return _EMPHASIS.sub(r"\2", text).replace("|", " ")


def _one_line(text: str) -> str:
    return " ".join(plain(text, LABEL_WORDS).text.split())
