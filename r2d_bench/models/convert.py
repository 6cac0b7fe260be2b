"""From pickled weights (`pytorch_model*.bin`) to safetensors, by an explicit command."""

from __future__ import annotations

import json
import pickle  # only for the name of its error: torch is told to read tensors and nothing else
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2d_bench.errors import MissingDependencyError, UserError

if TYPE_CHECKING:
    import torch

COPIED = ("*.json", "*.txt", "*.model", "*.jinja", "*.md", "*.py", "LICENSE*", "protocol.yaml")
# The index speaks of the old files; the trainer's state is no part of a model.
LEFT_OUT = {"pytorch_model.bin.index.json", "trainer_state.json"}


def convert(folder: Path, out: Path) -> Path:
    """Write the checkpoint in `folder` to `out` with its weights as safetensors.

    Reads `pytorch_model*.bin` with `weights_only=True`, so that no code in a pickle can run. Tensors that
    share memory (tied embeddings) are written out one by one, which every loader understands. `out` appears
    whole or not at all.

    Returns:
        `out`.

    Raises:
        UserError: nothing to convert, a file that holds more than tensors, or `out` is not empty.
    """
    shards = sorted(folder.glob("pytorch_model*.bin"))
    if not (folder / "config.json").is_file() or not shards:
        raise UserError(f"{folder}: nothing to convert: config.json and pytorch_model*.bin are needed")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: already there and not empty: name another folder")
    try:
        import safetensors.torch  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("converting weights", "hf") from error
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        made = Path(scratch) / "checkpoint"
        made.mkdir()
        _write_weights(shards, made)
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.name not in LEFT_OUT and any(path.match(p) for p in COPIED):
                shutil.copyfile(path, made / path.name)
        made.replace(out)
    return out


def _write_weights(shards: list[Path], made: Path) -> None:
    from safetensors.torch import save_file

    where: dict[str, str] = {}
    size = 0
    for shard in shards:
        tensors = _unshared(_read(shard))
        name = shard.with_suffix(".safetensors").name.replace("pytorch_model", "model")
        save_file(tensors, made / name, metadata={"format": "pt"})
        where |= dict.fromkeys(tensors, name)
        size += sum(tensor.nbytes for tensor in tensors.values())
    if len(shards) > 1:
        index = {"metadata": {"total_size": size}, "weight_map": where}
        (made / "model.safetensors.index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")


def _read(shard: Path) -> dict[str, torch.Tensor]:
    import torch

    refusal = f"{shard}: holds more than tensors, or is damaged: save the model's state_dict() anew"
    try:
        state: Any = torch.load(shard, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(refusal) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(refusal)
    return state


def _unshared(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give every tensor memory of its own, which safetensors asks for."""
    seen: set[int] = set()
    result = {}
    for name, tensor in state.items():
        storage = tensor.untyped_storage().data_ptr()
        result[name] = tensor.clone().contiguous() if storage in seen else tensor.contiguous()
        seen.add(storage)
    return result
