"""The API adapter's parts that need no server."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from r2d_bench.models.api_calls import cost_of, prices_of
from r2d_bench.models.api_errors import LONGEST_WAIT, looks_like_key, retry_after, scrub, trouble
from r2d_bench.models.api_limits import Pace
from r2d_bench.models.api_litellm import load_litellm
from r2d_bench.models.api_loop import in_loop
from r2d_bench.models.api_thinking import thinking_arguments


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("3", 3.0), ("0.5", 0.5), ("-4", 0.0), ("99999", LONGEST_WAIT), ("soon", None), ("nan", None)],
)
def test_retry_after_in_seconds(value: str | None, seconds: float | None):
    assert retry_after({"retry-after": value} if value is not None else {}) == seconds


def test_retry_after_as_a_date():
    def at(seconds: int) -> float | None:
        return retry_after(
            {"retry-after": format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)}
        )

    assert at(20) == pytest.approx(20, abs=2)
    assert at(-20) == 0
    assert at(100_000) == LONGEST_WAIT


def test_keys_are_blotted_out_of_messages(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STRANGE_API_KEY", "no-usual-shape-42")
    monkeypatch.setenv("SHORT_API_KEY", "a")
    told = "a key no-usual-shape-42,\nthen sk-abcdefgh1234 and Bearer whatever; given-one"
    assert scrub(told, "given-one") == "a key ***, then *** and Bearer *** ***"
    assert len(scrub("x" * 1000)) == 300


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("sk-proj-abcdefgh123", True),
        ("gsk_abcdefgh123", True),
        ("AIzaSyA1234567890abcdefghij", True),
        ("llama-3", False),
    ],
)
def test_what_looks_like_a_key(text: str, key: bool):
    assert looks_like_key(text) is key


@pytest.mark.parametrize(
    ("name", "message", "reason", "again"),
    [
        ("ContextWindowExceededError", "too many tokens", "prompt too long", False),
        ("RateLimitError", "insufficient_quota: pay first", "payment", False),
        ("RateLimitError", "slow down", "rate limit", True),
        ("ServiceUnavailableError", "overloaded", "server error", True),
        ("Timeout", "no reply", "timeout", True),
    ],
)
def test_litellms_errors_are_told_apart(name: str, message: str, reason: str, again: bool):
    kind = getattr(load_litellm(), name)
    found = trouble(kind(message=message, model="m", llm_provider="openai"))
    assert (found.reason, found.again) == (reason, again)


def test_litellm_is_imported_without_leaving_a_trace(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("LITELLM_MODE", raising=False)
    import os

    load_litellm()
    assert not [name for name in os.environ if name.startswith("LITELLM_LOCAL")]
    assert "LITELLM_MODE" not in os.environ


def test_costs_come_from_the_table_or_not_at_all():
    litellm = load_litellm()
    usage = litellm.Usage(prompt_tokens=1000, completion_tokens=100, total_tokens=1100)
    reply = litellm.ModelResponse(model="gpt-4o-mini-2024-07-18", usage=usage)
    price = litellm.model_cost["gpt-4o-mini"]
    wanted = 1000 * price["input_cost_per_token"] + 100 * price["output_cost_per_token"]
    assert cost_of(litellm, reply, "gpt-4o-mini", "openai") == pytest.approx(wanted)
    assert cost_of(litellm, reply, "smollm2", "openai") is None


@pytest.mark.parametrize(
    ("provider", "tokens", "reasons", "arguments", "remark"),
    [
        ("openai", 0, False, {}, None),
        ("openai", 0, True, {}, "thinking cannot be turned off"),
        ("openai", 9, True, {}, "thinking budget left out: no way to ask for it"),
        ("anthropic", 0, True, {}, None),
        ("anthropic", 9, True, {"thinking": {"type": "enabled", "budget_tokens": 9}}, None),
        ("gemini", 0, True, {"thinking": {"type": "disabled", "budget_tokens": 0}}, None),
        ("hosted_vllm", 0, False, {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}, None),
    ],
)
def test_how_thinking_is_asked_for(
    provider: str, tokens: int, reasons: bool, arguments: dict[str, object], remark: str | None
):
    assert thinking_arguments(provider, tokens, {"thinking"}, reasons=reasons) == (arguments, remark)


def test_pace_counts_the_tokens_that_were_used():
    async def three() -> float:
        pace = Pace(token_rate=6000)  # 100 a second
        start = asyncio.get_running_loop().time()
        for _ in range(3):
            await pace.wait(1000)
            pace.settle(1000, 10)  # it was 0.1 s worth of them, not 10
        return asyncio.get_running_loop().time() - start

    assert 0.18 < asyncio.run(three()) < 1


def test_an_error_in_the_loop_is_raised_to_the_reader():
    async def ask(number: int) -> int:
        if number == 3:
            raise LookupError("three")
        await asyncio.sleep(0)
        return number

    with pytest.raises(LookupError, match="three"):
        list(in_loop(range(10), ask, concurrency=2))


def test_a_loop_ends_also_when_nobody_reads():
    ended = []

    async def ask(number: int) -> int:
        await asyncio.sleep(60 if number else 0)
        return number

    async def end() -> None:
        ended.append(True)

    answers = in_loop(range(10), ask, concurrency=3, end=end)
    assert next(answers) == 0
    start = time.monotonic()
    answers.close()
    assert time.monotonic() - start < 1
    assert ended == [True]


@pytest.mark.parametrize(
    ("name", "known"), [("openai/gpt-4o-mini", True), ("gpt-4o-mini", True), ("openai/nobody-knows-me", False)]
)
def test_prices_are_those_of_litellm_s_table(name: str, *, known: bool):
    litellm = load_litellm()
    prices = prices_of(litellm, name)
    assert (prices is not None) is known
    if prices is not None:
        entry = litellm.model_cost["gpt-4o-mini"]
        assert (prices.input, prices.output) == (entry["input_cost_per_token"], entry["output_cost_per_token"])
        assert prices.source.startswith("litellm 1.")
