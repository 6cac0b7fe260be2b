"""A confusion matrix as a drawing: the darker a cell, the larger its share of the gold label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.leaderboard.plots.svg import Plot, drawing, shortened, tag, text, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

_CELL_WIDTH, _CELL_HEIGHT, _TOP, _SHADES = 74, 40, 46, 10
_LONGEST = 18


def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]], *, ordinal: bool) -> Plot:
    """Draw counts of gold (rows) against predicted labels (columns, the last one for no valid label).

    Args:
        labels: K labels, most urgent first where `ordinal`.
        counts: shape (K, K + 1).
        ordinal: cells right of the diagonal are marked as under-triage, in words too.
    """
    names = [*labels, "no label"]
    left = 24 + max(width_of(shortened(name, _LONGEST)) for name in labels)
    width, height = left + _CELL_WIDTH * len(names) + 8, _TOP + _CELL_HEIGHT * len(labels) + 8
    parts: list[Markup] = [text("gold", 2, _TOP - 8, "axis-title"), text("predicted", left, 12, "axis-title")]
    parts += [
        text(shortened(name, 11), left + _CELL_WIDTH * (place + 0.5), _TOP - 8, "tick", "middle")
        for place, name in enumerate(names)
    ]
    rows = []
    for gold, row in enumerate(counts):
        y, total = _TOP + _CELL_HEIGHT * gold, sum(row)
        parts.append(text(shortened(labels[gold], _LONGEST), 2, y + _CELL_HEIGHT / 2 + 4, "name"))
        for said, count in enumerate(row):
            share = count / total if total else 0.0
            side = _side(gold, said, len(labels)) if ordinal else ""
            parts += _cell(left + _CELL_WIDTH * said, y, count, share, side, hit=gold == said)
        rows.append((labels[gold], *(str(count) for count in row), str(total)))
    title = "Confusion matrix"
    return Plot(title, drawing(title, width, height, parts), ("Gold", *names, "all"), tuple(rows))


def _side(gold: int, said: int, labels: int) -> str:
    if said in {labels, gold}:
        return ""
    return "under" if said > gold else "over"


def _cell(x: float, y: float, count: int, share: float, side: str, *, hit: bool) -> list[Markup]:
    shade = min(_SHADES, round(share * _SHADES))
    kind = f"cell {'hit' if hit else side or 'none'} shade-{shade}"
    parts = [tag("rect", x=x + 1, y=y + 1, width=_CELL_WIDTH - 2, height=_CELL_HEIGHT - 2, class_=kind)]
    middle = x + _CELL_WIDTH / 2
    if count:
        parts.append(text(str(count), middle, y + 18, "count", "middle"))
        parts.append(text(" ".join(filter(None, (f"{share * 100:.0f} %", side))), middle, y + 32, "share", "middle"))
    else:
        parts.append(text("0", middle, y + 24, "zero", "middle"))
    return parts
