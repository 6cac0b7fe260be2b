"""Run folders and a site, made once per session."""

from __future__ import annotations

import pytest
from boards import Made, board, make_run, secret_task, wide_task

from r2d_bench.leaderboard.build import build
from r2d_bench.tasks.task import load_task


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    base = tmp_path_factory.mktemp("boards")
    runs, tasks = base / "runs", base / "tasks"
    tasks.mkdir()
    triage = load_task("triage")
    wide_said, secret_said = wide_task(tasks), secret_task(tasks)
    names = {
        "tfidf": make_run(triage, "baseline:tfidf", runs),
        "majority": make_run(triage, "baseline:majority", runs),
        "mock": make_run(triage, "mock:random", runs),
        "partial": make_run(triage, "mock:random,refuse=0.2,garbage=0.2,seed=7", runs, limit=60),
        "unscored": make_run(triage, "mock:random,seed=9", runs, score=False),
        "wide": make_run(load_task(str(tasks / "wide")), f"replay:{wide_said},row=human", runs),
        "secret": make_run(load_task(str(tasks / "secret")), f"replay:{secret_said}", runs),
    }
    site = base / "site"
    build(board(), runs, site, [tasks])
    return Made(runs=runs, tasks=tasks, site=site, **names)
