"""The folder of a training under way: whole checkpoints only, whatever moment it was killed at.

A checkpoint is written into `writing/` and then renamed; older ones are deleted afterwards. It holds weights
(safetensors) and the trainer's resume state (pickles, which transformers loads with `weights_only`). Nothing of this
folder is ever published but weights.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file

from r2d_bench.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Json

WEIGHTS = ("model.safetensors", "adapter_model.safetensors")
RESUME = ("optimizer.pt", "scheduler.pt", "scaler.pt")


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Where a stage keeps what it needs to go on."""

    path: Path

    @property
    def writing(self) -> Path:
        """Where a checkpoint is written before it counts."""
        return self.path / "writing"

    def checkpoint(self, step: int) -> Path:
        """Return where the checkpoint after so many steps lies."""
        return self.path / f"checkpoint-{step}"

    def steps(self) -> list[int]:
        """Return the steps that there are checkpoints of, in order."""
        return sorted(int(folder.name.rpartition("-")[2]) for folder in self.path.glob("checkpoint-*"))

    def open(self, identity: Json) -> None:
        """Make the folder, or see that it is of the same training; remove what a kill left half written.

        Raises:
            UserError: it holds another training.
        """
        file = self.path / "training.json"
        if file.exists():
            if json.loads(file.read_text(encoding="utf-8")) != identity:
                raise UserError(
                    f"{self.path}: the folder holds another training (recipe, data, base or seed differ):"
                    " delete it, or choose another"
                )
        else:
            self.path.mkdir(parents=True, exist_ok=True)
            self._write(file, identity)
        shutil.rmtree(self.writing, ignore_errors=True)

    def publish(self, step: int, keep: set[int]) -> None:
        """Let the checkpoint that was written count, and delete all but it and those to keep."""
        (self.writing / self.checkpoint(step).name).rename(self.checkpoint(step))
        for other in set(self.steps()) - keep - {step}:
            shutil.rmtree(self.checkpoint(other))

    def finish(self, step: int, result: Json) -> None:
        """Note that the stage is done, with the checkpoint that is its result; the resume state goes."""
        self._write(self.path / "finished.json", {"checkpoint": step} | result)
        shutil.rmtree(self.writing, ignore_errors=True)
        for other in set(self.steps()) - {step}:
            shutil.rmtree(self.checkpoint(other))
        for pattern in RESUME:
            for file in self.checkpoint(step).glob(pattern):
                file.unlink()

    def finished(self) -> Json | None:
        """Return what `finish` noted; None where the stage is not done."""
        file = self.path / "finished.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    @staticmethod
    def _write(file: Path, value: Json) -> None:
        part = file.with_suffix(".part")
        part.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(file)


def load_weights(model: Any, folder: Path) -> None:  # noqa: ANN401 - transformers is untyped here
    """Put the weights of a checkpoint into the model, wholly and exactly.

    Weights that are one tensor under several names (tied embeddings) are stored under one of them.
    """
    file = next(folder / name for name in WEIGHTS if (folder / name).is_file())
    weights = load_file(file)
    if file.name == WEIGHTS[1]:
        from peft import set_peft_model_state_dict  # noqa: PLC0415 - only LoRA needs it

        set_peft_model_state_dict(model, weights)
        return
    own = model.state_dict()
    known = {own[name].data_ptr() for name in weights if name in own}
    lacking = [name for name, value in own.items() if name not in weights and value.data_ptr() not in known]
    strange = sorted(set(weights) - set(own))
    if lacking or strange:
        raise UserError(f"{file}: not this model's weights: {[*lacking, *strange][0]} is missing or unknown")
    model.load_state_dict(weights, strict=False)
