"""Reads MedReason as the Reason2Decide-C authors processed it, and parses the options out of the question."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError
from r2d_bench.tasks.labels import LabelSpace
from r2d_bench.tasks.r2d_files import read_folder
from r2d_bench.tasks.sources import Reading, Row

if TYPE_CHECKING:
    from pathlib import Path

# The authors publish no training file for this set: their validation file serves for fitting.
FILES = {"train": "val.jsonl", "test": "test.csv"}
HEADER = "Answer Choices:"
LETTERS = "ABCD"


def read(path: Path) -> Reading:
    """Return the rows by split, each with `stem` and `options`, and what was seen of the gold labels.

    Raises:
        UserError: missing files or columns, or a question without its four options.
    """
    splits: dict[str, list[Row]] = {}
    notes = []
    for split, rows in read_folder(path, FILES).items():
        splits[split] = [_with_options(row) for row in rows]
        notes.append(f"{split}: {_seen(splits[split])}")
    return Reading(splits, tuple(notes))


def parse_question(question: str) -> tuple[str, tuple[str, ...]] | None:
    """Return what stands before `Answer Choices:` and the four options; None where they cannot be told.

    In one file each option begins a line, in the other one stands behind the next, parted by a space. There a
    letter is taken where it first follows the letter before it: `A. C. immitis B. S. schenckii C. C. albicans …`.
    """
    stem, header, block = question.rpartition(HEADER)
    if not header:
        return None
    gap = r"\n" if block.startswith("\n") else r"\s"
    marks: list[re.Match[str]] = []
    for letter in LETTERS:
        mark = re.compile(rf"(?:^|{gap})[ \t]*{letter}\.(?=\s)").search(block, marks[-1].end() if marks else 0)
        if mark is None:
            return None
        marks.append(mark)
    ends = [*(mark.start() for mark in marks[1:]), len(block)]
    options = tuple(block[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True))
    return (stem.strip(), options) if all(options) else None


def _with_options(row: Row) -> Row:
    parsed = parse_question(str(row.values["question"]))
    if parsed is None:
        raise UserError(f"{row.where}: should end with '{HEADER} A. … B. … C. … D. …'")
    stem, options = parsed
    return row._replace(values={**row.values, "stem": stem, "options": list(options)})


def _seen(rows: list[Row]) -> str:
    """Count how the gold labels stand among the options; one that is none of them is refused when rows are mapped."""
    space = LabelSpace("choices")
    counts: Counter[str] = Counter()
    for row in rows:
        options, label = tuple(row.values["options"]), str(row.values["label"])
        counts["literally"] += label in options
        counts["matched"] += space.vocabulary(options).exact(label) is not None
        counts["doubled"] += len(space.labels(options)) < len(options)
    return (
        f"gold labels that are one of the options: {counts['matched']} of {len(rows)}, to the letter "
        f"{counts['literally']}; items with an option twice: {counts['doubled']}"
    )
