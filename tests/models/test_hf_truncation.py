"""Prompts that are too long: what is cut, what is kept, what is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from r2d_bench.errors import UserError
from r2d_bench.models.hf import HF, HFParams
from r2d_bench.models.hf_prompts import Limits, Prompt, prepare
from r2d_bench.models.weights import find_weights
from r2d_bench.records import Failure, LabelMethod, Message, Request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from r2d_bench.models.hf_loading import Engine

NOTE = " ".join(f"the patient reports high fever since {n} days" for n in range(2, 42))
NO_LIMITS = Limits()


@pytest.fixture(scope="module")
def t5(t5_folder: Path) -> Engine:
    return HF(find_weights(str(t5_folder)), HFParams())._engine()


@pytest.fixture(scope="module")
def causal(text_folder: Path) -> Engine:
    return HF(find_weights(str(text_folder)), HFParams())._engine()


@pytest.fixture(scope="module")
def chat(chat_folder: Path) -> Engine:
    return HF(find_weights(str(chat_folder)), HFParams())._engine()


def prepared(engine: Engine, request: Request, limits: Limits = NO_LIMITS) -> Prompt | tuple[str, Failure]:
    return next(prepare(engine, [request], limits))


def text_of(engine: Engine, prompt: Prompt) -> str:
    return str(engine.tokenizer.decode(prompt.ids))


def front(note: str, limit: int | None) -> Request:
    return Request("1", "predict", f"predict: {note}", note, 8, limit)


def behind(note: str, limit: int | None) -> Request:
    return Request("1", "predict", f"note: {note} explain: why", note, 8, limit)


def turns(note: str, limit: int | None) -> Request:
    prompt = (Message("system", "explain: the case"), Message("user", f"note: {note} days?"))
    return Request("1", "predict", prompt, note, 8, limit)


@pytest.mark.parametrize("limit", [1, 2, 7, 40, 200, 399, 400, 10_000])
def test_an_instruction_in_front_is_cut_as_the_tokenizer_cuts(t5: Engine, t5_folder: Path, limit: int):
    tokenizer = transformers.AutoTokenizer.from_pretrained(t5_folder)
    whole = tokenizer(f"predict: {NOTE}").input_ids
    prompt = prepared(t5, front(NOTE, limit))
    assert isinstance(prompt, Prompt)
    assert prompt.ids == tokenizer(f"predict: {NOTE}", truncation=True, max_length=limit).input_ids
    assert prompt.cut_tokens == max(0, len(whole) - limit)


@pytest.mark.parametrize("make", [behind, turns])
@pytest.mark.parametrize("limit", [30, 31, 57, 200])
def test_no_other_instruction_is_lost(chat: Engine, make: Callable[[str, int | None], Request], limit: int):
    short, whole, cut = (prepared(chat, make(note, most)) for note, most in (("", None), (NOTE, None), (NOTE, limit)))
    assert isinstance(short, Prompt) and isinstance(whole, Prompt) and isinstance(cut, Prompt)  # noqa: PT018
    assert limit - 2 <= len(cut.ids) <= limit
    assert cut.cut_tokens == len(whole.ids) - len(cut.ids)
    head, tail = text_of(chat, short).split("note:")
    text = text_of(chat, cut)
    assert text.startswith(f"{head}note:")
    assert text.endswith(tail.lstrip())
    # Between them stands the beginning of the note.
    middle = text[len(f"{head}note:") : len(text) - len(tail.lstrip())].strip()
    assert middle
    assert NOTE.startswith(middle)


@settings(max_examples=40, deadline=None)
@given(note=st.text(alphabet="abc defg.\n", min_size=1, max_size=300), limit=st.integers(25, 60))
def test_whatever_the_note_the_rest_stays(chat: Engine, note: str, limit: int):
    cut = prepared(chat, turns(note, limit))
    assert isinstance(cut, Prompt)
    assert len(cut.ids) <= limit
    assert text_of(chat, cut).endswith("assistant:<turn>")


def test_a_prompt_that_never_fits_is_a_failure_with_its_reason(chat: Engine):
    request = turns(NOTE, 5)
    key, failure = prepared(chat, request)  # type: ignore[misc]
    assert (key, failure.reason) == (request.key, "prompt too long")
    assert "more than the 5 allowed even without the example's input" in failure.detail


def test_the_note_is_cut_where_it_stands_last(t5: Engine):
    prompt = "explain: high fever means: high fever days"
    whole = prepared(t5, Request("1", "predict", prompt, "high fever", 8))
    assert isinstance(whole, Prompt)
    cut = prepared(t5, Request("1", "predict", prompt, "high fever", 8, len(whole.ids) - 1))
    assert isinstance(cut, Prompt)
    text = text_of(t5, cut)
    assert text.startswith("explain: high fever means:")
    assert text.endswith("days</s>")
    assert text.count("fever") == 1


def limit_of(engine: Engine, request: Request, limits: Limits = NO_LIMITS) -> int:
    prompt = prepared(engine, request, limits)
    assert isinstance(prompt, Prompt)
    assert prompt.cut_tokens > 0
    return len(prompt.ids)


def test_which_limit_holds(t5: Engine, causal: Engine):
    long = " ".join([NOTE] * 10)
    assert limit_of(t5, front(long, None)) == 1024
    assert limit_of(t5, front(long, None), Limits(input=100)) == 100
    assert limit_of(t5, front(long, 50), Limits(input=100)) == 50
    # 512 positions hold the prompt, 8 new tokens, and thinking.
    assert limit_of(causal, front(long, None)) == 512 - 8
    assert limit_of(causal, front(long, 10_000)) == 512 - 8
    assert limit_of(causal, front(long, None), Limits(thinking=100)) == 512 - 108
    scored = Request("1", "predict", f"predict: {long}", long, 8, None, LabelMethod.SCORED, ("urgent",))
    assert limit_of(causal, scored) == 512 - 8


def test_the_tokenizers_own_limit(t5_folder: Path):
    engine = HF(find_weights(str(t5_folder)), HFParams())._engine()
    engine.tokenizer.model_max_length = 64
    from dataclasses import replace

    assert limit_of(replace(engine, usual=64), front(NOTE, None)) == 64
    assert limit_of(replace(engine, usual=64), front(NOTE, 80)) == 80


def test_a_budget_beyond_the_model(causal: Engine):
    with pytest.raises(UserError, match="512 new tokens do not fit its 512 positions"):
        prepared(causal, Request("1", "predict", "x", "x", 512))


def test_a_budget_beyond_a_decoders_own_positions(t5: Engine):
    """BART's decoder has learnt so many; beyond them lies an index error, or on a GPU a spoilt process."""
    from dataclasses import replace

    bart = replace(t5, answer_positions=64)
    assert isinstance(prepared(bart, Request("1", "explain", NOTE, NOTE, 64)), Prompt)
    with pytest.raises(UserError, match="65 new tokens do not fit its 64 positions"):
        prepared(bart, Request("1", "explain", NOTE, NOTE, 65))


def test_cut_tokens_reach_the_response(t5_folder: Path):
    model = HF(find_weights(str(t5_folder)), HFParams(max_input_tokens=12))
    ((_, response),) = model.generate([front(NOTE, None)])
    assert (response.input_tokens, response.cut_tokens > 100) == (12, True)  # type: ignore[union-attr]
