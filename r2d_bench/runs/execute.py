"""A sitting on a run: stage by stage, a finite list of requests each, with a barrier between stages."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from r2d_bench.runs.asking import Asker
from r2d_bench.runs.budget import Budget
from r2d_bench.runs.predictions import Reader
from r2d_bench.machine import hardware, versions
from r2d_bench.runs.selection import asked_examples
from r2d_bench.tasks.privacy import check_endpoint
from r2d_bench.tasks.task import rows_digest

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from r2d_bench.models.base import Model
    from r2d_bench.records import Example, Json
    from r2d_bench.runs.asking import Progress, Write
    from r2d_bench.runs.selection import Selection
    from r2d_bench.runs.setup import RunSetup
    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.task import Task

PART = 20_000  # examples whose requests are held at a time: memory is that of the answers, not of all prompts


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
        executor: what the requests were spread by, and over how many workers; None for this process alone.
    """

    selection: Selection
    probes: Sequence[str] = ()
    challenges: Sequence[str] = ()
    budget: Budget = field(default_factory=Budget)
    card: Mapping[str, Json] = field(default_factory=dict)
    lineage: Mapping[str, Json] | None = None
    executor: Mapping[str, Json] | None = None


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
        asker = Asker(model, store.responses(), sitting.budget, progress)
        with (
            store.sitting(
                {
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
                "executor": sitting.executor,
                },
                lambda: {"hardware": hardware() | model.ran_on(), **asker.spent()},
            ),
            store.writer() as write,
        ):
            incomplete = _Asking(task, setup, sitting, asker).ask_all(write)
    stopped = sitting.budget.met() if incomplete else None
    seconds = round(time.monotonic() - started, 3)
    return Outcome(asker.answered, asker.failures, len(incomplete), seconds, stopped)


class _Asking:
    """The stages of one sitting, one after the other."""

    def __init__(self, task: Task, setup: RunSetup, sitting: Sitting, asker: Asker) -> None:
        self._examples = asked_examples(task, setup.split, sitting.selection, sitting.challenges)
        self._stages = {stage.name: self._examples for stage in setup.stages}
        evaluated = [example for example in self._examples if example.split == setup.split]
        self._stages |= {probe.name: evaluated for probe in setup.probes if probe.name in sitting.probes}
        self._reader = Reader(task, setup, sitting.probes)
        self._asker = asker

    def ask_all(self, write: Write) -> set[str]:
        """Ask every stage, a barrier between them; returns the examples that still lack an answer."""
        incomplete: set[str] = set()
        for name, examples in self._stages.items():
            parts = [examples[start : start + PART] for start in range(0, len(examples), PART)]
            for number, part in enumerate(parts, 1):
                title = name if len(parts) == 1 else f"{name}, part {number} of {len(parts)}"
                incomplete |= self._ask(name, title, part, write)
        return incomplete

    def _ask(self, name: str, title: str, examples: Sequence[Example], write: Write) -> set[str]:
        """Ask one stage about some examples; returns those that still lack an answer."""
        incomplete: set[str] = set()
        responses = self._asker.responses
        requests = []
        for example in examples:
            request = self._reader.request(name, example, responses)
            if request is not None:
                requests.append(request)
            elif self._reader.waits(name, example):
                incomplete.add(example.id)
        self._asker.ask(title, requests, write)
        return incomplete | {request.example_id for request in requests if request.key not in responses}
