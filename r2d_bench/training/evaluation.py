"""How good a model is on the validation split: macro-F1 of its greedy labels over the fixed label set, or its loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from r2d_bench.metrics import confusion
from r2d_bench.records import Finish
from r2d_bench.training.losses import token_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from r2d_bench.tasks.task import Task
    from r2d_bench.training.data import Collator, Rows
    from r2d_bench.training.sampling import Greedy, GreedyLabels, Tokens

MetricName = Literal["macro_f1", "accuracy", "loss"]


def selecting_metric(select_by: Literal["macro_f1", "loss"], task: Task) -> MetricName:
    """Return what the best checkpoint is best in; labels without a fixed set have no macro-F1, but an accuracy."""
    if select_by == "macro_f1" and not task.labels.fixed:
        return "accuracy"
    return select_by


@dataclass(frozen=True)
class Evaluation:
    """Evaluates on the validation split; each process takes every n-th batch.

    Attributes:
        task: label space and parser.
        rows: the split as ids.
        metric: what the best checkpoint is best in.
        collate: makes tensors of ids.
        greedy: predicts labels.
        candidates: label texts of each example, for `greedy`.
        size: examples of a batch.
        process, processes: which part of the split is this process's.
        total: adds up numbers over the processes.
        autocast: the precision that the stage trains in.
    """

    task: Task
    rows: Rows
    metric: MetricName
    collate: Collator
    greedy: GreedyLabels | None
    candidates: Sequence[tuple[Tokens, ...]]
    size: int
    process: int
    processes: int
    total: Callable[[list[float]], list[float]]
    autocast: Callable[[], AbstractContextManager[None]]

    def __call__(self, model: Any) -> dict[str, float]:  # noqa: ANN401 - transformers is untyped here
        """Return `loss`, or `accuracy` and (over a fixed label set) `macro_f1`."""
        return self._loss(model) if self.metric == "loss" or self.greedy is None else self._label_figures()

    def _batches(self) -> Iterator[list[int]]:
        order = sorted(range(len(self.rows)), key=lambda i: -self.rows.lengths[i])
        batches = [order[at : at + self.size] for at in range(0, len(order), self.size)]
        yield from batches[self.process :: self.processes]

    def _loss(self, model: Any) -> dict[str, float]:  # noqa: ANN401
        """Return the mean −ln P over all target tokens: of the label, in a stage without labels of the rationale."""
        label = bool(self.rows.predict)
        prompts = self.rows.predict if label else self.rows.explain
        targets = self.rows.labels if label else self.rows.rationales
        before, summed, tokens = model.training, 0.0, 0
        model.eval()
        with torch.no_grad():
            for batch in self._batches():
                labels, shifted = self.collate.targets([targets[i] for i in batch])
                inputs = self.collate.inputs([prompts[i] for i in batch])
                with self.autocast():
                    logits = model(**inputs, decoder_input_ids=shifted, use_cache=False).logits
                summed += float(token_loss(logits, labels, 1))
                tokens += sum(len(targets[i]) for i in batch)
        model.train(before)
        summed, counted = self.total([summed, float(tokens)])
        return {"loss": summed / max(counted, 1.0)}

    def _label_figures(self) -> dict[str, float]:
        labels = self.task.labels.values if self.task.labels.fixed else ()
        counts = np.zeros((len(labels), len(labels) + 1))
        right = seen = 0
        for batch in self._batches():
            for i, said in zip(batch, self._predict(batch), strict=True):
                example = self.rows.examples[i]
                label = self._label(i, said)
                right += label == example.gold
                seen += 1
                if labels:
                    counts[labels.index(example.gold or ""), labels.index(label) if label else len(labels)] += 1
        summed = self.total([float(right), float(seen), *counts.ravel().tolist()])
        figures = {"accuracy": summed[0] / max(summed[1], 1.0)}
        if labels:
            sums = np.array(summed[2:]) @ confusion.cell_stats(len(labels))
            figures["macro_f1"] = float(confusion.macro_f1(sums))
        return figures

    def _label(self, row: int, said: Greedy) -> str | None:
        """Read a label as the benchmark does; None is wrong for every gold label and no class of its own."""
        vocabulary = self.task.labels.vocabulary(self.rows.examples[row].options)
        return vocabulary.parse(said.text, Finish.STOP if said.ended else Finish.LENGTH)[0]

    def _predict(self, batch: Sequence[int]) -> list[Greedy]:
        if self.greedy is None:
            raise ValueError("a stage without labels")
        inputs = self.collate.inputs([self.rows.predict[i] for i in batch])
        with self.autocast():
            return self.greedy(inputs["input_ids"], inputs["attention_mask"], [self.candidates[i] for i in batch])
