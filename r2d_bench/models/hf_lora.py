"""LoRA adapters (Hu et al. 2022, https://arxiv.org/abs/2106.09685) in folders that peft has saved.

The adapter's layers are put into the base and stay unmerged. Merging would round the update to the base's
precision in bfloat16 and float16, and add it to both ends of tied embeddings; unmerged, answers are those of
peft itself in every precision, at the price of two small matrix products per adapted layer.

An adapter folder's own tokenizer (with its chat template) and `protocol.yaml` stand before the base's.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from r2d_bench.documents import read_json
from r2d_bench.errors import MissingDependencyError, UserError
from r2d_bench.models.weights import ADAPTER_CONFIG, ADAPTER_WEIGHTS, Weights, find_files, find_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

# Whether a task type is of an encoder-decoder; adapters without a task type follow their base.
WRITES = {"CAUSAL_LM": False, "SEQ_2_SEQ_LM": True}
MERGE = "merge it with its base (peft: merge_and_unload, save_pretrained)"


class AdapterConfig(BaseModel):
    """The keys of `adapter_config.json` that are judged here; all others are peft's.

    Attributes:
        peft_type: the method; only LORA (rsLoRA and DoRA are settings of it).
        r: the rank.
        task_type: CAUSAL_LM, SEQ_2_SEQ_LM, or None.
        base_model_name_or_path: where its author had the base.
        revision: of a base on the hub.
        megatron_config: makes peft import the Python module that the file names.
        alora_invocation_tokens: switches the adapter on inside the prompt, by hooks outside the model.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    peft_type: str
    r: int = Field(8, ge=1)
    task_type: str | None = None
    base_model_name_or_path: str | None = None
    revision: str | None = None
    megatron_config: dict[str, Any] | None = None
    alora_invocation_tokens: list[int] | None = None


def find_checkpoint(name: str, base: str | None = None) -> Weights:
    """Find the model called `name`; with its base, where it is an adapter.

    Args:
        name: as `find_files` takes it.
        base: the adapter's base, likewise; None takes the one that the adapter names: a folder as seen from
            the adapter's, a folder as seen from here, or a hub id.

    Raises:
        UserError: either is not found, or the adapter is of a kind that is not read.
    """
    found = find_files(name)
    if not found.is_adapter:
        if base is not None:
            raise UserError(f"{found.name}: base={base} is for LoRA adapters, and this is a whole model")
        return found
    config = _read(found)
    based = replace(found, base=_find_base(found, config, base))
    if based.tokenizer is not based and any(based.folder.glob("chat_template.*")):
        raise UserError(f"{based.name}: a chat template without a tokenizer: save the tokenizer into the folder")
    return based


def _read(weights: Weights) -> AdapterConfig:
    """Read and judge `adapter_config.json`."""
    where = f"{weights.name}: {ADAPTER_CONFIG}"
    try:
        data = read_json(weights.folder / ADAPTER_CONFIG)
        config = AdapterConfig.model_validate(data)
    except UserError as error:
        raise UserError(f"{weights.name}: {error}") from error
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise UserError(f"{where} is broken: {f'{key}: ' if key else ''}{problem['msg']}") from error
    if config.peft_type != "LORA":
        raise UserError(f"{where}: peft_type {config.peft_type} is not read, only LORA: {MERGE}")
    if config.task_type is not None and config.task_type not in WRITES:
        raise UserError(f"{where}: task_type {config.task_type} writes no text: give {' or '.join(WRITES)}")
    for key in ("megatron_config", "alora_invocation_tokens"):
        if getattr(config, key):
            raise UserError(f"{where}: {key} is not read: {MERGE}")
    return config


def _find_base(adapter: Weights, config: AdapterConfig, given: str | None) -> Weights:
    name = given or config.base_model_name_or_path
    if not name:
        raise UserError(f"{adapter.name}: {ADAPTER_CONFIG} names no base model: give it as base=FOLDER")
    beside = adapter.folder / name
    if given is None and beside.exists():
        name = str(beside.resolve())
    elif given is None and config.revision and not Path(name).exists():
        name = f"{name}@{config.revision}"
    try:
        return find_weights(name)
    except MissingDependencyError:
        raise
    except UserError as error:
        raise UserError(f"{adapter.name}: its base model: {error}; base=FOLDER names another place") from error


