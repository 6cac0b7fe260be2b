"""From weights on disk to a transformers model and tokenizer that are ready to answer."""

from __future__ import annotations

import importlib.util
import inspect
import json
import mmap
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from r2d_bench.errors import MissingDependencyError, UserError
from r2d_bench.models.hf_lora import check_task, in_one_line, put_on
from r2d_bench.quiet import quiet

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from r2d_bench.models.weights import Weights

CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
GGUF_STRING = 8  # the type number of a string in GGUF metadata
NO_LIMIT = 1_000_000  # tokenizers without a limit say 1e30


@dataclass(frozen=True, slots=True)
class Nature:
    """What a checkpoint is, read from its files without loading it.

    Attributes:
        encoder_decoder: T5 and its kin; otherwise causal.
        chat: the tokenizer has a chat template.
    """

    encoder_decoder: bool
    chat: bool


def read_nature(weights: Weights) -> Nature:
    """Tell encoder-decoder from causal, and whether there is a chat template.

    An adapter is what its base is, and chats where the tokenizer that is read has a template.

    Raises:
        UserError: the checkpoint writes no text (an encoder, a classifier).
    """
    if weights.base is not None:
        nature = read_nature(weights.base)
        check_task(weights, encoder_decoder=nature.encoder_decoder)
        own = weights.tokenizer is weights
        chat = not nature.encoder_decoder and _has_chat_template(weights) if own else nature.chat
        return Nature(nature.encoder_decoder, chat)
    if weights.gguf_file is not None:
        file = weights.folder / weights.gguf_file
        architecture = gguf_text(file, "general.architecture") or ""
        if "bert" in architecture or architecture.startswith("t5"):
            raise UserError(f"{weights.name}: a GGUF file of kind {architecture!r}: only causal models are read")
        return Nature(encoder_decoder=False, chat=gguf_text(file, "tokenizer.chat_template") is not None)
    config = _read_json(weights, "config.json")
    names = config.get("architectures") or []
    encoder_decoder = bool(config.get("is_encoder_decoder"))
    writes = any("ForConditionalGeneration" in n for n in names) if encoder_decoder else True
    if names and not (writes and (encoder_decoder or any(name.endswith(CAUSAL) for name in names))):
        raise UserError(
            f"{weights.name}: {names[0]} writes no text: give an encoder-decoder or a causal language model"
        )
    return Nature(encoder_decoder, chat=not encoder_decoder and _has_chat_template(weights))


def _has_chat_template(weights: Weights) -> bool:
    if any(weights.folder.glob("chat_template.*")):
        return True
    return bool(_read_json(weights, "tokenizer_config.json").get("chat_template"))


def _read_json(weights: Weights, file: str) -> dict[str, Any]:
    path = weights.folder / file
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"{weights.name}: {file} is no JSON ({error})") from error
    return value if isinstance(value, dict) else {}


def gguf_text(file: Path, key: str) -> str | None:
    """Return the text under `key` in the metadata of a GGUF file, None where there is none.

    Reading all metadata with the gguf package takes seconds, since the vocabulary is part of it. A key is
    stored as its length (uint64), its bytes, the type of the value (uint32); a text as length and bytes.
    Source: the GGUF specification (ggml-org/ggml, docs/gguf.md).
    """
    name = key.encode()
    mark = struct.pack("<Q", len(name)) + name + struct.pack("<I", GGUF_STRING)
    with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] != b"GGUF":
            raise UserError(f"{file.name}: not a GGUF file")
        at = data.find(mark)
        if at < 0:
            return None
        start = at + len(mark) + 8
        (length,) = struct.unpack("<Q", data[start - 8 : start])
        return data[start : start + length].decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Engine:
    """A loaded model.

    Attributes:
        name: its public name, for messages.
        model: of transformers, or another engine's model that reads the same tokens.
        tokenizer: of transformers.
        device: where the weights lie.
        encoder_decoder: T5 and its kin; otherwise causal.
        ends: ids of the tokens that end an answer (end of text, end of turn).
        pad: id that fills rows of a batch.
        start: first id of a decoder's input (encoder-decoder only).
        positions: the most tokens that the model (of two parts: its encoder) has positions for; None: no bound.
        usual: the tokenizer's own limit; None: it has none.
        answer_positions: the most tokens that an encoder-decoder's decoder has positions for; None: no bound.
        arguments: names that the `forward` of a model of transformers takes.
        kind: the adapter that loaded it.
    """

    name: str
    model: Any
    tokenizer: Any
    device: torch.device
    encoder_decoder: bool
    ends: tuple[int, ...]
    pad: int
    start: int | None
    positions: int | None
    usual: int | None
    answer_positions: int | None = None
    arguments: frozenset[str] = frozenset()
    kind: str = "hf"

    @property
    def title(self) -> str:
        """Adapter and name, for messages."""
        return f"{self.kind}:{self.name}"


