"""Checking a set made of vignettes: is it what it says, and does nothing but the findings give a label away?"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.statistics.intervals import wilson
from r2d_bench.vignettes import notes, rationales
from r2d_bench.vignettes.folder import Material, build, changed
from r2d_bench.vignettes.material import YEARS
from r2d_bench.vignettes.reader import RuleReader
from r2d_bench.vignettes.sets import MOST_ALIKE, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from r2d_bench.records import Json

Row = dict[str, "Json"]

CORE = ("train", "validation", "test")
FEWEST_LEVELS = 3  # at which a chief complaint occurs
MOST_OFF = 0.10  # by which a label's share, or mean length, may be off the whole core's
LEAST_NEGATED = 0.6  # of the red flags that occur at urgent levels are also ruled out at the three lowest
LOWEST = 3
LEAST_CEILING = 0.95
OLD = 65

_READING = re.compile(
    r"\b(?:T|temp|BP|P|HR|pulse|SpO2|sats?|O2|glucose|sugar|meter|cuff|thermometer|scale)\b[^.;]*?\d", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked: whether it holds, and what was found."""

    name: str
    passed: bool
    detail: str


def check_set(material: Material, folder: Path, splits: Mapping[str, Sequence[Row]]) -> list[Check]:
    """Return every check of a set.

    Args:
        material: what it was made of.
        folder: where its files lie.
        splits: its rows, by split.
    """
    core = [row for split in CORE for row in splits[split]]
    every = [row for rows in splits.values() for row in rows]
    labels = material.spec.label.values
    return [
        _rebuilt(material, folder),
        *(_counts(split, rows, labels) for split, rows in splits.items()),
        _families(splits),
        _spans(every),
        _lengths(every),
        _wording(every, material),
        _alike(every),
        _complaints(core, len(labels)),
        *_balance(core, labels),
        _negated(core, material),
        _pairs(every),
        _ceiling("rule reader, core", core, material),
        _ceiling("rule reader, pairs", [row for row in every if row["pair_id"]], material),
    ]


def _rebuilt(material: Material, folder: Path) -> Check:
    files = build(material)
    other = changed(files, folder)
    found = (
        f"differ: {', '.join(other)}"
        if other
        else f"{len(files)} files, the same bytes from seed {material.lexicon.seed}"
    )
    return Check("rebuilt from the seed", not other, found)


def _counts(split: str, rows: Sequence[Row], labels: Sequence[str]) -> Check:
    counts = Counter(row["label"] for row in rows)
    even = split not in CORE or len({counts[label] for label in labels}) == 1
    return Check(f"labels, {split}", even, f"{len(rows)} rows: " + ", ".join(f"{one} {counts[one]}" for one in labels))


def _families(splits: Mapping[str, Sequence[Row]]) -> Check:
    """Families are the clusters: train and train_extra share theirs, so do test and its challenge sets."""
    kind = {"train_extra": "train"} | {"train": "train", "validation": "validation"}
    parts: dict[str, set[str]] = defaultdict(set)
    for split, rows in splits.items():
        for row in rows:
            parts[row["family"]].add(kind.get(split, "test"))
    torn = sorted(family for family, found in parts.items() if len(found) > 1)
    return Check("no family in two parts", not torn, f"{len(parts)} families" + (f"; torn: {torn}" if torn else ""))


def _spans(rows: Sequence[Row]) -> Check:
    spans = [(row, span) for row in rows for span in (*row["positives"], *row["negatives"])]
    wrong = [row["id"] for row, span in spans if row["note"][span["start"] : span["end"]] != span["text"]]
    return Check("every span literal", not wrong, f"{len(spans)} spans" + (f"; wrong in {wrong[:5]}" if wrong else ""))


def _lengths(rows: Sequence[Row]) -> Check:
    """Notes of 60 to 160 words, rationales of 20 to 50."""
    found, wrong = [], []
    bounds = {"note": (notes.FEWEST_WORDS, notes.MOST_WORDS)} | {
        f"rationale_{style}": (rationales.FEWEST_WORDS, rationales.MOST_WORDS) for style in rationales.STYLES
    }
    for name, (fewest, most) in bounds.items():
        words = [len(row[name].split()) for row in rows]
        found.append(f"{name} {min(words)} to {max(words)}")
        wrong += [row["id"] for row, n in zip(rows, words, strict=True) if not fewest <= n <= most]
    return Check("lengths in words", not wrong, ", ".join(found) + (f"; wrong: {wrong[:5]}" if wrong else ""))


def _wording(rows: Sequence[Row], material: Material) -> Check:
    said = [
        row["id"]
        for row in rows
        if any(material.lexicon.disposition.search(row[f"rationale_{style}"]) for style in rationales.STYLES)
    ]
    return Check("no disposition word in a rationale", not said, f"{3 * len(rows)} rationales" + str(said[:5] or ""))


def _alike(rows: Sequence[Row]) -> Check:
    """Token Jaccard of any two notes that are no pair, also within a split."""
    found, share = most_alike([row["note"] for row in rows], [row["pair_id"] or row["id"] for row in rows])
    names = " and ".join(rows[place]["id"] for place in found)
    return Check(
        "no two notes alike", share < MOST_ALIKE, f"closest: {names}, Jaccard {share:.2f} (under {MOST_ALIKE})"
    )


