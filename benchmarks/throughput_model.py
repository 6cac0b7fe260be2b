"""A T5 of a real size whose answers end by themselves at varied lengths, made in minutes: what `hf_throughput.py` asks.

A model that writes sense takes hours to train. Throughput only depends on how long answers are, and that they differ
from item to item. So a small T5 learns 150 (label, rationale) pairs of the tasks' training splits by heart, and which
of them to give by the first of 150 words in the input. It is then widened and deepened to the wanted shape without a
change of what it computes (Net2Net, Chen et al. 2016, https://arxiv.org/abs/1511.05641, with zeros in place of copies),
and a little noise makes every weight count.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import transformers

from r2d_bench.training.recipe import Scratch
from r2d_bench.training.scratch import make_greedy, tiny_start

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from r2d_bench.records import Example

SMALL = {"d_model": 128, "d_ff": 512, "heads": 2, "layers": 2}
SHAPES = {
    "t5-small": {"d_model": 512, "d_ff": 2048, "num_heads": 8, "num_layers": 6, "num_decoder_layers": 6},
    "t5-base": {"d_model": 768, "d_ff": 3072, "num_heads": 12, "num_layers": 12, "num_decoder_layers": 12},
}
T5_VOCABULARY = 32128
WORDS = 6000  # of the tokenizer: texts are then about as many tokens as T5's own makes of them
NOISE = 1e-3
FAMILIES = 150
SHORT, LONG, EVERY = 48, 256, 10  # tokens of inputs while training; each EVERY-th step has long ones
LEARNING_RATE, WARMUP = 2e-3, 0.1


@dataclass(frozen=True)
class Families:
    """Which pair of label and rationale belongs to an input: that of the first of `words` in it."""

    words: dict[str, int]
    pairs: list[tuple[str, str]]

    def of(self, text: str) -> tuple[str, str]:
        """Return (label, rationale)."""
        found = next((self.words[word] for word in text.lower().split() if word in self.words), 0)
        return self.pairs[found]


def families(examples: Sequence[Example]) -> Families:
    """Choose words that stand in many inputs but not in most, and pairs of all lengths."""
    heard = Counter(word for example in examples for word in set(example.input.lower().split()[:40]))
    usual = [word for word, times in heard.most_common() if times < len(examples) // 4 and len(word) > 2]
    by_length = sorted(examples, key=lambda example: len(example.references[0]))
    chosen = [by_length[i * len(by_length) // FAMILIES] for i in range(FAMILIES)]
    random.Random(0).shuffle(chosen)  # noqa: S311 - no secret
    pairs = [(example.gold or "", example.references[0]) for example in chosen]
    return Families({word: i for i, word in enumerate(usual[:FAMILIES])}, pairs)


def train(examples: Sequence[Example], shape: str, folder: Path, *, minutes: float, batch: int = 16) -> None:
    """Train on `examples` for some minutes and save the checkpoint of that shape in `folder`."""
    made = Scratch(**SMALL, vocabulary=WORDS)
    model, tokenizer = tiny_start(made, [text for e in examples for text in (e.input, *e.references)], 0)
    make_greedy(model, tokenizer)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    known, rng, begun, step = families(examples), random.Random(0), time.monotonic(), 0  # noqa: S311
    while (done := (time.monotonic() - begun) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, done / WARMUP, 1.1 - done)
        length = LONG if step % EVERY == EVERY - 1 else SHORT
        rows = [_row(rng.choice(examples), known, rng) for _ in range(batch if length == SHORT else batch // 2)]
        loss = _loss(model, tokenizer, rows, length)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if step % 20 == 0:
            sys.stderr.write(f"step {step}, {done:.0%}, loss {loss.item():.3f}\n")
    widened(model.eval(), SHAPES[shape]).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _row(example: Example, known: Families, rng: random.Random) -> tuple[str, str]:
    label, rationale = known.of(example.input)
    if rng.random() < 0.3:
        return f"predict: {example.input}", label
    return f"given label: {label}, explain: {example.input}", rationale


def _loss(model: Any, tokenizer: Any, rows: Sequence[tuple[str, str]], length: int) -> torch.Tensor:  # noqa: ANN401
    """Return the mean loss of a token."""
    read = tokenizer(
        [prompt for prompt, _ in rows], padding=True, truncation=True, max_length=length, return_tensors="pt"
    )
    labels = tokenizer([target for _, target in rows], padding=True, return_tensors="pt").input_ids
    labels = labels.masked_fill(labels == tokenizer.pad_token_id, -100)
    loss: torch.Tensor = model(input_ids=read.input_ids, attention_mask=read.attention_mask, labels=labels).loss
    return loss


def widened(model: Any, shape: dict[str, int]) -> Any:  # noqa: ANN401
    """Return a T5 of a larger shape and T5's vocabulary that computes what `model` does, but for a little noise.

    What is added to a matrix is zero; an added layer adds nothing to the residual stream. A norm divides by the root of
    the mean square, which the added zeros make smaller: its weight makes up for that. Added tokens are copies of
    padding, which no target has, so that they are never the likeliest.
    """
    small = model.config
    config = transformers.T5Config(**(small.to_diff_dict() | shape | {"vocab_size": T5_VOCABULARY}))
    wide = transformers.T5ForConditionalGeneration(config)
    known = model.state_dict()
    narrower = (small.d_model / config.d_model) ** 0.5
    noise = torch.Generator().manual_seed(0)
    state = {}
    for name, weight in wide.state_dict().items():
        found = torch.randn(weight.shape, generator=noise) * NOISE + ("layer_norm" in name)
        if name in known:
            found[tuple(slice(n) for n in known[name].shape)] = known[name]
        if "layer_norm" in name and name != "decoder.final_layer_norm.weight":  # there T5 divides logits by √d_model
            found *= narrower
        if name.split(".")[-2] in ("shared", "embed_tokens", "lm_head"):
            found[small.vocab_size :] = found[small.pad_token_id]
        state[name] = found
    wide.load_state_dict(state)
    wide.tie_weights()
    wide.generation_config = model.generation_config
    return wide
