"""A judge's reply into a verdict: one model both makes the schema that is asked for and reads the reply.

The chain is short and strict, since a guessed number is worse than none: the whole reply is one JSON object, after at
most one repair (a code fence that is the whole reply, a comma before a closing bracket), or it is unscored. Prose
around the object, two objects, doubled or further keys, numbers out of range or of another type are never a verdict.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationError,
    WithJsonSchema,
    create_model,
)
from pydantic_core import PydanticCustomError

from r2d_bench.documents import without_doubles
from r2d_bench.judging.candidates import without_hidden
from r2d_bench.judging.rubric import CANNOT_ASSESS, Rubric
from r2d_bench.records import Finish, RationaleStatus
from r2d_bench.tasks.labels import is_refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from r2d_bench.judging.candidates import Candidate
    from r2d_bench.judging.rubric import LoadedRubric
    from r2d_bench.records import Json, Prediction, Response

PARSER = "verdict/1"
PREFERENCES = ("first", "second", "tie")
_FENCED = re.compile(r"\A```(?:json|JSON)?[ \t]*\n?((?:(?!```).)*?)\n?```\Z", re.DOTALL)
_STRING_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=\s*[}\]])', re.DOTALL)
# An empty reply leaves nothing whose form could be changed.
_ASKABLE = frozenset({"parse", "schema", "range", "truncated"})
_LONGEST_DETAIL = 200


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said of one rationale.

    Attributes:
        example_id: the example.
        scores: criterion → score; None where the judge cannot assess it. Empty where unscored.
        flags: flag → whether it was raised.
        explanation: the judge's reason.
        unscored: why there is no verdict; None where there is one. One of `transport`, `truncated`, `refused`,
            `content_filter`, `empty`, `parse`, `schema`, `range`, `no answer`, `no rationale`.
        detail: what exactly was wrong.
        source: `judge`, or `rule` where no call was needed.
        method: `reply` (a number was written) or `probability` (expected value over the numbers' probabilities). The
            two are never averaged together.
        repeat: 1 for the verdict that counts; more for those that show the judge's own noise.
        reasked: the reply came to the second question, for the format alone.
        cut: the judge did not see the whole of case and rationale.
        suspects: what in the rationale looks like an attempt to move the judge.
    """

    example_id: str
    scores: Mapping[str, float | None] = field(default_factory=dict)
    flags: Mapping[str, bool] = field(default_factory=dict)
    explanation: str = ""
    unscored: str | None = None
    detail: str = ""
    source: Literal["judge", "rule"] = "judge"
    method: Literal["reply", "probability"] = "reply"
    repeat: int = 1
    reasked: bool = False
    cut: bool = False
    suspects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parsed:
    """What could be read of one reply: values, or the reason why there are none.

    Attributes:
        scores, flags, explanation: of a pointwise rubric.
        preference: of a pairwise one: `first`, `second` or `tie`.
        unscored: the reason; None where the reply was read.
        detail: what exactly was wrong.
        cut: the prompt did not fit the judge and was cut.
    """

    scores: Mapping[str, float | None] = field(default_factory=dict)
    flags: Mapping[str, bool] = field(default_factory=dict)
    explanation: str = ""
    preference: str | None = None
    unscored: str | None = None
    detail: str = ""
    cut: bool = False

    @property
    def askable(self) -> bool:
        """Whether asking once more for the format may help."""
        return self.unscored in _ASKABLE


# The model


def verdict_model(rubric: Rubric) -> type[BaseModel]:
    """Return the model of a reply: explanation first, then scores (or the preference), then flags.

    An explanation beyond its length is cut, not refused: the schema caps it where decoding is constrained, so that the
    object can always be finished.
    """
    return _model(rubric.model_dump_json())


@lru_cache(maxsize=16)  # rubrics are few; the key is the whole of one
def _model(dumped: str) -> type[BaseModel]:
    rubric = Rubric.model_validate_json(dumped)
    parts: dict[str, Any] = {"explanation": _text(rubric.limits.explanation)}
    if rubric.mode == "pairwise":
        parts["preference"] = Literal["first", "second", "tie"]
    else:
        score = _score(rubric.scale.numbers)
        parts["scores"] = _closed("Scores", {criterion.name: score for criterion in rubric.criteria})
    if rubric.flags:
        parts["flags"] = _closed("Flags", {flag.name: StrictBool for flag in rubric.flags})
    return _closed("Reply", parts)


