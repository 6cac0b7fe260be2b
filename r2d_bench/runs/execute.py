"""Asking a model: stage by stage, each answer stored as soon as it exists.

A stage's requests are a finite list, with a barrier between stages. What is stored already is never asked again;
identical requests are asked once.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from r2d_bench.records import Failure, LabelMethod, Request, Response
from r2d_bench.runs.predictions import Reader
from r2d_bench.runs.provenance import hardware, now, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from r2d_bench.models.base import Answer, Model
    from r2d_bench.records import Example
    from r2d_bench.runs.selection import Selection
    from r2d_bench.runs.setup import RunSetup
    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.task import Task


class Progress(Protocol):
    """Who is told how far a run has come."""

    def stage(self, name: str, *, total: int, stored: int) -> None:
        """A stage begins: `total` requests, of which `stored` are answered already."""

    def advance(self, *, failed: bool) -> None:
        """One request was answered, or failed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sitting did.

    Attributes:
        answered: requests that were answered now.
        failures: reason → requests that failed now.
        incomplete: examples that still lack an answer.
        seconds: how long it took.
    """

    answered: int
    failures: Counter[str]
    incomplete: int
    seconds: float


def execute(
    task: Task,
    model: Model,
    setup: RunSetup,
    selection: Selection,
    store: RunStore,
    progress: Progress,
    *,
    note: str | None = None,
) -> Outcome:
    """Bring the run to completion for a selection, going on where it stopped; `note` is kept with the sitting.

    Raises:
        UserError: the folder is held by another process, or cannot be written.
    """
    chosen = set(selection.ids)
    examples = [example for example in task.examples(setup.split) if example.id in chosen]
    started = time.monotonic()
    with store.locked():
        store.create(setup)
        sitting = {
            "started": now(),
            "finished": None,
            "selection": selection.as_json() | {"ids": list(selection.ids)},
            "data": {"source": task.provenance.kind, "commit": task.provenance.commit},
            "versions": versions(),
            "note": note,
        }
        store.add_sitting(sitting)
        answered, failures, incomplete = _ask_all(task, model, setup, examples, store, progress)
        seconds = round(time.monotonic() - started, 3)
        failed = failures.total()
        store.update_sitting(finished=now(), seconds=seconds, answered=answered, failed=failed, hardware=hardware())
    return Outcome(answered, failures, incomplete, seconds)


def _ask_all(
    task: Task,
    model: Model,
    setup: RunSetup,
    examples: Sequence[Example],
    store: RunStore,
    progress: Progress,
) -> tuple[int, Counter[str], int]:
    """Ask every stage; return the answered requests, the failed ones by reason, and the incomplete examples."""
    responses = store.responses()
    reader = Reader(task, setup)
    answered, failures = 0, Counter[str]()
    with store.writer() as write:
        for stage in setup.stages:
            requests = [r for e in examples if (r := reader.request(stage.name, e, responses)) is not None]
            waiting = [request for request in requests if request.key not in responses]
            progress.stage(stage.name, total=len(requests), stored=len(requests) - len(waiting))
            for request, said in _answers(model, waiting):
                answer = _encodable(said)
                write(request, answer)
                if isinstance(answer, Response):
                    responses[request.key] = answer
                    answered += 1
                else:
                    failures[answer.reason] += 1
                progress.advance(failed=isinstance(answer, Failure))
    incomplete = sum(reader.prediction(example, responses).unscored is not None for example in examples)
    return answered, failures, incomplete


def _answers(model: Model, requests: Sequence[Request]) -> Iterator[tuple[Request, Response | Failure]]:
    """Yield every request with what came of it; requests with equal content are asked once where that is sound."""
    if not requests:
        return
    pure = model.capabilities.pure
    same: dict[str, list[Request]] = {}
    for request in requests:
        same.setdefault(request.content if pure else request.key, []).append(request)
    asked = {twins[0].key: twins for twins in same.values()}
    scored = requests[0].method is LabelMethod.SCORED
    ask: Callable[[Sequence[Request]], Iterator[Answer]] = model.score if scored else model.generate
    with closing(_closable(ask([twins[0] for twins in asked.values()]))) as answers:
        for key, answer in answers:
            for request in asked.pop(key):
                yield request, answer
    for twins in asked.values():
        for request in twins:
            yield request, Failure("no answer", "the model ended without one")


def _encodable(answer: Response | Failure) -> Response | Failure:
    """Lone surrogates have no UTF-8 form: later stages must see the text that will be read back from the file."""
    if isinstance(answer, Failure):
        return answer
    text = answer.text.encode("utf-8", "replace").decode()
    return answer if text == answer.text else replace(answer, text=text)


def _closable(answers: Iterator[Answer]) -> Generator[Answer, None, None]:
    """Return a generator over any iterator, so that closing it ends what is in flight."""
    yield from answers
