"""A run is scored while the next model awaits its endpoint, and before a model that computes here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from fault_server import FaultServer
from run_parts import LABELS, make_task, rows

import r2d_bench.benchmark
from r2d_bench import api
from r2d_bench.errors import UserError
from r2d_bench.runs.scoring import ScoreOptions, score_run
from r2d_bench.tasks.spec import BertScore

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Json

ITEMS = 12


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def how(folder: Path) -> dict[str, Any]:
    make_task(folder, rows(ITEMS))
    return {
        "tasks": [str(folder / "small")],
        "runs": str(folder / "runs"),
        "site": None,
        "bertscore": {"model": "none"},
    }


def second_is_asked(server: FaultServer) -> bool:
    """Wait until more was asked than one model is asked; tells whether that came to pass."""
    deadline = time.monotonic() + 30
    while (asked := sum(server.seen.calls.values())) <= ITEMS and time.monotonic() < deadline:
        time.sleep(0.02)
    return asked > ITEMS


def test_a_run_is_scored_while_the_next_model_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked_meanwhile = []

    def slow(*args: Any) -> dict[str, Json]:  # noqa: ANN401 - whatever score_run takes
        asked_meanwhile.append(second_is_asked(server))
        return score_run(*args)

    monkeypatch.setattr(r2d_bench.benchmark, "score_run", slow)
    with FaultServer(labels=LABELS) as server:
        report = api.run([f"api:openai/{name},base_url={server.url}" for name in ("one", "two")], **how(tmp_path))
    assert asked_meanwhile == [True, True]
    assert [run.setup.model["name"] for run in report.finished] == ["openai/one@127.0.0.1", "openai/two@127.0.0.1"]
    for run in report.finished:
        options = ScoreOptions(bertscore=BertScore(model="none"))
        again = api.score(run.folder, task_dirs=[tmp_path], options=options)
        assert again["metrics"] == run.scores["metrics"]


def test_a_model_that_computes_here_waits_for_the_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    order: list[str] = []

    class Telling(api._Silent):
        def run_started(self, number: int, *_: object) -> None:
            order.append(f"asked {number}")

    def told(*args: Any) -> dict[str, Json]:  # noqa: ANN401 - whatever score_run takes
        found = score_run(*args)
        order.append("scored")
        return found

    monkeypatch.setattr(r2d_bench.benchmark, "score_run", told)
    api.run(["mock:random", "baseline:majority"], reporter=Telling(), **how(tmp_path))
    assert order == ["asked 1", "scored", "asked 2", "scored"]


def test_scores_that_cannot_be_made_end_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object) -> dict[str, Json]:
        second_is_asked(server)
        raise UserError("no encoder")

    monkeypatch.setattr(r2d_bench.benchmark, "score_run", broken)
    with FaultServer(labels=LABELS, latency=0.05) as server, pytest.raises(UserError, match="no encoder"):
        api.run([f"api:openai/{name},base_url={server.url}" for name in ("one", "two", "three")], **how(tmp_path))
    assert sum(server.seen.calls.values()) == 2 * ITEMS  # the third model was not asked
