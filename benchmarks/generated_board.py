"""Run folders of one public task for benchmarks of pages: one real run, and others made in its image.

The first run is asked, answered (from a file) and scored by the package itself. The others are written as files of the
same form: labels and rationales of their own, drawn at another accuracy; values per example of the other metrics are
those of the first run in another order, and aggregate figures in `scores.json` are copied. Sizes, shapes and everything
that pages compute from the rows are therefore real, the copied aggregates are not.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r2d_bench.documents import to_json
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.runs.asking import Progress
from r2d_bench.runs.execute import Sitting, execute
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run
from r2d_bench.runs.selection import select
from r2d_bench.runs.setup import plan_run
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.spec import BertScore
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from r2d_bench.runs.setup import RunSetup

LABELS = ("EMS", "ED", "SEE_4H", "SEE_24H", "SEE_3D", "HOME")
INPUT_WORDS, RATIONALE_WORDS = (60, 150), (25, 45)
ACCURACY = (0.55, 0.8)  # of the worst and the best run
OFF_VOCABULARY = 0.01
CARD = """\
name: large
version: 1
title: A large set of notes
visibility: public
licence: CC0-1.0
source: {files: {test: test.jsonl}}
fields: {id: "{{ id }}", input: "{{ note }}", gold: "{{ label }}", references: "{{ rationale }}"}
label: {space: ordinal, values: [EMS, ED, SEE_4H, SEE_24H, SEE_3D, HOME]}
prompts: {instruction: Decide how soon the caller needs care.}
"""


class Quiet(Progress):
    """Nobody watches."""

    def stage(self, name: str, *, total: int, stored: int) -> None:
        """A stage begins."""

    def advance(self, *, failed: bool) -> None:
        """One request was answered, or failed."""


class Writer:
    """Texts of random words and labels of a given accuracy, reproducible."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
        sizes = self._rng.integers(2, 10, 3000)
        self._words = np.array(["".join(self._rng.choice(letters, size)) for size in sizes])

    def texts(self, n: int, words: tuple[int, int]) -> Iterator[str]:
        """Yield n texts of so many words, the bounds included."""
        for size in self._rng.integers(words[0], words[1] + 1, n):
            yield " ".join(self._words[self._rng.integers(0, len(self._words), size)]).capitalize() + "."

    def labels(self, gold: list[str], accuracy: float) -> list[str]:
        """Return what a model of that accuracy says; some of it is no label."""
        drawn = self._rng.random(len(gold))
        other = self._rng.choice(LABELS, len(gold))
        spoilt = drawn < OFF_VOCABULARY
        return [
            "soon" if bad else label if chance < accuracy else str(wrong)
            for bad, chance, label, wrong in zip(spoilt, drawn, gold, other, strict=True)
        ]

    def shuffled(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return a column in another order."""
        return column.take(pa.array(self._rng.permutation(len(column))))


def write_board(folder: Path, models: int, items: int, resamples: int) -> tuple[Path, Path]:
    """Write the task and the run folders; returns the folders of tasks and runs."""
    writer = Writer(0)
    _write_task(folder / "tasks" / "large", items, writer)
    first = _real_run(folder, items, resamples, writer)
    for number in range(1, models):
        _write_alike(first, number, models, writer)
    return folder / "tasks", folder / "runs"


def _write_task(task: Path, items: int, writer: Writer) -> None:
    task.mkdir(parents=True)
    (task / "task.yaml").write_text(CARD, encoding="utf-8")
    notes, reasons = writer.texts(items, INPUT_WORDS), writer.texts(items, RATIONALE_WORDS)
    labels = writer.labels([LABELS[number % len(LABELS)] for number in range(items)], 1.0)
    with (task / "test.jsonl").open("w", encoding="utf-8") as file:
        for number, (note, reason, label) in enumerate(zip(notes, reasons, labels, strict=True)):
            kept = LABELS[number % len(LABELS)] if label == "soon" else label
            file.write(
                json.dumps({"id": f"note-{number:06d}", "note": note, "label": kept, "rationale": reason}) + "\n"
            )


def _real_run(folder: Path, items: int, resamples: int, writer: Writer) -> RunStore:
    """Ask and score one run whose answers come from a file."""
    task = load_task(str(folder / "tasks" / "large"))
    labels = writer.labels([str(example.gold) for example in task.examples()], ACCURACY[1])
    said = folder / "answers-0.jsonl"
    with said.open("w", encoding="utf-8") as file:
        for example, label, text in zip(task.examples(), labels, writer.texts(items, RATIONALE_WORDS), strict=True):
            file.write(json.dumps({"id": example.id, "label": label, "rationale": text}) + "\n")
    model = make_model(parse_spec(f"replay:{said}"), task=task, seed=0)
    setup = plan_run(task, model)
    store = RunStore(folder / "runs" / setup.folder)
    execute(task, model, setup, Sitting(select(task.examples())), store, Quiet())
    options = ScoreOptions(bertscore=BertScore(model="none"), resamples=resamples, paper=False)
    score_run(store, task, options, Scorers())
    return store


def _write_alike(first: RunStore, number: int, models: int, writer: Writer) -> None:
    """Write a run in the image of the first one."""
    setup = first.setup()
    other = dataclasses.replace(setup, model={**setup.model, "name": f"answers-{number}"})
    store = RunStore(first.folder.with_name(other.folder))
    table = pq.read_table(first.folder / "examples.parquet")
    gold = table["gold"].to_pylist()
    low, high = ACCURACY
    said = writer.labels(gold, high - (high - low) * number / max(models - 1, 1))
    texts = list(writer.texts(len(gold), RATIONALE_WORDS))
    store.create(other)
    for sitting in first.manifest()["sittings"]:
        store.add_sitting(sitting)
    _write_answers(first, store, dict(zip(table["id"].to_pylist(), zip(said, texts, strict=True), strict=True)), other)
    pq.write_table(_columns(table, gold, said, texts, writer), store.folder / "examples.parquet", compression="zstd")
    (store.folder / "scores.json").write_text(to_json(first.scores()) + "\n", encoding="utf-8")


def _write_answers(first: RunStore, store: RunStore, said: dict[str, tuple[str, str]], setup: RunSetup) -> None:
    place = {stage.name: number for number, stage in enumerate(setup.stages)}
    source, target = first.folder / "responses.jsonl", store.folder / "responses.jsonl"
    with source.open(encoding="utf-8") as lines, target.open("w", encoding="utf-8") as file:
        for line in lines:
            answer: dict[str, Any] = json.loads(line)
            answer["text"] = said[answer["id"]][place[answer["stage"]]]
            file.write(json.dumps(answer, ensure_ascii=False) + "\n")


def _columns(table: pa.Table, gold: list[str], said: list[str], texts: list[str], writer: Writer) -> pa.Table:
    labels = [label if label in LABELS else None for label in said]
    place = {label: number for number, label in enumerate(LABELS)}
    shift = [None if label is None else place[label] - place[right] for label, right in zip(labels, gold, strict=True)]
    far = len(LABELS) - 1
    own = {
        "label": pa.array(labels),
        "label_status": pa.array(["off_vocabulary" if label is None else "parsed" for label in labels]),
        "label_text": pa.array(said),
        "rationale": pa.array(texts),
        "metric.correct": pa.array([float(step == 0) for step in shift]),
        "metric.under_triage": pa.array([float(step is None or step > 0) for step in shift]),
        "metric.over_triage": pa.array([float(step is not None and step < 0) for step in shift]),
        "metric.mean_distance": pa.array([float(far if step is None else abs(step)) for step in shift]),
    }
    found = {
        name: own.get(name, writer.shuffled(table[name]) if name.startswith("metric.") else table[name])
        for name in table.column_names
    }
    return pa.table(found)
