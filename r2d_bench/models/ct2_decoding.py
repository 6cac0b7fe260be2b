"""Greedy answers, free or held to the candidates, and scores of candidates, by a `ctranslate2.Translator`.

Tokens are called by their ids (see `ct2_convert`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from r2d_bench.models.hf_decoding import free_answer, prefix_tree
from r2d_bench.models.hf_scoring import scored_answer
from r2d_bench.records import LabelMethod, Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from r2d_bench.models.hf_loading import Engine
    from r2d_bench.models.hf_prompts import Prompt, Tokens

    Tree = dict[Tokens, list[int]]


def generate_batch(engine: Engine, batch: list[Prompt]) -> list[Response]:
    """Answer prompts of one method (and, where free, of one budget) together."""
    if batch[0].request.method is not LabelMethod.FREE:
        return _choose(engine, batch)
    results = _decode(engine, batch, [()] * len(batch), steps=batch[0].budget)
    return [free_answer(engine, prompt, _ids(result)) for prompt, result in zip(batch, results, strict=True)]


def score_batch(engine: Engine, batch: list[Prompt]) -> list[Response]:
    """Score the candidates of each prompt: ln P(candidate, end | prompt) = Σ ln P(token) + ln Σ P(end token).

    CTranslate2 scores pairs of a prompt and an answer, so that the encoder reads a prompt for each candidate. Behind
    each answer it scores the first of the end tokens by itself; for others the answer is asked with them.
    """
    import numpy as np

    asked = [
        (prompt, tail if end == engine.ends[0] else (*tail, end))
        for prompt in batch
        for tail in prompt.tails
        for end in engine.ends
    ]
    results = engine.model.score_batch(
        [_names(prompt.ids) for prompt, _ in asked], [_names(answer) for _, answer in asked], max_input_length=0
    )
    log_probs = iter(result.log_probs for result in results)
    answers = []
    for prompt in batch:
        scores = []
        for tail in prompt.tails:
            found = [next(log_probs) for _ in engine.ends]
            ending = np.logaddexp.reduce([one[len(tail)] for one in found])
            scores.append(float(sum(found[0][: len(tail)]) + ending))
        answers.append(scored_answer(prompt, scores))
    return answers


def _choose(engine: Engine, batch: list[Prompt]) -> list[Response]:
    """Take the likeliest token that leads to a candidate, again and again.

    CTranslate2 takes no such rule, but gives all logits along an answer that it writes freely. That answer is followed
    as far as it is a candidate; where it leaves the candidates, it is asked to go on behind the right token. A model
    that has learnt its labels is asked once.
    """
    trees = [prefix_tree(prompt.tails, engine.ends) for prompt in batch]
    walked = [follow(tree, engine.ends, (), (), ()) for tree in trees]
    while waiting := [i for i, (_, whole) in enumerate(walked) if not whole]:
        starts = [walked[i][0] for i in waiting]
        prompts = [batch[i] for i in waiting]
        results = _decode(engine, prompts, starts, steps=max(prompt.budget for prompt in prompts), logits=True)
        for i, start, result in zip(waiting, starts, results, strict=True):
            walked[i] = follow(trees[i], engine.ends, start, tuple(_ids(result)), _logits(result))
    return [
        Response(
            text=prompt.request.candidates[prompt.tails.index(path)],
            input_tokens=len(prompt.ids),
            output_tokens=len(path),
            cut_tokens=prompt.cut_tokens,
        )
        for prompt, (path, _) in zip(batch, walked, strict=True)
    ]


def follow(
    tree: Tree, ends: Tokens, path: Tokens, written: Tokens, logits: Sequence[Sequence[float]]
) -> tuple[Tokens, bool]:
    """Go on from `path` as far as the candidates leave no choice or logits are known; tell whether an end was reached.

    Args:
        tree: which tokens may follow each beginning (see `prefix_tree`).
        ends: the tokens that end an answer.
        path: a beginning of a candidate.
        written: an answer that starts with `path`.
        logits: of the vocabulary, for each token of `written`.
    """
    while True:
        allowed = tree[path]
        if len(allowed) == 1:
            token = allowed[0]
        elif len(path) < len(logits) and path == written[: len(path)]:
            row = logits[len(path)]
            token = max(allowed, key=lambda one: row[one])  # the first on ties, as transformers takes it
        else:
            return path, False
        if token in ends:
            return path, True
        path = (*path, token)


def _decode(
    engine: Engine, prompts: Sequence[Prompt], starts: Sequence[Tokens], *, steps: int, logits: bool = False
) -> list[Any]:
    """Write greedily behind `starts`, up to `steps` tokens with start and end."""
    results: list[Any] = engine.model.translate_batch(
        [_names(prompt.ids) for prompt in prompts],
        target_prefix=[_names(start) for start in starts],
        beam_size=1,
        max_decoding_length=steps,
        min_decoding_length=0,  # an answer may be empty
        max_input_length=0,  # prompts are cut already
        end_token=_names(engine.ends),
        return_end_token=True,
        return_logits_vocab=logits,
    )
    return results


def _names(tokens: Iterable[int]) -> list[str]:
    return [str(token) for token in tokens]


def _ids(result: Any) -> list[int]:  # noqa: ANN401 - ctranslate2 is untyped
    return [int(name) for name in result.hypotheses[0]]


def _logits(result: Any) -> list[Any]:  # noqa: ANN401
    import ctranslate2
    import numpy as np

    return [np.asarray(step.to_device(ctranslate2.Device.cpu)) for step in result.logits[0]]
