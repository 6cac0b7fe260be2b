"""The `hf` adapter: encoder-decoder and causal checkpoints through transformers, in this process."""

from __future__ import annotations

import gc
import importlib.util
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from pydantic import BaseModel, Field

from r2d_bench.errors import MissingDependencyError, UserError
from r2d_bench.models.base import Capabilities, Identity, Model
from r2d_bench.models.base import Params as BaseParams
from r2d_bench.models.hf_batches import in_batches
from r2d_bench.models.hf_decoding import generate_batch
from r2d_bench.models.hf_loading import Engine, load, read_nature
from r2d_bench.models.hf_lora import find_checkpoint
from r2d_bench.models.hf_prompts import Limits, Prompt, prepare
from r2d_bench.models.hf_scoring import score_batch
from r2d_bench.records import Json, LabelMethod
from r2d_bench.training.lineage import read_lineage

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path
    from typing import Self

    from r2d_bench.models.base import Answer
    from r2d_bench.models.weights import Weights
    from r2d_bench.records import Request
    from r2d_bench.tasks.task import Task
    from r2d_bench.training.lineage import Lineage

# Tokens of a batch, padding and answer included: beyond this a CPU gains nothing; an accelerator wants more.
CPU_TOKENS = 8_192
ACCELERATOR_TOKENS = 65_536
# A T5's caches may take this share of a GPU's free memory, the rest is for the encoder; and so many tokens at most.
CACHE_SHARE, MOST_TOKENS = 0.3, 262_144
WINDOW = 4_096  # requests that are tokenised and sorted together


class HFParams(BaseParams):
    """Parameters of `hf:NAME,key=value`.

    Attributes:
        dtype: of weights and computation. Greedy texts in bfloat16 and float16 depend on the batch.
        device: `auto` (the accelerator where there is one), or a torch device.
        batch_size: the most prompts of a batch; None leaves it to the prompts' lengths.
        trust_remote_code: run Python code that lies with the checkpoint.
        thinking_tokens: added to each answer's budget for thinking text; 0 asks the model not to think.
        max_input_tokens: cut prompts to this many tokens, where the protocol names no limit.
        base: the model under a LoRA adapter; stands before the one that the adapter names.
    """

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps|xpu(:\d+)?)$")
    batch_size: int | None = Field(None, ge=1)
    trust_remote_code: bool = False
    thinking_tokens: int = Field(0, ge=0)
    max_input_tokens: int | None = Field(None, ge=1)
    base: str | None = Field(None, min_length=1)


