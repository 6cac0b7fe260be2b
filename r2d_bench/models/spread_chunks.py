"""How the requests of a stage are shared out: in chunks that shrink towards the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from r2d_bench.records import Request

LEAST, MOST = 16, 4096  # requests of a chunk: a batch is worth filling (unless a worker idles), a message has an end
CHARACTERS = 4  # of a token, about: enough to tell long from short
PARTS = 8  # that a chunk is cut into after its worker has died, to find the request that kills
DEATHS = 3  # of workers over the same request, before it is given up


@dataclass(slots=True)
class Chunk:
    """Requests that one worker is given together.

    Attributes:
        open: key → request, of those that have no answer yet.
        deaths: workers that died over these requests.
    """

    open: dict[str, Request]
    deaths: int = 0

    @classmethod
    def of(cls, requests: Iterable[Request], deaths: int = 0) -> Chunk:
        """Return a chunk of requests that have no answer yet."""
        return cls({request.key: request for request in requests}, deaths)

    @property
    def given_up(self) -> bool:
        """Whether too many workers died over it."""
        return self.deaths >= DEATHS

    def after_death(self) -> list[Chunk]:
        """Return what is left of the chunk, in parts, once the worker that had it has died."""
        left = list(self.open.values())
        step = -(-len(left) // PARTS) or 1
        return [Chunk.of(left[n : n + step], self.deaths + 1) for n in range(0, len(left), step)]


def plan_chunks(requests: Sequence[Request], workers: int) -> list[Chunk]:
    """Cut requests into chunks, the longest prompts first.

    Guided self-scheduling (Polychronopoulos and Kuck, 1987): each chunk is a fixed share of the work that is left, so
    that there are few chunks, each with full batches, and the last ones are small enough for all workers to end
    together. Equal requests and workers make equal chunks.
    """
    queue = sorted(requests, key=_size, reverse=True)
    least = min(LEAST, -(-len(queue) // workers))
    left, start, chunks = sum(map(_size, queue)), 0, []
    while start < len(queue):
        share, size, end = left / (2 * workers), 0, start
        while end < len(queue) and end - start < MOST and (size < share or end - start < least):
            size += _size(queue[end])
            end += 1
        chunks.append(Chunk.of(queue[start:end]))
        left, start = left - size, end
    return chunks


def _size(request: Request) -> int:
    """Return about how much work a request is, in characters of prompt and answer."""
    prompt = request.prompt if isinstance(request.prompt, str) else "".join(turn.content for turn in request.prompt)
    return len(prompt) + CHARACTERS * request.max_new_tokens
