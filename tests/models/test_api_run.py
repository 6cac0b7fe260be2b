"""Whole runs over an API: through faults, and through a kill."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from fault_server import Faults, FaultServer
from run_parts import LABELS, make_task, rows

from r2d_bench import api

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from r2d_bench.benchmark import Report
    from r2d_bench.records import Json

CONCURRENCY = 8
MIX = Faults(error=0.2, limited=0.1, dropped=0.05, truncated=0.05, hanging=0.02, seed=1)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def spec(server: FaultServer, **params: float) -> str:
    pairs = {"concurrency": CONCURRENCY, "timeout": 4, "backoff": 0.01} | params
    return ",".join([f"api:openai/m,base_url={server.url}", *(f"{k}={v}" for k, v in pairs.items())])


def scores(report: Report) -> Mapping[str, Json]:
    (run,) = report.finished
    assert run.outcome.failures == Counter()
    return run.scores


def texts(runs: Path) -> dict[str, str]:
    (file,) = runs.glob("*/responses.jsonl")
    stored = [json.loads(line) for line in file.open(encoding="utf-8")]
    assert len({line["key"] for line in stored}) == len(stored)
    return {line["key"]: line["text"] for line in stored}


def test_faults_change_no_score(tmp_path: Path):
    make_task(tmp_path, rows(60))
    how: dict[str, Any] = {"tasks": [str(tmp_path / "small")], "site": None, "bertscore": {"model": "none"}}
    with FaultServer(labels=LABELS) as calm, FaultServer(MIX, labels=LABELS) as stormy:
        quiet = api.run([spec(calm)], runs=str(tmp_path / "calm"), **how)
        loud = api.run([spec(stormy)], runs=str(tmp_path / "stormy"), **how)
    assert sum(stormy.seen.kinds.values()) > 10
    assert scores(loud)["metrics"] == scores(quiet)["metrics"]
    assert texts(tmp_path / "calm") == texts(tmp_path / "stormy")
    assert all(stormy.seen.calls[p] == 1 + stormy.seen.faults[p] for p in stormy.seen.calls)
    form = calm.seen.bodies[0]["response_format"]["json_schema"]
    assert form["schema"]["required"] == ["rationale", "label"]


def test_a_killed_run_asks_at_most_what_was_in_flight_again(tmp_path: Path):
    make_task(tmp_path, rows(120))
    with FaultServer(labels=LABELS, latency=0.02) as server:
        how = ["-t", "small", "--task-dir", str(tmp_path), "--no-page", "--bertscore", "none"]
        start = "from r2d_bench.cli.main import entry; entry()"
        run = [sys.executable, "-c", start, "run", spec(server), *how, "--runs", str(tmp_path / "runs")]
        process = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while sum(server.seen.calls.values()) < 50 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.kill()
        process.wait()
        stored = sum(line.endswith("\n") for line in next(tmp_path.glob("runs/*/responses.jsonl")).open())
        asked = sum(server.seen.calls.values())
        assert 0 < asked - stored <= CONCURRENCY
        assert asked < 120, "the kill came too late"
        done = subprocess.run(run, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(texts(tmp_path / "runs")) == 120
    assert len(server.seen.calls) == 120
    assert sum(server.seen.calls.values()) - 120 == asked - stored
    assert max(server.seen.calls.values()) == 2
