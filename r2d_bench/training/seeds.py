"""Seeds derived from what is drawn: every draw is a function of (seed, stage, purpose, step) and of nothing before it.

So a training that was killed and goes on draws what an uninterrupted one draws.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from r2d_bench.records import digest

if TYPE_CHECKING:
    from collections.abc import Iterator


def derived_seed(*parts: str | int) -> int:
    """Return 60 bits that depend on every part."""
    return int(digest(list(parts), 15), 16)


def generator(*parts: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator seeded by its parts."""
    return torch.Generator(device).manual_seed(derived_seed(*parts))


def permutation(n: int, *parts: str | int) -> list[int]:
    """Return the numbers below n in an order that depends on the parts."""
    order: list[int] = torch.randperm(n, generator=generator(*parts)).tolist()
    return order


def uniform(n: int, *parts: str | int) -> Iterator[float]:
    """Return n numbers from [0, 1) that depend on the parts."""
    return iter(torch.rand(n, generator=generator(*parts), dtype=torch.float64).tolist())
