"""`models.yaml`: names for models, and what is known of them beyond their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from r2d_bench.documents import load

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.training.lineage import Lineage


class ModelCard(BaseModel):
    """What is known of a model; none of it changes an output.

    Attributes:
        title: the name that a reader knows it by.
        family: which models it is kin to (`llama`; several with commas between): a judge of the same family is marked.
        parameters: how many (a number, never parsed from a name).
        licence: of the weights.
        open_weights: whether anybody can have them.
        training_data: what it was trained on, as far as it bears on the tasks.
        url: where it is described.
        note: what a reader must know, shown wherever its figures stand.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str | None = None
    family: str | None = None
    parameters: int | None = Field(default=None, gt=0)
    licence: str | None = None
    open_weights: bool | None = None
    training_data: str | None = None
    url: str | None = Field(default=None, pattern=r"^https?://")
    note: str | None = None


def card_of(lineage: Lineage) -> ModelCard:
    """Return what a checkpoint's lineage tells of it."""
    scratch = lineage.base.digest is None
    return ModelCard(
        parameters=lineage.parameters,
        training_data=lineage.training_data,
        note="A tiny model made from nothing: it shows the way, not the quality of the method." if scratch else None,
    )


class NamedModel(ModelCard):
    """An entry of `models.yaml`: a card, and the spec that the name stands for."""

    spec: str

    @property
    def card(self) -> ModelCard:
        """The entry without its spec."""
        return ModelCard(**self.model_dump(exclude={"spec"}))


class ModelsFile(BaseModel):
    """A whole `models.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: dict[str, NamedModel]


def load_models(path: Path) -> dict[str, NamedModel]:
    """Return the models of a file by name.

    Raises:
        UserError: an absent or broken file.
    """
    return load(ModelsFile, path).models
