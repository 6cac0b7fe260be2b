"""The `vllm` adapter: causal checkpoints through vLLM, in this process, many prompts at a time."""

from __future__ import annotations

import importlib.util
from contextlib import closing
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from pydantic import BaseModel, Field

from r2d_bench.errors import UserError
from r2d_bench.models.base import Capabilities, Identity, Model
from r2d_bench.models.base import Params as BaseParams
from r2d_bench.models.hf_loading import read_nature
from r2d_bench.models.hf_prompts import Limits, Prompt, prepare
from r2d_bench.models.vllm_loading import close_vllm, load_vllm, missing, refuse
from r2d_bench.models.vllm_requests import Question, add_up, answer_question, read_answer, read_steps, score_questions
from r2d_bench.models.weights import find_weights
from r2d_bench.records import Json, LabelMethod
from r2d_bench.training.lineage import read_lineage

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import Self

    from r2d_bench.models.base import Answer
    from r2d_bench.models.hf_loading import Engine
    from r2d_bench.models.hf_prompts import Tokens
    from r2d_bench.models.weights import Weights
    from r2d_bench.records import Request
    from r2d_bench.tasks.task import Task
    from r2d_bench.training.lineage import Lineage

# Questions that wait in the engine or are answered by it: more than it computes at a time, and so few that a kill
# costs little.
IN_FLIGHT = 512


class VLLMParams(BaseParams):
    """Parameters of `vllm:NAME,key=value`.

    Attributes:
        dtype: of weights and computation. Greedy texts in bfloat16 and float16 depend on the batch.
        tensor_parallel_size: accelerators (on a CPU: worker processes) that share the model.
        max_model_len: positions of prompt and answer together; the model's own where absent. Long contexts need
            more cache than there may be.
        gpu_memory_utilization: share of an accelerator's memory; vLLM's own choice where absent.
        enforce_eager: do not compile; where absent, a CPU compiles nothing and an accelerator does.
        batch_size: the most prompts at a time; vLLM's own choice where absent.
        trust_remote_code: run Python code that lies with the checkpoint.
        thinking_tokens: added to each answer's budget for thinking text; 0 asks the model not to think.
        max_input_tokens: cut prompts to this many tokens, where the protocol names no limit.
        json_schema: hold answers to the JSON schema of a protocol that asks for JSON; `hf:` never does.
    """

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    tensor_parallel_size: int = Field(1, ge=1)
    max_model_len: int | None = Field(None, ge=1)
    gpu_memory_utilization: float | None = Field(None, gt=0, le=1)
    enforce_eager: bool | None = None
    batch_size: int | None = Field(None, ge=1)
    trust_remote_code: bool = False
    thinking_tokens: int = Field(0, ge=0)
    max_input_tokens: int | None = Field(None, ge=1)
    json_schema: bool = True


