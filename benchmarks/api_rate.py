"""Requests per second of the API adapter beside a bare litellm loop, against a slow server on loopback.

    python benchmarks/api_rate.py --json docs/performance/api_rate.json

Both ask the same server (a process of its own) with the same concurrency, one after the other, each in a fresh process.
Target: the adapter, with retries, checks and its thread, reaches 0.85 of the bare loop; memory does not grow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from record import figure, record

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = 0.85
SERVER = Path(__file__).parent.parent / "tests" / "fault_server.py"
WORDS = "the patient reports a cough and some fever since three days without pain " * 10


@contextmanager
def served(latency: float, reply: str | None = None) -> Iterator[str]:
    """Run the server in a process of its own; gives its base URL."""
    command = [sys.executable, str(SERVER), "--latency", str(latency)]
    command += [] if reply is None else ["--reply", reply]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ours(url: str, requests: int, concurrency: int) -> dict[str, float]:
    from generated_task import write_task

    from r2d_bench.models.registry import make_model, parse_spec
    from r2d_bench.records import Message, Request, Response
    from r2d_bench.tasks.task import load_task

    with tempfile.TemporaryDirectory() as folder:
        task = load_task(str(write_task(Path(folder), items=6)))
    spec = parse_spec(f"api:openai/m,base_url={url},concurrency={concurrency}")
    model = make_model(spec, task=task, seed=0)
    asked = [Request(str(n), "answer", (Message("user", f"{n} {WORDS}"),), WORDS, 64) for n in range(requests)]
    for _ in model.generate([Request("warm", "answer", (Message("user", "warm"),), "", 64)]):  # imports litellm
        pass
    before, start = megabytes(), time.perf_counter()
    answered = sum(isinstance(answer, Response) for _, answer in model.generate(asked))
    seconds = time.perf_counter() - start
    if answered != requests:
        raise SystemExit(f"only {answered} of {requests} requests were answered")
    return {"seconds": seconds, "peak_growth_mb": megabytes() - before}


def bare(url: str, requests: int, concurrency: int) -> dict[str, float]:
    from r2d_bench.models.api_litellm import load_litellm

    litellm = load_litellm()
    places = asyncio.Semaphore(concurrency)

    async def ask(text: str) -> None:
        async with places:
            turns = [{"role": "user", "content": text}]
            await litellm.acompletion(
                "openai/m", turns, api_base=url, api_key="none", max_tokens=64, temperature=0, seed=0, max_retries=0
            )

    async def everything() -> dict[str, float]:
        await ask("warm")
        before, start = megabytes(), time.perf_counter()
        await asyncio.gather(*(ask(f"{n} {WORDS}") for n in range(requests)))
        return {"seconds": time.perf_counter() - start, "peak_growth_mb": megabytes() - before}

    return asyncio.run(everything())


def measure(way: str, url: str, requests: int, concurrency: int) -> dict[str, float]:
    """Measure one way in a process of its own, so that neither inherits the other's memory."""
    command = [sys.executable, __file__, "--way", way, "--url", url]
    command += ["--requests", str(requests), "--concurrency", str(concurrency)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds")
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    parser.add_argument("--way", choices=["ours", "bare"], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.latency <= 0:
        parser.error("--latency should be above 0: the ideal rate is concurrency / latency")
    if args.way:
        print(json.dumps((ours if args.way == "ours" else bare)(args.url, args.requests, args.concurrency)))
        return
    with served(args.latency) as url:
        found = {way: measure(way, url, args.requests, args.concurrency) for way in ("bare", "ours")}
    rates = {way: args.requests / values["seconds"] for way, values in found.items()}
    ideal, ratio = args.concurrency / args.latency, rates["ours"] / rates["bare"]
    for way, values in found.items():
        grown = values["peak_growth_mb"]
        share = rates[way] / ideal
        print(f"{way}: {rates[way]:.1f} requests/s ({share:.0%} of the ideal), peak memory +{grown:.0f} MB")
    print(f"ratio: {ratio:.2f} (target {TARGET})")
    if args.json:
        kept = {
            "requests": args.requests,
            "concurrency": args.concurrency,
            "latency_s": args.latency,
            "measured": found,
        }
        figures = [
            figure("adapter / bare loop, rate", round(ratio, 3), target=f"at least {TARGET}"),
            *(figure(f"{way}, rate", round(rates[way], 1), "requests/s") for way in rates),
            *(figure(f"{way}, growth of peak memory", round(v["peak_growth_mb"]), "MB") for way, v in found.items()),
        ]
        record("api_rate", figures, args.json, details=kept)


if __name__ == "__main__":
    main()
