"""`reported.yaml`: what others published, checked and never taken for ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from r2d_bench.errors import UserError
from r2d_bench.leaderboard.board import load_board
from r2d_bench.leaderboard.reported import load_reported
from r2d_bench.tasks.task import load_task

BOARDS = Path(__file__).parents[2] / "leaderboards"
ROW = {
    "task": "triage",
    "system": "T5",
    "data": "a private set",
    "source": "a paper",
    "figures": "{accuracy: {value: 0.5}}",
}


def written(folder: Path, *rows: dict[str, str]) -> Path:
    lines = ["rows:"]
    for row in rows:
        lines += [f"  {'- ' if place == 0 else '  '}{key}: {value}" for place, (key, value) in enumerate(row.items())]
    (folder / "reported.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_a_board_without_the_file_reports_nothing(tmp_path: Path) -> None:
    assert load_reported(tmp_path) == ()


def test_a_row_is_read(tmp_path: Path) -> None:
    (row,) = load_reported(written(tmp_path, ROW))
    assert (row.system, row.figures["accuracy"].value, row.same_data, row.row) == ("T5", 0.5, False, "model")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"figures": "{acuracy: {value: 0.5}}"}, "did you mean"),
        ({"figures": "{accuracy: {value: 60.58}}"}, "shares, not per cent"),
        ({"figures": "{}"}, "figures"),
        ({"colour": "red"}, "colour"),
        ({"row": "nurse"}, "row"),
    ],
)
def test_mistakes_are_told_with_the_file(tmp_path: Path, change: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message) as told:
        load_reported(written(tmp_path, ROW | change))
    assert "reported.yaml" in str(told.value)


def test_a_system_stands_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stands twice"):
        load_reported(written(tmp_path, ROW, ROW))


@pytest.mark.parametrize("folder", sorted(path.name for path in BOARDS.iterdir() if path.is_dir()))
def test_bundled_boards_and_their_reported_rows_fit_the_tasks(folder: str) -> None:
    board = load_board(folder)
    for row in load_reported(BOARDS / folder):
        assert not board.tasks or row.task in board.tasks
        assert row.source
        if row.same_data:  # the only data on which published figures and runs share their rows
            assert load_task(row.task).spec.splits, row.task
