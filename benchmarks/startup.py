"""Start-up time of the command line, each the median of ten fresh processes.

    python benchmarks/startup.py --json docs/performance/startup.json

Targets: `--help` below 0.35 s, `tasks list` below 1 s, and a whole `run` of 100 replayed predictions with rationales
(asked, scored, page built) below 2.5 s.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from generated_task import write_predictions, write_task
from record import figure, record

REPLAYED = 100
RUN = "run replay:said.csv -t ./generated --runs {number}/runs --site {number}/site"
TARGETS = {"--help": 0.35, "tasks list": 1.0, RUN: 2.5}
NAMES = {RUN: f"run with replay, {REPLAYED} examples, page included"}
COMMAND = [sys.executable, "-c", "from r2d_bench.cli.main import entry; entry()"]


def seconds(arguments: str, repeats: int, folder: Path) -> tuple[float, tuple[float, float]]:
    """Return the median, and the least and the most; what the command writes goes into `folder`."""
    times = []
    for number in range(repeats):
        command = [*COMMAND, *arguments.format(number=number).split()]
        start = time.perf_counter()
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return round(statistics.median(times), 3), (round(min(times), 3), round(max(times), 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_predictions(folder / "said.csv", write_task(folder, REPLAYED), explained=True)
        found = {name: seconds(name, args.repeats, folder) for name in TARGETS}
    for name, (median, (least, most)) in found.items():
        print(f"r2d-bench {NAMES.get(name, name)}: {median} s ({least} to {most}; target {TARGETS[name]})")
    if args.json:
        figures = [
            figure(
                f"r2d-bench {NAMES.get(name, name)}",
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
