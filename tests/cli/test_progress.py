"""Progress on standard error."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn
from run_parts import Counting, make_task, rows

from r2d_bench.cli.console import Bars, Lines
from r2d_bench.runs.selection import select
from r2d_bench.runs.setup import plan_run

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.runs.selection import Selection
    from r2d_bench.runs.setup import RunSetup


@pytest.fixture
def planned(tmp_path: Path) -> tuple[RunSetup, Selection]:
    task = make_task(tmp_path, rows(8))
    return plan_run(task, Counting()), select(task.examples(), limit=4)


def test_lines_tell_each_tenth_at_most_once_a_second(
    planned: tuple[RunSetup, Selection], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    lines = Lines()
    lines.run_started(1, 2, *planned)
    lines.stage("predict", total=100, stored=20)
    for n in range(80):
        clock[0] += 0.25
        lines.advance(failed=n == 0)
    lines.scoring()
    told = capsys.readouterr().err.splitlines()
    assert told[:2] == [
        "[1/2] small@1 · counting:counting · r2d, 4 of 8 (partial)",
        "  predict: 100 requests, 20 answered before",
    ]
    # The first tenth due is the second (20 stored + 4 in the first second), then one each 2.5 s.
    assert told[2] == "  predict: 24/100, 4.0/s, 19 s left, 1 failed"
    assert told[3] == "  predict: 30/100, 4.0/s, 18 s left, 1 failed"
    assert told[-2] == "  predict: 100/100, 4.0/s, 0 s left, 1 failed"
    assert told[-1] == "  scoring"
    assert len(told) == 2 + 9 + 1


def test_bars_count_and_print_names_as_they_are(planned: tuple[RunSetup, Selection]):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    setup = planned[0]
    odd = {**setup.model, "name": "[red]org/model[/red]"}
    columns = (
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.completed}/{task.total} {task.fields[rate]}"),
    )
    with Progress(*columns, console=console) as progress:
        bars = Bars(progress)
        bars.run_started(1, 1, type(setup)(**{**vars(setup), "model": odd}), planned[1])
        bars.stage("predict", total=4, stored=1)
        bars.advance(failed=False)
        bars.advance(failed=True)
        bars.stage("explain", total=4, stored=0)
        bars.advance(failed=False)
        (only,) = progress.tasks
        assert (only.description, only.completed, only.total) == ("  explain", 1, 4)
        bars.scoring()
    assert "[red]org/model[/red]" in out.getvalue()
