"""The tables as CSV: one line per run and metric, the form that R and pandas like best."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from r2d_bench.leaderboard.document import Results, Row, Table

RUN_COLUMNS = (
    "task", "split", "run", "row", "model", "protocol", "label_method", "seed", "asked", "of", "answered",
)  # fmt: skip
FIGURE_COLUMNS = (
    "metric", "value", "low", "high", "level", "n", "unscored", "method", "signature", "reason", "warnings",
)  # fmt: skip

Cell = str | int | float | None


def leaderboard_csv(results: Results) -> str:
    """Return every figure of every run."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((*RUN_COLUMNS, *FIGURE_COLUMNS))
    for table in results.tables:
        for row in table.rows:
            for metric in row.metrics:
                cells = (*_run_cells(table, row), *_figure_cells(row, metric))
                writer.writerow([defused(cell) for cell in cells])
    return file.getvalue()


def defused(cell: Cell) -> Cell:
    """Return text that no spreadsheet takes for a formula; numbers, negative ones too, stay numbers."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _run_cells(table: Table, row: Row) -> tuple[Cell, ...]:
    stamp = row.selection
    return (
        table.task,
        table.split,
        row.run,
        row.model.row,
        row.model.title,
        row.protocol.full_name,
        row.label_method,
        row.seed,
        stamp.n,
        stamp.of,
        row.answered,
    )


def _figure_cells(row: Row, metric: str) -> tuple[Cell, ...]:
    figure = row.metrics[metric]
    return (
        metric,
        figure.value,
        figure.low,
        figure.high,
        figure.level,
        figure.n,
        figure.unscored,
        figure.method,
        row.signatures.get(metric),
        figure.reason,
        "; ".join(figure.warnings),
    )
