"""A comparison as Markdown, for a report or a pull request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from r2d_bench.comparison.tables import sections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from r2d_bench.comparison.document import Comparison
    from r2d_bench.comparison.tables import Table

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def markdown(comparison: Comparison) -> str:
    """Return the whole comparison; what models and data wrote is escaped."""
    parts = []
    for section in sections(comparison):
        parts += [_table(table) for table in section.tables]
        parts += ["\n".join(f"- {escaped(line)}" for line in section.lines)] if section.lines else []
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _table(table: Table) -> str:
    rows = [_row(table.head), _row(["---"] * len(table.head))]
    for number, cells in enumerate(table.rows):
        shown = [escaped(cell) for cell in cells]
        if number in table.bold:
            shown[1] = f"**{shown[1]}**"
        rows.append(_row(shown))
    return f"**{escaped(table.title)}**\n\n" + "\n".join(rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
