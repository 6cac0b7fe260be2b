"""What went wrong with a call: why, whether to ask again, when, and told without secrets."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_WAIT = 120.0  # seconds; a server that asks for more is asked again then
_DETAIL = 300  # characters of an error message that are kept
_SECRET_NAMES = re.compile(r"(API_?KEY|_KEY|_TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)
_KEY_SHAPE = re.compile(r"\b(?:sk|pk|gsk|hf|xai|AIza)[-_][\w-]{8,}|\bAIza[\w-]{20,}|(?<=Bearer )\S+")
_TRANSPORT = {408: "timeout", 409: "conflict", 425: "server error", 429: "rate limit"}
_REFUSED = {401: "authentication", 402: "payment", 403: "permission", 404: "not found"}
_FILTER = re.compile(r"content[_ ]filter|content management policy|content policy|safety system", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a call has no answer.

    Attributes:
        reason: a word or two, counted per run.
        detail: the message, without secrets, in one line.
        again: it may go better next time.
        everybody: every other request would meet it too (wrong key, unknown model).
        asked: something is wrong with what was asked, perhaps with a parameter.
        filtered: the provider's content filter refused the prompt, which is an answer.
        wait: seconds that the server wants us to wait.
    """

    reason: str
    detail: str
    again: bool = False
    everybody: bool = False
    asked: bool = False
    filtered: bool = False
    wait: float | None = None


def trouble(error: Exception, key: str | None = None) -> Trouble:
    """Tell what an exception of a call means; `key` is blotted out of the message besides those of the environment."""
    detail = scrub(_message(error), key)
    status = getattr(error, "status_code", None)
    final = _final(type(error).__name__, status, detail)
    return final if final is not None else _passing(error, status, detail)


def _final(name: str, status: int | None, detail: str) -> Trouble | None:
    """Return what is wrong with a call that would fare no better the next time."""
    if name == "ContentPolicyViolationError" or (status in {400, 422} and _FILTER.search(detail)):
        return Trouble("filtered", detail, filtered=True)
    if name == "ContextWindowExceededError":
        return Trouble("prompt too long", detail)
    if "insufficient_quota" in detail:  # a rate limit that no wait ends
        return Trouble("payment", detail, everybody=True)
    if status in _REFUSED or "Missing credentials" in detail:  # which litellm calls a server error
        return Trouble(_REFUSED.get(status or 0, "authentication"), detail, everybody=True)
    if status in {400, 413, 422}:
        return Trouble("bad request", detail, asked=True)
    return None


def _passing(error: Exception, status: int | None, detail: str) -> Trouble:
    """Return what has befallen a call that is asked again.

    litellm reports connections that broke and bodies that nobody can read as status 500, with the message alone to
    tell them apart.
    """
    name = type(error).__name__
    if isinstance(error, TimeoutError) or name == "Timeout":
        reason = "timeout"
    elif status in _TRANSPORT:
        reason = _TRANSPORT[status]
    elif "onnection" in detail or "onnection" in name:
        reason = "connection"
    elif isinstance(error, ValueError | AttributeError | TypeError | LookupError) or "LiteLLM: provider" in detail:
        reason = "bad reply"
    else:
        reason = "server error"
    return Trouble(reason, detail, again=True, wait=retry_after(_headers(error)))


def scrub(text: str, key: str | None = None) -> str:
    """Return a message in one line, shortened, with every key of this environment (or shaped like one) blotted out."""
    secrets = {value for name, value in os.environ.items() if _SECRET_NAMES.search(name)} | {key or ""}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 6:  # shorter ones would blot out words
            text = text.replace(secret, "***")
    text = " ".join(_KEY_SHAPE.sub("***", text).split())
    return text if len(text) <= _DETAIL else text[: _DETAIL - 1] + "…"


def looks_like_key(text: str) -> bool:
    """Tell whether a text has the shape of a provider's key."""
    return _KEY_SHAPE.search(text) is not None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a `Retry-After` header (a number or a date), at most `LONGEST_WAIT`.

    Source: RFC 9110, section 10.2.3.
    """
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = ((when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_WAIT) if seconds == seconds else None  # noqa: PLR0124 - NaN


def _headers(error: Exception) -> Mapping[str, str]:
    found = getattr(error, "litellm_response_headers", None)
    if found is None:
        found = getattr(getattr(error, "response", None), "headers", None)
    return {str(name).lower(): str(value) for name, value in found.items()} if found else {}


def _message(error: Exception) -> str:
    """Return the provider's words without litellm's prefixes."""
    text = str(error) or type(error).__name__
    return re.sub(r"^(?:litellm\.\w+: |\w+(?:Error|Exception)(?:: | - ))+", "", text)
