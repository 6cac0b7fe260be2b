"""From a request to token ids: chat template, truncation, and the tokens of each candidate label."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError
from r2d_bench.models.thinking import CLOSE, OPEN
from r2d_bench.records import Failure, LabelMethod, Message, Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from r2d_bench.models.hf_loading import Engine

Tokens = tuple[int, ...]
T5_LIMIT = 1024  # relative positions know no limit; this is the input length of the Reason2Decide paper
ROOMY = sys.maxsize


@dataclass(frozen=True, slots=True)
class Limits:
    """What the adapter's parameters say about lengths, in tokens.

    Attributes:
        thinking: added to a request's budget, for thinking text; 0 asks the template not to think.
        input: stands before the model's own limit, and behind the request's.
    """

    thinking: int = 0
    input: int | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request as the model reads it.

    Attributes:
        request: what was asked.
        ids: token ids of the prompt, special tokens included.
        budget: the most tokens to write.
        cut_tokens: tokens that were cut because the prompt was too long.
        thinking: the prompt ends inside a thinking block.
        tails: per candidate the tokens that follow the prompt, without the end.
    """

    request: Request
    ids: list[int]
    budget: int
    cut_tokens: int = 0
    thinking: bool = False
    tails: tuple[Tokens, ...] = ()


def prepare(engine: Engine, requests: Sequence[Request], limits: Limits) -> Iterator[Prompt | tuple[str, Failure]]:
    """Tokenise `requests`; a prompt that cannot be made to fit comes back as a failure.

    Raises:
        UserError: a chat prompt without a chat template, candidates missing, or a budget beyond the model.
    """
    for request in requests:
        yield _prepare(engine, request, limits)


def _prepare(engine: Engine, request: Request, limits: Limits) -> Prompt | tuple[str, Failure]:
    free = request.method is LabelMethod.FREE
    if not free and not request.candidates:
        raise UserError(f"{request.example_id}: label method {request.method} needs candidate labels")
    text = _render(engine, request, limits)
    tails = () if free else _tails(engine, request, text)
    budget = request.max_new_tokens + limits.thinking if free else 1 + max(len(tail) for tail in tails)
    most = _limit(engine, request, limits, max(budget, request.max_new_tokens))
    ids = _encode(engine, request, [text])[0]
    whole = len(ids)
    if whole > most:
        if _input_ends(request):
            ids = _cut_right(engine, text, most)
        else:
            shorter = _shorten(engine, request, limits, most)
            if shorter is None:
                detail = f"{whole} tokens, and more than the {most} allowed even without the example's input"
                return request.key, Failure("prompt too long", detail)
            text, ids = shorter
    thinking = free and text.rstrip().endswith(OPEN)
    return Prompt(request, ids, budget, whole - len(ids), thinking, tails)


def _input_ends(request: Request) -> bool:
    """Say whether the instruction stands in front, so that cutting on the right only costs input."""
    return isinstance(request.prompt, str) and request.prompt.endswith(request.input)


def _render(engine: Engine, request: Request, limits: Limits) -> str:
    if isinstance(request.prompt, str):
        # What a candidate is separated by belongs to the candidate: " urgent" is one token, " " another.
        free = request.method is LabelMethod.FREE or engine.encoder_decoder
        return request.prompt if free else request.prompt.rstrip()
    return _apply_template(engine, request, thinking=limits.thinking > 0)


def _apply_template(engine: Engine, request: Request, *, thinking: bool) -> str:
    if not engine.tokenizer.chat_template:
        raise UserError(f"{engine.title}: it has no chat template: use a protocol with text prompts")
    text = _chat_text(engine, request, answer=None, thinking=thinking)
    if request.method is not LabelMethod.FREE and text.rstrip().endswith(OPEN):
        # A label inside the thinking block would mean nothing.
        text = f"{text.rstrip()}\n\n{CLOSE}\n\n"
    return text


def _chat_text(engine: Engine, request: Request, *, answer: str | None, thinking: bool) -> str:
    """Render a chat by the template, up to where the model goes on, or with its `answer`."""
    from jinja2 import TemplateError

    turns = [{"role": m.role, "content": m.content} for m in request.prompt if isinstance(m, Message)]
    if answer is not None:
        turns.append({"role": "assistant", "content": answer})
    try:
        # Templates that do not know `enable_thinking` pass over it.
        text = engine.tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=answer is None, enable_thinking=thinking
        )
    except TemplateError as error:
        raise UserError(f"{engine.title}: its chat template refuses the prompt: {error}") from error
    return str(text)


