"""Greedy answers of a T5, in a batch that is never idle.

The longest prompts come first. A row leaves as soon as it has ended, and when an eighth of the places is free the next
prompts are encoded and take them (continuous batching, Yu et al. 2022, Orca). So the work is that of the tokens which
are read and written, with little padding, and no row waits for a longer one. In fp32 the texts are those of
`generate(num_beams=1, do_sample=False)`, up to ties within rounding.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from r2d_bench.models.hf_batches import free_memory, is_out_of_memory
from r2d_bench.models.hf_decoding import candidate_answer, free_answer, pad_left_or_right, prefix_tree
from r2d_bench.models.hf_t5 import T5Decoder
from r2d_bench.records import Failure, LabelMethod

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from r2d_bench.models.base import Answer
    from r2d_bench.models.hf_loading import Engine
    from r2d_bench.models.hf_prompts import Prompt, Tokens

REFILL = 8  # prompts are taken in when one place in so many is free: the encoder wants more than a row at a time
STEPS = 64  # places for written tokens are made so many at a time
WIDER = 1.5  # shorter prompts leave room for more rows; worth a copy of the caches from this factor on


@dataclass(slots=True)
class _Row:
    """A prompt under way, with the tokens written so far, and where it is held to candidates what may follow."""

    prompt: Prompt
    follows: dict[Tokens, list[int]] | None
    written: list[int] = field(default_factory=list)


def answer_greedily(engine: Engine, prompts: Sequence[Prompt], *, tokens: int, rows: int | None) -> Iterator[Answer]:
    """Answer `prompts`, each as soon as it is done.

    Where memory runs out, what was under way is begun again in a batch of half its tokens; a prompt that does not fit
    alone is a failure.

    Args:
        engine: a T5 (see `is_t5`).
        prompts: in any order, of any method but `SCORED`.
        tokens: the most tokens of a batch, padding and budgets included.
        rows: the most rows of a batch; None leaves it to `tokens`.
    """
    flow = _Flow(engine, prompts, tokens, rows)
    while flow.busy:
        try:
            yield from flow.advance()
            continue
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        yield from flow.back_off()  # outside of `except`: there the traceback still holds tensors


class _Flow:
    """Prompts that wait, and rows under way."""

    def __init__(self, engine: Engine, prompts: Sequence[Prompt], tokens: int, rows: int | None) -> None:
        self._engine, self._tokens, self._most = engine, tokens, rows
        self._waiting = deque(sorted(prompts, key=_size, reverse=True))
        self._rows: list[_Row] = []
        self._decoder: T5Decoder | None = None

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._rows)

    def advance(self) -> list[Answer]:
        """Take in prompts where there is room, write one token of each row, return what is done."""
        with torch.inference_mode():
            self._take_in()
            self._write()
            done = [i for i, row in enumerate(self._rows) if self._ended(row)]
            return [self._leave(i) for i in reversed(done)]  # from the end: the last row takes the place that is free

    def back_off(self) -> list[Answer]:
        """Begin again with half of the tokens; a prompt that was alone is a failure."""
        under_way = [row.prompt for row in self._rows]
        self._decoder, self._rows = None, []
        free_memory()
        if len(under_way) == 1:
            detail = f"a prompt of {len(under_way[0].ids)} tokens does not fit alone"
            return [(under_way[0].request.key, Failure("out of memory", detail))]
        self._tokens = max(map(_size, under_way)) * len(under_way) // 2
        self._waiting.extendleft(sorted(under_way, key=_size))
        return []

    def _room(self) -> int:
        """Return how many rows there may be: the longest, under way or next, counts for each."""
        longest = max([_size(row.prompt) for row in self._rows] + [_size(prompt) for prompt in self._next()])
        room = max(1, self._tokens // longest)
        return room if self._most is None else min(room, self._most)

    def _next(self) -> list[Prompt]:
        """Return the prompt that is to be taken in next, where there is one."""
        return [self._waiting[0]] if self._waiting else []

    def _take_in(self) -> None:
        """Encode the next prompts where enough places are free."""
        room = self._room()
        free = room - len(self._rows)
        count = min(free, len(self._waiting))
        if count < 1 or (self._rows and free < room // REFILL):
            return
        new = [_begin(self._engine, self._waiting.popleft()) for _ in range(count)]
        self._rows += new  # before any work: what runs out of memory begins again
        ids, mask = pad_left_or_right(self._engine, [row.prompt.ids for row in new])
        hidden = self._engine.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        places = min(room, len(self._rows) + len(self._waiting))
        if self._decoder is None:
            steps = min(STEPS, max(prompt.budget for prompt in [*(row.prompt for row in new), *self._waiting]))
            self._decoder = T5Decoder(self._engine.model, places, ids.shape[1], steps)
        elif places > WIDER * self._decoder.rows or not self._decoder.holds(len(self._rows), ids.shape[1]):
            self._decoder.resize(places, ids.shape[1])
        self._decoder.add(hidden, [len(row.prompt.ids) for row in new])

    def _write(self) -> None:
        """Write one token of each row."""
        decoder = self._decoder
        if decoder is None:
            return
        positions = [len(row.written) for row in self._rows]
        if max(positions) >= decoder.steps:
            decoder.grow(decoder.steps + STEPS)
        start = self._engine.start or 0
        logits = decoder.step([(row.written or [start])[-1] for row in self._rows], positions)
        held = [row.follows[tuple(row.written)] if row.follows else None for row in self._rows]
        for row, token in zip(self._rows, _likeliest(logits, held), strict=True):
            row.written.append(token)

    def _ended(self, row: _Row) -> bool:
        return row.written[-1] in self._engine.ends or len(row.written) >= row.prompt.budget

    def _leave(self, i: int) -> Answer:
        row, last = self._rows[i], self._rows.pop()
        if row is not last:
            self._rows[i] = last
        if self._decoder is not None:
            self._decoder.drop(i)
        answer = candidate_answer if row.follows else free_answer
        return row.prompt.request.key, answer(self._engine, row.prompt, row.written)


def _begin(engine: Engine, prompt: Prompt) -> _Row:
    free = prompt.request.method is LabelMethod.FREE
    return _Row(prompt, None if free else prefix_tree(prompt.tails, engine.ends))


def _size(prompt: Prompt) -> int:
    return max(1, len(prompt.ids) + prompt.budget)


def _likeliest(logits: torch.Tensor, held: list[list[int] | None]) -> list[int]:
    """Return the likeliest token of each row, of those that it is held to.

    Args:
        logits: (rows, vocabulary).
        held: per row the tokens that may follow; None: any.
    """
    logits = logits.float()
    places = [(row, token) for row, tokens in enumerate(held) if tokens is not None for token in tokens]
    if places:
        rows, tokens = torch.tensor(places, device=logits.device).unbind(1)
        kept = logits[rows, tokens]
        logits[rows] = -torch.inf
        logits[rows, tokens] = kept
    chosen: list[int] = logits.argmax(dim=-1).tolist()
    return chosen
