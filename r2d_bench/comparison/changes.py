"""Which items one side has right and the other wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.comparison.document import Changes, Item

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from r2d_bench.comparison.contest import Side
    from r2d_bench.comparison.loaded import Items


def changes(items: Items, sides: tuple[Side, Side], letters: tuple[str, str], *, public: bool) -> Changes | None:
    """Return the items that two sides differ on, of those that both have an answer for; None where there are none.

    Args:
        items: of all runs.
        sides: the runs of the two sides.
        letters: what the sides are called.
        public: whether labels may stand beside the ids.
    """
    right = [_right(items, side) for side in sides]
    told = np.isfinite(right[0]) & np.isfinite(right[1])
    if not told.any():
        return None
    first, second = right
    said = [[items.texts(run, "label") for run in side] for side in sides] if public else None

    def listed(which: NDArray[np.bool_]) -> tuple[Item, ...]:
        return tuple(_item(items, int(n), said) for n in np.flatnonzero(told & which))

    return Changes(
        first=letters[0],
        second=letters[1],
        only_first=listed((first == 1) & (second == 0)),
        only_second=listed((first == 0) & (second == 1)),
        both=int((told & (first == 1) & (second == 1)).sum()),
        neither=int((told & (first == 0) & (second == 0)).sum()),
    )


def _right(items: Items, side: Side) -> NDArray[np.float64]:
    """Return 1 where most runs of a side have an item right, 0 where most have it wrong, 0.5 for a draw."""
    share = np.mean([items.numbers(run, "metric.correct") for run in side], axis=0)
    return np.where(np.isnan(share), np.nan, 0.5 + 0.5 * np.sign(share - 0.5))


def _item(items: Items, n: int, said: Sequence[Sequence[Sequence[str | None]]] | None) -> Item:
    ident = items.keys[n][1]
    if said is None:
        return Item(id=ident)
    first, second = (tuple(labels[n] for labels in side) for side in said)
    return Item(id=ident, gold=items.gold[n], first=first, second=second)
