"""A judging that is killed at any moment goes on to the same verdicts, and asks nothing twice that was stored."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from judged_parts import judged_task

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 10


def command(tmp_path: Path, run: Path, latency: float) -> list[str]:
    start = "from r2d_bench.cli.main import entry; entry()"
    judge = ["--judge", "clinical_rationale", "--model", f"mock:random,latency={latency},garbage=0.2"]
    return [sys.executable, "-c", start, "judge", str(run), *judge, "--task-dir", str(tmp_path), "--repeats", "2"]


def test_ten_kills_change_nothing(tmp_path: Path) -> None:
    run, _ = judged_task(tmp_path, 150)
    subprocess.run(command(tmp_path, run.folder, 0), check=True, capture_output=True, timeout=60)
    (folder,) = (run.folder / "judgments").iterdir()
    calm = (folder / "verdicts.jsonl").read_bytes()
    for path in folder.iterdir():
        path.unlink()
    chance, again = random.Random(0), command(tmp_path, run.folder, 0.01)
    stored: set[str] = set()
    for _ in range(KILLS):  # some 200 requests of 10 ms: 2 s of asking, spread over the sittings
        before = sittings(folder)
        process = subprocess.Popen(again, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and sittings(folder) == before:  # a kill during imports would prove nothing
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.15))
        process.kill()
        process.wait()
        now = set(keys(folder))
        assert stored <= now
        stored = now
    done = subprocess.run(again, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    unfinished = [s["finished"] is None for s in json.loads((folder / "judge.json").read_text())["sittings"]]
    assert unfinished.count(True) >= KILLS // 2, "the kills came too late"
    assert (folder / "verdicts.jsonl").read_bytes() == calm
    assert set(keys(folder).values()) == {1}
    assert stored <= set(keys(folder))


def sittings(folder: Path) -> int:
    manifest = folder / "judge.json"
    return len(json.loads(manifest.read_text())["sittings"]) if manifest.is_file() else 0


def keys(folder: Path) -> Counter[str]:
    path = folder / "responses.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    return Counter(json.loads(line)["key"] for line in lines if line.endswith(b"\n"))
