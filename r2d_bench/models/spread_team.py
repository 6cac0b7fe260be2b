"""The workers of one model: who has which chunk, what they say, and what becomes of a chunk whose worker has died."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from r2d_bench.errors import UserError
from r2d_bench.machine import versions
from r2d_bench.models.spread_worker import PACKAGES, Here, Ready, Refused, Said, Worker
from r2d_bench.records import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from r2d_bench.models.base import Answer
    from r2d_bench.models.spread_chunks import Chunk
    from r2d_bench.models.spread_cluster import Cluster
    from r2d_bench.models.spread_worker import Made
    from r2d_bench.tasks.task import Task

DIED = "worker died"
IN_VAIN = 3  # deaths without an answer in between, for each worker, before no more are hired in a stage
ROOM_SECONDS = 600.0  # a cluster may have to add a machine first
TOLD_SECONDS = 10.0  # of waiting, before somebody is told


@dataclass(slots=True)
class _Hand:
    """A worker as the driver sees it.

    Attributes:
        actor: Ray's handle.
        doing: Ray's reference to what it does now.
        machine: where its process is; None while it waits for room.
        ready: it has made its model.
        chunk: what it works on.
    """

    actor: Any
    doing: Any
    machine: str | None = None
    ready: bool = False
    chunk: Chunk | None = None


class Team:
    """Workers with the same model. A worker that dies is replaced, as long as somebody answers in between.

    Args:
        cluster: where they work.
        made: how they make the model.
        task: what it is asked about; sent with its rows, so that workers need no files of it.
        digest: of the model's identity, which workers elsewhere must find too; None where it has none.
    """

    def __init__(self, cluster: Cluster, made: Made, task: Task, digest: str | None) -> None:
        import ray

        self._cluster, self._made, self._digest = cluster, made, digest
        self._task = ray.put(task)
        self._in_vain = 0
        self._proven = False  # somebody has made the model: an error of another one is its machine's
        self._why = ""  # of the last death or refusal
        self._hands: list[_Hand] = []

    def work(self, chunks: Iterator[Chunk] | list[Chunk], *, scored: bool) -> Iterator[Answer]:
        """Yield the answers of all chunks as they come; what kills its workers again and again is a failure.

        Raises:
            UserError: what a worker says to people; or no worker could be started.
        """
        self._muster()
        waiting = deque(chunks)
        while waiting or any(hand.chunk for hand in self._hands):
            if not self._hands:
                if not self._proven:
                    raise UserError(f"--executor ray: no worker could start ({self._why})")
                for chunk in waiting:
                    yield from _failed(chunk, f"all workers died ({self._why})")
                return
            self._hand_out(waiting, scored=scored)
            yield from self._hear(self._next(), waiting)

    def close(self) -> None:
        """End the workers."""
        import ray

        for hand in self._hands:
            ray.kill(hand.actor)
        self._hands = []

    def _muster(self) -> None:
        """Have all workers there, and free. Who died while nobody asked is replaced, which is no chunk's fault."""
        import ray

        for hand in self._hands:
            hand.chunk = None  # whoever did not read to the end wants no more of it
        pinged = [(hand, hand.actor.arrive.remote()) for hand in self._hands if hand.ready]
        for hand, ping in pinged:
            try:
                ray.get(ping)
            except ray.exceptions.RayError as error:
                self._why = _cause(error)
                self._hands.remove(hand)
        self._in_vain = 0
        self._hands += [self._hire() for _ in range(self._cluster.workers - len(self._hands))]

    def _hire(self) -> _Hand:
        actor = self._cluster.hire(Worker)
        return _Hand(actor, actor.arrive.remote())

    def _hand_out(self, waiting: deque[Chunk], *, scored: bool) -> None:
        for hand in self._hands:
            if waiting and hand.ready and hand.chunk is None:
                hand.chunk = waiting.popleft()
                hand.doing = hand.actor.begin.remote(list(hand.chunk.open.values()), scored=scored)

    def _next(self) -> _Hand:
        """Wait until a worker has something to say; as long as it takes, once one of them has found room.

        Raises:
            UserError: there was no room for any.
        """
        import ray

        busy = {hand.doing: hand for hand in self._hands if hand.chunk or not hand.ready}
        begun, told = time.monotonic(), any(hand.machine for hand in self._hands)
        while True:
            done, _ = ray.wait(list(busy), num_returns=1, timeout=None if told else TOLD_SECONDS)
            if done:
                return busy[done[0]]
            shares = self._cluster.as_json().items()
            needs = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shares if name != "name")
            if time.monotonic() - begun >= ROOM_SECONDS:
                raise UserError(f"--executor ray: no room for a worker within {ROOM_SECONDS:.0f} seconds ({needs})")
            if time.monotonic() - begun < 2 * TOLD_SECONDS:
                logging.getLogger(__name__).warning("waiting for room on the cluster (%s)", needs)

    def _hear(self, hand: _Hand, waiting: deque[Chunk]) -> Iterator[Answer]:
        import ray

        try:
            said = ray.get(hand.doing)
        except ray.exceptions.RayTaskError as error:  # an error in the adapter; its message holds a whole traceback
            raise error.cause from error
        except ray.exceptions.RayError as error:
            yield from self._bury(hand, error, waiting)
            return
        if isinstance(said, Here):
            hand.machine = said.machine
            hand.doing = hand.actor.start.remote(self._made, self._task)
        elif isinstance(said, Ready):
            if (why := self._differs(said)) is None:
                hand.ready = self._proven = True
            else:
                self._dismiss(hand, why)
        elif isinstance(said, Refused):
            if hand.ready:
                raise UserError(said.message)
            self._dismiss(hand, said.message)
        else:
            yield from self._take(hand, said)

    def _take(self, hand: _Hand, said: Said) -> Iterator[Answer]:
        """Pass on answers, after the worker has been told to go on."""
        chunk = hand.chunk
        assert chunk is not None  # noqa: S101 - only workers with a chunk are listened to
        if said.done:
            hand.chunk = None
        else:
            hand.doing = hand.actor.more.remote()
        if said.answers:
            self._in_vain = 0
        for key, answer in said.answers:
            del chunk.open[key]
            yield key, answer

    def _bury(self, hand: _Hand, error: Exception, waiting: deque[Chunk]) -> Iterator[Answer]:
        """Replace a worker that died; its chunk goes to the others in parts, behind everything else."""
        self._hands.remove(hand)
        self._in_vain += 1
        self._why = _cause(error)
        if self._in_vain < IN_VAIN * self._cluster.workers:
            self._hands.append(self._hire())
        for part in hand.chunk.after_death() if hand.chunk else ():
            if part.given_up:
                yield from _failed(part, f"{part.deaths} workers died over this request ({self._why})")
            else:
                waiting.append(part)

    def _differs(self, ready: Ready) -> str | None:
        """Return why a worker would answer otherwise than this machine; None if it would not."""
        if not self._made.check:
            return None
        if ready.digest != self._digest:
            return f"{self._made.spec}: other weights on a worker's machine than on this one"
        here = versions(PACKAGES)
        for package, there in ready.versions.items():
            if here.get(package, there) != there:
                return f"--executor ray: {package} is {there} on a worker's machine, {here[package]} here"
        return None

    def _dismiss(self, hand: _Hand, why: str) -> None:
        """Go on without a worker whose machine does not serve, as long as others do.

        Raises:
            UserError: it is the first of all: the fault may lie with the command.
        """
        import ray

        if not self._proven:
            raise UserError(why)
        logging.getLogger(__name__).warning("a worker on %s is not used: %s", hand.machine, why)
        self._why = why
        self._hands.remove(hand)
        ray.kill(hand.actor)


def _failed(chunk: Chunk, why: str) -> Iterator[Answer]:
    return ((key, Failure(DIED, why)) for key in chunk.open)


def _cause(error: Exception) -> str:
    """Return in words why a worker died; Ray's own message holds addresses, and always speaks of memory too."""
    import ray

    if isinstance(error, ray.exceptions.OutOfMemoryError) or "RAY_memory_usage_threshold" in str(error):
        return "out of memory"
    if "ModuleNotFoundError" in str(error) or "ImportError" in str(error):  # the machine lacks r2d-bench
        return next(line.strip() for line in reversed(str(error).splitlines()) if "Error" in line)
    return "process ended"
