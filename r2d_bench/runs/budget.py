"""What a job may spend: it stops cleanly at the limit, and the same command goes on later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.records import Response

if TYPE_CHECKING:
    from r2d_bench.records import Failure


@dataclass(slots=True)
class Budget:
    """Limits of a whole job, and what it has spent. What is in flight when a limit is met may exceed it.

    Attributes:
        max_requests: requests that may be sent; None: no limit.
        max_cost: US dollars that may be spent, as far as prices are known; None: no limit.
    """

    max_requests: int | None = None
    max_cost: float | None = None
    requests: int = 0
    cost: float = 0.0

    def left(self) -> int | None:
        """Return how many requests may still be sent; None: any number."""
        return None if self.max_requests is None else max(0, self.max_requests - self.requests)

    def add(self, answer: Response | Failure) -> None:
        """Count one request that was answered or failed."""
        self.requests += 1
        if isinstance(answer, Response) and answer.cost is not None:
            self.cost += answer.cost

    def met(self) -> str | None:
        """Return the limit that has been met, in words; None: there is room."""
        if self.left() == 0:
            return f"--max-requests {self.max_requests}"
        if self.max_cost is not None and self.cost >= self.max_cost:
            return f"--max-cost {self.max_cost:g}"
        return None