def most_alike(texts: Sequence[str], groups: Sequence[str]) -> tuple[tuple[int, int], float]:
    """Return the two texts of different groups that are most alike, and the Jaccard index of their token sets."""
    from scipy import sparse  # noqa: PLC0415 - slow to import

    sets = [sorted(tokens(text)) for text in texts]
    codes = {word: code for code, word in enumerate(sorted({word for words in sets for word in words}))}
    columns = np.array([codes[word] for words in sets for word in words])
    starts = np.cumsum([0, *(len(words) for words in sets)])
    table = sparse.csr_matrix((np.ones(len(columns), dtype=np.int32), columns, starts), shape=(len(sets), len(codes)))
    sizes = np.diff(starts)
    _, group = np.unique(np.array(groups), return_inverse=True)
    best, where = -1.0, (0, 0)
    for begin in range(0, len(sets), 512):  # a block at a time: all pairs at once would take too much memory
        shared: NDArray[np.float64] = (table[begin : begin + 512] @ table.T).toarray().astype(np.float64)
        union = sizes[begin : begin + 512, None] + sizes[None, :] - shared
        index = shared / np.maximum(union, 1)
        index[group[begin : begin + 512, None] == group[None, :]] = -1.0
        place = np.unravel_index(int(np.argmax(index)), index.shape)
        if index[place] > best:
            best, where = float(index[place]), (begin + int(place[0]), int(place[1]))
    return where, best


def _complaints(core: Sequence[Row], of: int) -> Check:
    levels: dict[str, set[str]] = defaultdict(set)
    for row in core:
        levels[row["chief_complaint"]].add(row["label"])
    few = sorted(name for name, found in levels.items() if len(found) < FEWEST_LEVELS)
    lowest = min(len(found) for found in levels.values())
    detail = f"{len(levels)} complaints, each at {lowest} to {of} levels" + (f"; too few: {few[:5]}" if few else "")
    return Check(f"each complaint at {FEWEST_LEVELS} levels or more", not few, detail)


def _balance(core: Sequence[Row], labels: Sequence[str]) -> list[Check]:
    """Compare each label with the whole core: mean length, age bands, sex, notes with a home reading."""

    def years(row: Row) -> float:
        return float(row["age"]) * YEARS[row["age_unit"]]

    shares: dict[str, Callable[[Row], bool]] = {
        "under 16": lambda row: years(row) < 16,
        "65 and over": lambda row: years(row) >= OLD,
        "female": lambda row: row["sex"] == "F",
        "a home reading": lambda row: bool(_READING.search(row["note"])),
        "called by the patient": lambda row: row["caller"] == "self",
    }
    found = [_even("words a note", core, labels, lambda row: len(row["note"].split()), relative=True)]
    found.append(_even("positives a note", core, labels, lambda row: len(row["positives"]), relative=False, most=1.0))
    for name, is_so in shares.items():
        found.append(_even(name, core, labels, _share(is_so), relative=False))
    return found


def _share(is_so: Callable[[Row], bool]) -> Callable[[Row], float]:
    return lambda row: float(is_so(row))


def _even(
    name: str,
    core: Sequence[Row],
    labels: Sequence[str],
    value: Callable[[Row], float],
    *,
    relative: bool,
    most: float = MOST_OFF,
) -> Check:
    """Check that no label's mean is further off the whole core's than `most` (of it, or as it is)."""
    overall = float(np.mean([value(row) for row in core]))
    means = {label: float(np.mean([value(row) for row in core if row["label"] == label])) for label in labels}
    off = max(abs(mean - overall) for mean in means.values()) / (overall if relative else 1.0)
    detail = (
        f"{overall:.2f} ({', '.join(f'{mean:.2f}' for mean in means.values())}); furthest off {off:.2f}, bound {most}"
    )
    return Check(f"balance: {name}", off <= most, detail)


def _negated(core: Sequence[Row], material: Material) -> Check:
    """Red flags that are found at the urgent levels should also be ruled out at the lowest."""
    labels = material.spec.label.values
    low = set(labels[-LOWEST:])
    red = {(family.family, name) for family in material.families for name, f in family.findings.items() if f.red}
    found = {(row["family"], s["finding"]) for row in core if row["label"] not in low for s in row["positives"]} & red
    absent = {(row["family"], s["finding"]) for row in core if row["label"] in low for s in row["negatives"]} & red
    share = len(found & absent) / len(found)
    detail = f"{len(found & absent)} of {len(found)} red flags ({share:.0%}, at least {LEAST_NEGATED:.0%})"
    return Check("red flags also ruled out at low levels", share >= LEAST_NEGATED, detail)


def _pairs(every: Sequence[Row]) -> Check:
    by_id = {row["id"]: row for row in every}
    wrong = []
    kinds: Counter[str] = Counter()
    for row in every:
        if row["pair_id"]:
            kinds[row["pair_kind"]] += 1
            base = by_id.get(row["pair_id"])
            moved = base is not None and row["label"] != base["label"]
            if base is None or moved != (row["pair_kind"] == "minimal") or row["note"] == base["note"]:
                wrong.append(row["id"])
    found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return Check("pairs: the label moves, or stays", not wrong, found + (f"; wrong: {wrong[:5]}" if wrong else ""))


def _ceiling(name: str, rows: Sequence[Row], material: Material) -> Check:
    """Share of cases whose label a reader of the annotated spans recovers by the rules."""
    reader = RuleReader(material.families, material.lexicon)
    hits = sum(reader.label(row) == row["label"] for row in rows)
    interval = wilson(float(hits), len(rows), 0.95)
    share = hits / len(rows)
    detail = f"{hits} of {len(rows)}: {share:.3f} [{interval.low:.3f}, {interval.high:.3f}], at least {LEAST_CEILING}"
    return Check(name, share >= LEAST_CEILING, detail)
