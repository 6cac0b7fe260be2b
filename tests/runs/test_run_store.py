"""The run folder: torn lines, broken lines, locks, folders that cannot be written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from run_parts import Counting, carry_out, make_task, rows

from r2d_bench.errors import UserError
from r2d_bench.records import Failure, Finish, Request, Response
from r2d_bench.runs.predictions import Reader
from r2d_bench.runs.store import RunStore, find_runs

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.tasks.task import Task

COMMAND = [sys.executable, "-c", "from r2d_bench.cli.main import entry; entry()"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Task, RunStore]:
    folder = tmp_path_factory.mktemp("finished")
    task = make_task(folder, rows(6))
    store, outcome = carry_out(task, Counting(), folder / "runs")
    assert outcome.answered == 12
    return task, store


def predictions(task: Task, store: RunStore) -> list[object]:
    reader, responses = Reader(task, store.setup()), store.responses()
    return [reader.prediction(example, responses) for example in task.examples()]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1))
def test_a_file_cut_at_any_byte_is_completed_again(finished: tuple[Task, RunStore], tmp_path: Path, share: float):
    task, whole = finished
    raw = (whole.folder / "responses.jsonl").read_bytes()
    cut = raw[: round(share * len(raw))]
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)
    shutil.copytree(whole.folder, tmp_path / "runs" / whole.name)
    torn = RunStore(tmp_path / "runs" / whole.name)
    (torn.folder / "responses.jsonl").write_bytes(cut)
    lines = raw.splitlines(keepends=True)
    kept = {json.loads(line)["key"] for line in cut.splitlines(keepends=True) if line.endswith(b"\n")}
    assert set(torn.responses()) == kept
    model = Counting()
    carry_out(task, model, tmp_path / "runs")
    assert {request.key for request in model.asked} == {json.loads(line)["key"] for line in lines} - kept
    assert predictions(task, torn) == predictions(task, whole)
    again = (torn.folder / "responses.jsonl").read_bytes().splitlines()
    assert sorted(again) == sorted(raw.splitlines())


@pytest.mark.parametrize(
    "broken", [b'{"key": "half', b"\x00\x00\x00", b"\xff\xfe", b"", b"[1]", b'{"key": "k"}', b'{"id": "t1"}', b"7"]
)
def test_a_broken_line_in_the_middle_is_told_by_its_number(
    finished: tuple[Task, RunStore], tmp_path: Path, broken: bytes
):
    folder = tmp_path / "run"
    shutil.copytree(finished[1].folder, folder)
    lines = (folder / "responses.jsonl").read_bytes().splitlines()
    (folder / "responses.jsonl").write_bytes(b"\n".join([*lines[:2], broken, *lines[3:], b""]))
    with pytest.raises(UserError, match=r"responses\.jsonl line 3: not a stored answer; remove the line"):
        RunStore(folder).responses()


def test_every_field_of_an_answer_survives_the_file(tmp_path: Path):
    full = Response(
        "a\nb\u2028 ü 😀",
        Finish.LENGTH,
        thinking="hm",
        input_tokens=3,
        output_tokens=0,
        cut_tokens=2,
        scores={"yes": -0.25, "no": -1.5},
        served_model="m-2",
    )
    request = Request("t1", "predict", "prompt", "input", 5)
    store = RunStore(tmp_path)
    with store.writer() as write:
        write(request, full)
        write(Request("t2", "predict", "prompt", "input", 5), Failure("timeout", "after 3 tries"))
    assert store.responses() == {request.key: full}
    failed = json.loads((tmp_path / "attempts.jsonl").read_text())
    assert (failed["id"], failed["reason"], failed["detail"]) == ("t2", "timeout", "after 3 tries")


def test_a_lock_is_given_back_and_errors_of_the_work_stay_what_they_are(tmp_path: Path):
    store = RunStore(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="weights"), store.locked():
        raise FileNotFoundError("weights")
    with store.locked(), pytest.raises(UserError, match="another process works on this run"), store.locked():
        pass
    with store.locked():
        pass


def test_folders_that_are_no_runs(tmp_path: Path):
    with pytest.raises(UserError, match="not a run folder"):
        RunStore(tmp_path).manifest()
    (tmp_path / "run.json").write_text('{"schema": 99}')
    with pytest.raises(UserError, match="not a manifest of schema 1"):
        RunStore(tmp_path).manifest()
    (tmp_path / "run.json").write_text('{"schema": 1,')
    with pytest.raises(UserError, match=r"run\.json line 1: broken JSON"):
        RunStore(tmp_path).manifest()
    assert find_runs(tmp_path / "absent") == []


def command(tmp_path: Path, runs: str, model: str = "mock:random") -> list[str]:
    make_task(tmp_path, rows(20))
    how = ["--task-dir", str(tmp_path), "--runs", runs, "--no-page", "--bertscore", "none"]
    return [*COMMAND, "run", model, "-t", "small", *how]


def test_a_second_process_on_the_same_folder_stops_at_once(tmp_path: Path):
    run = command(tmp_path, str(tmp_path / "runs"), "mock:random,latency=30")
    first = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        waited = time.monotonic()
        while not list(tmp_path.glob("runs/*/responses.jsonl")) and time.monotonic() - waited < 30:
            time.sleep(0.05)
        second = subprocess.run(run, check=False, capture_output=True, text=True, timeout=30)
        folder = next(tmp_path.glob("runs/*"))
        score = [*COMMAND, "score", str(folder), "--task-dir", str(tmp_path)]
        third = subprocess.run(score, check=False, capture_output=True, text=True, timeout=30)
    finally:
        first.kill()
        first.wait()
    for told in (second, third):
        assert told.returncode == 2
        errors = [line for line in told.stderr.splitlines() if line.startswith("r2d-bench:")]
        assert errors == [f"r2d-bench: {folder}: another process works on this run; wait for it, or stop it"]
        assert "Traceback" not in told.stderr
    assert len(json.loads((folder / "run.json").read_text())["sittings"]) == 1


@pytest.mark.parametrize("place", ["a-file", "a-file/below", "/proc/nowhere"])
def test_a_folder_that_cannot_be_written_is_told_before_anything_is(tmp_path: Path, place: str):
    (tmp_path / "a-file").write_text("kept")
    run = command(tmp_path, place if place.startswith("/") else str(tmp_path / place))
    before = sorted(tmp_path.rglob("*"))
    told = subprocess.run(run, check=False, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert told.returncode == 2
    assert "cannot be written" in told.stderr.splitlines()[-1]
    assert told.stderr.count("r2d-bench:") == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "a-file").read_text() == "kept"
