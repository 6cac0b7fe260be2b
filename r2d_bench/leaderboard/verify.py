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
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from r2d_bench.documents import check, to_json, write_atomically
from r2d_bench.errors import UserError
from r2d_bench.leaderboard.differences import (
    BERT,
    PAPER,
    Verification,
    compare_judgings,
    compare_rows,
    compare_scores,
)
from r2d_bench.metrics import challenges, joint, reader
from r2d_bench.records import Json
from r2d_bench.runs.scoring import SCORES_SCHEMA, ScoreOptions, Scorers, check_data, score_run
from r2d_bench.runs.selection import union
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.spec import BertScore
from r2d_bench.tasks.task import rows_digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from r2d_bench.tasks.task import Task

MOST_RESAMPLES = 100_000  # what a file asks for must not fill the memory
ROW_KEYS = frozenset({"id", "split", "unscored"})
_OF_READER = frozenset(metric.name for metric in reader.METRICS)
_SIGNATURE = re.compile(r"(?P<model>.+)_L(?P<layer>\d+)_no-idf")


class _Resampling(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(ge=0)
    resamples: int = Field(ge=1, le=MOST_RESAMPLES)
    level: float


class _Scores(BaseModel):
    """The part of `scores.json` that says how it was made; the rest is compared."""

    model_config = ConfigDict(extra="allow", frozen=True)

    metrics: dict[str, dict[str, Json]]
    signatures: dict[str, str]
    rationale_style: str | None
    resampling: _Resampling


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
    setup = store.setup()
    check_data(setup, task)
    scores = _stored_scores(store)
    found = Verification(store.name)
    left_out = dict(_not_at_hand(store, task))
    rows = _rows(store)
    found.faults += _faults(store, task, rows, left_out)
    if found.faults:
        return found
    with tempfile.TemporaryDirectory(prefix="r2d-bench-") as name:
        copy = RunStore(Path(name) / setup.folder)
        shutil.copytree(store.folder, copy.folder, ignore=shutil.ignore_patterns("lock"))
        _leave_out(copy, left_out)
        score_run(copy, task, _options(scores, encoder), scorers or Scorers())
        again = copy.scores() or {}
        absent = _absent(scores, again, task, setup.no_rationale)
        if left_out:
            why = "; ".join(left_out.values())
            absent |= dict.fromkeys((*(metric.name for metric in challenges.METRICS), "challenges"), why)
        compare_scores(scores, again, absent, found)
        compare_rows(rows, _rows(copy), absent, left_out, found)
        compare_judgings(store, copy, task, found)
    return found


def digests(folder: Path) -> dict[str, str]:
    """Return file → SHA-256 of what a verification rests on."""
    names = ("run.json", "responses.jsonl", "scores.json", "examples.parquet")
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names if (folder / name).is_file()
    }


def _stored_scores(store: RunStore) -> dict[str, Json]:
    scores, path = store.scores(), store.folder / "scores.json"
    if scores is None:
        raise UserError(f"{store.folder}: not scored: there is nothing to verify")
    if scores.get("schema") != SCORES_SCHEMA:
        raise UserError(f"{path}: of another version; score the run again")
    check(_Scores, scores, str(path))
    return scores


def _rows(store: RunStore) -> list[dict[str, Json]]:
    """Return the rows of `examples.parquet`.

    Raises:
        UserError: it is absent, broken, or lacks a column without which rows cannot be told apart.
    """
    import pyarrow as pa  # noqa: PLC0415 - slow to import

    from r2d_bench.runs.table import read_examples  # noqa: PLC0415 - pyarrow is slow to import

    path = store.folder / "examples.parquet"
    if not path.is_file():
        raise UserError(f"{path}: no such file; score the run again")
    try:
        rows = read_examples(path)
    except (OSError, pa.ArrowException):
        raise UserError(f"{path}: cannot be read as Parquet; score the run again") from None
    if rows and (lacking := sorted(ROW_KEYS - rows[0].keys())):
        raise UserError(f"{path}: has no column '{lacking[0]}'; score the run again")
    return rows


# What is not at hand


def _not_at_hand(store: RunStore, task: Task) -> Iterator[tuple[str, str]]:
    """Yield each challenge set that was asked and whose rows are not at hand, and why."""
    for name, known in store.challenges().items():
        try:
            here = rows_digest(task.challenge(name))
        except UserError as error:
            yield name, str(error)
            continue
        if here != known:
            yield name, f"the challenge set {name} was asked on other rows (digest {known}, here {here})"


def _leave_out(copy: RunStore, names: Collection[str]) -> None:
    """Take challenge sets out of the manifest of a copy, so that the rest can be scored."""
    if not names:
        return
    manifest = copy.manifest()
    for sitting in manifest["sittings"]:
        sitting["challenges"] = {k: v for k, v in sitting.get("challenges", {}).items() if k not in names}
    write_atomically(copy.folder / copy.MANIFEST, to_json(manifest) + "\n")


