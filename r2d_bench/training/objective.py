"""The loss of a stage on a part of a batch: label, rationale given a label that may be the model's own, cycle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.nn.parallel import DistributedDataParallel

from r2d_bench.training.confidence import Threshold, unit_of
from r2d_bench.training.losses import IGNORED, cycle_loss, joint, token_loss
from r2d_bench.training.sampling import label_tensor
from r2d_bench.training.schedules import gumbel_temperature, label_weight, sampling_probability, trust, warmup_steps
from r2d_bench.training.seeds import generator, uniform

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from r2d_bench.training.data import Collator, Encoder, Part, Rows
    from r2d_bench.training.recipe import Recipe, StageName
    from r2d_bench.training.sampling import Greedy, GreedyLabels, Tokens
    from r2d_bench.training.texts import StageTexts


class Objective:
    """Computes a stage's loss.

    Args:
        name: of the stage.
        recipe: weights, schedules, quirks.
        texts: prompts of the stage.
        rows: its examples as ids.
        encoder: tokenises prompts that hold a sampled label.
        collate: makes tensors of ids.
        greedy: predicts labels, None where none are sampled.
        candidates: label texts of each example, for `greedy`.
        seed: of all draws.
        parts: parts of a batch, over accumulation and processes.
        processes: how many of them share a step.
        total: adds up numbers over the processes.
    """

    def __init__(
        self,
        name: StageName,
        recipe: Recipe,
        *,
        texts: StageTexts,
        rows: Rows,
        encoder: Encoder,
        collate: Collator,
        greedy: GreedyLabels | None,
        candidates: Sequence[tuple[Tokens, ...]],
        seed: int,
        parts: int,
        processes: int = 1,
        total: Callable[[list[float]], list[float]] = lambda values: values,
        autocast: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._name, self._recipe, self._texts, self._rows = name, recipe, texts, rows
        self._encoder, self._collate, self._greedy, self._candidates = encoder, collate, greedy, candidates
        self._seed, self._parts, self._processes, self._total = seed, parts, processes, total
        self._autocast = autocast
        self._steps = recipe.stages[name].steps
        self._prefix: list[int] = encoder.tokenizer(texts.prefix, add_special_tokens=False)["input_ids"]
        self.threshold = Threshold(recipe.sampling.threshold_fallback)

    def __call__(self, model: Any, part: Part) -> torch.Tensor:  # noqa: ANN401 - transformers is untyped here
        """Return the part's share of the loss of its batch: the shares of all parts add up to it."""
        stage, weight = self._texts.stage, self._weight(part.step)
        # Labels are sampled before anything has a gradient, from the weights that this step begins with.
        labels = self._labels(part) if stage.conditioned and self._greedy is not None else None
        if not stage.explain:
            return self._label_loss(model, part)
        rationale, logits, written = self._rationale_loss(model, part, labels)
        if not stage.predict:
            return rationale
        loss = joint(self._label_loss(model, part), rationale, weight)
        if self._cycles(part.step):
            loss = loss + self._recipe.cycle.weight * self._cycle_loss(model, part, logits, written, labels)
        return loss

    def _weight(self, step: int) -> float:
        return label_weight(step, self._steps, self._recipe.label_weight)

    def _cycles(self, step: int) -> bool:
        warmup = warmup_steps(self._recipe.sampling.warmup, self._steps)
        return self._name == "decide" and self._recipe.cycle.weight > 0 and step > warmup

    def _label_loss(self, model: Any, part: Part) -> torch.Tensor:  # noqa: ANN401
        logits, targets = self._logits(
            model, [self._rows.predict[i] for i in part.rows], [self._rows.labels[i] for i in part.rows]
        )
        return token_loss(logits, targets, sum(len(self._rows.labels[i]) for i in part.batch))

    def _rationale_loss(
        self,
        model: Any,  # noqa: ANN401
        part: Part,
        labels: dict[int, str] | None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        prompts = self._explain_prompts(part, labels or {})
        logits, targets = self._logits(model, prompts, [self._rows.rationales[i] for i in part.rows])
        loss = token_loss(logits, targets, sum(len(self._rows.rationales[i]) for i in part.batch))
        return loss, logits, targets != IGNORED

    def _cycle_loss(
        self,
        model: Any,  # noqa: ANN401
        part: Part,
        logits: torch.Tensor,
        written: torch.Tensor,
        labels: dict[int, str] | None,
    ) -> torch.Tensor:
        """Return the part's share of L_cycle; examples without a rationale have none."""
        sampled, device = labels or {}, self._collate.device
        stood = [
            self._label_ids(sampled[i]) if i in sampled else self._rows.labels[part.batch[i]].tolist()
            for i in part.places
        ]
        stood = [ids if has else [] for ids, has in zip(stood, written.any(dim=1).tolist(), strict=True)]
        if not any(stood):
            return logits.sum() * 0
        with self._autocast():
            loss = cycle_loss(
                model,
                logits,
                written,
                label_tensor(stood, device),
                self._prefix,
                embedding=_bare(model).get_input_embeddings().weight,
                temperature=gumbel_temperature(part.step, self._steps, self._recipe.cycle),
                generator=generator(self._seed, self._name, "gumbel", part.step, part.number, device=device),
            )
        return loss / self._parts

    def _label_ids(self, label: str) -> list[int]:
        ids, _ = self._encoder.encode([label], self._recipe.max_label_tokens, target=True)
        return list(ids[0].tolist())

    def _logits(
        self,
        model: Any,  # noqa: ANN401
        prompts: Sequence[NDArray[np.int32]],
        targets: Sequence[NDArray[np.int32]],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        labels, shifted = self._collate.targets(targets)
        output = model(**self._collate.inputs(prompts), decoder_input_ids=shifted, use_cache=False)
        return output.logits, labels

    def _explain_prompts(self, part: Part, labels: dict[int, str]) -> list[NDArray[np.int32]]:
        """Return the explain prompts of the part; those whose label is not the gold one are tokenised anew."""
        prompts = {i: self._rows.explain[part.batch[i]] for i in part.places}
        examples = {i: self._rows.examples[part.batch[i]] for i in part.places}
        limit = self._recipe.max_input_tokens
        anew = [i for i, label in labels.items() if label != examples[i].gold]
        cut = self._recipe.quirks.explain_cut
        if cut is not None and self._probability(part.step) > 0:
            limit = min(limit, cut)
            anew = list({*anew, *(i for i, ids in prompts.items() if len(ids) > limit)})
        texts = [self._texts.explain(examples[i], labels.get(i, examples[i].gold or "")) for i in anew]
        prompts |= dict(zip(anew, self._encoder.encode(texts, limit)[0], strict=True))
        return [prompts[i] for i in part.places]

    def _probability(self, step: int) -> float:
        return sampling_probability(step, self._steps, self._recipe.sampling)

    def _labels(self, part: Part) -> dict[int, str]:
        """Return the labels that are the model's own in this step, by place in the batch."""
        sampling, quirks = self._recipe.sampling, self._recipe.quirks
        confident = sampling.kind == "confident"
        if confident:
            self._move_threshold(part)
        probability = self._probability(part.step)
        draws = list(uniform(len(part.batch), self._seed, self._name, "sample", part.step))
        warming = confident and part.step < warmup_steps(sampling.warmup, self._steps)
        # A confidence including padding depends on the longest text of the batch: all of it is then decoded.
        everything = warming or (quirks.confidence_padding and probability > 0)
        asked = [i for i in part.places if everything or draws[i] < probability]
        said = dict(zip(asked, self._predict([part.batch[i] for i in asked]), strict=True))
        drawn = {i: greedy for i, greedy in said.items() if draws[i] < probability}
        if confident:
            self._add_confidences([greedy.confidence for greedy in said.values()])
            tau = self.threshold.value
            drawn = {
                i: greedy
                for i, greedy in drawn.items()
                if draws[i] < probability * trust(greedy.confidence, tau, sampling.steepness)
            }
        return {i: greedy.text for i, greedy in drawn.items()}

    def _predict(self, rows: Sequence[int]) -> list[Greedy]:
        if not rows or self._greedy is None:
            return []
        inputs = self._collate.inputs([self._rows.predict[i] for i in rows])
        with self._autocast():
            return self._greedy(inputs["input_ids"], inputs["attention_mask"], [self._candidates[i] for i in rows])

    def _move_threshold(self, part: Part) -> None:
        own = self._parts // self._processes
        unit = unit_of(
            part.step,
            part.number // self._processes,
            steps=self._steps,
            parts=own,
            sampling=self._recipe.sampling,
            per_part=self._recipe.quirks.window_per_micro_batch,
        )
        if unit is not None:
            self.threshold.move(unit, self._recipe.sampling)

    def _add_confidences(self, confidences: Sequence[float]) -> None:
        total, count = self._total([sum(confidences), float(len(confidences))])
        self.threshold.add(total, round(count))


def _bare(model: Any) -> Any:  # noqa: ANN401 - transformers is untyped here
    """Return the model without the wrapper of a distributed training."""
    return model.module if isinstance(model, DistributedDataParallel) else model
