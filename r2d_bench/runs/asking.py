"""Asking a model a list of requests, each answer stored as soon as it exists.

What is stored already is never asked again; identical requests are asked once where that is sound.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from r2d_bench.records import Failure, LabelMethod, Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from r2d_bench.models.base import Answer, Model
    from r2d_bench.records import Json
    from r2d_bench.runs.budget import Budget

    Write = Callable[[Request, Response | Failure], None]


class Progress(Protocol):
    """Who is told how far the asking has come."""

    def stage(self, name: str, *, total: int, stored: int) -> None:
        """A stage begins: `total` requests, of which `stored` are answered already."""

    def advance(self, *, failed: bool) -> None:
        """One request was answered, or failed."""


class Asker:
    """One sitting under way: what it has got, lost and spent.

    Attributes:
        responses: every stored answer by request key; grows while asking.
        answered: requests that were answered now.
        failures: reason → requests that failed now.

    Args:
        model: who is asked.
        responses: what is stored already.
        budget: what may be spent.
        progress: who is told.
    """

    def __init__(self, model: Model, responses: dict[str, Response], budget: Budget, progress: Progress) -> None:
        self._model = model
        self._budget = budget
        self._progress = progress
        self._tokens: Counter[str] = Counter()
        self._cost = 0.0
        self.responses = responses
        self.answered = 0
        self.failures: Counter[str] = Counter()

    def ask(self, stage: str, requests: Sequence[Request], write: Write) -> None:
        """Ask what is not stored yet, until all is answered or a limit of the budget is met.

        Args:
            stage: the stage's name, for the progress.
            requests: what is wanted; all of one label method.
            write: stores one answer or failed attempt.
        """
        waiting = [request for request in requests if request.key not in self.responses]
        self._progress.stage(stage, total=len(requests), stored=len(requests) - len(waiting))
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
            self.responses[request.key] = answer
            self.answered += 1

    def _pay(self, answer: Response | Failure) -> None:
        """Count what was sent: once, however many requests it answers."""
        self._budget.add(answer)
        if isinstance(answer, Response):
            self._tokens.update(input=answer.input_tokens or 0, output=answer.output_tokens or 0)
            self._cost += answer.cost or 0.0

    def spent(self) -> dict[str, Json]:
        """Return what the sitting did and spent; the cost in US dollars, as far as prices are known."""
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
