"""Losses of the four methods, pure functions of tensors.

Sources: label and rationale loss of Distilling Step-by-Step (arXiv 2305.02301) and Reason2Decide (arXiv 2512.20074),
cycle loss of Reason2Decide-C (Computers 2026, 15(5), 279).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

IGNORED = -100  # the label of padding, as in transformers


def token_loss(logits: torch.Tensor, labels: torch.Tensor, tokens: int | None = None) -> torch.Tensor:
    """Return the mean of −ln P over the target's tokens, as transformers' models compute it.

    Args:
        logits: shape (batch, length, vocabulary).
        labels: target ids, `IGNORED` where there is none, shape (batch, length).
        tokens: what the sum is divided by; None takes the tokens that are there. A part of a batch is divided by the
            tokens of the whole one, so that the parts' losses add up to that of the batch.
    """
    total = functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    count = (labels != IGNORED).sum().clamp(min=1) if tokens is None else max(tokens, 1)
    return total / count


def joint(label: torch.Tensor, rationale: torch.Tensor, weight: float) -> torch.Tensor:
    """Return α·L_pred + (1−α)·L_expl."""
    return weight * label + (1 - weight) * rationale


def soft_embeddings(
    logits: torch.Tensor, embedding: torch.Tensor, temperature: float, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Return what a Gumbel-softmax over the vocabulary mixes of the embeddings, shape (batch, length, width).

    The sample stays soft (Jang et al. 2017, https://arxiv.org/abs/1611.01144, without the straight-through step), so
    that gradient reaches the logits.

    Args:
        logits: shape (batch, length, vocabulary).
        embedding: the embedding matrix, shape (vocabulary, width).
        temperature: τ_g.
        generator: of the Gumbel noise, on the device of the logits.
    """
    scores = logits.float()
    noise = -torch.empty_like(scores).exponential_(generator=generator).log()
    return functional.softmax((scores + noise) / temperature, dim=-1) @ embedding


def cycle_loss(
    model: Any,  # noqa: ANN401 - transformers is untyped here
    logits: torch.Tensor,
    written: torch.Tensor,
    labels: torch.Tensor,
    prefix: Sequence[int],
    *,
    embedding: torch.Tensor,
    temperature: float,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Return −ln P(label | soft rationale): does the label follow from the rationale that the model writes for it?

    Args:
        model: the encoder-decoder.
        logits: of the teacher-forced rationale, shape (batch, length, vocabulary).
        written: where the rationale has a token (its end included), shape (batch, length).
        labels: ids of the label that stood in the explain prompt, `IGNORED` behind it, shape (batch, label length).
        prefix: ids of `predict: `, without an end.
        embedding: the model's embedding matrix, shape (vocabulary, width).
        temperature: τ_g of the Gumbel-softmax.
        generator: of its noise.
    """
    soft = soft_embeddings(logits, embedding, temperature, generator)
    front = functional.embedding(torch.tensor(prefix, device=logits.device), embedding)
    front = front.to(soft.dtype).expand(len(soft), -1, -1)
    mask = torch.cat([torch.ones(front.shape[:2], dtype=torch.long, device=logits.device), written.long()], dim=1)
    answer = model(inputs_embeds=torch.cat([front, soft], dim=1), attention_mask=mask, labels=labels, use_cache=False)
    return token_loss(answer.logits, labels)
