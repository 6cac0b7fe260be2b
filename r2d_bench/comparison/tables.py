"""A comparison as people read it: tables of cells and lines of text, for the console and for Markdown alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.comparison.words import number, p_value
from r2d_bench.metrics.display import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from r2d_bench.comparison.document import Changes, Compared, Comparison, Difference, Item, Range, Value

SHOWN_ITEMS = 3  # of each list
LONGEST_LABEL = 28
SHOWN_PAIRS = 6  # of more than that, sentences are told of pairs with the best side alone, and items of none
_TESTS = {
    "mcnemar": "McNemar's exact test",
    "permutation": "paired permutation test",
    "randomisation": "approximate randomisation",
}
_WAYS = {"higher": "higher is better", "lower": "lower is better", "none": "neither way is better"}


@dataclass(frozen=True, slots=True)
class Table:
    """Cells, with those of the best tie group marked.

    Attributes:
        title: what it shows.
        head: column headings.
        rows: the cells.
        bold: numbers of the rows whose figure is bold.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bold: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a comparison: tables with lines below."""

    tables: tuple[Table, ...]
    lines: tuple[str, ...]


def sections(comparison: Comparison) -> Iterator[Section]:
    """Yield the parts of a comparison in the order in which they are read."""
    yield _opening(comparison)
    titles = {side.letter: side.title for side in comparison.sides}
    for compared in comparison.metrics:
        yield Section((_values(compared, titles), _pairs(compared)), tuple(_lines(compared)))
    if comparison.changes:
        yield Section((_changes(comparison.changes),), tuple(_changed(comparison.changes)))
    yield Section((), tuple(_closing(comparison)))


def _opening(comparison: Comparison) -> Section:
    rows = tuple((side.letter, side.title, "\n".join(side.runs)) for side in comparison.sides)
    lines = [f"{side.letter}: {flag}." for side in comparison.sides for flag in side.flags]
    title = f"{comparison.task}, split {comparison.split}"
    return Section((Table(title, ("", "model", "run"), rows),), (*lines, *comparison.notes))


def _values(compared: Compared, titles: dict[str, str]) -> Table:
    """Return the figures of all sides; columns in which nothing stands are left out."""
    heading = compared.title + (", %" if compared.percent else "")
    head = ["", heading, "95 % interval", "rank", "tied with", "over seeds", "worst-case bounds"]
    ordered = sorted(range(len(compared.values)), key=lambda n: _place(compared, compared.values[n]))
    cells = [_value_cells(compared, compared.values[n], titles) for n in ordered]
    kept = [column for column in range(len(head)) if column < 3 or any(row[column] for row in cells)]
    groups = {value.top for value in compared.values}
    # Where all are tied with the best, bold would say nothing.
    bold = {place for place, n in enumerate(ordered) if compared.values[n].top} if len(groups) > 1 else set()
    return Table(
        f"{heading}: {_WAYS[compared.direction]}",
        tuple(head[column] for column in kept),
        tuple(tuple(row[column] for column in kept) for row in cells),
        frozenset(bold),
    )


def _place(compared: Compared, value: Value) -> tuple[bool, float, str]:
    sign = 1 if compared.direction == "lower" else -1
    return value.value is None, sign * (value.value or 0.0), value.side


def _value_cells(compared: Compared, value: Value, titles: dict[str, str]) -> list[str]:
    rank = "" if value.rank is None else str(value.rank[0])
    if value.rank is not None and value.rank[1] > value.rank[0]:
        rank += f"-{value.rank[1]}"
    return [
        f"{value.side} {titles[value.side]}",
        MISSING if value.value is None else number(compared, value.value),
        _between(compared, value.low, value.high),
        rank,
        ", ".join(value.tied),
        "" if value.over_seeds is None else "sd " + number(compared, value.over_seeds[1]),
        _bounds(compared, value.bounds),
    ]


def _pairs(compared: Compared) -> Table:
    pairs = len(compared.differences)
    corrected = f"p, Holm over {pairs} pairs"
    head = ["pair", "difference" + (", points" if compared.percent else ""), "95 % interval", "p", corrected]
    head += ["worst-case bounds"]
    rows = [_pair_cells(compared, one) for one in compared.differences]
    keep = [c for c in range(len(head)) if (c != 4 or pairs > 1) and (c < 5 or any(row[c] for row in rows))]
    title = f"Differences over {_counted(compared)}, {_TESTS[compared.test]}"
    if any(one.interval == "seeds and items" for one in compared.differences):
        title += ", intervals over seeds and items"
    return Table(title, tuple(head[c] for c in keep), tuple(tuple(row[c] for c in keep) for row in rows))


def _pair_cells(compared: Compared, one: Difference) -> list[str]:
    return [
        f"{one.first} - {one.second}",
        MISSING if one.value is None else number(compared, one.value),
        _between(compared, one.low, one.high),
        p_value(one.p),
        p_value(one.corrected),
        _bounds(compared, one.bounds),
    ]


def _counted(compared: Compared) -> str:
    items = f"{compared.items} item{'' if compared.items == 1 else 's'}"
    return items if compared.clusters is None else f"{items} in {compared.clusters} groups"


def _between(compared: Compared, low: float | None, high: float | None) -> str:
    return MISSING if low is None or high is None else f"[{number(compared, low)}, {number(compared, high)}]"


def _bounds(compared: Compared, bounds: Range | None) -> str:
    return "" if bounds is None else _between(compared, *bounds)


def _lines(compared: Compared) -> Iterator[str]:
    told = compared.differences
    if len(told) > SHOWN_PAIRS:
        best = min(compared.values, key=lambda value: _place(compared, value)).side
        told = tuple(one for one in told if best in (one.first, one.second))
    yield from (one.words + "." for one in told)
    yield from (f"Without {sides}: {reason}." for reason, sides in _gathered(compared.absent.items()))
    warned = ((value.side, warning) for value in compared.values for warning in value.warnings)
    yield from (f"{sides}: {warning}." for warning, sides in _gathered(warned))
    yield from compared.notes
    if compared.signature:
        yield f"Signature: {compared.signature}"


def _gathered(told: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield each text once, with all letters that it was told of."""
    letters: dict[str, list[str]] = {}
    for letter, text in told:
        letters.setdefault(text, []).append(letter)
    yield from ((text, ", ".join(found)) for text, found in letters.items())


