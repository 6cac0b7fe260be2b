"""The `ct2` adapter: T5 checkpoints through CTranslate2, in this process; float32, or int8 where that is asked for."""

from __future__ import annotations

import importlib.util
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from pydantic import BaseModel, Field

from r2d_bench.errors import MissingDependencyError, UserError
from r2d_bench.models.base import Capabilities, Identity, Model
from r2d_bench.models.base import Params as BaseParams
from r2d_bench.models.ct2_convert import converted, refuse
from r2d_bench.models.ct2_decoding import generate_batch, score_batch
from r2d_bench.models.hf import ACCELERATOR_TOKENS, CPU_TOKENS, WINDOW
from r2d_bench.models.hf_batches import in_batches
from r2d_bench.models.hf_loading import Engine, Nature, read_nature, read_tokenizer, usual_length
from r2d_bench.models.hf_lora import in_one_line
from r2d_bench.models.hf_prompts import Limits, Prompt, prepare
from r2d_bench.models.weights import find_weights
from r2d_bench.quiet import quiet
from r2d_bench.records import Json, LabelMethod
from r2d_bench.training.lineage import read_lineage

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path
    from typing import Self

    from r2d_bench.models.base import Answer
    from r2d_bench.models.weights import Weights
    from r2d_bench.records import Request, Response
    from r2d_bench.tasks.task import Task
    from r2d_bench.training.lineage import Lineage

# Encoding more tokens at a time takes a CPU out of its caches: int8 is then half as fast. Writing gains more from rows.
CPU_SCORED_TOKENS = 2_048
ENGINES = ("ctranslate2", "torch", "transformers")  # torch and transformers read the checkpoint


class CT2Params(BaseParams):
    """Parameters of `ct2:NAME,key=value`.

    Attributes:
        compute_type: of weights and computation. float32 gives the greedy texts of `hf:` in float32; int8 quantises
            the weights, and answers change.
        device: `auto` (the GPU where there is one), `cpu`, `cuda` or `cuda:N`.
        batch_size: the most prompts of a batch; None leaves it to the prompts' lengths.
        max_input_tokens: cut prompts to this many tokens, where the protocol names no limit.
    """

    compute_type: Literal["float32", "int8"] = "float32"
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    batch_size: int | None = Field(None, ge=1)
    max_input_tokens: int | None = Field(None, ge=1)