def _between(engine: Engine, request: Request, text: str) -> str:
    """Return what stands between the prompt `text` and an answer: Llama 2 puts a space there, others nothing."""
    if isinstance(request.prompt, str):
        return request.prompt[len(text) :] or " "
    first = request.candidates[0]
    answered = _chat_text(engine, request, answer=first, thinking=False)
    between, found, _ = answered.removeprefix(text).partition(first)
    return between if answered.startswith(text) and found and not between.strip() else ""


def _encode(engine: Engine, request: Request, texts: list[str]) -> list[list[int]]:
    """Tokenise prompts; a chat template writes its special tokens itself."""
    special = isinstance(request.prompt, str)
    ids: list[list[int]] = engine.tokenizer(texts, add_special_tokens=special, verbose=False)["input_ids"]
    return ids


def _cut_right(engine: Engine, text: str, most: int) -> list[int]:
    ids: list[int] = engine.tokenizer(text, truncation=True, max_length=most, verbose=False)["input_ids"]
    return ids


def _limit(engine: Engine, request: Request, limits: Limits, budget: int) -> int:
    """Return the most tokens of a prompt. A causal model's positions hold prompt and answer together."""
    written = engine.answer_positions
    if written is not None and budget > written:
        raise UserError(f"{engine.title}: {budget} new tokens do not fit its {written} positions: lower max_new_tokens")
    reserve = 0 if engine.encoder_decoder else budget
    hard = ROOMY if engine.positions is None else engine.positions - reserve
    if hard < 1:
        raise UserError(
            f"{engine.title}: {budget} new tokens do not fit its {engine.positions} positions: lower max_new_tokens"
        )
    asked = request.max_input_tokens or limits.input
    if asked is None and engine.usual is not None:
        asked = max(1, engine.usual - reserve)
    if asked is None and engine.encoder_decoder and engine.positions is None:
        asked = T5_LIMIT
    return hard if asked is None else min(asked, hard)


def _shorten(engine: Engine, request: Request, limits: Limits, most: int) -> tuple[str, list[int]] | None:
    """Cut the example's input inside the prompt from its end, until the whole fits; None: it never does."""

    def attempt(kept: int) -> tuple[str, list[int]]:
        text = _render(engine, _with_input_cut(request, kept), limits)
        return text, _encode(engine, request, [text])[0]

    best, low, high = attempt(0), 0, len(request.input)
    if len(best[1]) > most:
        return None
    # Token counts are not quite monotone in characters; `low` is known to fit at every step all the same.
    while high - low > 1:
        middle = (low + high) // 2
        tried = attempt(middle)
        if len(tried[1]) <= most:
            best, low = tried, middle
        else:
            high = middle
    return best


def _with_input_cut(request: Request, kept: int) -> Request:
    """Keep `kept` characters of the input where it stands last in the prompt."""

    def cut(text: str) -> str:
        before, found, after = text.rpartition(request.input)
        return before + request.input[:kept] + after if found else text

    if isinstance(request.prompt, str):
        return replace(request, prompt=cut(request.prompt))
    turns = list(request.prompt)
    for i in reversed(range(len(turns))):
        if request.input in turns[i].content:
            turns[i] = replace(turns[i], content=cut(turns[i].content))
            break
    return replace(request, prompt=tuple(turns))


def _tails(engine: Engine, request: Request, text: str) -> tuple[Tokens, ...]:
    """Return the tokens of each candidate behind the prompt `text`, without the end of the answer."""
    if engine.encoder_decoder:
        rows = engine.tokenizer(text_target=list(request.candidates), verbose=False)["input_ids"]
        return tuple(tuple(row[:-1] if row and row[-1] in engine.ends else row) for row in rows)
    between = _between(engine, request, text)
    continuations = [between + candidate for candidate in request.candidates]
    # Prompt and candidate are tokenised together: the tokenizer may treat the start of a text differently.
    context, *joint = _encode(engine, request, [text, *(text + continuation for continuation in continuations)])
    return tuple(
        tuple(_alone(engine, continuation) if row[: len(context)] != context else row[len(context) :])
        for row, continuation in zip(joint, continuations, strict=True)
    )


def _alone(engine: Engine, continuation: str) -> list[int]:
    """Tokenise a candidate by itself, where its first letters melt into the prompt's last token."""
    ids: list[int] = engine.tokenizer(continuation, add_special_tokens=False, verbose=False)["input_ids"]
    return ids
