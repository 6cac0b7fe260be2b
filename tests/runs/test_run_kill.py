"""A run that is killed at any moment goes on to the same predictions."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from run_parts import make_task, rows

from r2d_bench.runs.predictions import Reader
from r2d_bench.runs.store import RunStore

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Prediction
    from r2d_bench.tasks.task import Task

KILLS = 10


def command(tmp_path: Path, runs: Path, latency: float) -> list[str]:
    model = f"mock:random,latency={latency},refuse=0.1,empty=0.1"
    how = ["--task-dir", str(tmp_path), "--runs", str(runs), "--no-page", "--bertscore", "none"]
    start = "from r2d_bench.cli.main import entry; entry()"
    return [sys.executable, "-c", start, "run", model, "-t", "small", *how]


def predictions(task: Task, runs: Path) -> list[Prediction]:
    (folder,) = runs.iterdir()
    store = RunStore(folder)
    reader, responses = Reader(task, store.setup()), store.responses()
    return [reader.prediction(example, responses) for example in sorted(task.examples(), key=lambda e: e.id)]


def test_ten_kills_change_nothing(tmp_path: Path):
    task = make_task(tmp_path, rows(150))
    subprocess.run(command(tmp_path, tmp_path / "calm", 0), check=True, capture_output=True, timeout=60)
    chance = random.Random(0)
    run, killed = command(tmp_path, tmp_path / "killed", 0.01), 0
    while killed < KILLS:  # 300 requests of 10 ms: 3 s of asking, spread over ten sittings and the last
        process = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        sittings = 0 if not (known := list(tmp_path.glob("killed/*/run.json"))) else _sittings(known[0])
        while process.poll() is None and not _began(tmp_path, sittings):
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.25))
        process.kill()
        process.wait()
        killed += 1
    done = subprocess.run(run, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    (manifest,) = tmp_path.glob("killed/*/run.json")
    sittings = json.loads(manifest.read_text())["sittings"]
    assert [sitting["finished"] is None for sitting in sittings].count(True) >= KILLS // 2, "the kills came too late"
    assert predictions(task, tmp_path / "killed") == predictions(task, tmp_path / "calm")
    keys = Counter(json.loads(line)["key"] for line in (manifest.parent / "responses.jsonl").open())
    assert set(keys.values()) == {1}
    assert len(keys) == 300


def _sittings(manifest: Path) -> int:
    return len(json.loads(manifest.read_text())["sittings"])


def _began(tmp_path: Path, before: int) -> bool:
    """Tell whether the newest process has begun its sitting; a kill during imports would prove nothing."""
    known = list(tmp_path.glob("killed/*/run.json"))
    return bool(known) and _sittings(known[0]) > before
