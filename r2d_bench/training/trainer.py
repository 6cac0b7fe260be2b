"""Training of one stage over transformers' Seq2SeqTrainer.

It brings optimiser, accumulation, precision, many devices, resume and trackers; losses, batches, evaluation and
checkpoints are ours.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import SequentialSampler
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback
from transformers.trainer_callback import PrinterCallback, TrainerState

from r2d_bench.errors import UserError
from r2d_bench.quiet import quiet
from r2d_bench.training.seeds import derived_seed
from r2d_bench.training.stopping import Evaluated, best, should_stop

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Json
    from r2d_bench.training.checkpoints import StateFolder
    from r2d_bench.training.data import Part, Parts
    from r2d_bench.training.evaluation import Evaluation
    from r2d_bench.training.listener import Listener
    from r2d_bench.training.objective import Objective
    from r2d_bench.training.recipe import Recipe, StageRecipe

THRESHOLD = "threshold.json"
OPTIMIZERS = {"adamw": "adamw_torch", "adafactor": "adafactor"}
LOGS_BETWEEN = 20  # entries of the history between two evaluations


def arguments(recipe: Recipe, stage: StageRecipe, folder: Path, *, bf16: bool, seed: int) -> Any:  # noqa: ANN401
    """Return transformers' arguments for a stage; a batch of its loader is one part of ours."""
    # OneCycleLR is not among transformers' schedules; the trainer below makes it.
    schedule: str = "constant" if stage.schedule == "one_cycle" else stage.schedule
    if schedule == "constant" and stage.warmup_ratio:
        schedule = "constant_with_warmup"
    made = Seq2SeqTrainingArguments(
        output_dir=str(folder),
        max_steps=stage.steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=stage.accumulation,
        learning_rate=stage.learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=int(stage.warmup_ratio * stage.steps),
        weight_decay=stage.weight_decay,
        optim=OPTIMIZERS[stage.optimizer],
        max_grad_norm=stage.clip,
        bf16=bf16,
        use_cpu=not torch.accelerator.is_available(),
        gradient_checkpointing=recipe.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if recipe.gradient_checkpointing else None,
        eval_strategy="no",
        save_strategy="steps",
        save_steps=stage.evaluate_every,
        logging_steps=max(1, stage.evaluate_every // LOGS_BETWEEN),
        logging_nan_inf_filter=False,
        report_to=list(recipe.trackers) or "none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
        seed=seed % 2**32,
    )
    # Several visible GPUs without torchrun would be used by DataParallel, which knows nothing of parts.
    _ = made.device
    made._n_gpu = min(made.n_gpu, 1)  # noqa: SLF001 - as the trainer itself does for model parallelism
    return made


class R2DTrainer(Seq2SeqTrainer):  # type: ignore[misc]
    """Trains one stage.

    Args:
        model: the encoder-decoder.
        args: of `arguments`.
        parts: all parts of all batches.
        stage: when to evaluate and to stop.
        folder: where checkpoints go.
        seed: of dropout (`key` tells stages apart).
        since: the step from which evaluations count towards early stopping.
        listener: is told what happens; silent on all processes but the first.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - transformers is untyped
        args: Any,  # noqa: ANN401
        parts: Parts,
        *,
        stage: StageRecipe,
        folder: StateFolder,
        key: tuple[int, str],
        since: int,
        listener: Listener,
    ) -> None:
        self._folder, self._stage, self._key, self._since = folder, stage, key, since
        self._listener = listener
        self.objective: Objective
        self.evaluation: Evaluation | None = None
        self._shares = torch.zeros(())
        super().__init__(model=model, args=args, train_dataset=parts, data_collator=_only, callbacks=[_Rhythm(self)])
        self.remove_callback(PrinterCallback)

    def equip(self, objective: Objective, evaluation: Evaluation | None) -> None:
        """Take what needs the trainer's own device, precision and processes to be made."""
        self.objective, self.evaluation = objective, evaluation

    # --- batches and loss ---

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:  # noqa: ANN401
        return SequentialSampler(train_dataset or self.train_dataset)

    def compute_loss(
        self,
        model: Any,  # noqa: ANN401
        inputs: dict[str, Part],
        return_outputs: bool = False,  # noqa: FBT001, FBT002, ARG002 - as transformers has it
        num_items_in_batch: Any = None,  # noqa: ANN401, ARG002
    ) -> torch.Tensor:
        """Return the part's share of the batch's loss, multiplied by what the trainer and DDP divide it by."""
        part = inputs["part"]
        # Dropout is a function of the place in training: nothing has to be restored for a resume.
        torch.manual_seed(derived_seed(*self._key, "dropout", part.step, part.number))
        share = self.objective(model, part)
        self._shares = self._shares.to(share.device) + share.detach()
        whole: torch.Tensor = share * (self.current_gradient_accumulation_steps * self.args.world_size)
        return whole

    def floating_point_ops(self, inputs: Any) -> int:  # noqa: ANN401, ARG002
        """Count none: the estimate of transformers knows nothing of stages."""
        return 0

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:  # noqa: ANN401
        """Make the learning rate's schedule."""
        if self._stage.schedule != "one_cycle":
            return super().create_scheduler(num_training_steps, optimizer)
        chosen = optimizer or self.optimizer
        self.lr_scheduler: Any = OneCycleLR(chosen, max_lr=self._stage.learning_rate, total_steps=num_training_steps)
        return self.lr_scheduler

    def total(self, values: list[float]) -> list[float]:
        """Add up numbers over the processes."""
        if self.args.world_size == 1:
            return values
        summed = self.accelerator.reduce(torch.tensor(values, dtype=torch.float64, device=self.args.device), "sum")
        return list(summed.tolist())

    def end_step(self) -> None:
        """Tell the loss of the step that ended.

        Raises:
            UserError: it is not a number.
        """
        (loss,) = self.total([self._shares.item()])
        self._shares = torch.zeros_like(self._shares)
        step = self.state.global_step
        if not torch.isfinite(torch.tensor(loss)):
            raise UserError(
                f"stage {self._key[1]}, step {step}: the loss is {loss}: lower learning_rate, or take precision=fp32"
            )
        self._listener.step(step, loss)

    # --- evaluation, best checkpoint, stopping ---

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:  # noqa: ANN401
        """Evaluate on the validation split."""
        if self.evaluation is None:
            return {}
        figures = self.evaluation(self.model)
        self.log({f"eval_{name}": value for name, value in figures.items()})
        metric = self.evaluation.metric
        self._listener.evaluated(self.state.global_step, metric, figures[metric])
        return figures

    @property
    def greater_is_better(self) -> bool:
        """Whether the selecting metric is better when greater."""
        return self.evaluation is None or self.evaluation.metric != "loss"

    def evaluations(self) -> list[Evaluated]:
        """Return the values of the selecting metric so far."""
        if self.evaluation is None:
            return []
        name = f"eval_{self.evaluation.metric}"
        return [Evaluated(entry["step"], entry[name]) for entry in self.state.log_history if name in entry]

    def done(self) -> bool:
        """Tell whether training ends here."""
        stage = self._stage
        early = should_stop(
            self.evaluations(), greater=self.greater_is_better, patience=stage.patience, since=self._since
        )
        return early or self.state.global_step >= stage.steps

    # --- checkpoints ---

    def _get_output_dir(self, trial: Any) -> str:  # noqa: ANN401, ARG002
        return str(self._folder.writing)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:  # noqa: ANN401, ARG002
        """Save weights alone: transformers would pickle its arguments beside them."""
        with quiet():
            self.model.save_pretrained(output_dir)

    def _save_rng_state(self, output_dir: str) -> None:
        """Save none: every draw is seeded by its place in training."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:  # noqa: ANN401
        super()._save_checkpoint(model, trial)
        step = self.state.global_step
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            tau = self.objective.threshold
            state = {"value": tau.value, "total": tau.total, "count": tau.count}
            (self._folder.writing / f"checkpoint-{step}" / THRESHOLD).write_text(json.dumps(state), encoding="utf-8")
            found = self.best_evaluation()
            self._folder.publish(step, set() if found is None else {found.step})
        self.accelerator.wait_for_everyone()

    def best_evaluation(self) -> Evaluated | None:
        """Return the best evaluation so far."""
        return best(self.evaluations(), greater=self.greater_is_better)

    def take_up(self, checkpoint: Path) -> None:
        """Take up what a checkpoint tells of evaluations, and the threshold of trust."""
        self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        state: Json = json.loads((checkpoint / THRESHOLD).read_text(encoding="utf-8"))
        tau = self.objective.threshold
        tau.value, tau.total, tau.count = state["value"], state["total"], state["count"]


def _only(items: list[Part]) -> dict[str, Part]:
    """Return the one part that a batch of the loader is."""
    return {"part": items[0]}


class _Rhythm(TrainerCallback):  # type: ignore[misc]
    """Evaluates, logs and saves together, also after the last step; stops early; tells the loss of each step."""

    def __init__(self, trainer: R2DTrainer) -> None:
        self._trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Decide what follows the step."""
        self._trainer.end_step()
        if state.global_step % args.save_steps == 0 or state.global_step >= args.max_steps:
            control.should_evaluate = control.should_log = control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ANN401, ARG002
        """Stop where the evaluations say so; what was saved is then the whole training."""
        # The trainer asks once more at the end of the epoch, which the last step also is.
        control.should_evaluate = control.should_log = control.should_save = False
        if self._trainer.done():
            control.should_training_stop = True
