"""A private CSV task of any size, for benchmarks: written into a folder, with predictions to replay."""

from __future__ import annotations

import csv
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LABELS = ("EMS", "ED", "SEE_4H", "SEE_24H", "SEE_3D", "HOME")
CARD = """\
name: generated
version: 1
title: Generated notes
visibility: private
licence: none
source: {files: {train: train.csv, test: test.csv}}
fields: {id: "{{ id }}", input: "{{ note }}", gold: "{{ label }}", references: "{{ rationale }}"}
label: {space: ordinal, values: [EMS, ED, SEE_4H, SEE_24H, SEE_3D, HOME]}
prompts: {instruction: Decide how soon the caller needs care.}
"""


def write_task(folder: Path, items: int, words: int = 60, seed: int = 0) -> Path:
    """Write the task with `items` test examples; returns its folder."""
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    vocabulary = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(2000)]
    task = folder / "generated"
    task.mkdir(parents=True)
    (task / "task.yaml").write_text(CARD, encoding="utf-8")
    for split, size in (("train", 100), ("test", items)):
        with (task / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["id", "note", "label", "rationale"])
            for number in range(size):
                note = " ".join(chance.choices(vocabulary, k=words))
                rationale = " ".join(chance.choices(vocabulary, k=15))
                rows.writerow([f"{split}-{number}", note, chance.choice(LABELS), rationale])
    return task


def write_predictions(path: Path, task: Path, right: float = 0.7, seed: int = 1, *, explained: bool = False) -> Path:
    """Write a label for each test example, right in this share; 1 in 200 is off the vocabulary.

    With `explained`, a rationale too: most words of the gold one, in another order.
    """
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    with (task / "test.csv").open(newline="", encoding="utf-8") as golds, path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "label", *(["rationale"] if explained else [])])
        for row in csv.DictReader(golds):
            drawn = chance.random()
            said = "soon" if drawn < 0.005 else row["label"] if drawn < right else chance.choice(LABELS)
            words = row["rationale"].split()
            text = [" ".join(chance.sample(words, k=len(words) * 4 // 5))] if explained else []
            rows.writerow([row["id"], said, *text])
    return path
