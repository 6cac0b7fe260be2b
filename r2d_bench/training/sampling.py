"""The model's own greedy labels, fast and exact.

Greedy decoding asks at every position for the likeliest token behind the tokens before it. Where it is likely to write
a known text, that text can be checked in one pass instead of token by token: as long as the likeliest token is the
text's own, the next position was computed behind the right tokens too (speculative decoding, Leviathan et al. 2023,
https://arxiv.org/abs/2211.17192, for greedy decoding and with a trie of labels as the draft). So the encoder runs
once, the decoder once over the gold labels, once more over the rows that branch off to another label; a row that
leaves all labels is decoded token by token.

Texts equal `model.generate(num_beams=1, do_sample=False, max_new_tokens=N)` in fp32; in lower precision even that
depends on the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from r2d_bench.training.losses import IGNORED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Tokens = tuple[int, ...]
# Two logits nearer than this may change places from one batch shape to another: plain decoding has the say.
TOO_CLOSE = 1e-4


@dataclass(frozen=True, slots=True)
class Greedy:
    """What the model wrote for one row.

    Attributes:
        text: without special tokens.
        tokens: ids, the end included where there was one.
        ended: the model ended the text itself; otherwise it was cut at the budget.
        confidence: exp of the mean ln P of the tokens.
    """

    text: str
    tokens: Tokens
    ended: bool
    confidence: float


@dataclass(slots=True)
class _Row:
    """A row under way: tokens that greedy decoding is known to write, with their ln P."""

    candidates: tuple[Tokens, ...]
    tokens: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    ended: bool = False
    plain: bool = False  # no candidate goes on from here, or the choice is too close

    @property
    def draft(self) -> Tokens | None:
        """A candidate that begins with the tokens so far."""
        return continuations(self.candidates).get(tuple(self.tokens))


@lru_cache(maxsize=4096)
def continuations(candidates: tuple[Tokens, ...]) -> Mapping[Tokens, Tokens]:
    """Return the trie of the candidates, flat: beginning → the first candidate that goes on from it."""
    found: dict[Tokens, Tokens] = {}
    for candidate in candidates:
        for i in range(len(candidate)):
            found.setdefault(candidate[:i], candidate)
    return found


class GreedyLabels:
    """Greedy label texts of a batch.

    Args:
        model: an encoder-decoder whose generation configuration is greedy and bare (see `scratch.greedy_config`).
        tokenizer: its tokenizer.
        max_new_tokens: N.
        dropout: decode token by token with dropout on (a quirk of the papers' code).
        padding: decode token by token, and let padding count in the confidence (likewise).
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - transformers is untyped here
        tokenizer: Any,  # noqa: ANN401
        max_new_tokens: int,
        *,
        dropout: bool = False,
        padding: bool = False,
    ) -> None:
        self._model, self._tokenizer, self._most = model, tokenizer, max_new_tokens
        self._dropout, self._padding = dropout, padding
        ends = model.generation_config.eos_token_id
        self._ends = frozenset(ends if isinstance(ends, list) else [ends])
        self._start = model.generation_config.decoder_start_token_id
        self._pad = model.generation_config.pad_token_id

    def __call__(
        self, inputs: torch.Tensor, mask: torch.Tensor, candidates: Sequence[tuple[Tokens, ...]]
    ) -> list[Greedy]:
        """Return what the model writes for each prompt; the model's mode (training or not) is as before.

        Args:
            inputs: prompt ids, shape (batch, length).
            mask: 1 where there is a token, same shape.
            candidates: per row the label texts as ids with their end, the likeliest first; they decide on the speed,
                not on the result.
        """
        before = self._model.training
        self._model.train(self._dropout)
        try:
            with torch.no_grad():
                return self._decode(inputs, mask, candidates)
        finally:
            self._model.train(before)

    def _decode(
        self, inputs: torch.Tensor, mask: torch.Tensor, candidates: Sequence[tuple[Tokens, ...]]
    ) -> list[Greedy]:
        encoded = self._model.get_encoder()(input_ids=inputs, attention_mask=mask).last_hidden_state
        rows = [_Row(texts) for texts in candidates]
        if self._dropout or self._padding:
            return self._plain(encoded, mask)
        while active := [i for i, row in enumerate(rows) if not self._settled(row)]:
            self._verify([rows[i] for i in active], encoded[active], mask[active])
        found = {i: self._greedy(row) for i, row in enumerate(rows) if not row.plain}
        if left := [i for i, row in enumerate(rows) if row.plain]:
            found |= dict(zip(left, self._plain(encoded[left], mask[left]), strict=True))
        return [found[i] for i in range(len(rows))]

    def _settled(self, row: _Row) -> bool:
        if row.draft is None and not row.ended and len(row.tokens) < self._most:
            row.plain = True
        return row.plain or row.ended or len(row.tokens) >= self._most

    def _verify(self, rows: list[_Row], encoded: torch.Tensor, mask: torch.Tensor) -> None:
        """Follow each row's draft as far as greedy decoding does, and one token on where it branches off."""
        drafts = [(row.draft or ())[: self._most] for row in rows]
        longest = max(len(draft) for draft in drafts)
        shifted = [[self._start, *draft[:-1]] for draft in drafts]
        ids = torch.tensor([row + [self._pad] * (longest - len(row)) for row in shifted], device=encoded.device)
        logits = self._model(
            encoder_outputs=(encoded,), attention_mask=mask, decoder_input_ids=ids, use_cache=False
        ).logits.float()
        two = logits.topk(2, dim=-1)
        best = logits.argmax(dim=-1).tolist()
        scores = (two.values[..., 0] - logits.logsumexp(dim=-1)).tolist()
        close = (two.values[..., 0] - two.values[..., 1] < TOO_CLOSE).tolist()
        for row, draft, *found in zip(rows, drafts, best, scores, close, strict=True):
            self._accept(row, draft, zip(*found, strict=True))

    def _accept(self, row: _Row, draft: Tokens, found: Iterator[tuple[int, float, bool]]) -> None:
        known = len(row.tokens)
        for i, (expected, (token, score, close)) in enumerate(zip(draft, found, strict=False)):
            if i < known:
                continue
            if close:
                row.plain = True
                return
            row.tokens.append(token)
            row.scores.append(score)
            row.ended = token in self._ends
            if row.ended or token != expected:
                return

    def _greedy(self, row: _Row) -> Greedy:
        return self._made(row.tokens, row.scores, ended=row.ended)

    def _made(self, tokens: list[int], scores: list[float], *, ended: bool) -> Greedy:
        confidence = float(torch.tensor(scores, dtype=torch.float64).mean().exp())
        text = str(self._tokenizer.decode(tokens, skip_special_tokens=True))
        return Greedy(text, tuple(tokens), ended, confidence)

    def _plain(self, encoded: torch.Tensor, mask: torch.Tensor) -> list[Greedy]:
        """Decode token by token."""
        from transformers.modeling_outputs import BaseModelOutput  # noqa: PLC0415 - transformers takes seconds

        output = self._model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            attention_mask=mask,
            max_new_tokens=self._most,
            num_beams=1,
            do_sample=False,
            output_scores=True,
            return_dict_in_generate=True,
        )
        written = output.sequences[:, 1:]
        scores = torch.stack(output.scores, dim=1).float().log_softmax(dim=-1)
        chosen = scores.gather(-1, written[..., None])[..., 0].tolist()
        return [self._row(ids, row) for ids, row in zip(written.tolist(), chosen, strict=True)]

    def _row(self, ids: list[int], scores: list[float]) -> Greedy:
        end = next((i + 1 for i, token in enumerate(ids) if token in self._ends), None)
        length = len(ids) if end is None else end
        return self._made(ids[:length], scores if self._padding else scores[:length], ended=end is not None)


def label_tensor(rows: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> torch.Tensor:
    """Return target ids side by side, `IGNORED` behind the shorter ones, shape (rows, longest)."""
    longest = max((len(row) for row in rows), default=0)
    return torch.tensor([[*row, *[IGNORED] * (longest - len(row))] for row in rows], device=device)