class VLLM(Model):
    """A causal checkpoint that vLLM serves: a folder, a GGUF file (dequantised once), a package's weights, a hub id.

    Prompts are those of the `hf` adapter, token for token. Decoding is greedy, whatever the checkpoint's own
    generation configuration says.
    """

    Params: ClassVar[type[BaseModel]] = VLLMParams

    def __init__(self, weights: Weights, params: VLLMParams) -> None:
        self._weights = weights
        self._params = params
        self._nature = read_nature(weights)
        refuse(weights, self._nature)
        self._loaded: Engine | None = None

    @classmethod
    def create(cls, name: str, params: BaseModel, *, task: Task, seed: int) -> Self:  # noqa: ARG003
        """Find the checkpoint called `name` (see `find_files`); nothing is loaded yet.

        Raises:
            UserError: no such checkpoint, one that vLLM does not serve, or no vLLM.
        """
        made = cls(find_weights(name), cast("VLLMParams", params))
        if any(importlib.util.find_spec(engine) is None for engine in ("vllm", "transformers")):
            raise missing(made._weights.name)
        return made

    @cached_property
    def identity(self) -> Identity:
        """The checkpoint by the digest of its files, and the parameters that change its output."""
        params: dict[str, Json] = {"dtype": self._params.dtype}
        for key in ("max_model_len", "thinking_tokens", "max_input_tokens", "trust_remote_code"):
            if value := getattr(self._params, key):
                params[key] = value
        if not self._params.json_schema:
            params["json_schema"] = False
        return Identity("vllm", self._weights.name, self._weights.digest(), params)

    @property
    def capabilities(self) -> Capabilities:
        """Models chat where their tokenizer has a template."""
        return Capabilities(
            text=True,
            chat=self._nature.chat,
            methods=frozenset(LabelMethod),
            default_protocol="zero_shot" if self._nature.chat else "r2d",
        )

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
        """Answer greedily, each prompt as soon as it is done."""
        engine = self._engine()
        made = prepare(engine, requests, self._limits)
        failures: list[Answer] = []

        def questions() -> Iterator[Question]:
            for prompt in made:
                if isinstance(prompt, Prompt):
                    yield answer_question(engine, prompt, json_schema=self._params.json_schema)
                else:
                    failures.append(prompt)

        with closing(ask(engine, questions())) as answered:
            for question, output in answered:
                yield question.prompt.request.key, read_answer(engine, question, output)
        yield from failures

    def score(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Score the candidates of each request; a prompt is read once for all of them."""
        engine = self._engine()
        failures: list[Answer] = []
        open_steps: dict[str, dict[Tokens, float]] = {}
        left: dict[str, int] = {}

        def questions() -> Iterator[Question]:
            for prompt in prepare(engine, requests, self._limits):
                if isinstance(prompt, Prompt):
                    asked = list(score_questions(engine, prompt))
                    key = prompt.request.key
                    left[key], open_steps[key] = len(asked), {}
                    yield from asked
                else:
                    failures.append(prompt)

        with closing(ask(engine, questions())) as answered:
            for question, output in answered:
                key = question.prompt.request.key
                open_steps[key] |= read_steps(question, output)
                left[key] -= 1
                if not left[key]:
                    yield key, add_up(engine, question.prompt, open_steps.pop(key))
        yield from failures

    def close(self) -> None:
        """Give back the model's memory."""
        if self._loaded is not None:
            close_vllm(self._loaded)
            self._loaded = None

    @property
    def _limits(self) -> Limits:
        return Limits(self._params.thinking_tokens, self._params.max_input_tokens)

    def _engine(self) -> Engine:
        if self._loaded is None:
            self._loaded = load_vllm(self._weights, self._nature, self._params)
        return self._loaded


def ask(engine: Engine, questions: Iterable[Question]) -> Generator[tuple[Question, Any], None, None]:
    """Yield each question with its finished `RequestOutput` as soon as it is there; closing drops the others.

    Raises:
        UserError: vLLM refuses a question.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    core = engine.model.llm_engine
    numbered = enumerate(questions)
    waiting: dict[str, Question] = {}
    try:
        while True:
            for number, question in islice(numbered, IN_FLIGHT - len(waiting)):
                sampling = dict(question.sampling, output_kind=RequestOutputKind.FINAL_ONLY)
                if "structured_outputs" in sampling:
                    sampling["structured_outputs"] = StructuredOutputsParams(**sampling["structured_outputs"])
                try:
                    core.add_request(str(number), {"prompt_token_ids": question.ids}, SamplingParams(**sampling))
                except ValueError as error:
                    reason = (str(error).strip().splitlines() or ["?"])[0]
                    raise UserError(f"{engine.title}: vLLM refuses a prompt: {reason}") from error
                waiting[str(number)] = question
            if not waiting:
                return
            for output in core.step():
                if output.finished:
                    yield waiting.pop(output.request_id), output
    finally:
        if waiting:
            core.abort_request(list(waiting))
