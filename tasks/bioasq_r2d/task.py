"""Reads the files of the Reason2Decide papers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.tasks.r2d_files import read_folder

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.tasks.sources import Row


def read(path: Path) -> dict[str, list[Row]]:
    """Return the rows of `train.jsonl`, `val.jsonl` and `test.csv`; only the last one is needed."""
    return read_folder(path)
