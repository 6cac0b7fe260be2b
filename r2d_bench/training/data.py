"""What a stage trains on: texts tokenised once, and batches that are a function of (seed, step) alone.

A batch is cut into parts: by accumulation, and over the processes of a distributed training. Which examples a step
sees depends on neither, nor on what was trained before it, so that a training that goes on sees the same batches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from r2d_bench.errors import UserError
from r2d_bench.training.sampling import label_tensor
from r2d_bench.training.seeds import permutation
from r2d_bench.training.texts import StageTexts, rationale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from r2d_bench.records import Example
    from r2d_bench.tasks.task import Task
    from r2d_bench.training.methods import Stage
    from r2d_bench.training.recipe import Recipe
    from r2d_bench.training.sampling import Tokens

CHUNK = 4096  # texts that are tokenised at once
GROUPED = 50  # batches whose examples are sorted by length together, as in transformers


@dataclass(frozen=True)
class StageData:
    """What a stage is given.

    Attributes:
        task: for prompts and label space.
        train, validation: examples, their references in the style of rationales that is learnt.
    """

    task: Task
    train: Sequence[Example]
    validation: Sequence[Example]


class Encoder:
    """A tokenizer that cuts on the right and counts what it cut."""

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 - transformers is untyped here
        self.tokenizer = tokenizer
        tokenizer.truncation_side = "right"

    def encode(self, texts: Sequence[str], limit: int, *, target: bool = False) -> tuple[list[NDArray[np.int32]], int]:
        """Return the ids of each text, at most `limit` of them with the end, and how many texts were cut."""
        name = "text_target" if target else "text"
        rows: list[NDArray[np.int32]] = []
        cut = 0
        for at in range(0, len(texts), CHUNK):
            chunk = list(texts[at : at + CHUNK])
            for text, ids in zip(chunk, self.tokenizer(**{name: chunk}, verbose=False)["input_ids"], strict=True):
                kept = ids
                if len(ids) > limit:
                    cut += 1
                    kept = self.tokenizer(**{name: text}, truncation=True, max_length=limit, verbose=False)["input_ids"]
                rows.append(np.array(kept, dtype=np.int32))
        return rows, cut


@dataclass(frozen=True)
class Rows:
    """The examples of a stage as ids; lists are empty where the stage has no such text.

    Attributes:
        examples: in order.
        predict, labels: prompt and target of the label.
        explain, rationales: prompt (with the gold label, where conditioned) and target of the rationale; the target
            is empty where an example has none.
        truncated: what was cut → how many.
    """

    examples: Sequence[Example]
    predict: list[NDArray[np.int32]] = field(default_factory=list)
    labels: list[NDArray[np.int32]] = field(default_factory=list)
    explain: list[NDArray[np.int32]] = field(default_factory=list)
    rationales: list[NDArray[np.int32]] = field(default_factory=list)
    truncated: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def lengths(self) -> list[int]:
        """How much work each example is: the tokens of its prompts and rationale."""
        parts = [part for part in (self.predict, self.explain, self.rationales) if part]
        return [sum(len(part[i]) for part in parts) for i in range(len(self))]


def encode_rows(texts: StageTexts, examples: Sequence[Example], encoder: Encoder, recipe: Recipe) -> Rows:
    """Tokenise what a stage needs of the examples that have it; those without a gold label are left out.

    Examples without a rationale stay where there is a label to learn.
    """
    stage = texts.stage
    kept = [e for e in examples if e.gold is not None and (stage.predict or rationale(e) is not None)]
    rows = Rows(kept)
    if stage.predict:
        prompts = [texts.predict(example) for example in kept]
        _fill(rows, "predict", rows.predict, encoder.encode(prompts, recipe.max_input_tokens))
        gold = encoder.encode([e.gold or "" for e in kept], recipe.max_label_tokens, target=True)
        _fill(rows, "labels", rows.labels, gold)
    if stage.explain:
        prompts = [texts.explain(example, example.gold or "") for example in kept]
        _fill(rows, "explain", rows.explain, encoder.encode(prompts, recipe.max_input_tokens))
        whys = [rationale(example) for example in kept]
        ids, cut = encoder.encode([why or "" for why in whys], recipe.max_rationale_tokens, target=True)
        nothing = np.array([], dtype=np.int32)
        found = [row if why is not None else nothing for row, why in zip(ids, whys, strict=True)]
        _fill(rows, "rationales", rows.rationales, (found, cut))
    return rows


def _fill(rows: Rows, name: str, place: list[NDArray[np.int32]], found: tuple[list[NDArray[np.int32]], int]) -> None:
    place.extend(found[0])
    if found[1]:
        rows.truncated[name] = found[1]


def check_trainable(rows: Rows, stage: Stage, task: str) -> None:
    """Refuse data that a stage cannot learn from.

    Raises:
        UserError: no example, or none with a rationale where the stage needs them.
    """
    if stage.explain and not any(len(row) for row in rows.rationales):
        raise UserError(f"task {task}: no training example has a gold rationale: only method sft needs none")
    if not len(rows):
        raise UserError(f"task {task}: no training example has a gold label")


class Batches:
    """Batches of an endless stream of permutations, examples of like length together.

    Args:
        lengths: of the examples.
        size: examples of a batch.
        key: what the order depends on (seed, stage).
        grouped: sort by length within blocks of batches, never beyond one pass through the examples.
    """

    def __init__(self, lengths: Sequence[int], size: int, *key: str | int, grouped: bool = True) -> None:
        self._lengths, self.size, self._key = lengths, size, key
        self._block = max(1, min(GROUPED, len(lengths) // size)) if grouped else 1
        self._grouped = grouped
        self._epoch = lru_cache(maxsize=4)(lambda epoch: permutation(len(lengths), *key, "epoch", epoch))
        self._batches = lru_cache(maxsize=2)(self._of_block)

    def batch(self, step: int) -> list[int]:
        """Return the numbers of the examples of a step."""
        block, place = divmod(step, self._block)
        return self._batches(block)[place]

    def _of_block(self, block: int) -> list[list[int]]:
        count, n = self._block * self.size, len(self._lengths)
        stream = (divmod(i, n) for i in range(block * count, (block + 1) * count))
        rows = [self._epoch(epoch)[place] for epoch, place in stream]
        if not self._grouped:
            return [rows]
        rows.sort(key=lambda row: -self._lengths[row])
        batches = [rows[at : at + self.size] for at in range(0, count, self.size)]
        return [batches[i] for i in permutation(self._block, *self._key, "block", block)]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a batch, which one process computes in one go.

    Attributes:
        step: of the optimiser, from 0.
        number: of the part, from 0, over accumulation and processes.
        batch: numbers of all examples of the batch.
        places: where in the batch the part's examples stand.
    """

    step: int
    number: int
    batch: list[int]
    places: range

    @property
    def rows(self) -> list[int]:
        """Numbers of the part's examples."""
        return [self.batch[i] for i in self.places]