def _options(scores: Mapping[str, Json], encoder: BertScore | None) -> ScoreOptions:
    how, recorded = scores["resampling"], encoder_of(scores)
    # A run without BERTScore is scored without: there is nothing to compare.
    chosen = BertScore(model="none") if recorded is None else encoder or recorded
    return ScoreOptions(
        bertscore=chosen,
        paper=any(name.startswith(PAPER) for name in scores["metrics"]),
        seed=how["seed"],
        resamples=how["resamples"],
        rationale_style=scores["rationale_style"],
    )


def encoder_of(scores: Mapping[str, Json]) -> BertScore | None:
    """Return the encoder that a run was scored with, as far as its signature tells where it lies; None: with none."""
    signature = next((scores["signatures"][name] for name in sorted(BERT) if name in scores["signatures"]), "")
    parts = _SIGNATURE.match(signature)
    if parts is None:
        return None
    name, layer = parts["model"], int(parts["layer"])
    shipped = name.isidentifier() and importlib.util.find_spec(name) is not None
    return BertScore(model=f"pkg:{name}" if shipped else name, num_layers=layer)


def _absent(
    scores: Mapping[str, Json], again: Mapping[str, Json], task: Task, no_rationale: str | None
) -> dict[str, str]:
    """Return the figures (and tables) that need what is not at hand → why; anything else has to follow.

    A stored figure of an encoder counts only with a signature that says which one it was.
    """
    absent = {}
    for name, figure in scores["metrics"].items():
        mine, signature = again["metrics"].get(name), scores["signatures"].get(name)
        if mine is None or figure.get("value") is None or signature is None:
            continue
        gone = mine["value"] is None and mine["reason"] != no_rationale
        if name in BERT:
            other = again["signatures"].get(name)
            if gone:
                absent[name] = str(mine["reason"])
            elif other is not None and _encoder_name(signature) != _encoder_name(other):
                absent[name] = f"scored with {_encoder_name(signature)}, at hand is {_encoder_name(other)}"
        elif gone and name == f"{PAPER}bleu":
            absent[name] = str(mine["reason"])  # NLTK, or its tokenizer's data
        elif gone and name in _OF_READER and not _can_train(task):
            absent[name] = str(mine["reason"])
    wanted = task.spec.metrics.adequacy
    if wanted is not None and wanted.metric in absent:
        absent |= dict.fromkeys((*(metric.name for metric in joint.METRICS), "joint"), absent[wanted.metric])
    return absent


def _encoder_name(signature: str) -> str:
    """Return model and layer of a signature, without the folder or account that the model lies in."""
    parts = _SIGNATURE.match(signature)
    return signature if parts is None else f"{parts['model'].rpartition('/')[2]}, layer {parts['layer']}"


def _can_train(task: Task) -> bool:
    try:
        return bool(task.training())
    except UserError:
        return False


# Ids


def _faults(
    store: RunStore, task: Task, rows: Sequence[Mapping[str, Json]], left_out: Collection[str]
) -> Iterator[str]:
    """Yield what is wrong with ids and answers."""
    setup, parts = store.setup(), store.selections()
    examples = task.examples(setup.split)
    known, asked = {example.id for example in examples}, {ident for part in parts for ident in part.ids}
    for part in parts:
        yield from (f"id {ident}: stands twice in run.json" for ident, n in Counter(part.ids).items() if n > 1)
    yield from (f"id {ident}: asked, but no example of {task.spec.full_name}" for ident in sorted(asked - known))
    answers = Counter((answer.example_id, answer.stage) for answer in store.answers())
    main = {stage.name for stage in setup.stages}
    yield from (
        f"id {ident}: answered twice in stage {stage} of responses.jsonl"
        for (ident, stage), n in answers.items()
        if n > 1 and stage in main
    )
    answered = {ident for ident, _ in answers}
    if not left_out:  # ids of sets that are not at hand are not known
        further = {example.id for name in store.challenges() for example in task.challenge(name)}
        yield from (f"id {ident}: answered, but never asked" for ident in sorted(answered - asked - further))
    doubled = Counter((row["split"], row["id"]) for row in rows)
    yield from (f"id {ident}: stands twice in examples.parquet" for (_, ident), n in doubled.items() if n > 1)
    here = {row["id"]: row for row in rows if row["split"] == setup.split}
    for ident in union(examples, parts).ids:
        if ident not in here:
            yield f"id {ident}: missing in examples.parquet"
        elif ident not in answered and here[ident]["unscored"] is None:
            yield f"id {ident}: scored, but without an answer in responses.jsonl"


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
