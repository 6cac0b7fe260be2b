"""Slices of a private task without small parts, alone and against each other.

Small parts lose their counts and figures, and so do the next larger ones until what is withheld holds ten items or
more together: the size of a single small part would be the difference between the whole and the others. Accuracy and n
of the other parts stay; macro-F1 beside them would tell cells of their confusion matrices. How many items of a part
have no answer is withheld where it is a small cell in any part.

Slices of the same items may nest (clinics in regions). A slice whose small parts could be had from sizes of parts of
other slices, whatever nests in what, is withheld whole.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from r2d_bench.leaderboard.confusion_cells import SMALL, is_small
from r2d_bench.leaderboard.document import Gap
from r2d_bench.leaderboard.parts import Figure
from r2d_bench.leaderboard.suppression import NOTHING, WITHHELD, shown_digits, uncounted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from r2d_bench.leaderboard.document import Part, Slice

CELLS = "withheld: beside accuracy it would tell how few items were taken for what"


def safe_slices(slices: Mapping[str, Slice]) -> dict[str, Slice]:
    """Return what may be published of all slices of a run."""
    shown = {name: _shown(one) for name, one in slices.items()}
    for name, one in slices.items():
        others = [sizes for other, sizes in shown.items() if other != name]
        if _undone([part.n or 0 for part in one.values if part.value not in shown[name]], shown[name], others):
            shown[name] = {}
    return {name: _without(one, shown[name]) for name, one in slices.items()}


def without_small_parts(one: Slice) -> Slice:
    """Return what may be published of a slice that is the only one; parts keep their names."""
    return _without(one, _shown(one))


def _shown(one: Slice) -> dict[str, int]:
    """Return the parts that may be shown, with their sizes."""
    shown = {part.value: part.n or 0 for part in one.values}
    left = 0
    for value, n in sorted(shown.items(), key=lambda pair: pair[1]):
        if n >= SMALL and (left >= SMALL or len(shown) == len(one.values)):
            break
        del shown[value]
        left += n
    return shown


def _undone(hidden: Iterable[int], shown: Mapping[str, int], others: Iterable[Mapping[str, int]]) -> bool:
    """Tell whether some of the hidden parts, but not all, could be what is left of parts of another slice.

    Sets of numbers are bits of one integer: bit n stands for n items.
    """
    sizes = list(hidden)
    whole = sum(sizes) + sum(shown.values())
    mine = _sums(shown.values())
    sought = [n for n in range(1, SMALL) if _sums(sizes) >> n & 1]
    for other in others:
        rest = whole - sum(other.values())
        theirs = _sums([*other.values(), rest] if other else [whole])
        # theirs - mine = n for some sums of parts
        if any((theirs >> n) & mine for n in sought):
            return True
    return False


def _sums(sizes: Iterable[int]) -> int:
    """Return which sums some of the sizes have."""
    return reduce(lambda sums, n: sums | sums << n, sizes, 1)


def _without(one: Slice, shown: Mapping[str, int]) -> Slice:
    """Return a slice with the figures of some of its parts alone."""
    few = any(is_small(part.unscored or 0) for part in one.values)
    gap: Gap = uncounted(shown_digits("accuracy", one.gap))
    if {gap.best, gap.worst} - {None, *shown}:
        gap = Gap(value=None, reason=WITHHELD, best=None, worst=None)
    return one.model_copy(update={"values": tuple(_part(part, shown, few=few) for part in one.values), "gap": gap})


def _part(part: Part, shown: Mapping[str, int], *, few: bool) -> Part:
    if part.value not in shown:
        return part.model_copy(update={"n": None, "unscored": None, "accuracy": NOTHING, "macro_f1": NOTHING})
    accuracy = uncounted(shown_digits("accuracy", part.accuracy))
    macro_f1 = part.macro_f1 if part.macro_f1.value is None else Figure(value=None, reason=CELLS)
    if few:
        accuracy, macro_f1 = (figure.model_copy(update={"unscored": 0}) for figure in (accuracy, macro_f1))
    unscored = None if few else part.unscored
    return part.model_copy(update={"unscored": unscored, "accuracy": accuracy, "macro_f1": macro_f1})
