"""Start-up time of the command line, each the median of ten fresh processes.

    python benchmarks/startup.py --json docs/performance/startup.json

Targets: `--help` below 0.35 s, `tasks list` below 1 s.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from record import figure, record

TARGETS = {"--help": 0.35, "tasks list": 1.0}
COMMAND = [sys.executable, "-c", "from r2d_bench.cli.main import entry; entry()"]


def seconds(arguments: str, repeats: int) -> tuple[float, tuple[float, float]]:
    """Return the median, and the least and the most."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run([*COMMAND, *arguments.split()], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return round(statistics.median(times), 3), (round(min(times), 3), round(max(times), 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    found = {name: seconds(name, args.repeats) for name in TARGETS}
    for name, (median, (least, most)) in found.items():
        print(f"r2d-bench {name}: {median} s ({least} to {most}; target {TARGETS[name]})")
    if args.json:
        figures = [
            figure(
                f"r2d-bench {name}",
                one,
                "s",
                spread=spread,
                of=f"{args.repeats} processes",
                target=f"below {TARGETS[name]} s",
            )
            for name, (one, spread) in found.items()
        ]
        record("startup", figures, args.json)


if __name__ == "__main__":
    main()