def _changes(changes: Sequence[Changes]) -> Table:
    rows = [
        (
            f"{one.first}, {one.second}",
            str(one.both),
            str(len(one.only_first)),
            str(len(one.only_second)),
            str(one.neither),
        )
        for one in changes
    ]
    head = ("pair", "both right", "only the first", "only the second", "neither")
    return Table("Labels: which items they have right", head, tuple(rows))


def _changed(changes: Sequence[Changes]) -> Iterator[str]:
    """Yield the first few items of each list; all of them stand in the JSON."""
    if len(changes) > SHOWN_PAIRS:
        yield "The items themselves: in --json, or in a comparison of fewer runs."
        return
    for one in changes:
        for right, wrong, found in (
            (one.first, one.second, one.only_first),
            (one.second, one.first, one.only_second),
        ):
            if found:
                more = f" and {len(found) - SHOWN_ITEMS} more" if len(found) > SHOWN_ITEMS else ""
                shown = ", ".join(_item(item, swapped=right == one.second) for item in found[:SHOWN_ITEMS])
                yield f"{right} right, {wrong} wrong: {shown}{more}"
    if any(max(len(one.only_first), len(one.only_second)) > SHOWN_ITEMS for one in changes):
        yield "All of them: --json."


def _item(item: Item, *, swapped: bool) -> str:
    """Return an item; what the wrong side said instead of the gold label stands in brackets."""
    said = item.first if swapped else item.second
    if said is None:
        return item.id
    wrong = "/".join(dict.fromkeys(MISSING if label is None else _cut(label) for label in said))
    return f"{item.id} ({_cut(item.gold or MISSING)}, not {wrong})"


def _cut(label: str) -> str:
    """Return a label in a few words: those of multiple choice are whole sentences."""
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1].rstrip() + "…"


def _closing(comparison: Comparison) -> Iterator[str]:
    left_out = ((one.metric, one.reason) for one in comparison.left_out)
    yield from (f"Not compared: {metrics} ({reason})." for reason, metrics in _gathered(left_out))
    if any(value.rank is not None for compared in comparison.metrics for value in compared.values):
        yield (
            "Rank: the lowest and the highest place that the tests leave open. Tied: not told apart from the best of "
            "the group. Bold: tied with the best."
        )
    if any(value.bounds for compared in comparison.metrics for value in compared.values):
        yield (
            "Worst-case bounds: items that a run has no score for, of those that all were asked, counted as all wrong "
            "(or as bad as can be) and as all right."
        )
    how = comparison.how
    yield (
        f"Intervals of differences are not corrected for several pairs; p-values in the column Holm are. "
        f"{how['resamples']} resamples and swaps, seed {how['seed']}. "
        '"Would not be seen": found with a chance below 80 %.'
    )
