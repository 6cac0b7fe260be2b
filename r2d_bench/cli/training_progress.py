"""How far a training has come, on standard error: a bar with loss, rate and time left, or plain lines."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from r2d_bench.training.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress, TaskID

    from r2d_bench.training.planning import Plan


def training_line(number: int, of: int, plan: Plan) -> str:
    """Return what is trained, in one line."""
    lineage = plan.lineage
    sources = f", rationales {plan.sources}" if plan.sources else ""
    return (
        f"training [{number}/{of}] {lineage.task} · {lineage.base.name} · {lineage.method}{sources},"
        f" seed {lineage.seed}: {plan.folder}"
    )


@contextmanager
def bars() -> Iterator[Progress]:
    """Give the bars of a terminal: what, how far, rate, time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    # Standard error as it is now: while an encoder loads beside the asking, the name means nowhere.
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        yield progress


@contextmanager
def training_listener(write: Callable[[str], None]) -> Iterator[Callable[[int, int, Plan], Listener]]:
    """Give a function that tells of a training's beginning, and returns the listener that fits standard error."""
    if not sys.stderr.isatty():

        def lines(number: int, of: int, plan: Plan) -> Listener:
            write(training_line(number, of, plan))
            return TrainingLines(write)

        yield lines
        return
    with bars() as progress:

        def bar(number: int, of: int, plan: Plan) -> Listener:
            progress.console.print(training_line(number, of, plan), markup=False, highlight=False)
            return TrainingBars(progress)

        yield bar


class _Pace:
    """Counts the steps of a stage; one that goes on begins where it stopped."""

    def __init__(self, steps: int) -> None:
        self.steps, self.done, self.loss = steps, 0, 0.0
        self._first: int | None = None
        self._started = time.monotonic()

    def step(self, n: int, loss: float) -> None:
        """Count one step."""
        if self._first is None:
            self._first = n - 1
        self.done, self.loss = n, loss

    def rate(self) -> float:
        """Steps a second."""
        return (self.done - (self._first or 0)) / max(time.monotonic() - self._started, 1e-9)

    def left(self) -> float:
        """Seconds to go at that rate, unless it stops early."""
        return (self.steps - self.done) / max(self.rate(), 1e-9)


class TrainingLines(Listener):
    """Plain lines: one when a stage begins, at each tenth (at most one a second), and at each evaluation."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._name, self._pace, self._told = "", _Pace(0), (0, 0.0)

    def stage(self, name: str, steps: int) -> None:
        self._name, self._pace, self._told = name, _Pace(steps), (0, time.monotonic())
        self._write(f"  {name}: at most {steps} steps")

    def step(self, n: int, loss: float) -> None:
        pace = self._pace
        pace.step(n, loss)
        tenth, told = 10 * n // max(pace.steps, 1), self._told
        if tenth > told[0] and time.monotonic() - told[1] >= 1.0:
            self._told = (tenth, time.monotonic())
            self._write(
                f"  {self._name}: step {n}/{pace.steps}, loss {loss:.4f}, {pace.rate():.1f}/s, {pace.left():.0f} s left"
            )

    def evaluated(self, n: int, metric: str, value: float) -> None:
        self._write(f"  {self._name}: step {n}, validation {metric} {value:.4f}")


class TrainingBars(Listener):
    """A bar per stage; the newest evaluation stands in it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._name, self._pace, self._figure = "", _Pace(0), ""
        self._task: TaskID | None = None

    def stage(self, name: str, steps: int) -> None:
        self._name, self._pace, self._figure = name, _Pace(steps), ""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(f"  train {name}", total=steps, rate="")

    def step(self, n: int, loss: float) -> None:
        self._pace.step(n, loss)
        self._show()
        if n == self._pace.steps and self._task is not None:
            self._progress.stop_task(self._task)

    def evaluated(self, n: int, metric: str, value: float) -> None:  # noqa: ARG002
        self._figure = f", {metric} {value:.3f}"
        self._show()

    def _show(self) -> None:
        if self._task is not None:
            rate = f"{self._pace.rate():.1f}/s, loss {self._pace.loss:.3f}{self._figure}"
            self._progress.update(self._task, completed=self._pace.done, rate=rate)
