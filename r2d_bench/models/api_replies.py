"""A provider's reply → a response."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from r2d_bench.models.thinking import split_thinking
from r2d_bench.records import Finish, Json, LabelMethod, Response

if TYPE_CHECKING:
    from r2d_bench.records import Request

_LABEL = "label"  # the only key of the object that a constrained label comes in
_NO_EFFECT = "response_format had no effect"


def schema_of(request: Request) -> dict[str, Json] | None:
    """Return the JSON schema that the answer is to keep: of the label where it is constrained, or of the stage."""
    if request.method is LabelMethod.CONSTRAINED:
        label = {"type": "string", "enum": list(request.candidates)}
        return {"type": "object", "properties": {_LABEL: label}, "required": [_LABEL], "additionalProperties": False}
    return json.loads(request.json_schema) if request.json_schema is not None else None


def read_reply(reply: Any, request: Request, *, formatted: bool) -> Response:  # noqa: ANN401 - litellm has no types
    """Return what a reply says.

    Args:
        reply: litellm's `ModelResponse`.
        request: what was asked.
        formatted: the reply was asked for with a `response_format`.

    Raises:
        ValueError: the reply holds no message.
    """
    if not reply.choices:
        raise ValueError("the reply holds no choices")
    choice = reply.choices[0]
    message = choice.message
    fields = getattr(message, "provider_specific_fields", None) or {}
    refusal = fields.get("refusal") or getattr(message, "refusal", None)
    inside, text, cut = split_thinking(message.content or refusal or "")
    parts = [part for part in (getattr(message, "reasoning_content", None), inside) if part]
    finish = _finish(choice.finish_reason, refused=bool(refusal) and not message.content, cut=cut)
    remarks: list[str] = []
    if formatted and finish is Finish.STOP:
        text, remarks = _formatted(text, request)
    usage = getattr(reply, "usage", None)
    return Response(
        text="" if cut else text,
        finish=finish,
        thinking="\n".join(parts) or None,
        input_tokens=getattr(usage, "prompt_tokens", None),
        output_tokens=getattr(usage, "completion_tokens", None),
        served_model=_served(reply.model),
        remarks=tuple(remarks),
    )


def _served(name: str | None) -> str | None:
    """Return the model's name; some servers tell the path of its file, which is nobody's business."""
    return (name.rpartition("/")[2] if name.startswith("/") else name) if name else None


def _finish(reason: str | None, *, refused: bool, cut: bool) -> Finish:
    if refused or reason == "refusal":
        return Finish.REFUSED
    if reason == "content_filter":
        return Finish.FILTERED
    return Finish.LENGTH if reason == "length" or cut else Finish.STOP


def _formatted(text: str, request: Request) -> tuple[str, list[str]]:
    """Check that the reply has the form that was asked for; a constrained label is taken out of its object."""
    schema = schema_of(request) or {}
    try:
        said = json.loads(text)
    except ValueError:
        return text, [_NO_EFFECT]
    if not isinstance(said, dict) or set(said) != set(schema["required"]):
        return text, [_NO_EFFECT]
    if request.method is not LabelMethod.CONSTRAINED:
        return text, []
    label = said[_LABEL]
    return (label, []) if label in request.candidates else (str(label), [_NO_EFFECT])
