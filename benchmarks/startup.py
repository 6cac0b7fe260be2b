"""Start-up time of the command line, each the median of ten fresh processes.

    python benchmarks/startup.py --out startup.json

Targets: `--help` below 0.35 s, `tasks list` below 1 s.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

TARGETS = {"--help": 0.35, "tasks list": 1.0}
COMMAND = [sys.executable, "-c", "from r2d_bench.cli.main import entry; entry()"]


def median_seconds(arguments: str, repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run([*COMMAND, *arguments.split()], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    found = {name: round(median_seconds(name, args.repeats), 3) for name in TARGETS}
    for name, seconds in found.items():
        print(f"r2d-bench {name}: {seconds} s (target {TARGETS[name]})")
    if args.out:
        kept = {"median_s": found, "target_s": TARGETS, "repeats": args.repeats}
        about = {"python": platform.python_version(), "cpus": os.cpu_count()}
        args.out.write_text(json.dumps(kept | about, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
