"""From a candidate to a request. Everything untrusted stands between delimiters that it cannot know or write.

A delimiter carries a nonce: a digest of the rubric and of all that is shown. Whoever wrote a text cannot have known it,
since it changes with the text, and the same command builds the same prompt again. A nonce that stands in the text all
the same is drawn anew.

Prompts of a judge know these names: `case`, `answer` (label and rationale; in pairwise rubrics `first` and `second`),
`labels` (empty where any text may be a label) and `reference` (empty where the judge is blind), each between its
delimiters; `criteria` and `flags` (as in `judge.yaml`), `numbers` (of the scale); `format` (what to reply).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from r2d_bench.judging.candidates import plain
from r2d_bench.judging.rubric import CANNOT_ASSESS
from r2d_bench.judging.verdict import schema_text, skeleton_of
from r2d_bench.records import Json, LabelMethod, Message, Request, digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from r2d_bench.judging.candidates import Candidate
    from r2d_bench.judging.rubric import LoadedRubric, Rubric

STAGE, REASK = "judge", "judge?"
NO_LABEL = "(no valid label was given)"
_NONCE_LENGTH = 8
_DIGIT_TOKENS = 4  # room for one number
Order = Literal["ab", "ba"]


def stage_name(*, repeat: int = 1, reask: bool = False) -> str:
    """Return the stage under which a request is stored: repeats of one question are questions of their own."""
    return (REASK if reask else STAGE) + (f"#{repeat}" if repeat > 1 else "")


def judge_request(
    rubric: LoadedRubric, candidate: Candidate, *, chat: bool, repeat: int = 1, reask_of: str | None = None
) -> Request:
    """Return the request for one verdict.

    Args:
        rubric: a pointwise rubric.
        candidate: what is judged.
        chat: the judge takes turns of a chat; otherwise one text.
        repeat: 1, 2, …: the same question asked again, to see the judge's own noise.
        reask_of: a reply that could not be read; the request then asks once more, for the form alone.
    """
    spec = rubric.spec
    context = _context(rubric, [candidate])
    turns = _turns(rubric, context)
    if reask_of is not None:
        # The judge has seen our delimiters and may have written them.
        reply = plain(reask_of, spec.max_new_tokens).text
        turns += [Message("assistant", reply), Message("user", _again(context["format"]))]
    stage = stage_name(repeat=repeat, reask=reask_of is not None)
    return Request(
        candidate.example_id,
        stage,
        _prompt(turns, chat=chat),
        candidate.input,
        spec.max_new_tokens,
        json_schema=_schema(rubric),
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
    turns = _turns(rubric, _context(rubric, shown))
    return Request(
        one.example_id,
        f"{STAGE}:{order}",
        _prompt(turns, chat=chat),
        one.input,
        rubric.spec.max_new_tokens,
        json_schema=_schema(rubric),
    )


def probability_request(rubric: LoadedRubric, candidate: Candidate, criterion: str, *, chat: bool) -> Request:
    """Return the request that has every number of the scale scored as the answer for one criterion."""
    asked = next(one for one in rubric.spec.criteria if one.name == criterion)
    numbers = tuple(str(number) for number in rubric.spec.scale.numbers)
    form = f"Reply with one number from {numbers[0]} to {numbers[-1]} and nothing else.\n{asked.title}:"
    context = _context(rubric, [candidate]) | {"criteria": [asked.model_dump()], "flags": [], "format": form}
    return Request(
        candidate.example_id,
        f"{STAGE}:{criterion}",
        _prompt(_turns(rubric, context), chat=chat),
        candidate.input,
        _DIGIT_TOKENS,
        method=LabelMethod.SCORED,
        candidates=numbers,
    )


@dataclass(frozen=True, slots=True)
class Fence:
    """The delimiters of one prompt; the nonce stands in none of the texts between them."""

    nonce: str

    def opening(self, what: str) -> str:
        """Return what stands before a text."""
        return f"<<<{what} {self.nonce}>>>"

    def closing(self, what: str) -> str:
        """Return what stands behind a text."""
        return f"<<<end of {what} {self.nonce}>>>"

    def around(self, what: str, text: str) -> str:
        """Return the text between its delimiters; nothing for nothing."""
        return f"{self.opening(what)}\n{text}\n{self.closing(what)}" if text else ""


def fence_of(rubric_digest: str, texts: Sequence[str]) -> Fence:
    """Return delimiters whose nonce stands in none of the texts."""
    count = 0
    while True:
        nonce = digest([rubric_digest, count, *texts], _NONCE_LENGTH)
        if not any(nonce in text for text in texts):
            return Fence(nonce)
        count += 1


def shown_parts(rubric: LoadedRubric, candidates: Sequence[Candidate]) -> dict[str, str]:
    """Return everything untrusted that a prompt shows, by the name of its delimiters."""
    first = candidates[0]
    reference = {"Label": first.reference_label, "Rationale": first.reference_rationale}
    parts = {
        "case": first.input,
        "labels": "\n".join(f"- {word}: {title}" if title else f"- {word}" for word, title in first.labels),
        "reference": "\n".join(f"{name}: {text}" for name, text in reference.items() if text),
    }
    names = ("answer",) if rubric.spec.mode == "pointwise" else ("first answer", "second answer")
    answers = (f"Label: {one.label or NO_LABEL}\nRationale: {one.rationale}" for one in candidates)
    return parts | dict(zip(names, answers, strict=True))


def _context(rubric: LoadedRubric, candidates: Sequence[Candidate]) -> dict[str, Json]:
    parts = shown_parts(rubric, candidates)
    fence = fence_of(rubric.digest, [candidates[0].example_id, *parts.values()])
    fenced = {name.removesuffix(" answer"): fence.around(name, text) for name, text in parts.items()}
    return fenced | rubric.words() | {"format": _form(rubric.spec)}


def _form(spec: Rubric) -> str:
    """Return what to reply, in words, for models whose decoding is not constrained."""
    words = f"(explanation: one or two sentences, at most {spec.limits.explanation} characters"
    unable = f'; a score may also be "{CANNOT_ASSESS}"' if spec.mode == "pointwise" else ""
    return f"Reply with one JSON object of this form and nothing else:\n{skeleton_of(spec)}\n{words}{unable})"


def _turns(rubric: LoadedRubric, context: Mapping[str, Json]) -> list[Message]:
    user = Message("user", rubric.template.render(context))
    return [Message("system", rubric.spec.system), user] if rubric.spec.system else [user]


def _again(form: str) -> str:
    return f"Your reply could not be read. Keep your judgment and change its form alone. {form}"


def _prompt(turns: Sequence[Message], *, chat: bool) -> str | tuple[Message, ...]:
    return tuple(turns) if chat else "\n\n".join(turn.content for turn in turns)


def _schema(rubric: LoadedRubric) -> str:
    return schema_text(rubric.spec)