def _closed(name: str, parts: Mapping[str, Any]) -> type[BaseModel]:
    """Return a model of exactly these keys; by alias, so that a key may have any name (`copy`, `schema`)."""
    fields: dict[str, Any] = {f"part_{i}": (kind, Field(alias=key)) for i, (key, kind) in enumerate(parts.items())}
    return cast("type[BaseModel]", create_model(name, __config__=ConfigDict(extra="forbid"), **fields))


def _text(longest: int) -> Any:  # noqa: ANN401 - an annotation
    cut = AfterValidator(lambda text: " ".join(without_hidden(text).split())[:longest].rstrip())
    return Annotated[StrictStr, cut, WithJsonSchema({"type": "string", "maxLength": longest})]


def _score(numbers: tuple[int, ...]) -> Any:  # noqa: ANN401 - an annotation
    def checked(value: object) -> object:
        if value == CANNOT_ASSESS:
            return None
        if type(value) is not int:  # True and 3.0 equal numbers and are none
            raise PydanticCustomError("score_type", "should be a whole number, or cannot_assess")
        if value not in numbers:
            raise PydanticCustomError(
                "score_range", "should lie from {low} to {high}", {"low": numbers[0], "high": numbers[-1]}
            )
        return value

    # Strict schemas want a type with every value.
    number: dict[str, Json] = {"type": "integer", "enum": list(numbers)}
    unable: dict[str, Json] = {"type": "string", "enum": [CANNOT_ASSESS]}
    return Annotated[int | None, BeforeValidator(checked), WithJsonSchema({"anyOf": [number, unable]})]


def schema_of(rubric: Rubric) -> dict[str, Json]:
    """Return the JSON schema of a reply: self-contained, every key required, no further ones."""
    return cast("dict[str, Json]", json.loads(schema_text(rubric)))


def schema_text(rubric: Rubric) -> str:
    """Return the schema as JSON text, as it is sent with every request."""
    return _schema(rubric.model_dump_json())


@lru_cache(maxsize=16)
def _schema(dumped: str) -> str:
    schema = _model(dumped).model_json_schema()
    whole = _inlined({k: v for k, v in schema.items() if k != "$defs"}, schema.get("$defs", {}))
    return json.dumps(whole, ensure_ascii=False)


