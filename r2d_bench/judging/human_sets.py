"""Texts that people have rated, in the form in which a judge can be asked about them.

A set is local data (never bundled): a case, a label, a text that stands as the rationale, and what each rater said of
whether it supports the label. All ratings are put on the judge's scale of 1 to 5 (`label_support`):

- `kqa` (K-QA, Manes et al. 2024, `kqa_nli.jsonl`): the case is a question and its answer, the label is a claim, the
  answer stands as the rationale. Physicians' contradiction, neutral, entailment are 1, 3, 5; the majority counts.
- `acceptability` (Wiegreffe et al. 2022, `explanation_acceptability.jsonl`): the case is a premise and a hypothesis,
  the label their relation, the rationale an explanation. A vote for it is 5, against it 1; the mean counts.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from r2d_bench.documents import check
from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.records import Example
from r2d_bench.runs.selection import select
from r2d_bench.tasks.sources import read_rows
from r2d_bench.tasks.task import DATA_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from r2d_bench.tasks.sources import Row

LOW, HIGH = 1.0, 5.0
ENTAILMENT = {"Contradiction": 1.0, "Neutral": 3.0, "Entailment": 5.0}
FOLDER = "judge_validation"

Entailed = Literal["Contradiction", "Neutral", "Entailment"]


@dataclass(frozen=True, slots=True)
class HumanItem:
    """One rated text.

    Attributes:
        id: unique over all sets (`kqa:12`).
        cluster: items of one question, or of one premise and hypothesis, depend on each other.
        input, label, rationale: what a judge is shown.
        ratings: each rater's rating, in the order of the file, on the scale of 1 to 5.
        majority: the level that most raters gave.
        consensus: what the judge's score is compared with (see the module).
    """

    id: str
    cluster: str
    input: str
    label: str
    rationale: str
    ratings: tuple[float, ...]
    majority: float
    consensus: float


@dataclass(frozen=True, slots=True)
class HumanSet:
    """A set of rated texts.

    Attributes:
        name: `kqa` or `acceptability`.
        title: for tables.
        raters: who rated, for sentences.
        levels: the values that a rating can take, on the scale of 1 to 5.
        items: what a judge is asked about: all of them, or a sample.
        whole: all of them.
        digest: of the file's content.
    """

    name: str
    title: str
    raters: str
    levels: tuple[float, ...]
    items: tuple[HumanItem, ...]
    whole: tuple[HumanItem, ...]
    digest: str

    def level(self, score: float) -> float:
        """Return a judge's score as the nearest level that people could choose.

        With three levels 1 and 2 become 1, 3 stays, 4 and 5 become 5; with two, 4 and 5 accept, all below does not.
        """
        cuts = (3.5,) if len(self.levels) == 2 else (2.5, 3.5)
        return self.levels[sum(score >= cut for cut in cuts)]

    def sample(self, n: int | None, seed: int) -> HumanSet:
        """Return so many items, majorities in proportion, chosen by the seed; None: all of them."""
        if n is None or n >= len(self.whole):
            return self
        placed = [Example(f"{seed}/{item.id}", self.name, "", str(item.majority)) for item in self.whole]
        chosen = set(select(placed, limit=n).ids)
        kept = (item for item, place in zip(self.whole, placed, strict=True) if place.id in chosen)
        return replace(self, items=tuple(kept))


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Claim(_Line):
    """A line of K-QA's answer–claim pairs."""

    id: int | str
    question: str
    answer: str
    claim: str
    majority: Entailed
    labels: tuple[Entailed, ...] = Field(min_length=2)


class _Pair(_Line):
    premise: str
    hypothesis: str
    gold_label: str


class _Explanation(_Line):
    """A line of the explanation acceptability set."""

    id: str
    sample: str
    input: _Pair
    explanation: str
    votes: tuple[Literal[0, 1], ...] = Field(min_length=2)


