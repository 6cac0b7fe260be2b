"""Shared by all tests."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # noqa: ARG001
    """Where nothing may be missing (CI), a skipped test is a failed one."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("R2D_BENCH_NO_SKIPS") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where R2D_BENCH_NO_SKIPS is set: {report.longrepr}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, not skip, tests of engines that cannot be installed beside the others (`engine(module)`)."""
    absent = [
        item
        for item in items
        if any(importlib.util.find_spec(str(mark.args[0])) is None for mark in item.iter_markers("engine"))
    ]
    if absent:
        config.hook.pytest_deselected(items=absent)
        items[:] = [item for item in items if item not in absent]


@pytest.fixture(scope="session")
def public_data() -> Path:
    """The folder with the real public sets."""
    folder = os.environ.get("R2D_BENCH_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip(
            "real sets are absent: set R2D_BENCH_DATA to a folder with pubmedqa/ and medreason/ (the authors' files)"
        )
    return Path(folder)


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests name their data themselves and never reach the hub."""
    monkeypatch.delenv("R2D_BENCH_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