class Parts(torch.utils.data.Dataset[Part]):
    """All parts of all batches in the order of training; processes take them in turn."""

    def __init__(self, batches: Batches, steps: int, parts: int) -> None:
        self._batches, self._steps, self._parts = batches, steps, parts

    def __len__(self) -> int:
        return self._steps * self._parts

    def __getitem__(self, item: int) -> Part:
        step, number = divmod(item, self._parts)
        size = self._batches.size // self._parts
        return Part(step, number, self._batches.batch(step), range(number * size, (number + 1) * size))


@dataclass(frozen=True, slots=True)
class Collator:
    """Puts rows of ids side by side, padded on the right.

    Attributes:
        pad: id of padding.
        start: first id of a decoder's input.
        device: where the tensors go.
    """

    pad: int
    start: int
    device: torch.device

    def inputs(self, rows: Sequence[NDArray[np.int32]]) -> dict[str, torch.Tensor]:
        """Return `input_ids` and `attention_mask`, each of shape (rows, longest)."""
        longest = max(len(row) for row in rows)
        ids = np.full((len(rows), longest), self.pad, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        return {"input_ids": self._tensor(ids), "attention_mask": self._tensor(mask)}

    def targets(self, rows: Sequence[NDArray[np.int32]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return labels (padding ignored) and the decoder's input (the labels one place later)."""
        labels = label_tensor([row.tolist() or [] for row in rows], self.device)
        if labels.shape[1] == 0:  # no row has a target: the decoder still needs one place
            labels = label_tensor([[] for _ in rows] + [[0]], self.device)[:-1]
        shifted = labels.new_full(labels.shape, self.start)
        shifted[:, 1:] = labels[:, :-1]
        return labels, shifted.masked_fill(shifted < 0, self.pad)

    def _tensor(self, values: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(values).to(self.device, non_blocking=True)


def label_candidates(rows: Rows, task: Task, encoder: Encoder, limit: int) -> list[tuple[Tokens, ...]]:
    """Return the label texts that each example may have as ids with their end, the gold one first."""
    known: dict[str, Tokens] = {}

    def tokens(label: str) -> Tokens:
        if label not in known:
            known[label] = tuple(encoder.encode([label], limit, target=True)[0][0].tolist())
        return known[label]

    found = []
    for example, gold in zip(rows.examples, rows.labels, strict=True):
        others = [tokens(label) for label in task.labels.labels(example.options) if label != example.gold]
        found.append((tuple(gold.tolist()), *others))
    return found