class CT2(Model):
    """A T5 or mT5 checkpoint that CTranslate2 runs: a folder, a package's weights, or a hub id.

    It is converted on the first request (see `ct2_convert`). Prompts are those of the `hf` adapter, token for token,
    and decoding is greedy, whatever the checkpoint's own generation configuration says.
    """

    Params: ClassVar[type[BaseModel]] = CT2Params

    def __init__(self, weights: Weights, params: CT2Params) -> None:
        self._weights = weights
        self._params = params
        self._nature = read_nature(weights)
        refuse(weights)
        self._loaded: Engine | None = None

    @classmethod
    def create(cls, name: str, params: BaseModel, *, task: Task, seed: int) -> Self:  # noqa: ARG003
        """Find the checkpoint called `name` (see `find_files`); nothing is converted or loaded yet.

        Raises:
            UserError: no such checkpoint, one that is no T5, or no CTranslate2.
        """
        made = cls(find_weights(name), cast("CT2Params", params))
        if any(importlib.util.find_spec(engine) is None for engine in ENGINES):
            raise MissingDependencyError(f"ct2:{made._weights.name}", "ct2")
        return made

    @cached_property
    def identity(self) -> Identity:
        """The checkpoint by the digest of its files as they were before conversion, and what changes its output."""
        params: dict[str, Json] = {"compute_type": self._params.compute_type}
        if self._params.max_input_tokens:
            params["max_input_tokens"] = self._params.max_input_tokens
        return Identity("ct2", self._weights.name, self._weights.digest(), params)

    @property
    def capabilities(self) -> Capabilities:
        """T5 takes text, and its labels are had in every way."""
        return Capabilities(methods=frozenset(LabelMethod), default_protocol="r2d")

    @property
    def protocol_file(self) -> Path | None:
        """`protocol.yaml` in the checkpoint's folder."""
        path = self._weights.folder / "protocol.yaml"
        return path if path.is_file() else None

    @cached_property
    def lineage(self) -> Lineage | None:
        """What the checkpoint was trained on, where `lineage.json` lies with it."""
        return read_lineage(self._weights.folder)

    def generate(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Answer greedily, window by window and batch by batch, the longest prompts first."""
        return self._in_windows(
            requests,
            generate_batch,
            size=lambda prompt: len(prompt.ids) + prompt.budget,
            # Candidates end an answer by themselves: their budgets need not agree.
            group=lambda prompt: prompt.budget if prompt.request.method is LabelMethod.FREE else None,
            cpu_tokens=CPU_TOKENS,
        )

    def score(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Score the candidates of each request."""
        return self._in_windows(
            requests,
            score_batch,
            size=lambda prompt: len(prompt.tails) * (len(prompt.ids) + prompt.budget),
            group=lambda _: None,
            cpu_tokens=CPU_SCORED_TOKENS,
        )

    def close(self) -> None:
        """Give back the model's memory."""
        self._loaded = None

    def _in_windows(
        self,
        requests: Sequence[Request],
        work: Callable[[Engine, list[Prompt]], list[Response]],
        *,
        size: Callable[[Prompt], int],
        group: Callable[[Prompt], int | None],
        cpu_tokens: int,
    ) -> Iterator[Answer]:
        engine = self._engine()
        for i in range(0, len(requests), WINDOW):
            prompts = yield from self._prepare(engine, requests[i : i + WINDOW])
            yield from in_batches(
                prompts,
                lambda batch: work(engine, batch),
                size=size,
                group=group,
                tokens=cpu_tokens if engine.device.type == "cpu" else ACCELERATOR_TOKENS,
                rows=self._params.batch_size,
            )

    def _prepare(self, engine: Engine, requests: Sequence[Request]) -> Generator[Answer, None, list[Prompt]]:
        """Yield failures, return prompts."""
        prompts = []
        for made in prepare(engine, requests, Limits(input=self._params.max_input_tokens)):
            if isinstance(made, Prompt):
                prompts.append(made)
            else:
                yield made
        return prompts

    def _engine(self) -> Engine:
        if self._loaded is None:
            self._loaded = load_ct2(self._weights, self._nature, self._params)
        return self._loaded


def load_ct2(weights: Weights, nature: Nature, params: CT2Params) -> Engine:
    """Convert a checkpoint, unless that was done before, and load it; `Engine.model` is a `ctranslate2.Translator`.

    Raises:
        UserError: CTranslate2 cannot be imported; transformers or CTranslate2 cannot load it.
    """
    title = f"ct2:{weights.name}"
    try:
        import ctranslate2
        import torch
    except ImportError as error:  # it was found before: a library that it needs is missing, or does not fit
        raise UserError(f"{title}: CTranslate2 is installed, but cannot be imported ({error})") from error
    folder = converted(weights, nature, params.compute_type)
    device = params.device
    if device == "auto":
        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    place = torch.device(device)
    with in_one_line(f"{title}: CTranslate2 cannot load it"), quiet():
        tokenizer, ends, pad, positions = read_tokenizer(title, weights.folder, trust_remote_code=False)
        model = ctranslate2.Translator(
            str(folder),
            device=place.type,
            device_index=place.index or 0,
            compute_type=params.compute_type,
            intra_threads=torch.get_num_threads(),  # its own choice stops at four
        )
    return Engine(
        name=weights.name,
        model=model,
        tokenizer=tokenizer,
        device=place,
        encoder_decoder=True,
        ends=ends,
        pad=pad,
        start=None,
        positions=positions,
        usual=usual_length(tokenizer),
        kind="ct2",
    )
