"""What a run folder tells beside what its answers give: value by value, in both directions.

A value that is stored and does not follow is a difference, and so is one that follows and is not stored: leaving out
an unwelcome figure is as wrong as changing it. *Not recomputed* is only what needs something that is not at hand.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from math import isclose
from typing import TYPE_CHECKING

from r2d_bench.documents import read_json
from r2d_bench.judging.ask import read_judgments
from r2d_bench.judging.store import FOLDER, find_judgments
from r2d_bench.metrics import bertscore

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from r2d_bench.records import Json
    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.task import Task

EXACT = 1e-9  # counts and label figures: equal but for the order of additions
CLOSE = 1e-4  # BERTScore: the same encoder on other hardware
PAPER = "paper_"
BERT = frozenset(f"{start}{metric.name}" for metric in bertscore.METRICS for start in ("", PAPER))
# What describes the scoring and not the run; signatures are compared on their own.
NOT_FIGURES = frozenset({"versions", "signatures", "schema", "metrics"})
NOT_OF_JUDGES = frozenset({"versions", "schema", "run"})  # a folder may have been renamed


@dataclass(frozen=True, slots=True)
class Difference:
    """A number (or text) that is not what the stored answers give."""

    what: str
    stored: Json
    found: Json

    def __str__(self) -> str:
        return f"{self.what}: stored {self.stored}, recomputed {self.found}"


@dataclass(slots=True)
class Verification:
    """What came of recomputing a run.

    Attributes:
        run: the run's name.
        equal: numbers and values that are equal.
        faults: what is wrong with the folder itself, a line each (an id twice, an id without an answer).
        differences: what is not equal.
        not_recomputed: what could not be recomputed here → why.
    """

    run: str
    equal: int = 0
    faults: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    not_recomputed: dict[str, str] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Nothing is wrong."""
        return not self.faults and not self.differences

    def lines(self, most: int = 20) -> Iterator[str]:
        """Yield what is wrong, a line each, at most so many."""
        found = [*self.faults, *map(str, self.differences)]
        yield from found[:most]
        if len(found) > most:
            yield f"and {len(found) - most} more"

    def compare(self, what: str, stored: Json, again: Json, tolerance: float = EXACT) -> None:
        """Count what is equal of two values, and note what is not; dicts and lists are gone into."""
        if isinstance(stored, dict) and isinstance(again, dict):
            for key in {**stored, **again}:
                self.compare(f"{what}.{key}", stored.get(key), again.get(key), tolerance)
        elif isinstance(stored, list) and isinstance(again, list) and len(stored) == len(again):
            for number, (one, other) in enumerate(zip(stored, again, strict=True), 1):
                self.compare(f"{what}[{number}]", one, other, tolerance)
        elif _alike(stored, again, tolerance):
            self.equal += 1
        else:
            self.differences.append(Difference(what, stored, again))


def _alike(stored: Json, again: Json, tolerance: float) -> bool:
    if isinstance(stored, int | float) and isinstance(again, float):
        return isclose(stored, again, rel_tol=EXACT, abs_tol=tolerance)
    return bool(stored == again)  # counts stay counts


def compare_scores(
    stored: Mapping[str, Json], again: Mapping[str, Json], absent: Mapping[str, str], found: Verification
) -> None:
    """Compare two `scores.json`.

    Args:
        stored: as it lies in the run folder.
        again: as it was recomputed.
        absent: figures and tables that cannot be recomputed here → why.
        found: what is added to.
    """
    found.not_recomputed |= absent
    figures, mine = stored["metrics"], again["metrics"]
    for name in {**figures, **mine}:
        if name not in absent:
            one, other = figures.get(name), mine.get(name)
            if name in BERT and one and other and one.get("value") is other["value"] is None:
                other = other | {"reason": one.get("reason")}  # one lack of an encoder is like another
            found.compare(name, one, other, CLOSE if name in BERT else EXACT)
    for key in {**stored, **again}:
        if key not in NOT_FIGURES and key not in absent:
            found.compare(key, stored.get(key), again.get(key))
    told, made = stored["signatures"], again["signatures"]
    for name in {**told, **made}:
        if name not in absent and name not in BERT:  # which encoder it was is looked at before
            found.compare(f"signature of {name}", _bare(told.get(name)), _bare(made.get(name)))


def _bare(signature: str | None) -> str | None:
    """Return a signature without the version of a package: equal values are what counts."""
    if signature is None:
        return None
    return "|".join(part for part in signature.split("|") if not part.startswith("version:"))


def compare_rows(
    stored: Sequence[Mapping[str, Json]],
    again: Sequence[Mapping[str, Json]],
    absent: Collection[str],
    left_out: Collection[str],
    found: Verification,
) -> None:
    """Compare what `examples.parquet` tells of each example with what its answers say.

    Args:
        stored: the rows of the run folder.
        again: the rows that were made again.
        absent: figures that cannot be recomputed here.
        left_out: challenge sets that are not at hand.
        found: what is added to.
    """
    mine = {(row["split"], row["id"]): row for row in again}
    told = {(row["split"], row["id"]): row for row in stored if row["split"] not in left_out}
    for split, ident in {**told, **mine}:
        row, other = told.get((split, ident)), mine.get((split, ident))
        if row is None or other is None:
            fault = "missing in examples.parquet" if row is None else "in examples.parquet, but never asked"
            found.faults.append(f"id {ident}: {fault}")
            continue
        for key in {**row, **other}:
            if (name := key.removeprefix("metric.")) not in absent:
                tolerance = CLOSE if name in BERT else EXACT
                found.compare(f"id {ident}, {name}", row.get(key), other.get(key), tolerance)


def compare_judgings(store: RunStore, copy: RunStore, task: Task, found: Verification) -> None:
    """Compare verdicts, figures and juries of judges with what the stored replies say.

    Args:
        store: the run folder.
        copy: a copy of it, which is written to.
        task: its task.
        found: what is added to.
    """
    folder = store.folder / FOLDER
    if not folder.is_dir():
        return
    juries = {path.name: read_json(path) for path in sorted(folder.glob("*.json"))}
    for name in juries:  # made again by reading the judgings, or not at all
        (copy.folder / FOLDER / name).unlink()
    judgings = {judging.name: judging for judging in find_judgments(store.folder)}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in judgings:
            found.faults.append(f"{FOLDER}/{path.name}: holds no judge.json")
    for mine in find_judgments(copy.folder):
        judging = judgings[mine.name]
        stored = judging.scores()
        if judging.setup().rubric.spec.mode != "pointwise":
            found.not_recomputed[f"judging {mine.name}"] = "compares two runs"
        elif stored is None:
            found.not_recomputed[f"judging {mine.name}"] = "was not scored"
        else:
            read_judgments(mine, copy, task)
            said, read = ([asdict(one) for one in log.verdicts()] for log in (judging, mine))
            found.compare(f"{mine.name}: verdicts", said, read)
            again = read_json(mine.folder / "scores.json")
            _compare_documents(mine.name, stored, again, found)
    made = {path.name: read_json(path) for path in sorted((copy.folder / FOLDER).glob("*.json"))}
    for name in {**juries, **made}:
        _compare_documents(f"{FOLDER}/{name}", juries.get(name, {}), made.get(name, {}), found)


def _compare_documents(what: str, stored: Mapping[str, Json], again: Mapping[str, Json], found: Verification) -> None:
    for key in {**stored, **again}:
        if key not in NOT_OF_JUDGES:
            found.compare(f"{what}: {key}", stored.get(key), again.get(key))
