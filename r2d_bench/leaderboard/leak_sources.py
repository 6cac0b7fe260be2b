"""Every text and id of a run and of its task, wherever they lie: what must not stand on a page of a private task.

Read as it lies on disk, line by line: a folder that cannot be read as a run any more still holds texts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from r2d_bench.documents import read_json
from r2d_bench.errors import UserError
from r2d_bench.judging.store import FOLDER
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from r2d_bench.leaderboard.document import Table
    from r2d_bench.records import Example, Json
    from r2d_bench.tasks.task import Task

# What people, models and judges wrote, by file of a run folder or of a judging. Other keys hold our own words.
TEXTS = {"responses.jsonl": ("text", "thinking"), "verdicts.jsonl": ("explanation", "detail")}
IDS = {"responses.jsonl": "id", "verdicts.jsonl": "example_id"}
COLUMNS = ("id", "input", "reference", "gold", "label", "label_text", "rationale")


class Said(NamedTuple):
    """Texts, and ids of examples."""

    texts: set[str]
    ids: set[str]


class Tasks:
    """The tasks of runs; each is read once.

    Args:
        dirs: further folders to look for tasks in.
    """

    def __init__(self, dirs: Sequence[Path]) -> None:
        self._dirs = dirs
        self._tasks: dict[str, Task | None] = {}

    def of(self, run: Path) -> Task | None:
        """Return the task of a run, whatever its version; None where it is not at hand."""
        name = str(_setup(run).get("task", "")).rpartition("@")[0]
        if name not in self._tasks:
            try:
                self._tasks[name] = load_task(name, task_dirs=self._dirs) if name else None
            except UserError:
                self._tasks[name] = None
        return self._tasks[name]

    def is_public(self, run: Path, tables: Iterable[Table]) -> bool:
        """Tell whether a run that is in no table is of a public task beyond doubt."""
        setup, task = _setup(run), self.of(run)
        rows = setup.get("task"), setup.get("data_digest")
        if any(table.texts and (table.task, table.data_digest) == rows for table in tables):
            return True
        local = any(
            sitting.get("data", {}).get("source") == "local"
            for sitting in _manifest(run / "run.json").get("sittings", ())
        )
        return task is not None and task.public and not local

    def said(self, run: Path) -> Said:
        """Return what the task of a run says; nothing where its data are not at hand, or are others than the run's."""
        task = self.of(run)
        nothing = Said(set(), set())
        if task is None:
            return nothing
        try:
            examples = [example for part in task.splits().values() for example in part]
            setup = _setup(run)
            if task.public and task.digest(setup.get("split")) != setup.get("data_digest"):
                return nothing
        except UserError:
            return nothing
        return Said({text for e in examples for text in _texts_of(e)}, {e.id for e in examples})


def _texts_of(example: Example) -> Iterator[str]:
    yield example.input
    yield from example.references
    for texts in example.styles.values():
        yield from texts
    yield from example.options
    yield from example.acceptable
    if example.gold is not None:
        yield example.gold


def said_in(run: Path) -> Said:
    """Return every text and id that lies in a run folder: answers, rationales, judgments, prompts of its own."""
    said = Said(set(), set())
    below = run / FOLDER
    judgings = sorted(path for path in below.iterdir() if path.is_dir()) if below.is_dir() else []
    for folder in (run, *judgings):
        for name, keys in TEXTS.items():
            for line in _lines(folder / name):
                said.texts.update(line[key] for key in keys if isinstance(line.get(key), str))
                said.ids.add(str(line.get(IDS[name], "")))
    for column, values in _columns(run / "examples.parquet").items():
        (said.ids if column == "id" else said.texts).update(value for value in values if value)
    setup = _setup(run)
    said.ids.update(setup.get("shots", ()))
    for sitting in _manifest(run / "run.json").get("sittings", ()):
        said.ids.update(sitting.get("selection", {}).get("ids", ()))
    said.texts.update(strings({key: setup.get("protocol", {}).get(key) for key in ("stages", "probes")}))
    for folder in judgings:
        told = _manifest(folder / "judge.json").get("setup", {})
        said.texts.update(strings([told.get("prompt"), _wordy(told.get("rubric", {}))]))
    return said


def _wordy(rubric: Mapping[str, Json]) -> Json:
    """Return what of a rubric may quote examples; titles and names are shown on the judge's page."""
    questions = [
        [one.get("question"), one.get("anchors")] for key in ("criteria", "flags") for one in rubric.get(key, ())
    ]
    return [rubric.get("system"), rubric.get("description"), questions]


def strings(value: Json) -> Iterator[str]:
    """Yield every text in a JSON value, keys apart."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from strings(list(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from strings(one)


def _lines(path: Path) -> Iterator[Mapping[str, Json]]:
    """Yield the lines that are JSON objects; a broken one is no reason to miss the others."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for raw in file:
            try:
                line = json.loads(raw)
            except ValueError:
                continue
            if isinstance(line, dict):
                yield line


def _columns(path: Path) -> dict[str, list[str | None]]:
    """Return the columns of texts of `examples.parquet`; none where there is no such file."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - slow to import

    try:
        file = pq.ParquetFile(path)
        return dict(file.read([name for name in COLUMNS if name in file.schema_arrow.names]).to_pydict())
    except (OSError, ValueError):
        return {}


def _manifest(path: Path) -> Mapping[str, Json]:
    """Return a manifest, as far as it is one."""
    try:
        found = read_json(path)
    except UserError:
        return {}
    return found if isinstance(found, dict) else {}


def _setup(run: Path) -> Mapping[str, Json]:
    found = _manifest(run / "run.json").get("setup")
    return found if isinstance(found, dict) else {}
