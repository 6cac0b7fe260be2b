"""What vLLM is asked for a prompt, and what its output says; nothing here imports vLLM."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from r2d_bench.models.hf_decoding import free_answer, prefix_tree
from r2d_bench.models.hf_scoring import scored_answer
from r2d_bench.records import LabelMethod, Response

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from r2d_bench.models.hf_loading import Engine
    from r2d_bench.models.hf_prompts import Prompt, Tokens

NO_EFFECT = "structured_outputs had no effect"
UNHELD_THINKING = "json_schema not enforced beside thinking text"
MOST_ASKED = 128  # token ids whose log-probabilities vLLM tells in one request (MAX_LOGPROB_TOKEN_IDS)


@dataclass(frozen=True, slots=True)
class Question:
    """One request to the engine; a scored prompt is several of them.

    Attributes:
        prompt: what it belongs to.
        ids: the tokens that the model reads.
        sampling: arguments of `SamplingParams` (`structured_outputs` as those of `StructuredOutputsParams`).
        prefix: the beginning of a candidate that `ids` end in (scored prompts only).
        remarks: what a reader of the answer should know.
    """

    prompt: Prompt
    ids: list[int]
    sampling: Mapping[str, Any]
    prefix: Tokens = ()
    remarks: tuple[str, ...] = ()


def answer_question(engine: Engine, prompt: Prompt, *, json_schema: bool) -> Question:
    """Return what is asked for a free or a constrained answer; decoding is greedy.

    Args:
        engine: the model, for its end tokens and its tokenizer.
        prompt: what it reads.
        json_schema: hold a free answer to the JSON schema of its stage, where it has one.
    """
    request = prompt.request
    held: dict[str, Any] | None = None
    remarks: tuple[str, ...] = ()
    budget = prompt.budget
    if request.method is LabelMethod.CONSTRAINED:
        held = {"choice": choices(engine, prompt)}
        # A grammar speaks of letters: a candidate may come in other, shorter tokens than the tokenizer's own.
        budget = 1 + max(len(choice.encode()) for choice in held["choice"])
    elif json_schema and request.json_schema is not None:
        if prompt.budget > request.max_new_tokens or prompt.thinking:
            remarks = (UNHELD_THINKING,)
        else:
            held = {"json": request.json_schema}
    sampling: dict[str, Any] = {**_greedy(engine), "max_tokens": budget}
    if held is not None:
        sampling["structured_outputs"] = held
    return Question(prompt, prompt.ids, sampling, remarks=remarks)


def _greedy(engine: Engine) -> dict[str, Any]:
    """Tokens are decoded here, as those of transformers are."""
    return {"temperature": 0.0, "stop_token_ids": list(engine.ends), "detokenize": False}


def choices(engine: Engine, prompt: Prompt) -> list[str]:
    """Return the candidates as they stand in the text behind the prompt: with the space in front, where one belongs."""
    decode = engine.tokenizer.decode
    before = decode(prompt.ids[-1:])
    texts = [decode([*prompt.ids[-1:], *tail]) for tail in prompt.tails]
    return [text.removeprefix(before) for text in texts]


def read_answer(engine: Engine, question: Question, output: Any) -> Response:  # noqa: ANN401 - vLLM has no types here
    """Return what a finished `RequestOutput` says.

    A constrained answer that is no candidate is returned as it is, with a remark: the grammar had no effect.
    """
    prompt = question.prompt
    said = free_answer(engine, prompt, list(output.outputs[0].token_ids))
    remarks = list(question.remarks)
    if prompt.request.method is LabelMethod.CONSTRAINED and said.text not in prompt.request.candidates:
        by_text = {candidate.strip(): candidate for candidate in prompt.request.candidates}
        if said.text.strip() in by_text:
            said = replace(said, text=by_text[said.text.strip()])
        else:
            remarks.append(NO_EFFECT)
    return replace(said, remarks=tuple(remarks))


def score_questions(engine: Engine, prompt: Prompt) -> Iterator[Question]:
    """Return a question per beginning of a candidate: how likely is each token that may follow?

    The prompt is read once: the questions share it in vLLM's prefix cache, which `prompt_logprobs` may not read.
    """
    for prefix, follows in prefix_tree(prompt.tails, engine.ends).items():
        for start in range(0, len(follows), MOST_ASKED):
            asked = follows[start : start + MOST_ASKED]
            sampling = {**_greedy(engine), "max_tokens": 1, "logprob_token_ids": asked}
            yield Question(prompt, [*prompt.ids, *prefix], sampling, prefix)


def read_steps(question: Question, output: Any) -> dict[Tokens, float]:  # noqa: ANN401 - vLLM has no types here
    """Return the log-probability of each continuation that was asked for, by the tokens it makes."""
    (step,) = output.outputs[0].logprobs
    return {(*question.prefix, token): step[token].logprob for token in question.sampling["logprob_token_ids"]}


def add_up(engine: Engine, prompt: Prompt, steps: Mapping[Tokens, float]) -> Response:
    """Return ln P(candidate, end | prompt) of each candidate, the sum that `hf_scoring.score_batch` makes.

    Args:
        engine: the model, for its end tokens.
        prompt: whose candidates are scored.
        steps: by a beginning of a candidate, the log-probability of its last token given those before it.
    """
    scores = []
    for tail in prompt.tails:
        tokens = math.fsum(steps[tail[:length]] for length in range(1, len(tail) + 1))
        scores.append(tokens + _log_sum([steps[*tail, end] for end in engine.ends]))
    return scored_answer(prompt, scores)


def _log_sum(values: list[float]) -> float:
    """Return ln Σ exp, which does not underflow."""
    most = max(values)
    return most + math.log(math.fsum(math.exp(value - most) for value in values)) if math.isfinite(most) else most
