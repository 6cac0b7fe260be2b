"""Time and memory of `score` for label metrics with intervals: replayed labels of a generated private task.

    python benchmarks/label_metrics.py --items 100000 --json docs/performance/label_metrics.json

`score` runs as a process of its own, as a user starts it: reading the task and the stored answers, parsing,
metrics, 2,000 resamples, writing. The target at 100,000 items is below 10 s and 1.5 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from generated_task import write_predictions, write_task
from record import figure, record

TARGET_S, TARGET_GIB = 10.0, 1.5
COMMAND = [sys.executable, "-c", "from r2d_bench.cli.main import entry; entry()"]


def timed(arguments: list[str], scratch: Path) -> tuple[float, float, float, str]:
    """Run the command; return seconds, those of the processor, peak GiB and what it printed."""
    with (scratch / "stdout").open("w+b") as out:
        start = time.perf_counter()
        process = subprocess.Popen([*COMMAND, *arguments], stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)  # of this child alone
        seconds = time.perf_counter() - start
        if status != 0:
            raise SystemExit(f"{' '.join(arguments)}: failed with status {status}")
        out.seek(0)
        per_gib = 2**30 if sys.platform == "darwin" else 2**20  # ru_maxrss: bytes there, KiB elsewhere
        return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / per_gib, out.read().decode()


def measure(items: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        task = write_task(scratch, items)
        said = write_predictions(scratch / "said.csv", task)
        where = ["--task-dir", str(scratch), "--bertscore", "none", "--json"]
        job = ["run", f"replay:{said}", "-t", "generated", "--no-page", "--runs", str(scratch / "runs"), *where]
        run_s, _, run_gib, printed = timed(job, scratch)
        run = json.loads(printed)["runs"][0]["folder"]
        score_s, score_cpu, score_gib, printed = timed(["score", run, *where], scratch)
        metrics = json.loads(printed)[0]["metrics"]
    return {
        "items": items,
        "score_s": round(score_s, 2),
        "score_cpu_s": round(score_cpu, 2),
        "target_s": TARGET_S,
        "score_peak_gib": round(score_gib, 2),
        "target_gib": TARGET_GIB,
        "run_s": round(run_s, 2),
        "run_peak_gib": round(run_gib, 2),
        "accuracy": metrics["accuracy"],
        "macro_f1": metrics["macro_f1"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    found = measure(args.items)
    print(
        f"{found['items']} labels: score {found['score_s']} s (target {TARGET_S:.0f}), peak "
        f"{found['score_peak_gib']} GiB (target {TARGET_GIB}); run and score {found['run_s']} s, "
        f"{found['run_peak_gib']} GiB"
    )
    if args.json:
        size = f"{args.items:,} labels"
        figures = [
            figure(f"score, {size}", found["score_s"], "s", target=f"below {TARGET_S:.0f} s"),
            figure("the same, of processor time, which other load disturbs less", found["score_cpu_s"], "s"),
            figure(f"score, {size}, peak memory", found["score_peak_gib"], "GiB", target=f"below {TARGET_GIB} GiB"),
            figure(f"run and score, {size}", found["run_s"], "s"),
            figure(f"run and score, {size}, peak memory", found["run_peak_gib"], "GiB"),
        ]
        record("label_metrics", figures, args.json, details=found)


if __name__ == "__main__":
    main()
