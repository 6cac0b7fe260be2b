"""Reads PubMedQA's 1,000 expert items from the authors' JSON or from the hub's rows, and splits them officially."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

from r2d_bench.documents import read_json
from r2d_bench.errors import UserError

LABELS = ("yes", "no", "maybe")
TEST_COUNTS = {"yes": 276, "no": 169, "maybe": 55}


def read(source: Path | list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows by split.

    The official split (split_dataset.py of the authors) needs no list of ids: seed 0, ids per label in the order
    yes, no, maybe and in file order, each list shuffled; the second half, after ⌈n/2⌉, is the test set. Of the first
    halves the last tenth of each label serves for validation.

    Raises:
        UserError: rows without the known columns, or a split that is not the official one.
    """
    rows = _from_json(source) if isinstance(source, Path) else [_from_hub(row) for row in source]
    shuffle = random.Random(0).shuffle  # noqa: S311 - the official split, not a secret
    splits: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
    for label in LABELS:
        ids = [row for row in rows if row["final_decision"] == label]
        shuffle(ids)
        half = math.ceil(len(ids) / 2)
        tenth = half - half // 10
        splits["train"] += ids[:tenth]
        splits["validation"] += ids[tenth:half]
        splits["test"] += ids[half:]
    counts = {label: sum(row["final_decision"] == label for row in splits["test"]) for label in LABELS}
    if counts != TEST_COUNTS:
        raise UserError(f"pubmedqa: the test split has {counts}, officially {TEST_COUNTS}; is the file complete?")
    return splits


def _from_json(path: Path) -> list[dict[str, Any]]:
    data = read_json(path)
    if not isinstance(data, dict):
        raise UserError(f"{path}: should be the authors' object of items by PubMed id (ori_pqal.json)")
    names = {
        "question": "QUESTION",
        "contexts": "CONTEXTS",
        "long_answer": "LONG_ANSWER",
        "final_decision": "final_decision",
        "reasoning_required_pred": "reasoning_required_pred",
        "reasoning_free_pred": "reasoning_free_pred",
    }
    rows = []
    for pubid, item in data.items():
        for column in names.values():
            if not isinstance(item, dict) or column not in item:
                raise UserError(f"{path} item {pubid}: the column '{column}' is missing")
        rows.append({"id": pubid} | {ours: item[theirs] for ours, theirs in names.items()})
    return rows


def _from_hub(row: dict[str, Any]) -> dict[str, Any]:
    needed = ("pubid", "question", "context", "long_answer", "final_decision")
    missing = [column for column in needed if column not in row]
    if missing:
        raise UserError(f"pubmedqa: the hub's rows have no column '{missing[0]}'; give the authors' file with --data")
    context = row["context"]
    return {
        "id": str(row["pubid"]),
        "question": row["question"],
        "contexts": list(context["contexts"]),
        "long_answer": row["long_answer"],
        "final_decision": row["final_decision"],
        # The hub's copy holds these words as lists of their letters.
        "reasoning_required_pred": "".join(context["reasoning_required_pred"]),
        "reasoning_free_pred": "".join(context["reasoning_free_pred"]),
    }
