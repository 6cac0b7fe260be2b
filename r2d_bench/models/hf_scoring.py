"""Natural-log probability of each candidate label, the prompt read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.models.hf_decoding import pad_left_or_right
from r2d_bench.records import Response

if TYPE_CHECKING:
    import torch

    from r2d_bench.models.hf_loading import Engine
    from r2d_bench.models.hf_prompts import Prompt, Tokens


def score_batch(engine: Engine, batch: list[Prompt]) -> list[Response]:
    """Score the candidates of each prompt.

    A score is ln P(candidate, end | prompt) = Σ ln P(token) + ln Σ P(end token): several tokens may end an
    answer (end of text, end of turn), and each of these endings is the same answer.
    """
    import torch

    owner = [i for i, prompt in enumerate(batch) for _ in prompt.tails]
    tails = [tail for prompt in batch for tail in prompt.tails]
    inputs, mask = pad_left_or_right(engine, [prompt.ids for prompt in batch])
    follow = _after_encoder if engine.encoder_decoder else _after_cache
    with torch.inference_mode():
        logits = follow(engine, inputs, mask, torch.tensor(owner, device=engine.device), tails)
        scores = _sum(engine, logits, tails)
    result = []
    for prompt in batch:
        own, scores = scores[: len(prompt.tails)], scores[len(prompt.tails) :]
        result.append(scored_answer(prompt, own))
    return result


def scored_answer(prompt: Prompt, scores: list[float]) -> Response:
    """Return the best of the candidates with all `scores`, which stand in the order of the candidates."""
    by_label = dict(zip(prompt.request.candidates, scores, strict=True))
    return Response(
        text=max(by_label, key=by_label.__getitem__),  # the first on ties
        input_tokens=len(prompt.ids),
        cut_tokens=prompt.cut_tokens,
        scores=by_label,
    )


def _sum(engine: Engine, logits: torch.Tensor, tails: list[Tokens]) -> list[float]:
    """Sum the log-probabilities of each row.

    Args:
        engine: the model that gave them.
        logits: (rows, longest tail + 1, vocabulary); position 0 speaks of the first token.
        tails: the tokens of each row.
    """
    import torch

    logits = logits.float()
    total = torch.logsumexp(logits, dim=-1)
    tokens = _padded(engine, tails)
    lengths = torch.tensor([len(tail) for tail in tails], device=engine.device)
    chosen = logits[:, :-1].gather(-1, tokens.unsqueeze(-1)).squeeze(-1) - total[:, :-1]
    inside = torch.arange(tokens.shape[1], device=engine.device) < lengths.unsqueeze(1)
    rows = torch.arange(len(tails), device=engine.device)
    ends = torch.tensor(engine.ends, device=engine.device)
    end = torch.logsumexp(logits[rows, lengths][:, ends], dim=-1) - total[rows, lengths]
    summed: list[float] = (chosen.masked_fill(~inside, 0.0).sum(-1) + end).tolist()
    return summed


def _padded(engine: Engine, tails: list[Tokens]) -> torch.Tensor:
    """Return tails as (rows, longest), filled on the right; at least one column."""
    import torch

    longest = max(1, *(len(tail) for tail in tails))
    rows = [[*tail, *[engine.pad] * (longest - len(tail))] for tail in tails]
    return torch.tensor(rows, device=engine.device)


def _after_encoder(
    engine: Engine, inputs: torch.Tensor, mask: torch.Tensor, owner: torch.Tensor, tails: list[Tokens]
) -> torch.Tensor:
    """Run the encoder once per prompt and the decoder once per candidate."""
    import torch
    from transformers.modeling_outputs import BaseModelOutput

    hidden = engine.model.get_encoder()(input_ids=inputs, attention_mask=mask).last_hidden_state
    tokens = _padded(engine, tails)
    start = torch.full_like(tokens[:, :1], engine.start or 0)
    output = engine.model(
        encoder_outputs=BaseModelOutput(last_hidden_state=hidden[owner]),
        attention_mask=mask[owner],
        decoder_input_ids=torch.cat([start, tokens], dim=1),
        use_cache=False,
    )
    logits: torch.Tensor = output.logits
    return logits


def _after_cache(
    engine: Engine, inputs: torch.Tensor, mask: torch.Tensor, owner: torch.Tensor, tails: list[Tokens]
) -> torch.Tensor:
    """Read each prompt once; its candidates share the key-value cache."""
    import torch

    extra: dict[str, object] = {}
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    if "position_ids" in engine.arguments:
        extra["position_ids"] = positions
    if "logits_to_keep" in engine.arguments:
        extra["logits_to_keep"] = 1
    read = engine.model(input_ids=inputs, attention_mask=mask, use_cache=True, **extra)
    cache = read.past_key_values
    cache.batch_select_indices(owner)
    tokens = _padded(engine, tails)
    extra.pop("logits_to_keep", None)
    if "position_ids" in extra:
        steps = torch.arange(1, tokens.shape[1] + 1, device=engine.device)
        extra["position_ids"] = positions[owner, -1:] + steps
    output = engine.model(
        input_ids=tokens,
        attention_mask=torch.cat([mask[owner], torch.ones_like(tokens)], dim=1),
        past_key_values=cache,
        use_cache=True,
        **extra,
    )
    return torch.cat([read.logits[owner, -1:], output.logits], dim=1)
