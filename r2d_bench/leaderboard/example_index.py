"""Which examples a table's runs were asked, and what became of each: everything but the texts.

Items are numbered once per table: those of the evaluated split, then those of the challenge sets. Only the narrow
columns of `examples.parquet` are read here, so that counting costs little beside the shards of texts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError
from r2d_bench.leaderboard.document import ExampleCounts
from r2d_bench.leaderboard.example_judges import judges_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from r2d_bench.leaderboard.document import Card
    from r2d_bench.leaderboard.example_judges import ExampleJudge
    from r2d_bench.records import Json
    from r2d_bench.runs.store import RunStore

RIGHT, WRONG, UNPARSED, UNSCORED = "r", "w", "u", "n"
NARROW = ("id", "split", "gold", "label", "unscored", "metric.correct")
NONE = -1  # number of a label that is absent


@dataclass(frozen=True, slots=True)
class Answers:
    """One run's rows in the order of its table, M of them.

    Attributes:
        store: the run folder.
        items: number of each row's item, shape (M,).
        states: a character each: right, wrong, unparsed (wrong, and without a valid label), unscored.
        labels: number of the label that was read, `NONE` without one, shape (M,).
        judges: who judged its rationales.
    """

    store: RunStore
    items: Sequence[int]
    states: str
    labels: Sequence[int]
    judges: Sequence[ExampleJudge]


@dataclass(frozen=True, slots=True)
class ExampleIndex:
    """The items of a table, N of them, and what each run said.

    Attributes:
        labels: the labels by number: the task's own in its order, then those of single items.
        ordinal: the labels have an order, most urgent first.
        sets: names of the challenge sets.
        ids, gold: of each item; `gold` is a number of a label, or `NONE`.
        member: number of the challenge set plus one, 0 for the evaluated split, shape (N,).
        differ: whether the runs that have an answer gave different labels, shape (N,).
        answers: run → its rows.
    """

    labels: Sequence[str]
    ordinal: bool
    sets: Sequence[str]
    ids: Sequence[str]
    gold: Sequence[int]
    member: Sequence[int]
    differ: Sequence[bool]
    answers: Mapping[str, Answers]

    def poor(self, run: str) -> list[bool] | None:
        """Return which rows of a run a judge gave a quarter of its scale or less; None where nothing was judged."""
        mine = self.answers[run]
        if not mine.judges:
            return None
        return [
            not self.member[item] and any(judge.poor(self.ids[item]) for judge in mine.judges) for item in mine.items
        ]

    def means(self, run: str) -> list[dict[str, Json]]:
        """Return each judge of a run with its mean of each row."""
        mine = self.answers[run]
        return [
            {
                "title": judge.title,
                "means": [None if self.member[item] else judge.mean(self.ids[item]) for item in mine.items],
            }
            for judge in mine.judges
        ]

    def counts(self, run: str) -> ExampleCounts:
        """Return how many examples a run has, by outcome; all but `challenges` of the evaluated split."""
        mine = self.answers[run]
        rows = [row for row, item in enumerate(mine.items) if not self.member[item]]
        states = Counter(mine.states[row] for row in rows)
        pairs = [(self.gold[mine.items[row]], mine.labels[row]) for row in rows if mine.states[row] in {RIGHT, WRONG}]
        poor = self.poor(run)
        sets = Counter(self.member[item] for item in mine.items)
        return ExampleCounts(
            n=len(rows),
            right=states[RIGHT],
            wrong=states[WRONG] + states[UNPARSED],
            unparsed=states[UNPARSED],
            unscored=states[UNSCORED],
            under=sum(said > gold for gold, said in pairs) if self.ordinal else None,
            over=sum(said < gold for gold, said in pairs) if self.ordinal else None,
            differ=sum(self.differ[mine.items[row]] for row in rows) if len(self.answers) > 1 else None,
            poor=None if poor is None else sum(poor),
            challenges={name: sets[number] for number, name in enumerate(self.sets, 1) if sets[number]},
        )


def read_index(stores: Sequence[RunStore], card: Card, split: str) -> ExampleIndex:
    """Read what the runs of one table say, without texts.

    Args:
        stores: their folders.
        card: the table's card: labels, order, challenge sets.
        split: the evaluated split.

    Raises:
        UserError: a run has no `examples.parquet`, or one of another version.
    """
    tables = {store.name: columns(store.folder / "examples.parquet", NARROW) for store in stores}
    splits = {split: 0} | {one.split: number for number, one in enumerate(card.challenges, 1)}
    place = _places(tables, splits)
    numbers = {label.value: number for number, label in enumerate(card.labels)}
    gold = [NONE] * len(place)
    answers = {}
    for store in stores:
        table = tables.pop(store.name)  # a table at a time: labels and ids are numbers from here on
        items = [place[key] for key in zip(table["split"], table["id"], strict=True)]
        labels = [NONE if label is None else numbers.setdefault(label, len(numbers)) for label in table["label"]]
        for item, label in zip(items, table["gold"], strict=True):
            gold[item] = NONE if label is None else numbers.setdefault(label, len(numbers))
        judges = judges_of(store.folder)
        answers[store.name] = Answers(store, items, _states(table), labels, judges)
    return ExampleIndex(
        labels=list(numbers),
        ordinal=card.space == "ordinal",
        sets=[one.name for one in card.challenges],
        ids=[ident for _, ident in place],
        gold=gold,
        member=[splits[name] for name, _ in place],
        differ=_differ(len(place), list(answers.values())),
        answers=answers,
    )


def columns(path: Path, names: Sequence[str]) -> dict[str, list[Json]]:
    """Return some columns of a run's table; one that it does not have is all None.

    Raises:
        UserError: no such file.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 - slow to import

    if not path.is_file():
        raise UserError(f"{path}: no such file; score the run again")
    schema = pq.read_schema(path)
    table = pq.read_table(path, columns=[name for name in names if name in schema.names])
    nothing = [None] * table.num_rows
    return {name: table[name].to_pylist() if name in table.column_names else nothing for name in names}


