"""Judgments per second beside a bare litellm loop that sends the same prompts, against a slow server on loopback.

    python benchmarks/judge_rate.py --json docs/performance/judge_rate.json

Both ask the same server with the same concurrency, one after the other, each in a fresh process. Judging builds and
cleans the prompts, stores every reply, reads the verdicts and makes the figures; the rate is that of the sitting, the
figures come behind it. Target: 0.85 of the bare loop, and memory that does not grow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from api_rate import TARGET, megabytes, served
from generated_task import write_task
from record import figure, record

from r2d_bench.judging.ask import JudgeOptions, PlannedJudging, judge_run, plan_judging
from r2d_bench.judging.rubric import load_rubric
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.runs.asking import Progress
from r2d_bench.runs.budget import Budget
from r2d_bench.runs.execute import Sitting, execute
from r2d_bench.runs.selection import select
from r2d_bench.runs.setup import plan_run
from r2d_bench.runs.store import RunStore, find_runs
from r2d_bench.tasks.task import load_task

RUBRIC = "label_support"
REPLY = json.dumps({"explanation": "It follows from the note.", "scores": {"label_support": 4}})


class Quiet(Progress):
    """Nobody watches."""

    def stage(self, name: str, *, total: int, stored: int) -> None:
        """A stage begins."""

    def advance(self, *, failed: bool) -> None:
        """One request was answered, or failed."""


def prepared(folder: Path, items: int) -> None:
    """Make a run whose rationales are judged."""
    task = load_task(str(write_task(folder, items)))
    model = make_model(parse_spec("mock:random"), task=task, seed=0)
    setup = plan_run(task, model)
    store = RunStore(folder / "runs" / setup.folder)
    execute(task, model, setup, Sitting(select(task.examples())), store, Quiet())


def planned(folder: Path, url: str, concurrency: int) -> PlannedJudging:
    """Return the judging of the run, not yet begun."""
    task = load_task(str(folder / "generated"))
    (run,) = find_runs(folder / "runs")
    model = make_model(parse_spec(f"api:openai/m,base_url={url},concurrency={concurrency}"), task=task, seed=0)
    return plan_judging(run, task, load_rubric(RUBRIC), model, JudgeOptions())


def ours(folder: Path, url: str, concurrency: int) -> dict[str, float]:
    plan = planned(folder, url, concurrency)
    from r2d_bench.models.api_litellm import load_litellm

    load_litellm()  # seconds of imports that both ways have
    before, start = megabytes(), time.perf_counter()
    outcome = judge_run(plan, Budget(), Quiet())
    seconds = time.perf_counter() - start
    verdicts = plan.store.verdicts()
    if any(verdict.unscored for verdict in verdicts):
        raise SystemExit("some replies were no verdict")
    return {
        "requests": outcome.answered,
        "seconds": outcome.seconds,
        "with_figures": seconds,
        "peak_growth_mb": megabytes() - before,
    }


def bare(folder: Path, url: str, concurrency: int) -> dict[str, float]:
    from r2d_bench.judging.ask import Questions, cases_of
    from r2d_bench.models.api_litellm import load_litellm

    plan = planned(folder, url, concurrency)
    cases = cases_of(plan.run, plan.task, plan.setup.rubric, plan.selection.ids)
    requests = Questions(plan.setup, cases, {}).first()
    litellm = load_litellm()
    places = asyncio.Semaphore(concurrency)

    async def ask(turns: list[dict[str, str]]) -> None:
        async with places:
            await litellm.acompletion(
                "openai/m", turns, api_base=url, api_key="none", max_tokens=200, temperature=0, seed=0, max_retries=0
            )

    async def everything() -> dict[str, float]:
        prompts = [[{"role": turn.role, "content": turn.content} for turn in one.prompt] for one in requests]
        await ask(prompts[0])
        before, start = megabytes(), time.perf_counter()
        await asyncio.gather(*(ask(turns) for turns in prompts))
        seconds = time.perf_counter() - start
        return {"requests": len(prompts), "seconds": seconds, "peak_growth_mb": megabytes() - before}

    return asyncio.run(everything())


def measure(way: str, folder: Path, url: str, concurrency: int) -> dict[str, float]:
    """Measure one way in a process of its own, so that neither inherits the other's memory."""
    command = [sys.executable, __file__, "--way", way, "--url", url, "--folder", str(folder)]
    command += ["--concurrency", str(concurrency)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judgments", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds")
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    parser.add_argument("--way", choices=["ours", "bare"], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        print(json.dumps((ours if args.way == "ours" else bare)(args.folder, args.url, args.concurrency)))
        return
    with tempfile.TemporaryDirectory() as name, served(args.latency, REPLY) as url:
        folder = Path(name)
        prepared(folder, args.judgments)
        found = {way: measure(way, folder, url, args.concurrency) for way in ("bare", "ours")}
    rates = {way: values["requests"] / values["seconds"] for way, values in found.items()}
    ideal, ratio = args.concurrency / args.latency, rates["ours"] / rates["bare"]
    for way, values in found.items():
        print(
            f"{way}: {rates[way]:.1f} judgments/s ({rates[way] / ideal:.0%} of the ideal), "
            f"peak memory +{values['peak_growth_mb']:.0f} MB"
        )
    print(f"ratio: {ratio:.2f} (target {TARGET})")
    if args.json:
        kept = {
            "judgments": args.judgments,
            "concurrency": args.concurrency,
            "latency_s": args.latency,
            "measured": found,
        }
        figures = [
            figure("adapter / bare loop, rate", round(ratio, 3), target=f"at least {TARGET}"),
            *(figure(f"{way}, rate", round(rates[way], 1), "judgments/s") for way in rates),
            *(figure(f"{way}, growth of peak memory", round(v["peak_growth_mb"]), "MB") for way, v in found.items()),
        ]
        record("judge_rate", figures, args.json, details=kept)


if __name__ == "__main__":
    main()