def load(weights: Weights, nature: Nature, *, dtype: str, device: str, trust_remote_code: bool) -> Engine:
    """Load model and tokenizer.

    Args:
        weights: where they lie.
        nature: what they are.
        dtype: float32, bfloat16 or float16.
        device: a torch device, or `auto` for the accelerator where there is one.
        trust_remote_code: run the checkpoint's own Python code.

    Raises:
        UserError: transformers cannot load it, or weights are missing (they would be random numbers).
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingDependencyError(f"hf:{weights.name}", "hf") from error
    auto = transformers.AutoModelForSeq2SeqLM if nature.encoder_decoder else transformers.AutoModelForCausalLM
    common: dict[str, Any] = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    source = weights.base or weights
    special: dict[str, Any] = {"use_safetensors": True}
    if source.gguf_file is not None:
        special = {"gguf_file": source.gguf_file, "quantization_config": _gguf_config(source)}
    with in_one_line(f"hf:{weights.name}: transformers cannot load it"), quiet():
        model, report = auto.from_pretrained(
            source.folder, dtype=getattr(torch, dtype), output_loading_info=True, **common, **special
        )
        if lacking := sorted(report["missing_keys"]):
            raise UserError(f"hf:{source.name}: {len(lacking)} weights are missing, the first is {lacking[0]}")
        tokenizer = _tokenizer(weights, model, common)
        tokenizer.truncation_side = "right"
        if weights.base is not None:
            model = put_on(model, weights, len(tokenizer))
        place = _device(device)
        model = model.to(place).eval()
    return _engine(weights.name, model, tokenizer, place, encoder_decoder=nature.encoder_decoder)


def _tokenizer(weights: Weights, model: Any, common: dict[str, Any]) -> Any:  # noqa: ANN401 - transformers is untyped
    from transformers import AutoTokenizer

    found, special = weights.tokenizer, dict[str, Any]()
    if found.gguf_file is not None:
        special["gguf_file"] = found.gguf_file
    elif weights.base is not None and found is weights:
        special["config"] = model.config  # an adapter's folder has none, and the class of a tokenizer hangs on it
    return AutoTokenizer.from_pretrained(found.folder, **common, **special)


def _gguf_config(weights: Weights) -> Any:  # noqa: ANN401 - transformers is untyped here
    from transformers import GgufConfig

    if any(importlib.util.find_spec(module) is None for module in ("accelerate", "gguf")):
        raise MissingDependencyError(f"hf:{weights.name}: a GGUF file", "gguf")
    return GgufConfig(dequantize=True)


def _device(device: str) -> torch.device:
    import torch

    if device != "auto":
        return torch.device(device)
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def _engine(
    name: str,
    model: Any,  # noqa: ANN401 - transformers is untyped here
    tokenizer: Any,  # noqa: ANN401
    device: torch.device,
    *,
    encoder_decoder: bool,
) -> Engine:
    from transformers import GenerationConfig

    said, config = model.generation_config, model.config.get_text_config(decoder=True)
    starts = [*_ids(said.decoder_start_token_id), *_ids(getattr(config, "decoder_start_token_id", None))]
    if encoder_decoder and not starts:
        raise UserError(f"hf:{name}: config.json names no decoder_start_token_id")
    start = starts[0] if encoder_decoder else None
    ends, pad = ends_and_pad(f"hf:{name}", tokenizer, said, config)
    # Sampling, beams, penalties and limits of the checkpoint must not leak into a greedy answer: transformers
    # fills whatever a request leaves open from here.
    model.generation_config = GenerationConfig(
        do_sample=False,
        num_beams=1,
        bos_token_id=said.bos_token_id,
        eos_token_id=list(ends),
        pad_token_id=pad,
        decoder_start_token_id=start,
        forced_bos_token_id=said.forced_bos_token_id,
    )
    return Engine(
        name=name,
        model=model,
        tokenizer=tokenizer,
        device=device,
        encoder_decoder=encoder_decoder,
        ends=ends,
        pad=pad,
        start=start,
        positions=positions_of(config),
        answer_positions=positions_of(config, "decoder") if encoder_decoder else None,
        usual=usual_length(tokenizer),
        arguments=frozenset(inspect.signature(model.forward).parameters),
    )


def read_tokenizer(
    title: str, folder: Path, *, trust_remote_code: bool
) -> tuple[Any, tuple[int, ...], int, int | None]:
    """Return tokenizer, end ids, pad id and positions as the `hf` adapter has them, without the weights."""
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    common: dict[str, Any] = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(folder, **common)
    tokenizer.truncation_side = "right"
    config = AutoConfig.from_pretrained(folder, **common)
    if (folder / "generation_config.json").is_file():
        said = GenerationConfig.from_pretrained(folder, local_files_only=True)
    else:
        said = GenerationConfig.from_model_config(config)
    text = config.get_text_config(decoder=True)
    return tokenizer, *ends_and_pad(title, tokenizer, said, text), positions_of(text)


def ends_and_pad(
    title: str,
    tokenizer: Any,  # noqa: ANN401 - transformers is untyped here
    said: Any,  # noqa: ANN401
    config: Any,  # noqa: ANN401
) -> tuple[tuple[int, ...], int]:
    """Return the ids of the tokens that end an answer, and the one that fills rows.

    Args:
        title: the model, for the message.
        tokenizer: the model's.
        said: its generation configuration.
        config: its text configuration.

    Raises:
        UserError: nothing ends an answer.
    """
    stops = _ids(said.eos_token_id) or _ids(getattr(config, "eos_token_id", None))
    ends = tuple(dict.fromkeys([*stops, *_ids(tokenizer.eos_token_id)]))
    if not ends:
        raise UserError(f"{title}: no end-of-text token in generation_config, config or tokenizer")
    return ends, [*_ids(tokenizer.pad_token_id), *_ids(said.pad_token_id), ends[0]][0]


def usual_length(tokenizer: Any) -> int | None:  # noqa: ANN401 - transformers is untyped here
    """Return the tokenizer's own limit in tokens; None: it has none."""
    usual: int = tokenizer.model_max_length
    return usual if usual < NO_LIMIT else None


def positions_of(config: Any, part: Literal["encoder", "decoder"] = "encoder") -> int | None:  # noqa: ANN401
    """Return the most tokens that a model (or a part) has positions for, by its text configuration; None: no bound."""
    for key in (f"max_{part}_position_embeddings", "max_position_embeddings"):
        value = getattr(config, key, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def _ids(value: int | list[int] | None) -> list[int]:
    """Return token ids as a list: transformers keeps one, several or None in the same place."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
