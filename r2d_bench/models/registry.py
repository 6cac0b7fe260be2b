"""Model specs (`kind:name,key=value`) and the adapters they name; adapters are imported when they are used."""

from __future__ import annotations

import importlib
import types
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from r2d_bench.documents import check
from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.models.base import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from r2d_bench.tasks.task import Task

ADAPTERS: Mapping[str, str] = {
    "hf": "r2d_bench.models.hf:HF",
    "baseline": "r2d_bench.models.baseline:Baseline",
    "replay": "r2d_bench.models.replay:Replay",
    "mock": "r2d_bench.models.mock:Mock",
    "api": "r2d_bench.models.api:API",
    "r2d": "r2d_bench.models.r2d:R2D",
    "vllm": "r2d_bench.models.vllm:VLLM",
    "ct2": "r2d_bench.models.ct2:CT2",
}


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model as the user names it: adapter, name, parameters."""

    kind: str
    name: str
    params: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return ",".join([f"{self.kind}:{self.name}", *(f"{k}={v}" for k, v in self.params.items())])


def known_adapters() -> dict[str, str]:
    """Return the adapters by kind, those of other packages (entry points `r2d_bench.adapters`) included."""
    return {point.name: point.value for point in entry_points(group="r2d_bench.adapters")} | dict(ADAPTERS)


def parse_spec(text: str) -> ModelSpec:
    """Read `kind:name[,key=value…]`.

    Raises:
        UserError: no kind, an unknown kind, or a parameter without `=` or doubled.
    """
    kind, colon, rest = text.partition(":")
    if not colon or not rest:
        raise UserError(f"model '{text}': should be KIND:NAME, such as hf:./my-t5 or baseline:majority")
    adapters = known_adapters()
    if kind not in adapters:
        raise UserError(f"model '{text}': unknown kind '{kind}'{did_you_mean(kind, adapters)}")
    name, *pairs = rest.split(",")
    params: dict[str, str] = {}
    # Parameters are not repeated in messages: somebody may have typed a key there.
    for number, pair in enumerate(pairs, 1):
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UserError(f"model '{kind}:{name}': parameter {number} should be key=value")
        if key.strip() in params:
            raise UserError(f"model '{kind}:{name}': parameter '{key.strip()}' stands twice")
        params[key.strip()] = value.strip()
    return ModelSpec(kind, name, params)


def adapter(kind: str) -> type[Model]:
    """Return the class of an adapter."""
    module, _, name = known_adapters()[kind].partition(":")
    found = getattr(importlib.import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise UserError(f"adapter {kind}: {module}:{name} is no Model")
    return found


def make_model(
    spec: ModelSpec, *, task: Task, seed: int, usual: Mapping[str, str] = types.MappingProxyType({})
) -> Model:
    """Return the model of a spec for a task, not yet fitted, no weights loaded.

    Args:
        spec: kind, name, parameters.
        task: what it is asked about.
        seed: of whatever it draws.
        usual: parameters that hold where the adapter has them and the spec does not say otherwise.

    Raises:
        UserError: unknown parameter, or whatever the adapter finds wrong with the name.
    """
    chosen = adapter(spec.kind)
    taken = {key: value for key, value in usual.items() if key in chosen.Params.model_fields}
    params = check(chosen.Params, taken | dict(spec.params), f"model '{spec.kind}:{spec.name}'")
    return chosen.create(spec.name, params, task=task, seed=seed)
