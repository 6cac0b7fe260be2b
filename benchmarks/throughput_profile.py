"""Where the time of the adapter `hf:` goes: for `hf_throughput.py`."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch

from r2d_bench.models import hf_greedy, hf_prompts, hf_t5

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class Clock:
    """Seconds by part; on a CPU those of the processor. What a part calls of another counts for the other alone."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._open = device, [0.0]
        self._now = time.process_time if device.type == "cpu" else time.perf_counter  # others may use a CPU too
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what is done inside."""
        self._wait()
        begun = self._now()
        self._open.append(0.0)
        try:
            yield
        finally:
            self._wait()
            took = self._now() - begun
            self.seconds[name] += took - self._open.pop()
            self._open[-1] += took

    def around(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return `work`, counted."""

        def counted(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            with self.part(name):
                return work(*args, **kwargs)

        return counted

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def profile(adapter: Any, texts: Sequence[str]) -> dict[str, float]:  # noqa: ANN401
    """Return each part's share of the time. Counting costs a little, and on a GPU it lets nothing overlap."""
    adapter.answer(texts[:2])
    engine = adapter.model._engine()  # noqa: SLF001 - its parts are what is timed
    clock, model = Clock(engine.device), engine.model
    decoder = model.decoder
    projections = [
        (name, getattr(attention, part))
        for block in decoder.block
        for name, attention in (("self", block.layer[0].SelfAttention), ("cross", block.layer[1].EncDecAttention))
        for part in ("q", "k", "v", "o")
    ]
    with ExitStack() as stack:

        def count(name: str, owner: Any, attribute: str) -> None:  # noqa: ANN401
            stack.enter_context(patch.object(owner, attribute, clock.around(name, getattr(owner, attribute))))

        count("encoder", model.encoder, "forward")
        count("output head", model.lm_head, "forward")
        for block in decoder.block:
            count("decoder: feed forward", block.layer[-1], "forward")
        for name, module in projections:
            count(f"decoder: {name}-attention, projections", module, "forward")
        count("decoder: cross keys and values", hf_t5.T5Decoder, "add")
        for method in ("drop", "resize"):
            count("moving caches", hf_t5.T5Decoder, method)
        count("decoder: attention", hf_t5, "_attend")
        count("choosing tokens", hf_greedy, "_likeliest")
        count("texts to tokens", hf_prompts, "_prepare")
        count("tokens to texts", hf_greedy, "free_answer")
        with clock.part("the rest"):
            adapter.answer(texts)
    whole = sum(clock.seconds.values())
    return {name: round(s / whole, 3) for name, s in sorted(clock.seconds.items(), key=lambda item: -item[1])}
