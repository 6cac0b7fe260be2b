"""Asking a model: stage by stage, each answer stored as soon as it exists.

A stage's requests are a finite list, with a barrier between stages. What is stored already is never asked again;
identical requests are asked once.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from r2d_bench.records import Failure, LabelMethod, Request, Response
from r2d_bench.runs.budget import Budget
from r2d_bench.runs.predictions import Reader
from r2d_bench.runs.provenance import hardware, now, versions
from r2d_bench.runs.selection import asked_examples
from r2d_bench.tasks.privacy import check_endpoint
from r2d_bench.tasks.task import rows_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from r2d_bench.models.base import Answer, Model
    from r2d_bench.records import Json
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
        stopped: the limit of the budget that ended it early, in words.
    """

    answered: int
    failures: Counter[str]
    incomplete: int
    seconds: float
    stopped: str | None = None


@dataclass(frozen=True)
class Sitting:
    """What one call of `execute` asks, beyond what the run is.

    Attributes:
        selection: the examples.
        probes: names of the probes that are asked too.
        challenges: names of the challenge sets that are asked too, each whole.
        budget: what may be spent; shared by the runs of a job.
        card: what is known of the model (kept with the sitting, shown on pages).
        lineage: what the model's weights were trained on, where it tells (kept likewise).
    """

    selection: Selection
    probes: Sequence[str] = ()
    challenges: Sequence[str] = ()
    budget: Budget = field(default_factory=Budget)
    card: Mapping[str, Json] = field(default_factory=dict)
    lineage: Mapping[str, Json] | None = None


def execute(
    task: Task, model: Model, setup: RunSetup, sitting: Sitting, store: RunStore, progress: Progress
) -> Outcome:
    """Bring the run to completion for a selection, going on where it stopped.

    Raises:
        UserError: the folder is held by another process, or cannot be written; or the model's endpoint may not see
            the task.
    """
    check_endpoint(task.spec, model.capabilities.endpoint, model.identity.title)
    selection = sitting.selection
    started = time.monotonic()
    with store.locked():
        store.create(setup)
        store.add_sitting(
            {
                "started": now(),
                "finished": None,
                "selection": selection.as_json() | {"ids": list(selection.ids)},
                "data": {
                    "source": task.provenance.kind,
                    "commit": task.provenance.commit,
                    "notes": list(task.provenance.notes),
                },
                "versions": versions(),
                "probes": list(sitting.probes),
                "challenges": {name: rows_digest(task.challenge(name)) for name in sitting.challenges},
                "rationale_style": task.style,
                "card": dict(sitting.card),
                "lineage": sitting.lineage,
            }
        )
        asking = _Asking(task, model, setup, sitting, store.responses(), progress)
        with store.writer() as write:
            asking.ask_all(write)
        seconds = round(time.monotonic() - started, 3)
        store.update_sitting(finished=now(), seconds=seconds, hardware=hardware(), **asking.spent())
    stopped = sitting.budget.met() if asking.incomplete else None
    return Outcome(asking.answered, asking.failures, len(asking.incomplete), seconds, stopped)


class _Asking:
    """One sitting under way: what it has got, lost and spent."""

    def __init__(
        self,
        task: Task,
        model: Model,
        setup: RunSetup,
        sitting: Sitting,
        responses: dict[str, Response],
        progress: Progress,
    ) -> None:
        self._examples = asked_examples(task, setup.split, sitting.selection, sitting.challenges)
        self._model = model
        self._stages = {stage.name: self._examples for stage in setup.stages}
        evaluated = [example for example in self._examples if example.split == setup.split]
        self._stages |= {probe.name: evaluated for probe in setup.probes if probe.name in sitting.probes}
        self._reader = Reader(task, setup, sitting.probes)
        self._budget = sitting.budget
        self._responses = responses
        self._progress = progress
        self._tokens: Counter[str] = Counter()
        self._cost = 0.0
        self.answered = 0
        self.failures: Counter[str] = Counter()
        self.incomplete: set[str] = set()

    def ask_all(self, write: Callable[[Request, Response | Failure], None]) -> None:
        """Ask every stage, a barrier between them; examples that lack an answer are left in `incomplete`."""
        for name, examples in self._stages.items():
            requests = []
            for example in examples:
                request = self._reader.request(name, example, self._responses)
                if request is not None:
                    requests.append(request)
                elif self._reader.waits(name, example):
                    self.incomplete.add(example.id)
            self._ask(name, requests, write)
            self.incomplete |= {request.example_id for request in requests if request.key not in self._responses}

    def _ask(
        self, name: str, requests: Sequence[Request], write: Callable[[Request, Response | Failure], None]
    ) -> None:
        waiting = [request for request in requests if request.key not in self._responses]
        self._progress.stage(name, total=len(requests), stored=len(requests) - len(waiting))
        if self._budget.met():
            return
        with closing(_answers(self._model, waiting[: self._budget.left()])) as answers:
            for twins, said in answers:
                answer = _encodable(said)
                for request in twins:
                    write(request, answer)
                    self._note(request, answer)
                self._pay(answer)
                if self._budget.met():
                    return

    def _note(self, request: Request, answer: Response | Failure) -> None:
        self._progress.advance(failed=isinstance(answer, Failure))
        if isinstance(answer, Failure):
            self.failures[answer.reason] += 1
        else:
            self._responses[request.key] = answer
            self.answered += 1

    def _pay(self, answer: Response | Failure) -> None:
        """Count what was sent: once, however many requests it answers."""
        self._budget.add(answer)
        if isinstance(answer, Response):
            self._tokens.update(input=answer.input_tokens or 0, output=answer.output_tokens or 0)
            self._cost += answer.cost or 0.0

    def spent(self) -> dict[str, Json]:
        """Return what the sitting did and spent, for `run.json`. The cost is in US dollars, where prices are known."""
        return {
            "answered": self.answered,
            "failed": self.failures.total(),
            "tokens": dict(self._tokens),
            "cost": round(self._cost, 6),
        }


def _answers(
    model: Model, requests: Sequence[Request]
) -> Generator[tuple[list[Request], Response | Failure], None, None]:
    """Yield requests of equal content with what came of them; they are asked once where that is sound."""
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
            yield asked.pop(key), answer
    for twins in asked.values():
        yield twins, Failure("no answer", "the model ended without one")


def _encodable(answer: Response | Failure) -> Response | Failure:
    """Lone surrogates have no UTF-8 form: later stages must see the text that will be read back from the file."""
    if isinstance(answer, Failure):
        return answer
    text = answer.text.encode("utf-8", "replace").decode()
    return answer if text == answer.text else replace(answer, text=text)


def _closable(answers: Iterator[Answer]) -> Generator[Answer, None, None]:
    """Return a generator over any iterator, so that closing it ends what is in flight."""
    yield from answers
