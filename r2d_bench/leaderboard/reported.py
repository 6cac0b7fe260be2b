"""The contract of `reported.yaml`: figures that others published, marked as such wherever they stand.

They have no interval and take part in no test. They never share a table with runs; those on other data than a task's
own say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from r2d_bench.documents import load
from r2d_bench.errors import UserError
from r2d_bench.metrics.registry import lookup

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReportedFigure(_Part):
    """One published figure.

    Attributes:
        value: on the metric's own scale (a share, not per cent).
        spread: what stands behind ± in the source, on the same scale; what it means is told in the row's note.
    """

    value: float
    spread: float | None = Field(default=None, ge=0)


class ReportedRow(_Part):
    """One system in one publication.

    Attributes:
        task: the task beside which it stands.
        system: the system's name, as published.
        row: a model, or people.
        data: data set and split of the figures, as published.
        same_data: whether these are the very rows of the task's evaluated split.
        figures: metric → figure.
        source: where it was published; second-hand reports say so.
        note: what a reader must know.
    """

    task: str
    system: str
    row: Literal["model", "human"] = "model"
    data: str
    same_data: bool = False
    figures: dict[str, ReportedFigure] = Field(min_length=1)
    source: str
    note: str = ""

    @field_validator("figures")
    @classmethod
    def _known(cls, figures: dict[str, ReportedFigure]) -> dict[str, ReportedFigure]:
        for name, figure in figures.items():
            try:
                metric = lookup(name)
            except UserError as error:
                raise ValueError(str(error)) from None
            low, high = metric.low, metric.high
            if (low is not None and figure.value < low) or (high is not None and figure.value > high):
                raise ValueError(
                    f"{name}: {figure.value:g} lies outside {low:g} to {high:g} (give shares, not per cent)"
                )
        return figures


class Reported(_Part):
    """A whole `reported.yaml`."""

    rows: tuple[ReportedRow, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _once(self) -> Self:
        seen = set()
        for row in self.rows:
            key = (row.task, row.system, row.data)
            if key in seen:
                raise ValueError(f"'{row.system}' on '{row.data}' stands twice under task {row.task}")
            seen.add(key)
        return self


def load_reported(folder: Path) -> tuple[ReportedRow, ...]:
    """Return the reported rows of a board's folder; none where it has no `reported.yaml`.

    Raises:
        UserError: a `reported.yaml` that does not fit the schema.
    """
    path = folder / "reported.yaml"
    return load(Reported, path).rows if path.is_file() else ()
