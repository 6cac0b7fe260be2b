"""The tables as CSV: one line per run and metric, the form that R and pandas like best."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from r2d_bench.leaderboard.document import Results, Row, Table
    from r2d_bench.leaderboard.parts import Figure

RUN_COLUMNS = (
    "task", "split", "run", "row", "model", "protocol", "label_method", "seed", "asked", "of", "answered",
)  # fmt: skip
FIGURE_COLUMNS = (
    "metric", "value", "low", "high", "level", "n", "unscored", "method", "signature", "reason", "warnings", "judge",
)  # fmt: skip

Cell = str | int | float | None


def leaderboard_csv(results: Results) -> str:
    """Return every figure of every run, and what judges said of it."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((*RUN_COLUMNS, *FIGURE_COLUMNS))
    for table in results.tables:
        for row in table.rows:
            for cells in _figures(row):
                writer.writerow([defused(cell) for cell in (*_run_cells(table, row), *cells)])
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


def _figures(row: Row) -> Iterator[tuple[Cell, ...]]:
    for metric, figure in row.metrics.items():
        yield _figure_cells(metric, figure, row.signatures.get(metric), None)
    for judgment in row.judgments:
        for metric, figure in judgment.metrics.items():
            yield _figure_cells(metric, figure, None, judgment.judge)


def _figure_cells(metric: str, figure: Figure, signature: str | None, judge: str | None) -> tuple[Cell, ...]:
    return (
        metric,
        figure.value,
        figure.low,
        figure.high,
        figure.level,
        figure.n,
        figure.unscored,
        figure.method,
        signature,
        figure.reason,
        "; ".join(figure.warnings),
        judge,
    )
