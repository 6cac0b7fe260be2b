"""Proof at build time that no words of a task that is not public reach its site.

`privacy` decides what is published and leaves the rest out; this module does not rely on it. Before a file is written,
its name and its text are searched for eight words in a row of any input, gold rationale, output or judgment of the runs
that publish no texts (for the whole text, where it has four to seven words), and for ids that could be recognised. A
hit stops the build. The search knows words as numbers alone (`sequences`).

What stands on pages without any run is no leak: the words of templates, metrics, built-in protocols and rubrics, of
public built-in tasks, of protocols that a public task's runs show, and a task's own labels. A public run's examples may
hold what that run or its task says itself: models repeat themselves from task to task. That is looked up only where
there is a hit.

Without a run that publishes no texts there is nothing to look for, and nothing is read.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench import content
from r2d_bench.documents import load, read_text, to_json
from r2d_bench.errors import UserError
from r2d_bench.leaderboard.document import Results
from r2d_bench.leaderboard.leak_sources import Said, Tasks, said_in, strings
from r2d_bench.leaderboard.sequences import Known, Located, all_runs, quotations, unescaped, words_of
from r2d_bench.metrics.registry import METRICS
from r2d_bench.protocols.registry import builtin
from r2d_bench.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from r2d_bench.leaderboard.document import Table
    from r2d_bench.leaderboard.sequences import Hashes

_TAG = re.compile(r"<[^<>]*>")
LEAST = 4  # words of a text that counts whole: shorter ones are anybody's
ID_LENGTH = 6  # letters and digits of an id that could be recognised; one of digits alone may be any number
NUMBER_LENGTH = 10
HERE = Path(__file__).parent
DATA = PurePosixPath("data")  # published examples: a folder for each table, in it one for each run
PREDICTIONS = PurePosixPath("downloads/predictions")  # a file for each public run


class Guard:
    """What must not stand in any file of the site.

    Args:
        words: what texts hold; owners are places in `runs`.
        ids: what ids hold; owners are places in `names`.
        runs: names of the runs that publish no texts.
        names: ids of their examples that could be recognised.
        shown: run folders whose texts files of examples hold, by table and by run.
        tasks: the tasks of all runs.
    """

    def __init__(
        self,
        words: Known,
        ids: Known,
        runs: Sequence[str],
        names: Sequence[str],
        shown: Mapping[str, Sequence[Path]],
        tasks: Tasks,
    ) -> None:
        self._words, self._ids, self._runs, self._names = words, ids, runs, names
        self._shown, self._tasks = shown, tasks
        self._own: dict[str, tuple[Hashes, set[str]]] = {}

    def check(self, name: str, text: str) -> None:
        """Refuse a file that holds what it must not.

        Args:
            name: its path in the site.
            text: its content.

        Raises:
            UserError: it does; the message names file and run, and quotes nothing.
        """
        if not self._runs:
            return
        self._refuse(name, name, f"the name of a file in {name.rpartition('/')[0] or 'the site'}")
        self._refuse(name, unescaped(text), name)
        if name.endswith(".html"):  # words between tags are read in a row
            self._refuse(name, unescaped(_TAG.sub(" ", text)), name)

    def _refuse(self, name: str, text: str, told: str) -> None:
        numbers = words_of(text)
        for length, hashes, owners in self._words.find(numbers):
            allowed = np.isin(hashes, self._said_itself(name)[0])
            if not allowed.all():
                run = self._runs[int(owners[~allowed][0])]
                where = "a run whose name holds such words" if self._words.find(words_of(run)) else f"run {run}"
                raise _error(told, where, f"{length} words in a row stand in what it was given, said or was told")
        places = {int(owner) for _, _, owners in self._ids.find(numbers) for owner in owners}
        lowered = text.lower() if places else ""
        found = {ident for ident in map(self._names.__getitem__, places) if ident.lower() in lowered}
        if found and found - self._said_itself(name)[1]:
            raise _error(told, "a run that publishes none", "it holds the id of an example")

    def _said_itself(self, name: str) -> tuple[Hashes, set[str]]:
        """Return what public runs and their task say, where a file holds their examples: word sequences and ids."""
        place = next((place for place in _places(PurePosixPath(name)) if place in self._shown), None)
        if place is None:
            return np.empty(0, np.uint64), set()
        if place not in self._own:
            said = [one for run in self._shown[place] for one in (said_in(run), self._tasks.said(run))]
            ids = {ident for one in said for ident in one.ids}
            texts = {text for one in said for text in one.texts}
            self._own[place] = all_runs(texts | ids, self._words.lengths), ids
        return self._own[place]


def _places(path: PurePosixPath) -> Iterator[str]:
    """Yield the run, then the table, whose examples a file holds; nothing for a file that holds none."""
    if path.parent == PREDICTIONS:
        yield path.name.partition(".jsonl")[0]
    elif path.is_relative_to(DATA):
        yield from reversed(path.parts[1:3])


def _error(file: str, run: str, what: str) -> UserError:
    return UserError(
        f"the site would publish words of a task that is not public: {file}, {run}: {what}. Nothing was written; take "
        "them out of the board, the model's card, or the name of what they stand in"
    )


def guard_of(results: Results, runs: Path, task_dirs: Sequence[Path] = ()) -> Guard:
    """Return the guard of a site.

    Runs that came into no table count as well, unless their task is public: what is said of them stands on a page.

    Args:
        results: the document that the pages are made of.
        runs: the folder that holds the run folders.
        task_dirs: further folders to look for tasks in.
    """
    tasks, tables = Tasks(task_dirs), results.tables
    shown: dict[str, list[Path]] = {}
    for table in tables:
        if table.texts:
            shown[table.id] = [runs / row.run for row in table.rows]
            shown |= {row.run: [runs / row.run] for row in table.rows}
    placed = {row.run for table in tables for row in table.rows}
    hidden = [row.run for table in tables if not table.texts for row in table.rows]
    skipped = sorted({one.run for one in results.skipped} - placed)
    hidden += [run for run in skipped if not tasks.is_public(runs / run, tables)]
    words: list[Located] = []
    ids, read = set[str](), set[str]()
    for place, run in enumerate(hidden):
        said = said_in(runs / run)
        task = tasks.of(runs / run)
        if task is not None and task.spec.full_name not in read:
            read.add(task.spec.full_name)
            whole = tasks.said(runs / run)
            said = Said(said.texts | whole.texts, said.ids | whole.ids)
        words += (_owned(found, place) for found in quotations(said.texts, LEAST))
        ids |= said.ids
    names = sorted(filter(recognisable, ids))
    known = Known(words)
    if hidden:
        known.without(all_runs(_public_texts(tables), known.lengths))
    return Guard(known, Known(quotations(names, 1)), hidden, names, shown, tasks)


def _owned(found: Located, owner: int) -> Located:
    """Return each number once, as those of one owner."""
    hashes = np.unique(found.hashes)
    return Located(found.length, hashes, np.full(len(hashes), owner))


def recognisable(ident: str) -> bool:
    """Tell whether an id on a page could be nothing but that id: long enough, and no single word or short number."""
    parts = "".join(c if c.isalnum() else " " for c in ident).split()
    length = sum(map(len, parts))
    if all(part.isdigit() for part in parts):
        return length >= NUMBER_LENGTH
    return length >= ID_LENGTH and (len(parts) > 1 or not ident.isalpha())


def _public_texts(tables: Iterable[Table]) -> Iterator[str]:
    """Yield what pages hold without any run, and what public tasks' runs show beside their examples."""
    for folder in (HERE / "templates", HERE / "assets"):
        yield from (read_text(path) for path in sorted(folder.iterdir()))
    for path in builtin().values():
        yield read_text(path)
    for folder in content.found("judges").values():
        yield from (read_text(path) for path in sorted(folder.glob("*.*")))
    for folder in content.found("tasks").values():
        if load(TaskSpec, folder / "task.yaml").visibility == "public":
            yield read_text(folder / "task.yaml")
    for metric in METRICS.values():
        yield from (metric.title, metric.help)
    yield to_json(Results.model_json_schema(mode="serialization"))
    for table in tables:
        yield from strings([[label.value, label.title] for label in table.card.labels])
        if table.texts:
            yield from (text for row in table.rows for text in strings(row.protocol.model_dump(mode="json")))
