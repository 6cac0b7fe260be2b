"""Who is told how far a training has come."""

from __future__ import annotations

from typing import Protocol


class Listener(Protocol):
    """Is told what happens, on the first process alone; steps of a training that goes on begin where it stopped."""

    def stage(self, name: str, steps: int) -> None:
        """A stage of so many steps begins."""

    def step(self, n: int, loss: float) -> None:
        """The n-th step, from 1, is done; the loss is that of its whole batch."""

    def evaluated(self, n: int, metric: str, value: float) -> None:
        """The model after n steps has this value of the metric that the best checkpoint is chosen by."""


class Silent:
    """Tells nobody."""

    def stage(self, name: str, steps: int) -> None:
        """Say nothing."""

    def step(self, n: int, loss: float) -> None:
        """Say nothing."""

    def evaluated(self, n: int, metric: str, value: float) -> None:
        """Say nothing."""
