"""The contract of `board.yaml`: which tasks and columns a leaderboard shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, field_validator

from r2d_bench import content
from r2d_bench.documents import load
from r2d_bench.errors import UserError
from r2d_bench.job import ModelJobs
from r2d_bench.leaderboard.reported import ReportedRow, load_reported
from r2d_bench.metrics.registry import lookup
from r2d_bench.tasks.spec import BertScore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLUMNS = ("macro_f1", "accuracy", "unparsed", "bertscore_f1", "bleu", "chrf")


class Board(BaseModel):
    """A whole `board.yaml`.

    Attributes:
        name: the board's name.
        title: heading of its page.
        description: the board's card: who it is for, what its figures mean.
        url: where it stands, for citations.
        tasks: names of the tasks it shows, in this order; empty: every task that runs were made on.
        columns: metrics of the tables; each task's primary metric stands in front of them.
        bertscore: the encoder that all runs of the board are scored with; None leaves it to the tasks.
        reported: what others published; stands apart from runs, and comes from `reported.yaml` beside the file.
        panel: models that `run --board` adds to one's own: baselines, zero-shot models.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    title: str
    description: str = ""
    url: str = Field(default="", pattern=r"^(https://\S+)?$")
    tasks: tuple[str, ...] = ()
    columns: tuple[str, ...] = Field(default=COLUMNS, min_length=1)
    bertscore: BertScore | None = None
    panel: ModelJobs = ()
    reported: tuple[ReportedRow, ...] = ()

    @field_validator("columns")
    @classmethod
    def _known(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        for name in columns:
            try:
                lookup(name)
            except UserError as error:
                raise ValueError(str(error)) from None
        if len(set(columns)) < len(columns):
            raise ValueError("a column stands twice")
        return columns


def load_board(name: str, dirs: Sequence[Path] = ()) -> Board:
    """Return the board called `name`, or the one in a folder.

    Args:
        name: a board's name, its folder, or its `board.yaml`.
        dirs: further folders to look for boards in.

    Raises:
        UserError: unknown board, or a `board.yaml` or `reported.yaml` that does not fit its schema.
    """
    folder = content.find("leaderboards", name, dirs)
    board = load(Board, folder / "board.yaml")
    return board.model_copy(update={"reported": (*board.reported, *load_reported(folder))})
