"""Greedy answers, free or held to the candidates."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from r2d_bench.models.thinking import CLOSE, OPEN, split_thinking
from r2d_bench.records import Finish, LabelMethod, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch

    from r2d_bench.models.hf_loading import Engine
    from r2d_bench.models.hf_prompts import Prompt, Tokens


def generate_batch(engine: Engine, batch: list[Prompt]) -> list[Response]:
    """Answer prompts of one method (and, where free, of one budget) together."""
    import torch

    held = batch[0].request.method is not LabelMethod.FREE
    inputs, mask = pad_left_or_right(engine, [prompt.ids for prompt in batch])
    begin = 1 if engine.encoder_decoder else inputs.shape[1]
    with torch.inference_mode():
        output = engine.model.generate(
            input_ids=inputs,
            attention_mask=mask,
            max_new_tokens=max(prompt.budget for prompt in batch),
            prefix_allowed_tokens_fn=_only_candidates(engine, batch, begin) if held else None,
        )
    rows: list[list[int]] = output[:, begin:].tolist()
    answer = candidate_answer if held else free_answer
    return [answer(engine, prompt, row) for prompt, row in zip(batch, rows, strict=True)]


def pad_left_or_right(engine: Engine, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and attention mask; a causal model is padded on the left, since it writes on the right."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    side = "right" if engine.encoder_decoder else "left"
    ids = [torch.tensor(row) for row in rows]
    inputs = pad_sequence(ids, batch_first=True, padding_value=engine.pad, padding_side=side)
    mask = pad_sequence([torch.ones_like(row) for row in ids], batch_first=True, padding_side=side)
    return inputs.to(engine.device), mask.to(engine.device)


def _until_end(engine: Engine, row: list[int]) -> tuple[list[int], bool]:
    """Return the tokens before the end, and whether there was one."""
    for i, token in enumerate(row):
        if token in engine.ends:
            return row[:i], True
    return row, False


def free_answer(engine: Engine, prompt: Prompt, row: list[int]) -> Response:
    """Return what the tokens of `row` say, up to the first that ends an answer."""
    ids, ended = _until_end(engine, row)
    thinking, text, cut = split_thinking(_decode(engine, ids), started=prompt.thinking)
    return Response(
        text=text,
        finish=Finish.STOP if ended and not cut else Finish.LENGTH,
        thinking=thinking,
        input_tokens=len(prompt.ids),
        output_tokens=len(ids),
        cut_tokens=prompt.cut_tokens,
    )


def candidate_answer(engine: Engine, prompt: Prompt, row: list[int]) -> Response:
    """Return the candidate that the tokens of `row` are."""
    ids, _ = _until_end(engine, row)
    chosen = prompt.tails.index(tuple(ids))
    return Response(
        text=prompt.request.candidates[chosen],
        input_tokens=len(prompt.ids),
        output_tokens=len(ids),
        cut_tokens=prompt.cut_tokens,
    )


def _decode(engine: Engine, ids: list[int]) -> str:
    """Decode without special tokens, but with thinking tags where a tokenizer counts them among those."""
    added: dict[int, Any] = engine.tokenizer.added_tokens_decoder
    special = {i for i, token in added.items() if token.special}
    tags = {i for i in special if added[i].content in (OPEN, CLOSE)}
    if not tags.intersection(ids):
        return str(engine.tokenizer.decode(ids, skip_special_tokens=True))
    kept = [i for i in ids if i not in special or i in tags]
    return str(engine.tokenizer.decode(kept, skip_special_tokens=False))


def _only_candidates(engine: Engine, batch: list[Prompt], begin: int) -> Callable[[int, torch.Tensor], list[int]]:
    """Return transformers' question which tokens may follow in a row, answered from the candidates."""
    tries = [prefix_tree(prompt.tails, engine.ends) for prompt in batch]

    def allowed(row: int, ids: torch.Tensor) -> list[int]:
        # A row that has ended is no longer in the tree; whatever it is allowed is overwritten by padding.
        return tries[row].get(tuple(ids[begin:].tolist()), [engine.pad])

    return allowed


def prefix_tree(tails: Iterable[Tokens], ends: Tokens) -> dict[Tokens, list[int]]:
    """Return which tokens may follow each beginning of a candidate; a whole one may be followed by an end."""
    follows: dict[Tokens, set[int]] = defaultdict(set)
    for tail in tails:
        for i, token in enumerate(tail):
            follows[tail[:i]].add(token)
        follows[tail].update(ends)
    return {prefix: sorted(tokens) for prefix, tokens in follows.items()}