class HF(Model):
    """A checkpoint that transformers loads: a folder, a GGUF file, a package's weights, or a hub id.

    A folder with a LoRA adapter is loaded by peft on top of its base, unmerged (see `hf_lora`).

    Decoding is greedy, whatever the checkpoint's own generation configuration says.
    """

    Params: ClassVar[type[BaseModel]] = HFParams

    def __init__(self, weights: Weights, params: HFParams) -> None:
        self._weights = weights
        self._params = params
        self._nature = read_nature(weights)
        self._loaded: Engine | None = None
        self._tokens: int | None = None  # of a batch, as last chosen

    @classmethod
    def create(cls, name: str, params: BaseModel, *, task: Task, seed: int) -> Self:  # noqa: ARG003
        """Find the checkpoint called `name` (see `find_files`), and an adapter's base; nothing is loaded yet.

        Raises:
            UserError: no such checkpoint, no base of that name, or no transformers or peft to load it with.
        """
        chosen = cast("HFParams", params)
        weights = find_checkpoint(name, chosen.base)
        if any(importlib.util.find_spec(engine) is None for engine in ("torch", "transformers")):
            raise MissingDependencyError(f"hf:{weights.name}", "hf")
        if weights.base is not None and importlib.util.find_spec("peft") is None:
            raise MissingDependencyError(f"hf:{weights.name}: a LoRA adapter", "lora")
        return cls(weights, chosen)

    @cached_property
    def identity(self) -> Identity:
        """The checkpoint by the digest of its files (a base's included), and the parameters that change its output."""
        params: dict[str, Json] = {"dtype": self._params.dtype}
        for key in ("thinking_tokens", "max_input_tokens", "trust_remote_code"):
            if value := getattr(self._params, key):
                params[key] = value
        return Identity("hf", self._weights.name, self._weights.digest(), params)

    @property
    def capabilities(self) -> Capabilities:
        """Encoder-decoders take text; causal models also chat, where their tokenizer has a template."""
        return Capabilities(
            text=True,
            chat=self._nature.chat,
            methods=frozenset(LabelMethod),
            default_protocol="zero_shot" if self._nature.chat else "r2d",
        )

    @property
    def protocol_file(self) -> Path | None:
        """`protocol.yaml` in the checkpoint's folder; an adapter's stands before its base's."""
        folders = [self._weights.folder, *([self._weights.base.folder] if self._weights.base else [])]
        return next((path for folder in folders if (path := folder / "protocol.yaml").is_file()), None)

    @cached_property
    def lineage(self) -> Lineage | None:
        """What the checkpoint was trained on, where `lineage.json` lies with it."""
        return read_lineage(self._weights.folder)

    def generate(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Answer greedily, window by window, the longest prompts first."""
        for window in _windows(requests):
            prompts = yield from self._prepare(window)
            yield from self._answer(prompts)

    def _answer(self, prompts: list[Prompt]) -> Iterator[Answer]:
        from r2d_bench.models.hf_greedy import answer_greedily
        from r2d_bench.models.hf_t5 import is_t5

        engine, rows = self._engine(), self._params.batch_size
        self._tokens = tokens = self._batch_tokens()
        if is_t5(engine.model):
            return answer_greedily(engine, prompts, tokens=tokens, rows=rows)
        return in_batches(
            prompts,
            lambda batch: generate_batch(engine, batch),
            size=lambda prompt: len(prompt.ids) + prompt.budget,
            # Candidates end an answer by themselves: their budgets need not agree.
            group=lambda prompt: prompt.budget if prompt.request.method is LabelMethod.FREE else None,
            tokens=tokens,
            rows=rows,
        )

    def score(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Score the candidates of each request; a prompt is read once for all of them."""
        for window in _windows(requests):
            prompts = yield from self._prepare(window)
            if getattr(self._engine().model, "_is_stateful", False):
                raise UserError(f"{self.identity.title} has no key-value cache to score from: use --label-method free")
            yield from in_batches(
                prompts,
                lambda batch: score_batch(self._engine(), batch),
                size=lambda prompt: len(prompt.tails) * (len(prompt.ids) + prompt.budget),
                group=lambda _: None,
                tokens=min(self._batch_tokens(), ACCELERATOR_TOKENS),  # logits of every place count here, not caches
                rows=self._params.batch_size,
            )

    def ran_on(self) -> dict[str, Json]:
        """The device and the size of a batch, on which texts in half precision depend."""
        if self._loaded is None:
            return {}
        return {"device": str(self._loaded.device), "batch_tokens": self._tokens, "batch_size": self._params.batch_size}

    def close(self) -> None:
        """Give back the model's memory, to engines beside torch too."""
        if self._loaded is not None:
            from r2d_bench.models.hf_batches import free_memory

            self._loaded = None
            gc.collect()
            free_memory()

    def _prepare(self, requests: Sequence[Request]) -> Generator[Answer, None, list[Prompt]]:
        """Yield failures, return prompts."""
        limits = Limits(self._params.thinking_tokens, self._params.max_input_tokens)
        prompts = []
        for made in prepare(self._engine(), requests, limits):
            if isinstance(made, Prompt):
                prompts.append(made)
            else:
                yield made
        return prompts

    def _batch_tokens(self) -> int:
        import torch

        from r2d_bench.models.hf_t5 import bytes_of_token, is_t5

        model, device = self._engine().model, self._engine().device
        if device.type == "cpu":
            return CPU_TOKENS
        if device.type != "cuda" or not is_t5(model):
            return ACCELERATOR_TOKENS
        # What torch holds in reserve, as after an earlier stage, is free too.
        free = torch.cuda.mem_get_info(device)[0]
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return min(MOST_TOKENS, int(free * CACHE_SHARE) // bytes_of_token(model))

    def _engine(self) -> Engine:
        if self._loaded is None:
            params = self._params
            self._loaded = load(
                self._weights,
                self._nature,
                dtype=params.dtype,
                device=params.device,
                trust_remote_code=params.trust_remote_code,
            )
        return self._loaded


def _windows(requests: Sequence[Request]) -> Iterator[Sequence[Request]]:
    """Yield some thousands of requests at a time: sorting gains no more from more, and memory stays flat."""
    for i in range(0, len(requests), WINDOW):
        yield requests[i : i + WINDOW]
