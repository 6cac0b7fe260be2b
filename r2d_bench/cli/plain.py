"""Plain printing to standard output: lines, JSON, tables."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from r2d_bench.records import Json


def say(text: str) -> None:
    """Print a line of the result."""
    sys.stdout.write(text + "\n")


def say_json(value: Json) -> None:
    """Print the result as JSON."""
    say(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1))


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Print a table: drawn on a terminal, tab-separated lines elsewhere."""
    if not sys.stdout.isatty():
        for line in ([f"# {title}"] if title else []) + ["\t".join(row) for row in (head, *rows)]:
            say(line)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title) if title else None, title_justify="left", header_style="bold")
    for n, name in enumerate(head):
        table.add_column(name, overflow="fold", no_wrap=n > 0 and len(head) <= 6)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console().print(table)