def check_task(weights: Weights, *, encoder_decoder: bool) -> None:
    """Refuse an adapter that was trained on another kind of model than its base is.

    Raises:
        UserError: one is an encoder-decoder, the other causal.
    """
    task = _read(weights).task_type
    if weights.base is not None and task is not None and WRITES[task] is not encoder_decoder:
        kind = "an encoder-decoder" if encoder_decoder else "causal"
        raise UserError(f"{weights.name}: an adapter for {task}, but its base {weights.base.name} is {kind}")


@contextmanager
def in_one_line(what: str) -> Iterator[None]:
    """Tell whatever transformers, peft and safetensors raise over a checkpoint in one line behind `what`."""
    from safetensors import SafetensorError

    try:
        yield
    # An assertion is torch's word for a device that it was not built for.
    except (OSError, ValueError, ImportError, RuntimeError, KeyError, AssertionError, SafetensorError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # torch puts a heading over the tensors that do not fit.
        told = next((line for line in lines if not line.endswith(":")), type(error).__name__)
        raise UserError(f"{what}: {told}") from error


def put_on(model: Any, weights: Weights, tokens: int) -> Any:  # noqa: ANN401 - transformers is untyped here
    """Return `model` with the adapter's layers in it.

    Args:
        model: the base, which is changed.
        weights: the adapter.
        tokens: the size of its tokenizer.

    Raises:
        UserError: the adapter does not fit, wholly and exactly.
    """
    import peft

    base = weights.base.name if weights.base else "None"
    where = f"hf:{weights.name}: the adapter does not fit its base {base}"
    with in_one_line(where):
        config = peft.PeftConfig.from_pretrained(str(weights.folder))
        config.inference_mode = True
        _fit_vocabulary(model, weights, tokens)
        adapted = peft.PeftModel(model, config)
        report = adapted.load_adapter(str(weights.folder), "default", torch_device="cpu")
    # peft itself only warns of the first, and is silent over the second.
    for keys, what in ((report.missing_keys, "are missing from it"), (report.unexpected_keys, "have no place")):
        if keys:
            raise UserError(f"{where}: {len(keys)} weights {what}, the first is {min(keys)}")
    return adapted.get_base_model()


def _fit_vocabulary(model: Any, weights: Weights, tokens: int) -> None:  # noqa: ANN401
    """Give the base as many rows of embeddings as the adapter brings, where tokens were added in training.

    Rows that the adapter does not bring would be random numbers.
    """
    inner, outer = model.get_input_embeddings(), model.get_output_embeddings()
    layers = [inner] if outer is None or outer.weight is inner.weight else [inner, outer]
    before = int(inner.weight.shape[0])
    sizes = {_rows(model, layer, weights) for layer in layers}
    if len(sizes) > 1:
        raise UserError(f"hf:{weights.name}: embeddings and output head differ in size {sorted(sizes)}: {MERGE}")
    (rows,) = sizes
    if rows != before and model.config.is_encoder_decoder:
        # transformers ties T5's two ends when it resizes, whereby the output head of v1.1 and Flan is lost.
        raise UserError(
            f"hf:{weights.name}: made for {rows} tokens, its base for {before}, and encoder-decoders"
            f" are not resized: {MERGE}"
        )
    if weights.tokenizer is weights and tokens > rows:
        raise UserError(
            f"hf:{weights.name}: {tokens} tokens in its tokenizer, embeddings for {rows}: save the adapter with"
            " save_embedding_layers=True, or without the added tokens"
        )
    if rows != before:
        model.resize_token_embeddings(rows, mean_resizing=False)


def _rows(model: Any, layer: Any, weights: Weights) -> int:  # noqa: ANN401
    """Return the rows of an embedding layer or output head: as the adapter brings it, else as it is."""
    from safetensors import safe_open

    names = [name for name, module in model.named_modules() if module is layer]
    keys = {f"base_model.model.{name}.{kind}" for name in names for kind in ("weight", "base_layer.weight")}
    with safe_open(weights.folder / ADAPTER_WEIGHTS, framework="pt") as file:
        found = [int(file.get_slice(key).get_shape()[0]) for key in keys.intersection(file.keys())]
    return found[0] if found else int(layer.weight.shape[0])
