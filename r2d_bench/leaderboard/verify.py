"""Recomputing a run: from its stored answers through the parser and the metrics to every number of `scores.json`.

The run folder is copied and scored again there with the real scoring; nothing of the original is changed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.documents import read_json
from r2d_bench.errors import UserError
from r2d_bench.judging.ask import read_judgments
from r2d_bench.judging.store import find_judgments
from r2d_bench.metrics import bertscore
from r2d_bench.runs.scoring import SCORES_SCHEMA, ScoreOptions, Scorers, check_data, score_run
from r2d_bench.runs.selection import union
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.spec import BertScore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from r2d_bench.records import Json
    from r2d_bench.tasks.task import Task

EXACT = 1e-9  # counts and label figures: equal but for the order of additions
CLOSE = 1e-4  # BERTScore: the same encoder on other hardware
BERT = frozenset(metric.name for metric in bertscore.METRICS)
# What describes the scoring, not the run: versions and what is made of paths to files.
NOT_FIGURES = frozenset({"versions", "signatures", "schema", "resampling", "spent"})
PAPER = "paper_"
_SIGNATURE = re.compile(r"(?P<model>.+)_L(?P<layer>\d+)_no-idf")


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


def verify(
    store: RunStore, task: Task, encoder: BertScore | None = None, scorers: Scorers | None = None
) -> Verification:
    """Recompute everything that a run folder tells.

    Args:
        store: the run folder.
        task: its task.
        encoder: of BERTScore; None looks for the one that the run was scored with.
        scorers: shared by several runs.

    Raises:
        UserError: the folder is no run, is not scored, or was made on other data.
    """
    scores = store.scores()
    if scores is None:
        raise UserError(f"{store.folder}: not scored: there is nothing to verify")
    if scores.get("schema") != SCORES_SCHEMA:
        raise UserError(f"{store.folder / 'scores.json'}: of another version; score the run again")
    setup = store.setup()
    check_data(setup, task)
    found = Verification(store.name)
    found.faults += _faults(store, task)
    if found.faults:
        return found
    with tempfile.TemporaryDirectory(prefix="r2d-bench-") as name:
        copy = RunStore(Path(name) / store.name)
        shutil.copytree(store.folder, copy.folder, ignore=shutil.ignore_patterns("lock"))
        wanted = encoder or _encoder_of(scores)
        score_run(copy, task, _options(scores, wanted), scorers or Scorers())
        _compare_scores(scores, copy.scores() or {}, found)
        _compare_rows(store, copy, found)
        _compare_judgings(store, copy, task, found)
    return found


def digests(folder: Path) -> dict[str, str]:
    """Return file → SHA-256 of what a verification rests on."""
    names = ("run.json", "responses.jsonl", "scores.json", "examples.parquet")
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names if (folder / name).is_file()
    }


def _faults(store: RunStore, task: Task) -> Iterator[str]:
    """Yield what is wrong with ids and answers."""
    asked = Counter(ident for part in store.selections() for ident in set(part.ids))
    for part in store.selections():
        yield from (f"id {ident}: stands twice in run.json" for ident, n in Counter(part.ids).items() if n > 1)
    known = {example.id for example in task.examples(store.setup().split)}
    yield from (f"id {ident}: asked, but no example of {task.spec.full_name}" for ident in asked if ident not in known)
    keys = Counter((answer.example_id, answer.stage, answer.key) for answer in store.answers())
    yield from (
        f"id {ident}: answered twice in stage {stage} of responses.jsonl"
        for (ident, stage, _), n in keys.items()
        if n > 1
    )
    answered = {ident for ident, _, _ in keys}
    challenges = {example.id for name in store.challenges() for example in task.challenge(name)}
    yield from (f"id {ident}: answered, but never asked" for ident in sorted(answered - set(asked) - challenges))
    told = _told(store)
    doubled = Counter((row["split"], row["id"]) for row in told)
    yield from (f"id {ident}: stands twice in examples.parquet" for (_, ident), n in doubled.items() if n > 1)
    here = {row["id"]: row for row in told if row["split"] == store.setup().split}
    whole = union(task.examples(store.setup().split), store.selections())
    for ident in whole.ids:
        row = here.get(ident)
        if row is None:
            yield f"id {ident}: missing in examples.parquet"
        elif ident not in answered and row["unscored"] is None:
            yield f"id {ident}: scored, but without an answer in responses.jsonl"


def _told(store: RunStore) -> list[dict[str, Json]]:
    from r2d_bench.runs.table import read_examples  # noqa: PLC0415 - pyarrow is slow to import

    path = store.folder / "examples.parquet"
    if not path.is_file():
        raise UserError(f"{path}: no such file; score the run again")
    return read_examples(path)


def _encoder_of(scores: Mapping[str, Json]) -> BertScore:
    """Return the encoder that the run was scored with, as far as its signature tells where it lies."""
    signature = next((scores["signatures"][name] for name in BERT if name in scores["signatures"]), "")
    parts = _SIGNATURE.match(signature)
    if parts is None:
        return BertScore(model="none")
    name, layer = parts["model"], int(parts["layer"])
    shipped = name.isidentifier() and importlib.util.find_spec(name) is not None
    return BertScore(model=f"pkg:{name}" if shipped else name, num_layers=layer)


def _options(scores: Mapping[str, Json], encoder: BertScore) -> ScoreOptions:
    how = scores["resampling"]
    return ScoreOptions(
        bertscore=encoder,
        paper=any(name.startswith(PAPER) for name in scores["metrics"]),
        seed=how["seed"],
        resamples=how["resamples"],
        rationale_style=scores["rationale_style"],
    )


# Comparing


def _compare_scores(stored: Mapping[str, Json], again: Mapping[str, Json], found: Verification) -> None:
    for name, figure in stored["metrics"].items():
        mine = again["metrics"].get(name)
        if mine is None or (mine["value"] is None and figure["value"] is not None and _cannot(name)):
            found.not_recomputed[name] = "not known to this version" if mine is None else str(mine["reason"])
        else:
            _compare(name, figure, mine, found, CLOSE if name in BERT else EXACT)
    for key in stored:
        if key not in NOT_FIGURES and key != "metrics":
            _compare(key, stored[key], again.get(key), found, EXACT)
    for name, text in stored["signatures"].items():
        if name not in found.not_recomputed and name not in BERT:
            _compare(f"signature of {name}", text, again["signatures"].get(name), found, EXACT)


def _cannot(name: str) -> bool:
    """Tell whether a figure needs what may be absent: an encoder, or the paper's tokeniser."""
    return name in BERT or name.startswith(PAPER)


