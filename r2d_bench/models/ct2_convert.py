"""A T5 checkpoint in CTranslate2's format: made once, kept in the user's cache folder."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from r2d_bench.errors import UserError
from r2d_bench.models.hf_loading import load
from r2d_bench.models.hf_lora import in_one_line
from r2d_bench.models.weights import cache_folder, making
from r2d_bench.quiet import quiet

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.models.hf_loading import Engine, Nature
    from r2d_bench.models.weights import Weights

FAMILY = ("t5", "mt5")
FORMAT = 1  # of what `_convert` writes: another number when it writes something else
MANIFEST = "converted.json"  # written last: how long each file is


def refuse(weights: Weights) -> None:
    """Refuse what is no T5.

    Raises:
        UserError: a GGUF file, or another kind of model.
    """
    kind = "gguf"
    if weights.gguf_file is None:
        kind = json.loads((weights.folder / "config.json").read_text(encoding="utf-8")).get("model_type", "unknown")
    if kind not in FAMILY:
        raise UserError(
            f"ct2:{weights.name}: a checkpoint of type '{kind}', where only T5 and mT5 are taken: use hf:{weights.name}"
        )


def place_of(weights: Weights, compute_type: str) -> Path:
    """Return where a converted checkpoint is kept: by checkpoint, compute type and converter."""
    converter = f"{version('ctranslate2')}-{FORMAT}"
    return cache_folder() / "ct2" / f"{weights.digest()[:32]}-{compute_type}-{converter}"


def converted(weights: Weights, nature: Nature, compute_type: str) -> Path:
    """Return the folder of the converted checkpoint; it is made where it is absent or damaged.

    The folder appears whole or not at all. The checkpoint's own folder is only read.

    Raises:
        UserError: transformers cannot load the checkpoint, or CTranslate2 cannot convert it.
    """
    made = place_of(weights, compute_type)
    if is_whole(made):
        return made
    with making(made) as whole:
        if is_whole(made):  # another process was faster
            return made
        whole.mkdir()
        _convert(load(weights, nature, dtype="float32", device="cpu", trust_remote_code=False), compute_type, whole)
        files = {path.name: path.stat().st_size for path in whole.iterdir()}
        (whole / MANIFEST).write_text(json.dumps({"files": files}), encoding="utf-8")
        shutil.rmtree(made, ignore_errors=True)
        whole.replace(made)
    return made


def is_whole(made: Path) -> bool:
    """Tell whether the folder was finished, and all its files are as long as they were."""
    try:
        manifest = json.loads((made / MANIFEST).read_text(encoding="utf-8"))
        lengths = {name: (made / name).stat().st_size for name in manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(lengths == manifest["files"])


def _convert(engine: Engine, compute_type: str, folder: Path) -> None:
    """Write the weights of `engine` into `folder`.

    Tokens are called by their ids: CTranslate2 looks tokens up by name, and the names of a tokenizer need not differ
    from those of the rows that fill up an embedding.
    """
    from ctranslate2.converters.transformers import T5Loader

    title, model = f"ct2:{engine.name}", engine.model
    rows = model.lm_head.out_features
    if len(engine.tokenizer) > rows:
        raise UserError(f"{title}: {len(engine.tokenizer)} tokens, but {rows} embeddings: resize them and save it anew")
    if model.generation_config.forced_bos_token_id is not None:
        raise UserError(f"{title}: its generation_config forces a first token: use hf:{engine.name}")
    # The converter divides logits by √d_model wherever this says so, and transformers' T5 configuration always does.
    model.config.tie_word_embeddings = getattr(model.config, "scale_decoder_outputs", False)
    with in_one_line(f"{title}: CTranslate2 cannot convert it"), quiet():
        spec = T5Loader().get_model_spec(model)
        _name_tokens(spec, engine, rows)
        spec.config.layer_norm_epsilon = model.config.layer_norm_epsilon
        spec.validate()
        spec.optimize(quantization=compute_type)
        spec.save(str(folder))


def _name_tokens(spec: Any, engine: Engine, rows: int) -> None:  # noqa: ANN401 - ctranslate2 is untyped
    names = [str(token) for token in range(rows)]
    spec.register_source_vocabulary(names)
    spec.register_target_vocabulary(names)
    spec.config.bos_token = spec.config.unk_token = str(engine.pad)
    spec.config.eos_token = str(engine.ends[0])
    spec.config.decoder_start_token = str(engine.start)
