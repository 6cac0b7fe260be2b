"""From a candidate to a request. Everything untrusted stands between delimiters that it cannot know or write.

A delimiter carries a nonce: a digest of the rubric and of all that is shown. Whoever wrote the text cannot have known
it, since it changes with the text; and the same command builds the same prompt again. A nonce that stands in the text
all the same is drawn anew.

Prompts of a judge know these names: `case`, `answer` (label and rationale), `reference` (empty text where the judge is
blind), each between its delimiters; `labels` (list of `word`, `title`); `criteria` and `flags` (as in `judge.yaml`),
`scale`; `format` (what to reply). Pairwise ones know `first` and `second` in place of `answer`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from r2d_bench.judging.verdict import schema_of, skeleton_of
from r2d_bench.records import Json, LabelMethod, Message, Request, digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from r2d_bench.judging.candidates import Candidate
    from r2d_bench.judging.rubric import Criterion, Flag, LoadedRubric

STAGE, REASK = "judge", "judge?"
NO_LABEL = "(no valid label)"
Order = Literal["ab", "ba"]


def stage_name(*, repeat: int = 1, reask: bool = False) -> str:
    """Return the stage under which a request is stored: repeats of one question are questions of their own."""
    return (REASK if reask else STAGE) + (f"#{repeat}" if repeat > 1 else "")


def judge_request(
    rubric: LoadedRubric, candidate: Candidate, *, chat: bool, repeat: int = 1, reask_of: str | None = None
) -> Request:
    """Return the request for one verdict.

    Args:
        rubric: the rubric.
        candidate: what is judged.
        chat: the judge takes turns of a chat; otherwise one text.
        repeat: 1, 2, …: the same question asked again, to see the judge's own noise.
        reask_of: a reply that could not be read; the request then asks once more, for the format alone.
    """
    spec = rubric.spec
    context = _context(rubric, [candidate], spec.criteria, spec.flags)
    turns = _turns(rubric, context)
    if reask_of is not None:
        turns += [Message("assistant", reask_of), Message("user", _again(context["format"]))]
    return _request(
        rubric,
        candidate,
        turns,
        stage=stage_name(repeat=repeat, reask=reask_of is not None),
        chat=chat,
        schema=schema_of(spec),
    )


def pair_request(rubric: LoadedRubric, one: Candidate, other: Candidate, *, order: Order, chat: bool) -> Request:
    """Return the request that compares two answers to one case.

    Args:
        rubric: a pairwise rubric.
        one: the answer of run A.
        other: the answer of run B.
        order: which of them stands first; a preference counts only where both orders agree.
        chat: the judge takes turns of a chat.
    """
    shown = [one, other] if order == "ab" else [other, one]
    context = _context(rubric, shown, (), rubric.spec.flags)
    turns = _turns(rubric, context)
    return _request(rubric, one, turns, stage=f"{STAGE}:{order}", chat=chat, schema=schema_of(rubric.spec))


def probability_request(rubric: LoadedRubric, candidate: Candidate, criterion: str, *, chat: bool) -> Request:
    """Return the request that has every number of the scale scored as the answer for one criterion."""
    spec = rubric.spec
    asked = next(one for one in spec.criteria if one.name == criterion)
    context = _context(rubric, [candidate], (asked,), ())
    numbers = tuple(str(number) for number in spec.scale.numbers)
    context["format"] = f"Reply with one number from {numbers[0]} to {numbers[-1]} for {asked.title}, and nothing else."
    request = _request(rubric, candidate, _turns(rubric, context), stage=f"{STAGE}:{criterion}", chat=chat, schema=None)
    return Request(
        example_id=request.example_id,
        stage=request.stage,
        prompt=request.prompt,
        input=request.input,
        max_new_tokens=4,
        method=LabelMethod.SCORED,
        candidates=numbers,
    )


@dataclass(frozen=True, slots=True)
class Fence:
    """The delimiters of one prompt."""

    nonce: str

    def around(self, what: str, text: str) -> str:
        """Return the text between its delimiters."""
        return f"<<<{what} {self.nonce}>>>\n{text}\n<<<end of {what} {self.nonce}>>>"


def fence_of(rubric_digest: str, texts: Sequence[str]) -> Fence:
    """Return delimiters that stand in none of the texts."""
    count = 0
    while True:
        nonce = digest([rubric_digest, count, *texts], 12)
        if not any(nonce in text for text in texts):
            return Fence(nonce)
        count += 1


def _context(
    rubric: LoadedRubric, candidates: Sequence[Candidate], criteria: Sequence[Criterion], flags: Sequence[Flag]
) -> dict[str, Json]:
    first = candidates[0]
    reference = _reference(first) if rubric.spec.reference else ""
    answers = [_answer(candidate) for candidate in candidates]
    fence = fence_of(rubric.digest, [first.input, reference, *answers])
    context: dict[str, Json] = {
        "case": fence.around("case", first.input),
        "reference": fence.around("reference", reference) if reference else "",
        "labels": [{"word": word, "title": title} for word, title in first.labels],
        "criteria": [criterion.model_dump() for criterion in criteria],
        "flags": [flag.model_dump() for flag in flags],
        "scale": rubric.spec.scale.model_dump(),
        "format": "First explain in a sentence or two, then decide. Reply with one JSON object and nothing else:\n"
        + skeleton_of(rubric.spec),
    }
    if rubric.spec.mode == "pairwise":
        names = ("first", "second")
        return context | {name: fence.around(f"{name} answer", text) for name, text in zip(names, answers, strict=True)}
    return context | {"answer": fence.around("answer", answers[0])}


def _answer(candidate: Candidate) -> str:
    return f"Label: {NO_LABEL if candidate.label is None else candidate.label}\nRationale: {candidate.rationale}"


def _reference(candidate: Candidate) -> str:
    parts = [("Label", candidate.reference_label), ("Rationale", candidate.reference_rationale)]
    return "\n".join(f"{name}: {text}" for name, text in parts if text)


def _turns(rubric: LoadedRubric, context: dict[str, Json]) -> list[Message]:
    # Tags of a template leave empty lines behind.
    user = Message("user", re.sub(r"\n{3,}", "\n\n", rubric.template.render(context)).strip())
    return [Message("system", rubric.spec.system), user] if rubric.spec.system else [user]


def _again(wanted: str) -> str:
    return f"Your reply could not be read. Keep your judgment and change the form alone. {wanted}"


def _request(
    rubric: LoadedRubric,
    candidate: Candidate,
    turns: Sequence[Message],
    *,
    stage: str,
    chat: bool,
    schema: dict[str, Json] | None,
) -> Request:
    return Request(
        example_id=candidate.example_id,
        stage=stage,
        prompt=tuple(turns) if chat else "\n\n".join(turn.content for turn in turns),
        input=candidate.input,
        max_new_tokens=rubric.spec.max_new_tokens,
        json_schema=None if schema is None else json.dumps(schema, ensure_ascii=False),
    )
