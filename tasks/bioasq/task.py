"""Reads the yes/no questions of BioASQ Task B from the organisers' golden JSON files."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from r2d_bench.documents import read_json
from r2d_bench.errors import UserError
from r2d_bench.tasks.sources import Reading, Row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from r2d_bench.records import Json

# Test before the rest: a question that stands in two splits stays in the test set and leaves the training data.
SPLITS = ("test", "validation", "train")
# "No, …" gives the label away; "No evidence supports …" is a finding and stays, and so does "No.1 cause".
_LEADING = re.compile(r"\A\s*(?:(?i:yes|no)(?:\s*[,;:!]+|\s*\.+(?=\s|$|[A-Z])|\s+[-–—](?=\s)|\s*$)\s*)+")


def read(path: Path) -> Reading:
    """Return the yes/no questions by split, and how many others were left out.

    Raises:
        UserError: no golden files, or a question that lacks what it needs, told with file and id.
    """
    splits: dict[str, list[Row]] = {}
    seen: set[str] = set()
    doubled, others = 0, Counter[str]()
    for split, files in _files(path).items():
        for file in files:
            for question in _questions(file):
                kind, ident = _text(question, "type", file), _text(question, "id", file)
                if kind != "yesno":
                    others[kind] += 1
                elif ident in seen:
                    doubled += 1
                else:
                    seen.add(ident)
                    splits.setdefault(split, []).append(_row(question, file))
    if "test" not in splits:
        raise UserError(f"{path}: holds no yes/no question to test on (golden files of BioASQ Task B are needed)")
    return Reading(splits, _notes(others, doubled))


def strip_label(answer: str) -> str:
    """Return an ideal answer without the Yes or No that leads it and a punctuation mark parts from the rest."""
    return _LEADING.sub("", answer)


def _notes(others: Counter[str], doubled: int) -> tuple[str, ...]:
    notes = []
    if others:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(others.items()))
        notes.append(f"skipped questions of other types: {others.total()} ({kinds})")
    if doubled:
        notes.append(f"skipped questions that stood there before: {doubled} (the first one counts)")
    return tuple(notes)


def _files(path: Path) -> dict[str, list[Path]]:
    """Return the files of each split, in the order of their names; without folders of that name all is test."""
    if not path.is_dir():
        return {"test": [path]}
    folders = {split: path / split for split in SPLITS if (path / split).is_dir()}
    files = {split: sorted(folder.glob("*.json")) for split, folder in (folders or {"test": path}).items()}
    if not any(files.values()):
        raise UserError(f"{path}: holds no .json file (golden files, or folders test and train with them)")
    return files


def _questions(file: Path) -> Iterator[dict[str, Json]]:
    data = read_json(file)
    questions = data.get("questions") if isinstance(data, dict) else None
    if not isinstance(questions, list) or not all(isinstance(question, dict) for question in questions):
        raise UserError(f"{file}: should be an object with a list of 'questions' (a golden file of BioASQ Task B)")
    yield from questions


def _text(question: dict[str, Json], key: str, file: Path) -> str:
    value = question.get(key)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{file} question {question.get('id', '?')}: '{key}' is missing or no text")
    return value


def _texts(question: dict[str, Json], key: str, file: Path) -> list[str]:
    """Return a text or a list of texts as a list; empty where there is none."""
    value = question.get(key)
    found = [value] if isinstance(value, str) else value or []
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise UserError(f"{file} question {question['id']}: '{key}' should be a text or a list of texts")
    return [text.strip() for text in found if text.strip()]


def _row(question: dict[str, Json], file: Path) -> Row:
    place = f"question {question['id']}"
    labels = {label.casefold().rstrip(".") for label in _texts(question, "exact_answer", file)}
    if len(labels) != 1:
        problem = "has several exact answers" if labels else "has no exact_answer: only golden files have it"
        raise UserError(f"{file} {place}: {problem}")
    snippets = question.get("snippets") or []
    if not isinstance(snippets, list) or not all(isinstance(snippet, dict) for snippet in snippets):
        raise UserError(f"{file} {place}: 'snippets' should be a list of objects with a 'text'")
    ideal = _texts(question, "ideal_answer", file)
    values = {
        "id": question["id"],
        "body": _text(question, "body", file).strip(),
        "snippets": [text for snippet in snippets for text in _texts({**snippet, "id": question["id"]}, "text", file)],
        "exact_answer": labels.pop(),
        "ideal_answer": [strip_label(text) for text in ideal],
        "ideal_answer_full": ideal,
        "batch": file.stem,
    }
    return Row(values, file.name, place)