def _claim(row: Row) -> HumanItem:
    line = check(_Claim, row.values, row.where)
    return HumanItem(
        id=f"kqa:{line.id}",
        cluster=line.question,
        input=f"Question: {line.question}\nAnswer: {line.answer}",
        label=line.claim,
        rationale=line.answer,
        ratings=tuple(ENTAILMENT[label] for label in line.labels),
        majority=ENTAILMENT[line.majority],
        consensus=ENTAILMENT[line.majority],
    )


def _explanation(row: Row) -> HumanItem:
    line = check(_Explanation, row.values, row.where)
    share = sum(line.votes) / len(line.votes)
    return HumanItem(
        id=f"acceptability:{line.id}/{line.sample}",
        cluster=f"{line.input.premise}\n{line.input.hypothesis}",
        input=f"Premise: {line.input.premise}\nHypothesis: {line.input.hypothesis}",
        label=line.input.gold_label,
        rationale=line.explanation,
        ratings=tuple(HIGH if vote else LOW for vote in line.votes),
        majority=HIGH if share > 0.5 else LOW,
        consensus=LOW + (HIGH - LOW) * share,
    )


@dataclass(frozen=True, slots=True)
class _Kind:
    file: str
    title: str
    raters: str
    levels: tuple[float, ...]
    read: Callable[[Row], HumanItem]


KINDS = {
    "kqa": _Kind("kqa_nli.jsonl", "K-QA", "physicians", (1.0, 3.0, 5.0), _claim),
    "acceptability": _Kind(
        "explanation_acceptability.jsonl", "explanation acceptability", "annotators", (1.0, 5.0), _explanation
    ),
}


def read_human_set(name: str, path: Path) -> HumanSet:
    """Return a set from its file, or from a folder that holds the file under its own name.

    Raises:
        UserError: no such set, or a line that does not fit (with its number).
    """
    if name not in KINDS:
        raise UserError(f"--data: unknown human set '{name}'{did_you_mean(name, KINDS)}")
    kind = KINDS[name]
    file = path / kind.file if path.is_dir() else path
    items = tuple(kind.read(row) for row in read_rows(file))
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise UserError(f"{file}: the item {item.id} stands twice")
        seen.add(item.id)
    content = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return HumanSet(name, kind.title, kind.raters, kind.levels, items, items, content)


def human_paths(given: Sequence[str]) -> dict[str, Path]:
    """Return where each human set lies.

    Args:
        given: `NAME=PATH`, or a folder that is searched for the files of all sets. Without any,
            `$R2D_BENCH_DATA/judge_validation` is searched, if it exists.

    Raises:
        UserError: an unknown set, a path that does not exist, or a folder without any set.
    """
    paths: dict[str, Path] = {}
    base = os.environ.get(DATA_VARIABLE)
    if not given and base and (Path(base) / FOLDER).is_dir():
        return dict(_inside(Path(base) / FOLDER))
    for text in given:
        name, equals, value = text.partition("=")
        if not equals and Path(text).is_dir():
            inside = dict(_inside(Path(text)))
            if not inside:
                files = " or ".join(kind.file for kind in KINDS.values())
                raise UserError(f"--data: {text}: the folder holds neither {files}")
            paths |= inside
        elif not equals:
            raise UserError(f"--data: '{text}' should be a folder, or NAME=PATH with NAME one of {', '.join(KINDS)}")
        elif name not in KINDS:
            raise UserError(f"--data: unknown human set '{name}'{did_you_mean(name, KINDS)}")
        elif not Path(value).exists():
            raise UserError(f"--data: {value}: no such file or folder (human set {name})")
        else:
            paths[name] = Path(value)
    return paths


def _inside(folder: Path) -> Iterable[tuple[str, Path]]:
    """Yield the sets whose files a folder holds."""
    for name, kind in KINDS.items():
        if (folder / kind.file).is_file():
            yield name, folder / kind.file
