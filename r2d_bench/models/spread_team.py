"""The workers of one model: who has which chunk, what they say, and what becomes of a chunk whose worker has died."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from r2d_bench.errors import UserError
from r2d_bench.models.spread_worker import Ready, Refused, Said, Worker, versions
from r2d_bench.records import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from r2d_bench.models.base import Answer
    from r2d_bench.models.spread_chunks import Chunk
    from r2d_bench.models.spread_cluster import Cluster
    from r2d_bench.models.spread_worker import Made
    from r2d_bench.tasks.task import Task

DIED = "worker died"
IN_VAIN = 3  # deaths without an answer in between, for each worker, before no more are hired
START_SECONDS = 600.0  # a cluster may have to add a machine first


@dataclass(slots=True)
class _Hand:
    """A worker as the driver sees it.

    Attributes:
        actor: Ray's handle.
        doing: Ray's reference to what it does now.
        ready: it has made its model.
        chunk: what it works on.
    """

    actor: Any
    doing: Any
    ready: bool = False
    chunk: Chunk | None = None


class Team:
    """Workers with the same model. A worker that dies is replaced, as long as somebody answers in between.

    Args:
        cluster: where they work.
        made: how they make the model.
        task: what it is asked about; sent with its rows, so that workers need no files of it.
        digest: of the model's identity, which workers elsewhere must find too; None where it is not compared.
    """

    def __init__(self, cluster: Cluster, made: Made, task: Task, digest: str | None) -> None:
        import ray

        self._cluster, self._made, self._digest = cluster, made, digest
        self._task = ray.put(task)
        self._in_vain = 0
        self._hands = [self._hire() for _ in range(cluster.workers)]

    def work(self, chunks: Iterator[Chunk] | list[Chunk], *, scored: bool) -> Iterator[Answer]:
        """Yield the answers of all chunks as they come; what kills its workers again and again is a failure.

        Raises:
            UserError: what a worker says to people; or no worker could be started.
        """
        for hand in self._hands:
            hand.chunk = None  # whoever did not read to the end wants no more of it
        waiting = deque(chunks)
        while waiting or any(hand.chunk for hand in self._hands):
            if not self._hands:
                for chunk in waiting:
                    yield from _failed(chunk, "all workers died")
                return
            self._hand_out(waiting, scored=scored)
            yield from self._hear(self._next(), waiting)

    def close(self) -> None:
        """End the workers."""
        import ray

        for hand in self._hands:
            ray.kill(hand.actor)
        self._hands = []

    def _hire(self) -> _Hand:
        actor = self._cluster.hire(Worker)
        return _Hand(actor, actor.start.remote(self._made, self._task))

    def _hand_out(self, waiting: deque[Chunk], *, scored: bool) -> None:
        for hand in self._hands:
            if waiting and hand.ready and hand.chunk is None:
                hand.chunk = waiting.popleft()
                hand.doing = hand.actor.begin.remote(list(hand.chunk.open.values()), scored=scored)

    def _next(self) -> _Hand:
        """Wait until a worker has something to say."""
        import ray

        busy = {hand.doing: hand for hand in self._hands if hand.chunk or not hand.ready}
        patience = None if any(hand.ready for hand in self._hands) else START_SECONDS
        done, _ = ray.wait(list(busy), num_returns=1, timeout=patience)
        if not done:
            needs = ", ".join(f"{name} {value}" for name, value in self._cluster.as_json().items())
            raise UserError(f"--executor ray: no worker could start within {START_SECONDS:.0f} seconds ({needs})")
        return busy[done[0]]

    def _hear(self, hand: _Hand, waiting: deque[Chunk]) -> Iterator[Answer]:
        import ray

        try:
            said = ray.get(hand.doing)
        except ray.exceptions.RayTaskError:  # an error in the adapter, with its traceback
            raise
        except ray.exceptions.RayError as error:
            yield from self._bury(hand, error, waiting)
            return
        if isinstance(said, Refused):
            raise UserError(said.message)
        if isinstance(said, Ready):
            self._check(said)
            hand.ready = True
            return
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
        if self._in_vain < IN_VAIN * self._cluster.workers:
            self._hands.append(self._hire())
        for part in hand.chunk.after_death() if hand.chunk else ():
            if part.given_up:
                yield from _failed(part, f"{part.deaths} workers died over this request ({_cause(error)})")
            else:
                waiting.append(part)

    def _check(self, ready: Ready) -> None:
        """Refuse a worker that would answer otherwise than this machine."""
        if self._digest is None:
            return
        if ready.digest != self._digest:
            raise UserError(f"{self._made.spec}: other weights on a worker's machine than on this one")
        here = versions()
        for package, there in ready.versions.items():
            if here.get(package, there) != there:
                raise UserError(f"--executor ray: {package} is {there} on a worker's machine, {here[package]} here")


def _failed(chunk: Chunk, why: str) -> Iterator[Answer]:
    return ((key, Failure(DIED, why)) for key in chunk.open)


def _cause(error: Exception) -> str:
    """Return in words why a worker died; Ray's own message holds addresses, and always speaks of memory too."""
    import ray

    out = isinstance(error, ray.exceptions.OutOfMemoryError) or "RAY_memory_usage_threshold" in str(error)
    return "out of memory" if out else "process ended"
