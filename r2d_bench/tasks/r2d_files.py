"""The data files of the Reason2Decide papers (arXiv 2512.20074; Computers 2026, 15(5), 279).

Every set has the columns `question`, `label` and `rationale`: JSONL for training and validation, CSV for the test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.errors import UserError
from r2d_bench.tasks.sources import Row, read_rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILES: Mapping[str, str] = {"train": "train.jsonl", "validation": "val.jsonl", "test": "test.csv"}
COLUMNS = ("question", "label", "rationale")


def read_folder(path: Path, files: Mapping[str, str] = FILES) -> dict[str, list[Row]]:
    """Return the rows of each split, with a column `id` made of file and row number (`test-17`).

    Args:
        path: a folder that holds the files, or the test file alone.
        files: split → file name. Only the test file has to be there.

    Raises:
        UserError: no test file, a broken line, or a file without the three columns.
    """
    if not path.is_dir():
        return {"test": _read(path)}
    if not (path / files["test"]).is_file():
        raise UserError(f"{path}: holds no {files['test']} (with the columns {', '.join(COLUMNS)})")
    return {split: _read(path / name) for split, name in files.items() if (path / name).is_file()}


def _read(path: Path) -> list[Row]:
    rows = []
    for number, row in enumerate(read_rows(path), 1):
        for column in COLUMNS:
            if column not in row.values:
                raise UserError(f"{row.where}: the column '{column}' is missing (needed: {', '.join(COLUMNS)})")
        rows.append(row._replace(values={**row.values, "id": f"{path.stem}-{number}"}))
    return rows