def _compare(what: str, stored: Json, again: Json, found: Verification, tolerance: float) -> None:
    if isinstance(stored, dict) and isinstance(again, dict):
        for key in {**stored, **again}:
            _compare(f"{what}.{key}", stored.get(key), again.get(key), found, tolerance)
    elif isinstance(stored, list) and isinstance(again, list) and len(stored) == len(again):
        for number, (one, other) in enumerate(zip(stored, again, strict=True), 1):
            _compare(f"{what}[{number}]", one, other, found, tolerance)
    elif _alike(stored, again, tolerance):
        found.equal += 1
    else:
        found.differences.append(Difference(what, stored, again))


def _alike(stored: Json, again: Json, tolerance: float) -> bool:
    if isinstance(stored, float) or isinstance(again, float):
        if not isinstance(stored, int | float) or not isinstance(again, int | float):
            return bool(stored == again)
        return isclose(stored, again, rel_tol=tolerance, abs_tol=tolerance)
    return bool(stored == again)


def _compare_rows(store: RunStore, copy: RunStore, found: Verification) -> None:
    """Compare what is told of each example with what its answers say."""
    again = {(row["split"], row["id"]): row for row in _told(copy)}
    for row in _told(store):
        mine = again.get((row["split"], row["id"]))
        if mine is None:
            found.faults.append(f"id {row['id']}: in examples.parquet, but never asked")
            continue
        for key in row:
            name = key.removeprefix("metric.")
            if name not in found.not_recomputed:
                tolerance = CLOSE if name in BERT else EXACT
                _compare(f"id {row['id']}, {name}", row[key], mine.get(key), found, tolerance)


def _compare_judgings(store: RunStore, copy: RunStore, task: Task, found: Verification) -> None:
    """Compare what judges said with what their stored replies say."""
    copies = {judging.name: judging for judging in find_judgments(copy.folder)}
    for judging in find_judgments(store.folder):
        stored = judging.scores()
        if judging.setup().rubric.spec.mode != "pointwise" or stored is None:
            continue
        mine = copies[judging.name]
        read_judgments(mine, copy, task)
        again = read_json(mine.folder / "scores.json")
        for key in stored:
            if key not in NOT_FIGURES:
                _compare(f"{judging.name}: {key}", stored[key], again.get(key), found, EXACT)


def told(found: Sequence[Verification]) -> list[dict[str, Json]]:
    """Return verifications as JSON."""
    return [
        {
            "run": one.run,
            "holds": one.holds,
            "equal": one.equal,
            "differences": list(one.lines()),
            "not_recomputed": one.not_recomputed,
        }
        for one in found
    ]
