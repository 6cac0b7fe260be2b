"""Label and rationale of encoder-decoder models: the adapter `hf:` against a plain transformers loop, side by side.

    R2D_BENCH_DATA=data python benchmarks/hf_throughput.py --items 500 --json docs/performance/hf_throughput.json

Plain is the paper's inference script: batches of 32 in the order of the file, `generate` with up to 50 tokens for the
label, then with up to 256 for the rationale given that label. Both read the same checkpoint (see `throughput_model.py`;
kept in `--model` for the next time), the same items, and take turns. Afterwards the adapter's time is measured by part.
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
import transformers
from record import figure, record
from throughput_model import SHAPES, train
from throughput_profile import profile

from r2d_bench.models.hf import HF, HFParams
from r2d_bench.models.weights import find_weights
from r2d_bench.records import Request, Response
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH, LABEL, RATIONALE, INPUT = 32, 50, 256, 1024  # of the paper's script
TARGETS = {"cpu": 2.0, "cuda": 3.0}


@dataclass
class Side:
    """One way to answer: what it said, and how long it took each turn (wall, processor)."""

    labels: list[str] = field(default_factory=list)
    rationales: list[str] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


class Plain:
    """The paper's inference script."""

    def __init__(self, folder: Path, device: str, dtype: str) -> None:
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=getattr(torch, dtype))
        self._model: Any = model.to(device).eval()

    def answer(self, texts: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return labels and rationales."""
        labels = self._generate([f"predict: {text}" for text in texts], LABEL)
        given = [f"given label: {label}, explain: {text}" for label, text in zip(labels, texts, strict=True)]
        return labels, self._generate(given, RATIONALE)

    def _generate(self, prompts: list[str], budget: int) -> list[str]:
        said: list[str] = []
        for i in range(0, len(prompts), BATCH):
            read = self._tokenizer(
                prompts[i : i + BATCH], padding=True, truncation=True, max_length=INPUT, return_tensors="pt"
            ).to(self._model.device)
            with torch.no_grad():
                written = self._model.generate(
                    input_ids=read.input_ids, attention_mask=read.attention_mask, max_new_tokens=budget
                )
            said += self._tokenizer.batch_decode(written, skip_special_tokens=True)
        return said


class Adapter:
    """The same two stages through `hf:`."""

    def __init__(self, folder: Path, device: str, dtype: str) -> None:
        self.model = HF(find_weights(str(folder)), HFParams(device=device, dtype=dtype))
        self.tokens = 0

    def answer(self, texts: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return labels and rationales."""
        labels = self._ask("predict", texts, [f"predict: {text}" for text in texts], LABEL)
        given = [f"given label: {label}, explain: {text}" for label, text in zip(labels, texts, strict=True)]
        return labels, self._ask("explain", texts, given, RATIONALE)

    def _ask(self, stage: str, texts: Sequence[str], prompts: list[str], budget: int) -> list[str]:
        requests = [
            Request(str(i), stage, prompt, text, budget, INPUT)
            for i, (prompt, text) in enumerate(zip(prompts, texts, strict=True))
        ]
        found = dict(self.model.generate(requests))
        answers = [found[request.key] for request in requests]
        return [answer.text if isinstance(answer, Response) else f"failed: {answer.reason}" for answer in answers]


def measure(folder: Path, texts: Sequence[str], args: argparse.Namespace) -> dict[str, Side]:
    """Let both answer in turns, in changing order, after a warm-up on a few items."""
    ways: dict[str, Plain | Adapter] = {
        "plain": Plain(folder, args.device, "float32" if args.plain_fp32 else args.dtype),
        "adapter": Adapter(folder, args.device, args.dtype),
    }
    sides = {name: Side() for name in ways}
    for way in ways.values():
        way.answer(texts[:4])
    for turn in range(args.turns):
        for name in list(ways)[:: 1 if turn % 2 == 0 else -1]:
            side = sides[name]
            wall, cpu = time.perf_counter(), time.process_time()
            side.labels, side.rationales = ways[name].answer(texts)
            side.wall.append(time.perf_counter() - wall)
            side.cpu.append(time.process_time() - cpu)
            sys.stderr.write(f"  turn {turn + 1} of {args.turns}, {name}: {side.wall[-1]:.1f} s\n")
    return sides


def compared(sides: dict[str, Side]) -> dict[str, Any]:
    """Return ratios of the turns and shares of equal texts."""
    plain, ours = sides["plain"], sides["adapter"]
    ratios = [p / o for p, o in zip(plain.wall, ours.wall, strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 2),
        "spread": [round(min(ratios), 2), round(max(ratios), 2)],
        "ratio_of_processor_time": round(sum(plain.cpu) / sum(ours.cpu), 2),
        "items_per_s": {name: round(len(s.labels) / statistics.median(s.wall), 2) for name, s in sides.items()},
        "equal_labels": _equal(plain.labels, ours.labels),
        "equal_rationales": _equal(plain.rationales, ours.rationales),
        "words": _words(ours.rationales),
        "texts": len(set(ours.rationales)),
    }


def _equal(one: Sequence[str], other: Sequence[str]) -> float:
    return round(statistics.mean(a.strip() == b.strip() for a, b in zip(one, other, strict=True)), 4)


def _words(texts: Sequence[str]) -> dict[str, float]:
    lengths = sorted(len(text.split()) for text in texts)
    return {"least": lengths[0], "median": statistics.median(lengths), "most": lengths[-1]}


def checkpoint(folder: Path, args: argparse.Namespace) -> Path:
    """Return the checkpoint, made now unless it is there."""
    if not (folder / "model.safetensors").is_file():
        examples = [example for name in args.tasks for example in load_task(name).training()]
        train(examples, args.shape, folder, minutes=args.minutes)
    return folder


def figures_of(name: str, found: dict[str, Any], args: argparse.Namespace) -> list[dict[str, Any]]:
    size = f"{name}, {args.items} items, {args.shape}, {args.dtype}, {args.device}"
    target = f"at least {TARGETS[args.device]}"
    spread = tuple(found["spread"])
    return [
        figure(f"throughput of hf: / plain loop ({size})", found["ratio"], spread=spread, of="turns", target=target),
        figure(f"equal labels ({size})", found["equal_labels"], "%"),
        figure(f"equal rationales ({size})", found["equal_rationales"], "%"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=["pubmedqa", "medreason"], help="their data in $R2D_BENCH_DATA")
    parser.add_argument("--items", type=int, default=500, help="of each task")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--shape", choices=list(SHAPES), default="t5-small")
    parser.add_argument("--device", choices=list(TARGETS), default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--plain-fp32", action="store_true", help="plain stays in float32, whatever --dtype says")
    parser.add_argument("--model", type=Path, default=Path("throughput-model"), help="where the checkpoint is kept")
    parser.add_argument("--minutes", type=float, default=4.0, help="of training, where there is no checkpoint yet")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    transformers.logging.set_verbosity_error()
    folder = checkpoint(args.model, args)
    figures, details = [], {}
    for name in args.tasks:
        texts = [example.input for example in load_task(name).examples("test")[: args.items]]
        sys.stderr.write(f"{name}: {len(texts)} items\n")
        found = compared(measure(folder, texts, args))
        found["profile"] = profile(Adapter(folder, args.device, args.dtype), texts)
        details[name] = found
        figures += figures_of(name, found, args)
        print(f"{name}: {found}")
    if args.json:
        record("hf_throughput", figures, args.json, details=details)


if __name__ == "__main__":
    main()
