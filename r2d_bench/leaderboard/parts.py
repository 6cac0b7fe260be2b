"""The parts of `results.json` that tables and judges share; see `document`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from r2d_bench.records import Json


class Frozen(BaseModel):
    """A part of the document: no further keys, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MetricInfo(Frozen):
    """The meaning of one figure; see `metrics.base.Metric`."""

    name: str
    title: str
    about: str
    direction: str
    low: float | None
    high: float | None
    percent: bool
    decimals: int
    preset: str
    help: str


class Figure(Frozen):
    """An `Estimate` with every key present; without a value, `reason` says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    unscored: int = 0
    method: str | None = None
    level: float = 0.95
    reason: str | None = None
    warnings: tuple[str, ...] = ()


class ModelInfo(Frozen):
    """Who answered; see `models.base.Identity`."""

    kind: str
    name: str
    title: str
    digest: str | None
    params: dict[str, Json]
    row: Literal["model", "human"]


class Stamp(Frozen):
    """Which part of the split was scored; `digest` of the ids is None where ids are private."""

    how: str
    n: int
    of: int
    partial: bool
    digest: str | None
