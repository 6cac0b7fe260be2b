"""Embeddings of texts for BERTScore: made once per text, in batches of like length; gold texts are kept for later runs.

`bert-score` embeds both sides of every call anew and sorts them by words. All models of a task share their gold
rationales, so that with five models nearly half of that work is repetition. The matching is bert-score's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch

    from r2d_bench.statistics.bootstrap import Floats

KEPT = 2 * 2**30  # bytes of gold embeddings that are kept: 10,000 texts of 50 tokens with 1,024 numbers each
_PADDING = 2.0  # any number but 0, which has no direction; masked in the matching
_TOKENS = 8192  # of a batch, with padding


@dataclass(frozen=True, slots=True)
class Embedded:
    """A text: the direction of each token, shape (tokens, width), and its weight, 0 for tokens that only frame it."""

    tokens: torch.Tensor
    weights: torch.Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.tokens.nelement() * self.tokens.element_size()


@dataclass(slots=True)
class Embeddings:
    """The embeddings of one encoder.

    Attributes:
        scorer: a loaded `bert_score.BERTScorer`.
        batch_size: texts per forward pass, at most.
    """

    scorer: Any
    batch_size: int
    _kept: dict[str, Embedded] = field(default_factory=dict, init=False, repr=False)
    _bytes: int = field(default=0, init=False, repr=False)

    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
        """Return P, R and F1 of each text, the best reference counting for each of the three; shape (N, 3).

        Args:
            hypotheses: N texts, none of them blank.
            references: one or more texts, none of them blank, for each.
        """
        known = self._embedded([text for texts in references for text in texts], keep=True)
        known |= self._embedded([text for text in hypotheses if text not in known], keep=False)
        pairs = [(row, text) for row, texts in enumerate(references) for text in texts]
        # Pairs of like length stand together, so that little of a batch is padding.
        pairs.sort(key=lambda pair: (len(known[hypotheses[pair[0]]]), len(known[pair[1]])), reverse=True)
        scores = np.full((len(hypotheses), 3), -np.inf)
        for start in range(0, len(pairs), self.batch_size):
            batch = pairs[start : start + self.batch_size]
            found = self._matched([known[text] for _, text in batch], [known[hypotheses[row]] for row, _ in batch])
            np.maximum.at(scores, [row for row, _ in batch], found)
        return scores

    def _embedded(self, texts: Sequence[str], *, keep: bool) -> dict[str, Embedded]:
        """Return text → its embedding."""
        wanted = dict.fromkeys(texts)
        found = {text: self._kept[text] for text in wanted if text in self._kept}
        for text, embedding in self._fresh([text for text in wanted if text not in found]):
            found[text] = embedding
            if keep and self._bytes + embedding.size <= KEPT:
                self._kept[text] = embedding
                self._bytes += embedding.size
        return found

    def _fresh(self, texts: Sequence[str]) -> Iterator[tuple[str, Embedded]]:
        import torch
        from bert_score.utils import bert_encode, padding

        if not texts:
            return
        tokenizer, model = self.scorer._tokenizer, self.scorer._model  # noqa: SLF001 - it has no public names for them
        stripped = [text.strip() for text in texts]
        ids = tokenizer(stripped, truncation=True, max_length=tokenizer.model_max_length)["input_ids"]
        frame = {tokenizer.sep_token_id, tokenizer.cls_token_id}  # as bert-score weighs them
        order = sorted(range(len(texts)), key=lambda n: len(ids[n]), reverse=True)
        place = 0
        while place < len(order):
            rows = max(1, min(self.batch_size, _TOKENS // len(ids[order[place]])))
            batch = order[place : place + rows]
            place += rows
            padded, lengths, mask = padding([ids[n] for n in batch], tokenizer.pad_token_id)
            device = next(model.parameters()).device
            with torch.inference_mode():
                out = bert_encode(model, padded.to(device), attention_mask=mask.to(device))
                out = (out / out.norm(dim=-1, keepdim=True)).cpu()
            for row, n in enumerate(batch):
                weights = torch.tensor([float(token not in frame) for token in ids[n]])
                yield texts[n], Embedded(out[row, : int(lengths[row])].clone(), weights)

    def _matched(self, golds: Sequence[Embedded], said: Sequence[Embedded]) -> Floats:
        """Return P, R, F1 of pairs by bert-score's greedy matching, shape (B, 3)."""
        import torch
        from bert_score.utils import greedy_cos_idf

        device = next(self.scorer._model.parameters()).device  # noqa: SLF001 - no public name
        with torch.no_grad():
            found = greedy_cos_idf(*(part.to(device) for part in (*_stacked(golds), *_stacked(said))))
            return np.asarray(torch.stack(found, dim=-1).double().cpu().numpy())


def _stacked(embeddings: Sequence[Embedded]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return embeddings as one tensor, which tokens are there, and their weights."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    lengths = torch.tensor([len(one) for one in embeddings])
    together = pad_sequence([one.tokens for one in embeddings], batch_first=True, padding_value=_PADDING)
    weights = pad_sequence([one.weights for one in embeddings], batch_first=True)
    there = torch.arange(together.shape[1]).expand(len(embeddings), -1) < lengths.unsqueeze(1)
    return together, there, weights