def _places(tables: Mapping[str, Mapping[str, list[Json]]], splits: Mapping[str, int]) -> dict[tuple[str, str], int]:
    """Return split and id of each item → its number: evaluated ones first, in the order of the longest run."""
    found: dict[tuple[str, str], None] = {}
    for name in sorted(tables, key=lambda name: (-len(tables[name]["id"]), name)):
        found.update(dict.fromkeys(zip(tables[name]["split"], tables[name]["id"], strict=True)))
    if unknown := next((split for split, _ in found if split not in splits), None):
        raise UserError(f"examples.parquet holds rows of '{unknown}', which the task does not declare: score again")
    return {key: number for number, key in enumerate(sorted(found, key=lambda key: splits[key[0]]))}


def _states(table: Mapping[str, list[Json]]) -> str:
    parts = (table["metric.correct"], table["gold"], table["label"], table["unscored"])
    return "".join(map(_state, *parts))


def _state(correct: float | None, gold: str | None, label: str | None, unscored: str | None) -> str:
    """Return what became of one row; those of challenge sets have no `correct` of their own."""
    if gold is None or unscored is not None:
        return UNSCORED
    if label is None:
        return UNPARSED
    return RIGHT if (label == gold if correct is None else correct == 1) else WRONG


def _differ(n: int, answers: Sequence[Answers]) -> list[bool]:
    """Tell of each item whether the runs that answered gave different labels; no valid label is one more."""
    first: list[int | None] = [None] * n
    found = [False] * n
    for run in answers:
        for item, label, state in zip(run.items, run.labels, run.states, strict=True):
            if state == UNSCORED:
                continue
            if first[item] is None:
                first[item] = label
            elif first[item] != label:
                found[item] = True
    return found
