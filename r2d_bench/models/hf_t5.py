"""The decoder of a T5 for rows that are at different positions, one token a step.

transformers' own step has all rows at the same position, appends to its caches by copying them, and adds a mask of
zeros to every attention. Here a row's place in the caches is its own, so that a row that has ended makes room for
another. The layers are the model's own modules (with LoRA where there is one); only attention is written out.

Source: Raffel et al. 2020 (https://arxiv.org/abs/1910.10683): no absolute positions, a learnt bias by distance that all
layers share, no division of the scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

FAMILY = frozenset({"t5", "mt5"})


def is_t5(model: Any) -> bool:  # noqa: ANN401 - transformers is untyped
    """Tell whether `T5Decoder` computes what the model does.

    In float16 transformers clamps what would overflow, which is left to it; and to force a first token.
    """
    plain = model.generation_config.forced_bos_token_id is None
    return model.config.model_type in FAMILY and model.dtype is not torch.float16 and plain


def bytes_of_token(model: Any) -> int:  # noqa: ANN401
    """Return what one token of a prompt or an answer takes in the caches of `T5Decoder`."""
    attention = [block.layer[1].EncDecAttention for block in model.decoder.block]
    return sum(2 * one.inner_dim * model.dtype.itemsize for one in attention)


class T5Decoder:
    """Rows under way, with their keys and values of the source (from the encoder) and of their own tokens.

    Rows are numbered 0 … n - 1 without a gap: a row that leaves is replaced by the last one.

    Args:
        model: a T5 of transformers.
        rows: rows that there is room for.
        source: tokens of the longest prompt.
        steps: tokens of an answer that there is room for.
    """

    def __init__(self, model: Any, rows: int, source: int, steps: int) -> None:  # noqa: ANN401
        self._model, self._stack, self._device = model, model.decoder, model.device
        self._attention = [block.layer[0].SelfAttention for block in self._stack.block]
        self._cross = [block.layer[1].EncDecAttention for block in self._stack.block]
        self._heads, self._width = self._cross[0].n_heads, self._cross[0].key_value_proj_dim
        self._lengths: list[int] = []
        self._source = self._empty(rows, source)
        self._own = self._empty(rows, steps)
        self._mask = torch.zeros(rows, 1, source, 1, dtype=model.dtype, device=self._device)
        self._bias = self._bias_by_distance(steps)

    def __len__(self) -> int:
        """Return how many rows are under way."""
        return len(self._lengths)

    @property
    def rows(self) -> int:
        """Rows that there is room for."""
        return int(self._own.shape[2])

    @property
    def steps(self) -> int:
        """Tokens of an answer that there is room for."""
        return int(self._own.shape[4])

    def holds(self, rows: int, source: int) -> bool:
        """Tell whether there is room for so many rows, one of them with so long a prompt."""
        return rows <= self.rows and source <= self._source.shape[4]

    def resize(self, rows: int, source: int) -> None:
        """Copy what is under way into caches of another size, one cache after the other.

        Args:
            rows: at least those under way.
            source: tokens of the longest prompt to come; those under way find their place all the same.
        """
        kept, longest = len(self), max(self._lengths, default=0)
        source = max(source, longest)
        mask = self._mask
        self._mask = mask.new_full((rows, 1, source, 1), -torch.inf)
        self._mask[:kept, :, :longest] = mask[:kept, :, :longest]
        self._source = self._copied(self._source, rows, source, longest)
        self._own = self._copied(self._own, rows, self.steps, self.steps)

    def grow(self, steps: int) -> None:
        """Make room for more tokens of an answer; what was read of the prompts stays where it is."""
        self._own = self._copied(self._own, self.rows, steps, self.steps)
        self._bias = self._bias_by_distance(steps)

    def _copied(self, cache: torch.Tensor, rows: int, length: int, kept: int) -> torch.Tensor:
        """Return a cache of another size with the first `kept` places of the rows under way."""
        made, count = self._empty(rows, length), len(self)
        made[:, :, :count, :, :kept] = cache[:, :, :count, :, :kept]
        return made

    def add(self, hidden: torch.Tensor, lengths: Sequence[int]) -> None:
        """Take in rows.

        Args:
            hidden: what the encoder made of their prompts, shape (rows, longest, width of the model).
            lengths: tokens of each prompt.
        """
        rows, longest = hidden.shape[:2]
        place = slice(len(self), len(self) + rows)
        for layer, attention in enumerate(self._cross):
            for kind, project in enumerate((attention.k, attention.v)):
                made = project(hidden).view(rows, longest, self._heads, self._width)
                self._source[kind, layer, place, :, :longest] = made.transpose(1, 2)
        inside = torch.arange(self._mask.shape[2], device=self._device) < _tensor(lengths, self._device)[:, None]
        self._mask[place] = torch.where(inside, 0.0, -torch.inf).to(self._mask.dtype)[:, None, :, None]
        self._lengths.extend(lengths)

    def drop(self, row: int) -> None:
        """Let the last row take the place of `row`."""
        last = len(self) - 1
        if row != last:
            for cache in (self._source, self._own):
                cache[:, :, row] = cache[:, :, last]
            self._mask[row] = self._mask[last]
            self._lengths[row] = self._lengths[last]
        self._lengths.pop()

    def step(self, tokens: Sequence[int], positions: Sequence[int]) -> torch.Tensor:
        """Read one token of each row, return the logits of the next, shape (rows, vocabulary).

        Args:
            tokens: the last token of each row.
            positions: how many tokens the row had before that.
        """
        count, source, written = len(self), max(self._lengths), max(positions) + 1
        places, rows = _tensor(positions, self._device), torch.arange(count, device=self._device)
        own_bias, mask = self._own_bias(places, written), self._mask[:count, :, :source]
        hidden = self._stack.embed_tokens(_tensor(tokens, self._device))
        for layer, block in enumerate(self._stack.block):
            inner, outer, forward = block.layer
            attention, normed = inner.SelfAttention, inner.layer_norm(hidden)
            own = self._own[:, layer]
            own[0, rows, :, places] = attention.k(normed).view(count, self._heads, self._width)
            own[1, rows, :, places] = attention.v(normed).view(count, self._heads, self._width)
            query = attention.q(normed).view(count, self._heads, self._width, 1)
            hidden = hidden + attention.o(_attend(query, own[:, :count, :, :written], own_bias))
            attention = outer.EncDecAttention
            query = attention.q(outer.layer_norm(hidden)).view(count, self._heads, self._width, 1)
            hidden = hidden + attention.o(_attend(query, self._source[:, layer, :count, :, :source], mask))
            hidden = forward(hidden)
        hidden = self._stack.final_layer_norm(hidden)
        if getattr(self._model.config, "scale_decoder_outputs", False):  # mT5 has no such key, and does not scale
            hidden = hidden * self._model.model_dim**-0.5
        logits: torch.Tensor = self._model.lm_head(hidden)
        return logits

    def _empty(self, rows: int, length: int) -> torch.Tensor:
        """Return a cache: (keys and values, layers, rows, heads, length, width). What is not written yet is finite."""
        shape = (2, len(self._cross), rows, self._heads, length, self._width)
        return torch.zeros(shape, dtype=self._model.dtype, device=self._device)

    def _bias_by_distance(self, steps: int) -> torch.Tensor:
        """Return the bias of a token `steps` - 1 … 0 places back, shape (heads, steps)."""
        bias: torch.Tensor = self._attention[0].compute_bias(1, steps, past_seen_tokens=steps - 1)
        return bias[0, :, 0]

    def _own_bias(self, places: torch.Tensor, written: int) -> torch.Tensor:
        """Return what is added to the scores of a row's own tokens, shape (rows, heads, written, 1)."""
        back = places[:, None] - torch.arange(written, device=self._device)
        bias = self._bias[:, self._bias.shape[1] - 1 - back.clamp(min=0)].masked_fill(back < 0, -torch.inf)
        return bias.transpose(0, 1)[..., None]


def _attend(query: torch.Tensor, cache: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return attention of one query a row, shape (rows, heads · width).

    Args:
        query: (rows, heads, width, 1). As the right factor: keys are then read in the order in which they lie.
        cache: (2, rows, heads, length, width): keys, values.
        bias: is added to the scores, (rows, heads or 1, length, 1).
    """
    scores = torch.matmul(cache[0], query) + bias
    weights = torch.softmax(scores, dim=2, dtype=torch.float32).to(query.dtype)
    return torch.matmul(weights.transpose(2, 3), cache[1]).flatten(1)


def _tensor(values: Sequence[int], device: torch.device) -> torch.Tensor:
    return torch.tensor(values, device=device)
