"""The command line, called in a folder that holds a small task."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from run_parts import Said, make_task, rows

from r2d_bench.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Cli = Callable[..., Said]


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run one command in a folder that holds the task `small`."""
    make_task(tmp_path, rows(12))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["r2d-bench", *arguments])
        try:
            code = main(list(arguments))
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return run
