"""A task on disk with train and test rows, and the pieces that tests of runs and of their verbs need around it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from r2d_bench.models.base import Answer, Capabilities, Identity, Model
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.records import LabelMethod, Response
from r2d_bench.runs.asking import Progress
from r2d_bench.runs.execute import Outcome, Sitting, execute
from r2d_bench.runs.selection import select
from r2d_bench.runs.setup import RunSetup, plan_run
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.task import Task, load_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from pydantic import BaseModel

    from r2d_bench.records import Failure, Json, Request

# Labels that YAML, CSV readers and pandas like to turn into something else.
LABELS = ("yes", "no", "None", "NA")
CARD = """\
name: small
version: {version}
title: Small
visibility: {visibility}
licence: CC0-1.0
source: {{files: {{all: rows.jsonl}}, split: "{{{{ split }}}}"}}
fields: {{id: "{{{{ id }}}}", input: "{{{{ note }}}}", gold: "{{{{ label }}}}", references: "{{{{ why }}}}"}}
label: {{space: closed, values: [yes, no, None, NA]}}
slices: {{ward: "{{{{ ward }}}}"}}
prompts: {{instruction: Decide.}}
baselines: ["baseline:majority"]
"""
Row = dict[str, str]


def row(ident: str, label: str, note: str = "", split: str = "test") -> Row:
    return {
        "id": ident,
        "split": split,
        "note": note or f"note of {ident}",
        "label": label,
        "why": f"because of {ident} it is so",
        "ward": "A" if ident.endswith("1") else "B",
    }


def rows(n: int, *, train: int = 8) -> list[Row]:
    """Return `n` test rows and `train` training rows, labels in turn."""
    test = [row(f"t{k}", LABELS[k % 4]) for k in range(n)]
    return [*test, *(row(f"f{k}", LABELS[k % 4], split="train") for k in range(train))]


def make_task(folder: Path, content: Sequence[Row], *, version: int = 1, visibility: str = "private") -> Task:
    """Write the task `small` into a folder and load it."""
    task = folder / "small"
    task.mkdir(parents=True, exist_ok=True)
    (task / "task.yaml").write_text(CARD.format(version=version, visibility=visibility), encoding="utf-8")
    (task / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in content), encoding="utf-8")
    return load_task(str(task))


class Quiet(Progress):
    def stage(self, name: str, *, total: int, stored: int) -> None:
        pass

    def advance(self, *, failed: bool) -> None:
        pass


class Counting(Model):
    """A model whose answers a function gives; it keeps every request that it was asked."""

    def __init__(
        self, answer: Callable[[Request], Response | Failure] | None = None, *, pure: bool = True, chat: bool = False
    ) -> None:
        self._answer = answer or (lambda request: Response("yes" if request.stage == "predict" else "so it is"))
        self._pure, self._chat = pure, chat
        self.asked: list[Request] = []

    @classmethod
    def create(cls, name: str, params: BaseModel, *, task: Task, seed: int) -> Self:
        raise NotImplementedError

    @property
    def identity(self) -> Identity:
        return Identity("counting", "counting")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(pure=self._pure, chat=self._chat, methods=frozenset(LabelMethod), default_protocol="r2d")

    def generate(self, requests: Sequence[Request]) -> Iterator[Answer]:
        for request in reversed(requests):  # any order is allowed
            self.asked.append(request)
            yield request.key, self._answer(request)


def said(answers: Mapping[str, str | Response | Failure]) -> Callable[[Request], Response | Failure]:
    """Answer label stages by example id; explanations are always the same words."""

    def answer(request: Request) -> Response | Failure:
        found = answers[request.example_id] if request.stage == "predict" else "so it is"
        return Response(found) if isinstance(found, str) else found

    return answer


def carry_out(
    task: Task, model: Model | str, runs: Path, *, limit: int | None = None, setup: RunSetup | None = None
) -> tuple[RunStore, Outcome]:
    """Plan and execute one run; returns its folder and what came of it."""
    if isinstance(model, str):
        model = make_model(parse_spec(model), task=task, seed=0)
        model.fit(task.splits().get("train", []), [])
    setup = setup or plan_run(task, model)
    store = RunStore(runs / setup.folder)
    outcome = execute(task, model, setup, Sitting(select(task.examples(), limit=limit)), store, Quiet())
    return store, outcome


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Json:
        return json.loads(self.out)
