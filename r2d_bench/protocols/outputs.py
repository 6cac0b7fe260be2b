"""Reading what a model wrote in one stage: text in, label text and rationale out.

Exactly one object, tag or match is read, or the format was not kept. Nothing is repaired: a cut JSON object stays
unread, whatever could be guessed from it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.documents import without_doubles
from r2d_bench.records import Finish, LabelStatus, RationaleStatus, Response
from r2d_bench.tasks.labels import is_refusal

if TYPE_CHECKING:
    from r2d_bench.protocols.spec import Keys, Output
    from r2d_bench.records import Json
    from r2d_bench.tasks.labels import Vocabulary

_OBJECT = re.compile(r'\{\s*"')
_TOKEN = re.compile(r'[{}]|"(?:[^"\\]|\\.)*"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class StageOutput:
    """What one stage gave for one example; prompts of later stages see `text`, `label` and `rationale`.

    `label` is the parsed label, in the word it was read from where there is none.
    """

    text: str
    label: str | None = None
    label_text: str | None = None
    label_status: LabelStatus | None = None
    rationale: str | None = None
    rationale_status: RationaleStatus = RationaleStatus.ABSENT


def read_output(output: Output, response: Response, vocabulary: Vocabulary) -> StageOutput:
    """Return label and rationale of one answer, each with what became of it."""
    text = response.text
    parts = _split(output, text)
    label = label_text = label_status = rationale = None
    rationale_status = RationaleStatus.ABSENT
    if "label" in output.gives:
        label_text = parts.get("label")
        if label_text is None:
            label_status = _format_status(text, response.finish)
        else:
            label, label_status = vocabulary.parse(label_text, response.finish)
    if "rationale" in output.gives:
        rationale = (parts.get("rationale") or "").strip()
        read = "rationale" in parts
        # What stands between tags or in a finished object is whole, wherever the text was cut behind it.
        whole = read and (output.json_object or output.tags) is not None
        rationale_status = _rationale_status(rationale, text, response.finish, read=read, whole=whole)
    return StageOutput(
        text, label, label_text if label_text is not None else text, label_status, rationale, rationale_status
    )


def _split(output: Output, text: str) -> dict[str, str]:
    """Return the parts that could be read."""
    if output.whole is not None:
        return {output.whole: text}
    if output.json_object is not None:
        return _from_json(output.json_object, text)
    if output.tags is not None:
        return _from_tags(output.tags, text)
    # A pattern that can match nothing does so once more at the end of the text.
    matches = [match.groupdict() for match in re.finditer(output.regex or "", text) if match.group()]
    if len(matches) != 1:
        return {}
    return {key: value for key, value in matches[0].items() if value is not None}


def _from_json(keys: Keys, text: str) -> dict[str, str]:
    wanted = {ours: theirs for ours in ("label", "rationale") if (theirs := getattr(keys, ours)) is not None}
    fitting = [found for found in json_objects(text) if any(theirs in found for theirs in wanted.values())]
    if len(fitting) != 1:
        return {}
    values = {ours: fitting[0].get(theirs) for ours, theirs in wanted.items()}
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in values.items()
        if value is not None
    }


def json_objects(text: str) -> list[dict[str, Json]]:
    """Return every complete JSON object that stands in the text, outermost ones only.

    An object that is cut or broken is passed over with all that stands in it: what it holds is no answer.
    """
    decoder = json.JSONDecoder(object_pairs_hook=without_doubles)
    found, at = [], text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = _end_of_broken(text, at)
        else:
            found.append(value)
        at = text.find("{", end)
    return found


def _end_of_broken(text: str, start: int) -> int:
    """Return where a broken object that opens at `start` ends; a brace that opens no object ends at once."""
    if not _OBJECT.match(text, start):
        return start + 1
    depth = 0
    for token in _TOKEN.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(token.group(), 0)
        if depth == 0:
            return token.end()
    return len(text)


def _from_tags(keys: Keys, text: str) -> dict[str, str]:
    parts = {}
    for ours in ("label", "rationale"):
        tag = getattr(keys, ours)
        if tag is None:
            continue
        found = re.findall(rf"<{re.escape(tag)}>(.*?)</{re.escape(tag)}>", text, re.DOTALL | re.IGNORECASE)
        if len(found) == 1:
            parts[ours] = found[0].strip()
    return parts


def _format_status(text: str, finish: Finish) -> LabelStatus:
    """Tell what became of a label whose format was not kept."""
    if finish in {Finish.REFUSED, Finish.FILTERED} or is_refusal(text):
        return LabelStatus.REFUSED
    if finish is Finish.LENGTH:
        return LabelStatus.TRUNCATED
    return LabelStatus.ERROR if text.strip() else LabelStatus.EMPTY


def _rationale_status(rationale: str, text: str, finish: Finish, *, read: bool, whole: bool) -> RationaleStatus:
    if finish in {Finish.REFUSED, Finish.FILTERED} or is_refusal(rationale or text):
        return RationaleStatus.REFUSED
    if finish is Finish.LENGTH and not whole:
        return RationaleStatus.TRUNCATED
    if not read and text.strip():
        return RationaleStatus.ERROR
    return RationaleStatus.WRITTEN if rationale else RationaleStatus.EMPTY