def _inlined(part: Json, parts: Mapping[str, Json]) -> Json:
    """Return a schema without references and titles: not every server follows the former."""
    if isinstance(part, list):
        return [_inlined(item, parts) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inlined(parts[part["$ref"].rpartition("/")[2]], parts)
    # A criterion called `title` has a schema there, not text.
    kept = {key: value for key, value in part.items() if not (key == "title" and isinstance(value, str))}
    return {key: _inlined(value, parts) for key, value in kept.items()}


def skeleton_of(rubric: Rubric) -> str:
    """Return the form of a reply. It is itself no verdict, nor even JSON: a copy of it counts for nothing."""
    parts = ['"explanation": "…"']
    if rubric.mode == "pairwise":
        parts.append('"preference": ' + "/".join(f'"{name}"' for name in PREFERENCES))
    else:
        numbers = f"{rubric.scale.low}-{rubric.scale.high}"
        parts.append('"scores": {' + ", ".join(f'"{one.name}": {numbers}' for one in rubric.criteria) + "}")
    if rubric.flags:
        parts.append('"flags": {' + ", ".join(f'"{flag.name}": true/false' for flag in rubric.flags) + "}")
    return f"{{{', '.join(parts)}}}"


# Reading


def read_reply(rubric: Rubric, response: Response) -> Parsed:
    """Return what a reply says, or why it says nothing that counts.

    A reply that was ended by its length is read where the object is whole: some servers fill up with spaces.
    """
    return replace(_read(rubric, response), cut=response.cut_tokens > 0)


def _read(rubric: Rubric, response: Response) -> Parsed:
    text = response.text.strip()
    if response.finish is Finish.FILTERED:
        return Parsed(unscored="content_filter", detail="a content filter cut the reply")
    if response.finish is Finish.REFUSED:
        return Parsed(unscored="refused", detail="the provider says that the judge declined")
    if not text:
        return Parsed(
            unscored="truncated" if response.finish is Finish.LENGTH else "empty", detail="nothing was written"
        )
    for attempt in dict.fromkeys((text, _repaired(text))):
        try:
            value = json.loads(attempt, object_pairs_hook=without_doubles, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            problem = str(error)
        else:
            return _checked(rubric, value)
    return _unread(response, problem)


def _unread(response: Response, problem: str) -> Parsed:
    if response.finish is Finish.LENGTH:
        return Parsed(unscored="truncated", detail="the reply was cut by length")
    if is_refusal(response.text.strip()):
        return Parsed(unscored="refused", detail="the reply begins as refusals do")
    return Parsed(unscored="parse", detail=_detail(problem))


def _detail(told: str) -> str:
    """Return what was wrong in one short line: it may quote the reply."""
    return " ".join(without_hidden(told).split())[:_LONGEST_DETAIL].rstrip()


def _repaired(text: str) -> str:
    """Return the text without a fence around all of it, and without commas before closing brackets."""
    fenced = _FENCED.match(text)
    inside = fenced.group(1).strip() if fenced else text
    return _STRING_OR_COMMA.sub(lambda found: "" if found.group() == "," else found.group(), inside)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _checked(rubric: Rubric, value: Json) -> Parsed:
    try:
        reply = verdict_model(rubric).model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        told = "; ".join(f"{'.'.join(str(p) for p in one['loc']) or 'reply'}: {one['msg']}" for one in problems[:3])
        out = all(one["type"] == "score_range" for one in problems)
        return Parsed(unscored="range" if out else "schema", detail=_detail(told))
    said = reply.model_dump(by_alias=True)
    scores = {name: None if score is None else float(score) for name, score in said.get("scores", {}).items()}
    return Parsed(scores, said.get("flags", {}), said["explanation"], said.get("preference"))


# Verdicts


def verdict_of(
    candidate: Candidate,
    parsed: Parsed,
    *,
    repeat: int = 1,
    reasked: bool = False,
    method: Literal["reply", "probability"] = "reply",
) -> Verdict:
    """Return the verdict on a candidate."""
    return Verdict(
        candidate.example_id,
        parsed.scores,
        parsed.flags,
        parsed.explanation,
        parsed.unscored,
        parsed.detail,
        method=method,
        repeat=repeat,
        reasked=reasked,
        cut=candidate.cut or candidate.input_cut or parsed.cut,
        suspects=candidate.suspects,
    )


def unscored(example_id: str, reason: str, detail: str = "", *, repeat: int = 1) -> Verdict:
    """Return the verdict that does not exist, with its reason."""
    return Verdict(example_id, unscored=reason, detail=detail, repeat=repeat)


def by_rule(rubric: LoadedRubric, candidate: Candidate, prediction: Prediction) -> Verdict | None:
    """Return the verdict where no call is needed; None where the judge must be asked.

    A rationale that is empty, refused, or could not be read is the model's own failure: the lowest score of every
    criterion, and the flags that the rubric names. Where the model gave no answer at all (transport), or is asked for
    no rationale, there is nothing to judge.
    """
    if prediction.unscored is not None:
        return unscored(candidate.example_id, "no answer", prediction.unscored)
    status = prediction.rationale_status
    if status is RationaleStatus.ABSENT:
        return unscored(candidate.example_id, "no rationale", "this model or protocol elicits none")
    if status not in {RationaleStatus.EMPTY, RationaleStatus.REFUSED, RationaleStatus.ERROR} and candidate.rationale:
        return None
    spec = rubric.spec
    return Verdict(
        candidate.example_id,
        {criterion.name: float(spec.scale.low) for criterion in spec.criteria},
        {flag.name: flag.name in spec.empty.flags for flag in spec.flags},
        detail=f"rationale {status}" if status is not RationaleStatus.WRITTEN else "no words in the rationale",
        source="rule",
        cut=candidate.cut,
        suspects=candidate.suspects,
    )


def expected_score(rubric: Rubric, scores: Mapping[str, float]) -> float | None:
    """Return the expected number from log-probabilities of the scale's numbers, normalised over them.

    Source: Liu et al. 2023 (G-Eval), section 2.

    Args:
        rubric: tells the scale.
        scores: number as text → its natural-log probability.

    Returns:
        None where a number has no probability, or none has any.
    """
    numbers = rubric.scale.numbers
    logs = [scores.get(str(number), math.nan) for number in numbers]
    if any(math.isnan(log) for log in logs) or not math.isfinite(top := max(logs)):
        return None
    weights = [math.exp(log - top) for log in logs]
    return math.fsum(number * weight for number, weight in zip(numbers, weights, strict=True)) / math.fsum(weights)
