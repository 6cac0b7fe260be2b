"""An adapter of another package, as tests of workers need one: some words in a prompt end its process."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Self

from r2d_bench.errors import UserError
from r2d_bench.models.base import Answer, Capabilities, Identity, Model
from r2d_bench.records import Response

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pydantic import BaseModel

    from r2d_bench.records import Request
    from r2d_bench.tasks.task import Task


class Poisoned(Model):
    """Says "yes" in the process that it was asked in."""

    @classmethod
    def create(cls, name: str, params: BaseModel, *, task: Task, seed: int) -> Self:  # noqa: ARG003
        if name == "stillborn" and "driver" not in os.environ.get("POISONED_ROLE", ""):
            os.kill(os.getpid(), signal.SIGKILL)
        return cls()

    @property
    def identity(self) -> Identity:
        return Identity("poisoned", "poisoned")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(default_protocol="r2d")

    def generate(self, requests: Sequence[Request]) -> Iterator[Answer]:
        for request in requests:
            if "poison" in request.prompt:
                os.kill(os.getpid(), signal.SIGKILL)
            if "trouble" in request.prompt:
                raise UserError("the checkpoint lacks a tokenizer")
            if "crash" in request.prompt:
                _ = 1 / 0
            yield request.key, Response(f"yes {os.getpid()}")


def install(folder: Path) -> None:
    """Write the package's metadata, as an installer does."""
    info = folder / "poisoned-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: poisoned\nVersion: 1.0\n", encoding="utf-8")
    points = "[r2d_bench.adapters]\npoisoned = poisoned_adapter:Poisoned\n"
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
