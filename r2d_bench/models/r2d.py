"""The `r2d` adapter: train on the task, then answer as `hf` on the checkpoint.

`r2d:google/flan-t5-base,recipe=default,stages.decide.steps=2000`, or `r2d:tiny` for a small model that is made from
nothing. Whatever is no parameter of the adapter is a key of the recipe. A checkpoint with the same lineage is found
and not trained again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from r2d_bench.errors import UserError
from r2d_bench.models.base import Capabilities, Identity, Trainable
from r2d_bench.models.base import Params as BaseParams
from r2d_bench.models.hf import HF, HFParams
from r2d_bench.models.hf_loading import load, read_nature
from r2d_bench.models.hf_lora import find_checkpoint
from r2d_bench.models.registry import ModelSpec
from r2d_bench.models.weights import find_weights
from r2d_bench.records import Json, LabelMethod
from r2d_bench.training.methods import METHODS
from r2d_bench.training.planning import CHECKPOINTS, TINY, Base, Plan, plan_training, resolve_recipe, tiny_base
from r2d_bench.training.train import train

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from r2d_bench.models.base import Answer
    from r2d_bench.records import Request
    from r2d_bench.tasks.task import Task
    from r2d_bench.training.lineage import Lineage
    from r2d_bench.training.listener import Listener
    from r2d_bench.training.recipe import Recipe


class R2DParams(BaseParams):
    """Parameters of `r2d:BASE,key=value`; all other keys are those of the recipe.

    Attributes:
        recipe: a recipe's name or file; `default`, for `tiny` `demo`.
        seed: of the training; the run's seed by default.
        checkpoints: the folder that checkpoints lie in.
        dtype, device: of the answers, as for `hf`.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    recipe: str | None = None
    seed: int | None = Field(None, ge=0)
    checkpoints: str = CHECKPOINTS
    dtype: str = "float32"
    device: str = "auto"

    @model_validator(mode="after")
    def _as_hf(self) -> Self:
        """Let `hf` judge its own parameters before an hour of training."""
        HFParams.model_validate({"dtype": self.dtype, "device": self.device})
        return self


def find_base(name: str, task: Task, recipe: Recipe, seed: int) -> Base:
    """Find the model that a training starts from; nothing is loaded yet.

    Raises:
        UserError: no such model, or one without an encoder and a decoder.
    """
    if name == TINY:
        return tiny_base(task, recipe, seed)
    weights = find_weights(name)
    nature = read_nature(weights)
    if not nature.encoder_decoder:
        raise UserError(
            f"base model {weights.name}: a causal language model; training needs an encoder-decoder of the T5 family"
        )

    def loaded() -> tuple[Any, Any]:
        engine = load(weights, nature, dtype="float32", device="cpu", trust_remote_code=False)
        return engine.model, engine.tokenizer

    def tokenizer() -> Any:  # noqa: ANN401 - transformers is untyped
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(weights.folder, local_files_only=True)

    return Base(weights.name, weights.digest(), loaded, tokenizer)


class R2D(Trainable):
    """A model that is trained on the task before it answers."""

    Params: ClassVar[type[BaseModel]] = R2DParams

    def __init__(self, plan: Plan, params: R2DParams, base: str) -> None:
        self._plan, self._params, self._base = plan, params, base
        self._trained: HF | None = self._checkpoint() if plan.found else None

    @classmethod
    def create(cls, name: str, params: BaseModel, *, task: Task, seed: int) -> Self:
        """Check the whole training: base, recipe, data, folder; nothing is loaded or written.

        Raises:
            UserError: the first thing that cannot work.
        """
        chosen = cast("R2DParams", params)
        overrides = {key: str(value) for key, value in (chosen.model_extra or {}).items()}
        own_seed = seed if chosen.seed is None else chosen.seed
        recipe = resolve_recipe(name, chosen.recipe, overrides)
        base = find_base(name, task, recipe, own_seed)
        plan = plan_training(task, base, recipe, seed=own_seed, checkpoints=Path(chosen.checkpoints))
        return cls(plan, chosen, name)

    @property
    def plan(self) -> Plan:
        """What is trained."""
        return self._plan

    @property
    def ready(self) -> bool:
        """Whether the checkpoint is there."""
        return self._trained is not None

    @property
    def trained_spec(self) -> ModelSpec:
        """The checkpoint's folder, as `hf` answers with it."""
        params = {"dtype": self._params.dtype, "device": self._params.device}
        base = {"base": self._base} if self._plan.recipe.lora is not None else {}
        return ModelSpec("hf", str(self._plan.folder), params | base)

    def train(self, listener: Listener, needed: Collection[Path] = ()) -> None:
        """Train, or find what was trained before."""
        train(self._plan, listener, needed=needed)
        self._trained = self._checkpoint()

    def _checkpoint(self) -> HF:
        base = self._base if self._plan.recipe.lora is not None else None
        weights = find_checkpoint(str(self._plan.folder), base)
        hf = HFParams.model_validate({"dtype": self._params.dtype, "device": self._params.device})
        return HF(weights, hf)

    @property
    def identity(self) -> Identity:
        """The base, how it was trained, and the digest of the weights; before training there is none."""
        lineage = self._plan.lineage
        params: dict[str, Json] = {
            "method": lineage.method,
            "recipe": lineage.recipe,
            "seed": lineage.seed,
            "dtype": self._params.dtype,
        }
        if self._plan.sources is not None:
            params["rationales"] = self._plan.sources
        digest = None if self._trained is None else self._trained.identity.digest
        return Identity("r2d", f"{lineage.base.name} r2d", digest, params)

    @property
    def capabilities(self) -> Capabilities:
        """As `hf` on an encoder-decoder; the protocol is the method's."""
        protocol = METHODS[self._plan.recipe.method].protocol
        return Capabilities(methods=frozenset(LabelMethod), default_protocol=protocol)

    @property
    def lineage(self) -> Lineage:
        """What it was, or will be, trained on."""
        return self._plan.lineage if self._trained is None else self._trained.lineage or self._plan.lineage

    def generate(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Answer as `hf` does."""
        return self._ready().generate(requests)

    def score(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Score as `hf` does."""
        return self._ready().score(requests)

    def close(self) -> None:
        """Give back the model's memory."""
        if self._trained is not None:
            self._trained.close()

    def _ready(self) -> HF:
        if self._trained is None:
            raise UserError(f"{self.identity.title} has not been trained yet")
        return self._trained
