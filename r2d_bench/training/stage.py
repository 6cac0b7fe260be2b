"""Training one stage from a start to a result.

    run_stage(stage, recipe, start, data, state_folder, listener, seed) -> StageResult

`start` holds model and tokenizer as loaded (or of `scratch.tiny_start`); the model is trained in place and comes back
as the best checkpoint, in evaluation mode, on the device that it was trained on. A two-stage method is two calls, the
second from `Start(result.model, result.tokenizer)`. Killed at any moment and called again with the same arguments, it
goes on in `state_folder` and ends in the same weights (CPU, fp32); called again when it is done, it only loads them.
Under torchrun every process makes the same call, takes its share of each batch and returns the same result; only the
first one writes and tells its listener.

The learning rate's schedule, sampling and label weight are functions of the step; dropout, draws and the order of
batches of (seed, stage, step).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from r2d_bench.errors import UserError
from r2d_bench.records import digest
from r2d_bench.training.checkpoints import StateFolder, load_weights
from r2d_bench.training.data import (
    Batches,
    Collator,
    Encoder,
    Parts,
    Rows,
    check_trainable,
    encode_rows,
    label_candidates,
)
from r2d_bench.training.evaluation import Evaluation, selecting_metric
from r2d_bench.training.listener import Listener, Silent
from r2d_bench.training.methods import METHODS, counting_from
from r2d_bench.training.objective import Objective
from r2d_bench.training.sampling import GreedyLabels
from r2d_bench.training.scratch import make_greedy, set_dropout, with_lora
from r2d_bench.training.texts import StageTexts, rationale
from r2d_bench.training.trainer import R2DTrainer, arguments

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from r2d_bench.records import Json
    from r2d_bench.training.data import StageData
    from r2d_bench.training.recipe import Recipe, StageName, StageRecipe


@dataclass(frozen=True, slots=True)
class Start:
    """What a stage starts from: model and tokenizer of transformers."""

    model: Any
    tokenizer: Any


@dataclass(frozen=True, slots=True)
class Best:
    """The evaluation that the result was chosen by."""

    step: int
    metric: str
    value: float


@dataclass(frozen=True)
class StageResult:
    """What a stage gave.

    Attributes:
        model, tokenizer: the best checkpoint; without a validation split, the last one.
        history: what was logged, in order: `step` with `loss`, or with the figures of an evaluation.
        steps: how many steps were trained, fewer than the recipe's where it stopped early.
        best: the evaluation that the checkpoint was chosen by; None without a validation split.
        truncated: what was cut in the training split (`predict`, `labels`, `explain`, `rationales`) → how many.
        examples: how many examples were trained on.
    """

    model: Any
    tokenizer: Any
    history: Sequence[Mapping[str, Json]]
    steps: int
    best: Best | None
    truncated: Mapping[str, int] = field(default_factory=dict)
    examples: int = 0


def run_stage(
    stage: StageName,
    recipe: Recipe,
    start: Start,
    data: StageData,
    state_folder: Path,
    listener: Listener,
    seed: int,
) -> StageResult:
    """Train one stage, or go on with it (see the module's docstring).

    Raises:
        UserError: data that the stage cannot learn from, a batch that does not fit in memory or cannot be split, a loss
            that is no number, or a state folder of another training.
    """
    training = _Training(stage, recipe, start, data, StateFolder(state_folder), listener, seed)
    try:
        return training.run()
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        settings = recipe.stages[stage]
        raise UserError(
            f"stage {stage}: a batch of {settings.batch_size} in {settings.accumulation} parts does not fit in memory:"
            f" raise stages.{stage}.accumulation to {_more_parts(settings)}, or set gradient_checkpointing=true"
        ) from error


def _more_parts(settings: StageRecipe) -> int:
    """Return the next number of parts that the batch can be split into."""
    more = range(settings.accumulation + 1, settings.batch_size + 1)
    return next((n for n in more if settings.batch_size % n == 0), settings.batch_size)


class _Training:
    """One stage under way."""

    def __init__(
        self,
        name: StageName,
        recipe: Recipe,
        start: Start,
        data: StageData,
        folder: StateFolder,
        listener: Listener,
        seed: int,
    ) -> None:
        self.name, self.recipe, self.settings, self.seed = name, recipe, recipe.stages[name], seed
        self.data, self.folder, self.listener = data, folder, listener
        self.tokenizer = start.tokenizer
        self.texts = StageTexts(data.task, METHODS[recipe.method].stages[name])
        self.encoder = Encoder(start.tokenizer)
        self.train = encode_rows(self.texts, data.train, self.encoder, recipe)
        check_trainable(self.train, self.texts.stage, data.task.name)
        self.validation = encode_rows(self.texts, data.validation, self.encoder, recipe)
        self.bf16 = uses_bf16(recipe)
        self.model = self._prepared(start.model)

    def _prepared(self, model: Any) -> Any:  # noqa: ANN401 - transformers is untyped here
        make_greedy(model, self.tokenizer)
        if self.recipe.dropout is not None:
            set_dropout(model, self.recipe.dropout)
        return model if self.recipe.lora is None else with_lora(model, self.recipe.lora, self.seed)

    def run(self) -> StageResult:
        args = arguments(self.recipe, self.settings, self.folder.path, bf16=self.bf16, seed=self.seed)
        parts = self._parts(args.world_size)
        first = args.process_index == 0
        listener = self.listener if first else Silent()
        cached = self.model.config.use_cache
        if first:
            self.folder.open(self._identity())
        if (done := self.folder.finished()) is None:
            listener.stage(self.name, self.settings.steps)
            trainer = self._trainer(args, parts, listener)
            self._train(trainer)
            done = self._result(trainer)
            trainer.accelerator.wait_for_everyone()
            if first:
                self.folder.finish(done["checkpoint"], done)
            trainer.accelerator.wait_for_everyone()
            # Without the trainer's precision around `forward`: another stage puts its own there.
            trainer.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
            trainer.accelerator.free_memory()
        self.model.config.use_cache = cached
        load_weights(self.model, self.folder.checkpoint(done["checkpoint"]))
        best = None if done["best"] is None else Best(**done["best"])
        return StageResult(
            self.model.eval(),
            self.tokenizer,
            done["history"],
            done["steps"],
            best,
            dict(self.train.truncated),
            len(self.train),
        )

    def _parts(self, processes: int) -> int:
        parts, size = self.settings.accumulation * processes, self.settings.batch_size
        if size % parts:
            raise UserError(
                f"stage {self.name}: batch_size {size} cannot be split over {processes} processes with"
                f" accumulation {self.settings.accumulation}: take a multiple of {parts}"
            )
        return parts

    def _identity(self) -> Json:
        """Tell what makes this training, its start aside: what follows from it lies in the folder."""
        gold = [[e.id, e.input, e.gold, rationale(e)] for e in (*self.train.examples, *self.validation.examples)]
        return {
            "stage": self.name,
            "recipe": self.recipe.stage_digest(self.name),
            "seed": self.seed,
            "task": self.data.task.spec.full_name,
            "examples": digest([len(self.train), gold], 16),
            "model": digest([_shape(self.model), self.model.num_parameters()], 16),
        }

    def _trainer(self, args: Any, parts: int, listener: Listener) -> R2DTrainer:  # noqa: ANN401
        settings = self.settings
        batches = Batches(
            self.train.lengths, settings.batch_size, self.seed, self.name, grouped=self.recipe.group_by_length
        )
        trainer = R2DTrainer(
            self.model,
            args,
            Parts(batches, settings.steps, parts),
            stage=settings,
            folder=self.folder,
            key=(self.seed, self.name),
            since=counting_from(self.name, self.recipe),
            listener=listener,
        )
        said = self.model.generation_config
        collate = Collator(said.pad_token_id, said.decoder_start_token_id, args.device)
        trainer.equip(self._objective(trainer, collate, parts), self._evaluation(trainer, collate, parts))
        return trainer

    def _objective(self, trainer: R2DTrainer, collate: Collator, parts: int) -> Objective:
        recipe, quirks, greedy = self.recipe, self.recipe.quirks, None
        if recipe.sampling.kind != "none" and self.texts.stage.conditioned:
            greedy = GreedyLabels(
                self.model,
                self.tokenizer,
                recipe.max_label_tokens,
                dropout=quirks.dropout_in_sampling,
                padding=quirks.confidence_padding,
            )
        return Objective(
            self.name,
            recipe,
            texts=self.texts,
            rows=self.train,
            encoder=self.encoder,
            collate=collate,
            greedy=greedy,
            candidates=self._candidates(self.train) if greedy else [],
            seed=self.seed,
            parts=parts,
            processes=trainer.args.world_size,
            total=trainer.total,
            autocast=trainer.accelerator.autocast,
        )

    def _evaluation(self, trainer: R2DTrainer, collate: Collator, parts: int) -> Evaluation | None:
        if not len(self.validation):
            return None
        labels = self.texts.stage.predict
        budget = self.recipe.quirks.evaluation_label_tokens or self.recipe.max_label_tokens
        return Evaluation(
            self.data.task,
            self.validation,
            selecting_metric(self.settings.select_by, self.data.task),
            collate,
            GreedyLabels(self.model, self.tokenizer, budget) if labels else None,
            self._candidates(self.validation) if labels else [],
            size=self.settings.batch_size // parts,
            process=trainer.args.process_index,
            processes=trainer.args.world_size,
            total=trainer.total,
            autocast=trainer.accelerator.autocast,
        )

    def _candidates(self, rows: Rows) -> list[tuple[tuple[int, ...], ...]]:
        return label_candidates(rows, self.data.task, self.encoder, self.recipe.max_label_tokens)

    def _train(self, trainer: R2DTrainer) -> None:
        """Train to the end, from the last checkpoint where there is one."""
        steps = self.folder.steps()
        if not steps:
            trainer.train()
            return
        last = self.folder.checkpoint(steps[-1])
        trainer.take_up(last)
        if not trainer.done():
            trainer.train(resume_from_checkpoint=str(last))

    def _result(self, trainer: R2DTrainer) -> dict[str, Json]:
        steps, chosen = trainer.state.global_step, trainer.best_evaluation()
        best = None
        if chosen is not None and trainer.evaluation is not None:
            best = {"step": chosen.step, "metric": trainer.evaluation.metric, "value": chosen.value}
        return {
            "checkpoint": steps if chosen is None else chosen.step,
            "steps": steps,
            "best": best,
            "history": list(_history(trainer.state.log_history)),
        }


def _shape(model: Any) -> dict[str, Json]:  # noqa: ANN401 - transformers is untyped here
    """Return a model's configuration without what `save_pretrained` fills in while it is trained."""
    return {k: v for k, v in model.config.to_diff_dict().items() if k not in {"architectures", "dtype"}}


def _history(log: Sequence[Mapping[str, Json]]) -> Iterator[dict[str, Json]]:
    """Yield what was logged without what differs from one run to the next (seconds, rates)."""
    for entry in log:
        if "train_runtime" not in entry:
            kept = {key.removeprefix("eval_"): value for key, value in entry.items() if key not in {"epoch", "step"}}
            yield {"step": entry["step"]} | kept


def uses_bf16(recipe: Recipe) -> bool:
    """Tell whether the recipe's precision is bfloat16 on this machine.

    `auto` takes it on a GPU that has it; on a CPU only `bf16` does, which works everywhere and is fast on few.

    Raises:
        UserError: it is asked for, and the GPU has none.
    """
    if recipe.precision == "fp32":
        return False
    on_gpu = torch.cuda.is_available()
    there = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    if recipe.precision == "bf16" and on_gpu and not there:
        raise UserError("precision bf16: this GPU has no bfloat16: take precision=fp32")
    return there or recipe.precision == "bf16"
