"""T5 through CTranslate2 in float32 and int8 against transformers in float32: same items and checkpoint, side by side.

    python benchmarks/ct2_throughput.py --json docs/performance/ct2_throughput.json

Each way answers both stages of the protocol `r2d` (the label, then the rationale given its own label), then scores
the labels. They take turns, and what comes first alternates. Conversion, loading and a warm-up are nobody's time. In
float32 the texts should be equal; int8 is told by its shares. The checkpoint (see `throughput_model.py`) has a real
shape and writes answers of varied lengths that it has by heart: the shares say how much the arithmetic changes, not
what int8 would cost a model that has to understand.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from record import figure, record
from throughput_model import SHAPES, train

from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.protocols.outputs import StageOutput
from r2d_bench.protocols.prompts import StagePrompts
from r2d_bench.protocols.registry import load_protocol
from r2d_bench.records import LabelMethod, Response
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from r2d_bench.models.base import Model
    from r2d_bench.records import Example, Request
    from r2d_bench.tasks.task import Task

HF = "hf float32"
WAYS = {HF: "hf:{},dtype=float32", "ct2 float32": "ct2:{},compute_type=float32", "ct2 int8": "ct2:{},compute_type=int8"}


@dataclass
class Side:
    """What one way said, and how long it took each turn, in seconds (by the clock; of the processor)."""

    labels: list[Response] = field(default_factory=list)
    rationales: list[Response] = field(default_factory=list)
    scored: list[Response] = field(default_factory=list)
    written_s: list[float] = field(default_factory=list)
    scored_s: list[float] = field(default_factory=list)
    written_cpu_s: list[float] = field(default_factory=list)
    scored_cpu_s: list[float] = field(default_factory=list)


class Chain:
    """The stages of `r2d` and the scored label, for some examples of a task."""

    def __init__(self, task: Task, examples: Sequence[Example], new_tokens: int) -> None:
        protocol = load_protocol("r2d")
        self._examples, (first, second) = examples, protocol.stages
        self._first = StagePrompts(task, protocol, first, method=LabelMethod.FREE, max_new_tokens=first.max_new_tokens)
        self._scored = StagePrompts(
            task, protocol, first, method=LabelMethod.SCORED, max_new_tokens=first.max_new_tokens
        )
        self._second = StagePrompts(task, protocol, second, method=LabelMethod.FREE, max_new_tokens=new_tokens)
        self._stage = first.name

    def write(self, model: Model) -> tuple[list[Response], list[Response]]:
        """Return labels and the rationales given them."""
        labels = _answers(model.generate, [self._first.request(example, {}) for example in self._examples])
        requests = [
            self._second.request(example, {self._stage: StageOutput(label.text)})
            for example, label in zip(self._examples, labels, strict=True)
        ]
        return labels, _answers(model.generate, requests)

    def score(self, model: Model) -> list[Response]:
        """Return the labels with all scores."""
        return _answers(model.score, [self._scored.request(example, {}) for example in self._examples])


def _answers(ask: Callable[[Sequence[Request]], Any], requests: list[Request]) -> list[Response]:
    found = dict(ask(requests))
    answers = [found[request.key] for request in requests]
    return [answer if isinstance(answer, Response) else Response(f"failed: {answer.reason}") for answer in answers]


def measure(task: Task, folder: Path, args: argparse.Namespace) -> dict[str, Side]:
    """Let all answer in turns."""
    examples = task.examples()[: args.items]
    chain = Chain(task, examples, args.new_tokens)
    models = {name: make_model(parse_spec(spec.format(folder)), task=task, seed=0) for name, spec in WAYS.items()}
    sides = {name: Side() for name in models}
    for model in models.values():
        Chain(task, examples[:2], args.new_tokens).write(model)
    for turn in range(args.turns):
        for name in list(models)[:: 1 if turn % 2 == 0 else -1]:
            side = sides[name]
            clock, processor = time.perf_counter(), time.process_time()
            side.labels, side.rationales = chain.write(models[name])
            side.written_s.append(time.perf_counter() - clock)
            side.written_cpu_s.append(time.process_time() - processor)
            clock, processor = time.perf_counter(), time.process_time()
            side.scored = chain.score(models[name])
            side.scored_s.append(time.perf_counter() - clock)
            side.scored_cpu_s.append(time.process_time() - processor)
            sys.stderr.write(
                f"  turn {turn + 1}, {name}: {side.written_s[-1]:.1f} s, {side.scored_s[-1]:.1f} s scored\n"
            )
    return sides


def compared(hf: Side, other: Side) -> dict[str, Any]:
    """Return the ratios of the turns, and what is equal."""
    return {
        "written": _ratios(hf.written_s, other.written_s),
        "scored": _ratios(hf.scored_s, other.scored_s),
        # On a machine that others use too, this says more than the clock.
        "written_cpu": _ratios(hf.written_cpu_s, other.written_cpu_s),
        "scored_cpu": _ratios(hf.scored_cpu_s, other.scored_cpu_s),
        "equal_labels": _equal(hf.labels, other.labels),
        "equal_rationales": _equal(hf.rationales, other.rationales),
        "equal_scored_labels": _equal(hf.scored, other.scored),
        "largest_score_difference": max(
            abs(value - (b.scores or {})[label])
            for a, b in zip(hf.scored, other.scored, strict=True)
            for label, value in (a.scores or {}).items()
        ),
    }


def _ratios(hf: Sequence[float], other: Sequence[float]) -> dict[str, Any]:
    ratios = [a / b for a, b in zip(hf, other, strict=True)]
    return {"median": round(statistics.median(ratios), 2), "spread": (round(min(ratios), 2), round(max(ratios), 2))}


def _equal(one: Sequence[Response], other: Sequence[Response]) -> float:
    return round(statistics.mean(a.text == b.text for a, b in zip(one, other, strict=True)), 4)


def figures_of(name: str, found: dict[str, Any], size: str) -> list[dict[str, Any]]:
    target = "texts equal" if "float32" in name else ""
    rates = [
        figure(f"{what}: {name} / {HF} ({size})", found[key]["median"], spread=found[key]["spread"], of="turns")
        for what, key in (
            ("throughput, label and rationale", "written"),
            ("throughput, scored labels", "scored"),
            ("throughput by processor time, label and rationale", "written_cpu"),
            ("throughput by processor time, scored labels", "scored_cpu"),
        )
    ]
    return [
        *rates,
        figure(f"equal labels: {name} ({size})", found["equal_labels"], "%", target=target),
        figure(f"equal rationales: {name} ({size})", found["equal_rationales"], "%", target=target),
        figure(f"equal scored labels: {name} ({size})", found["equal_scored_labels"], "%"),
        figure(f"largest difference of a label's score: {name} ({size})", found["largest_score_difference"], "nats"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="triage")
    parser.add_argument("--items", type=int, default=96)
    parser.add_argument("--new-tokens", type=int, default=128, help="the most of a rationale")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--shape", choices=list(SHAPES), default="t5-small")
    parser.add_argument("--model", type=Path, default=Path("ct2-throughput-model"), help="where the checkpoint is kept")
    parser.add_argument("--minutes", type=float, default=2.0, help="of training, where there is no checkpoint yet")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    task = load_task(args.task)
    if not (args.model / "model.safetensors").is_file():
        train(task.training(), args.shape, args.model, minutes=args.minutes)
    sides = measure(task, args.model, args)
    size = f"{args.task}, {args.items} items, {args.shape}, {args.threads} threads"
    figures, details = [], {}
    for name in list(WAYS)[1:]:
        found = compared(sides[HF], sides[name])
        figures += figures_of(name, found, size)
        details[name] = found
        print(f"{name}: {found}")
    for name, side in sides.items():
        rates = args.items / statistics.median(side.written_s), args.items / statistics.median(side.scored_s)
        print(f"{name}: {rates[0]:.2f} items/s written, {rates[1]:.2f} items/s scored")
        details[name] = details.get(name, {}) | {
            key: seconds for key, seconds in vars(side).items() if key.endswith("_s")
        }
    details["texts"] = len({response.text for response in sides[HF].rationales})
    if args.json:
        record("ct2_throughput", figures, args.json, details=details)


if __name__ == "__main__":
    main()
