"""Taking a submission onto a board: what CI runs on a pull request. Whatever does not fit is refused with one line."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from r2d_bench import content
from r2d_bench.documents import check, check_writable, parse_json, read_json
from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.leaderboard.origin import SCHEMA, SUBMISSION, mark
from r2d_bench.leaderboard.submission import RUN_FILES
from r2d_bench.leaderboard.verify import verify
from r2d_bench.models.cards import ModelCard
from r2d_bench.runs.selection import union
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.spec import BertScore
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO

    from r2d_bench.leaderboard.differences import Verification
    from r2d_bench.records import Json
    from r2d_bench.runs.scoring import Scorers
    from r2d_bench.tasks.task import Task

LARGEST = 2 * 2**30  # bytes of a submission, unpacked
LARGEST_DOCUMENT = 64 * 2**20  # bytes of a file that is read whole as JSON
MOST_FILES = 500
BLOCK = 2**20
JUDGMENT = re.compile(r"judgments/[\w-][\w.-]*(/[\w-][\w.-]*)?\.jsonl?", re.ASCII)
# What reading files of strangers raises where they are of another form than any version writes.
MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError)
UNREADABLE = (OSError, RuntimeError, NotImplementedError, EOFError, zipfile.BadZipFile, zlib.error)


class Submission(BaseModel):
    """The contract of `submission.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = Field(alias="schema")
    run: str
    task: str
    texts: bool
    version: str
    card: ModelCard
    files: dict[str, str]


def task_of(source: Path) -> str:
    """Return the name of a submission's task, without any check of the rest.

    Raises:
        UserError: it cannot be read.
    """
    try:
        if source.is_dir():
            with (source / SUBMISSION).open("rb") as file:
                told = _document(file)
        else:
            with zipfile.ZipFile(source) as archive, archive.open(SUBMISSION) as packed:
                told = _document(packed)
        return str(told["task"]).rpartition("@")[0]
    except (*MALFORMED, *UNREADABLE):
        raise UserError(f"{source}: holds no {SUBMISSION}: pack the run with r2d-bench leaderboard submit") from None


def _document(file: IO[bytes]) -> Json:
    """Return a JSON document of a bounded size: a few bytes of a zip can stand for any number."""
    text = file.read(LARGEST_DOCUMENT + 1)
    if len(text) > LARGEST_DOCUMENT:
        raise ValueError("too large")
    return parse_json(text.decode())


def accept(
    source: Path,
    runs: Path,
    *,
    data: Path | None = None,
    task_dirs: Sequence[Path] = (),
    encoder: BertScore | None = None,
    scorers: Scorers | None = None,
    everything: bool = False,
) -> Verification:
    """Check a submission, recompute it, and put it among the runs of a board.

    Args:
        source: a zip file or a folder, as `submit` writes it.
        runs: the folder of the board's run folders.
        data: local data of its task.
        task_dirs: further folders to look for its task in.
        encoder: of BERTScore; None takes the task's. Never is it one that only the submission names.
        scorers: shared by several submissions.
        everything: also refuse figures that cannot be recomputed here (an encoder that is not at hand).

    Returns:
        What was recomputed; the run is in place.

    Raises:
        UserError: the first thing that does not fit; nothing is put anywhere.
    """
    check_writable(runs)
    runs.mkdir(parents=True, exist_ok=True)
    staged = runs / f".submission.{secrets.token_hex(4)}"
    try:
        _unpack(source, staged)
        told = _told(source, staged)
        target = runs / told.run
        if target.exists():
            raise UserError(f"{source}: the run {told.run} is among the runs already")
        folder = staged.rename(staged.with_name(f"{staged.name}.{told.run}"))
        staged = folder
        task = _known_task(source, told.task, data, task_dirs)
        try:
            found = _checked(source, folder, told, task, encoder, scorers)
        except MALFORMED as error:
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
            raise UserError(f"{source}: holds what no run folder holds ({why}); pack the run again") from None
        for name, why in found.not_recomputed.items() if everything else ():
            raise UserError(f"{source}: {name} cannot be recomputed here ({why})")
        found.run = told.run
        mark(folder, found)
        folder.rename(target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return found


def _known_task(source: Path, full_name: str, data: Path | None, task_dirs: Sequence[Path]) -> Task:
    """Return the board's own task of that name. A path is never followed: a task folder may bring code.

    Raises:
        UserError: the board knows no such task.
    """
    name, known = full_name.rpartition("@")[0], content.found("tasks", task_dirs)
    if name not in known:
        raise UserError(f"{source}: unknown task '{name}'{did_you_mean(name, known)}")
    return load_task(name, data=data, task_dirs=task_dirs)


def _checked(
    source: Path, folder: Path, told: Submission, task: Task, encoder: BertScore | None, scorers: Scorers | None
) -> Verification:
    store = RunStore(folder)
    setup = store.setup()
    if setup.folder != told.run:
        raise UserError(f"{source}: run.json describes the run {setup.folder}, submission.json says {told.run}")
    known = task.spec.splits[setup.split].digest if setup.split in task.spec.splits else None
    if known is not None and known != setup.data_digest:
        raise UserError(
            f"{source}: made on other rows of {setup.task}: data digest {setup.data_digest}, the task's is {known}"
        )
    asked = union(task.examples(setup.split), store.selections())
    answered = {answer.example_id for answer in store.answers()}
    missing = [ident for ident in asked.ids if ident not in answered]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{source}: id {missing[0]}{more}: asked, but without an answer in responses.jsonl")
    chosen = encoder or task.spec.metrics.bertscore or BertScore(model="none")
    try:
        found = verify(store, task, chosen, scorers)
    except UserError as error:
        raise UserError(f"{source}: {str(error).replace(str(folder), told.run)}") from None
    for why in (found.not_recomputed[key] for key in ("challenges",) if key in found.not_recomputed):
        raise UserError(f"{source}: {why}")
    if not found.holds:
        lines = list(found.lines())
        more = f" (and {len(found.faults) + len(found.differences) - 1} more)" if len(lines) > 1 else ""
        raise UserError(f"{source}: {lines[0]}{more}")
    return found


def _told(source: Path, folder: Path) -> Submission:
    """Return what a submission says of itself, and check its files against that.

    Raises:
        UserError: files are missing, too many, or not what was packed; or it holds no run.
    """
    path = folder / SUBMISSION
    if not path.is_file():
        raise UserError(f"{source}: holds no {SUBMISSION}: pack the run with r2d-bench leaderboard submit")
    for document in (path, *(folder / name for name in RUN_FILES if name.endswith(".json"))):
        if document.is_file() and document.stat().st_size > LARGEST_DOCUMENT:
            raise UserError(f"{source}: {document.name} is larger than {LARGEST_DOCUMENT // 2**20} MiB")
    told = check(Submission, read_json(path), f"{source}: {SUBMISSION}")
    if told.schema_version != SCHEMA:
        raise UserError(f"{source}: {SUBMISSION} of schema {told.schema_version}, this version reads {SCHEMA}")
    if not told.texts:
        raise UserError(
            f"{source}: its task is not public, so that nothing can be recomputed; the board does not take it"
        )
    if told.run != PurePosixPath(told.run).name or told.run.startswith("."):
        raise UserError(f"{source}: '{told.run}' is no name of a run folder")
    _check_files(source, folder, told.files)
    return told


def _check_files(source: Path, folder: Path, known: Mapping[str, str]) -> None:
    for name in RUN_FILES:
        if name not in known:
            raise UserError(f"{source}: {name} is missing")
    for name in sorted(set(known) - set(RUN_FILES)):
        if JUDGMENT.fullmatch(name) is None:
            raise UserError(f"{source}: {name} is no file of a submission")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {SUBMISSION}
    for name in sorted(there ^ set(known)):
        raise UserError(
            f"{source}: {name} is {'not listed in' if name in there else 'missing, though listed in'} {SUBMISSION}"
        )
    for name, digest in known.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise UserError(f"{source}: {name} is not the file that was packed (its SHA-256 differs)")


def _unpack(source: Path, folder: Path) -> None:
    """Put a submission into a folder of its own, plain files only.

    Raises:
        UserError: it is neither a zip nor a folder, is too large, or leads outside.
    """
    try:
        if source.is_dir():
            _copy(source, folder)
            return
        with zipfile.ZipFile(source) as archive:
            _extract(source, archive, folder)
    except UNREADABLE:
        raise UserError(f"{source}: neither a zip file nor a folder that can be read") from None


def _copy(source: Path, folder: Path) -> None:
    paths = sorted(source.rglob("*"))
    if any(path.is_symlink() or not (path.is_file() or path.is_dir()) for path in paths):
        raise UserError(f"{source}: holds a link; only plain files are taken")
    files = [path for path in paths if path.is_file()]
    _check_size(source, [path.stat().st_size for path in files])
    for path in files:
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _check_size(source: Path, sizes: Sequence[int]) -> None:
    if len(sizes) > MOST_FILES or sum(sizes) > LARGEST:
        raise UserError(f"{source}: more than {MOST_FILES} files or {LARGEST // 2**30} GiB; not unpacked")


def _extract(source: Path, archive: zipfile.ZipFile, folder: Path) -> None:
    members = archive.infolist()
    _check_size(source, [member.file_size for member in members])
    if len({member.filename for member in members}) < len(members):
        raise UserError(f"{source}: a file stands twice in it")
    for member in members:
        path = PurePosixPath(member.filename)
        outside = path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in member.filename
        if outside or member.external_attr >> 28 == 0o12:
            raise UserError(f"{source}: '{member.filename}' leads outside or is a link; not unpacked")
    for member in members:
        if member.is_dir():
            continue
        target = folder / member.filename
        target.parent.mkdir(parents=True, exist_ok=True)
        left = member.file_size
        with archive.open(member) as packed, target.open("wb") as file:
            while block := packed.read(min(BLOCK, left + 1)):
                left -= len(block)
                if left < 0:  # the size in the directory was a lie
                    raise UserError(f"{source}: '{member.filename}' is larger than it says; not unpacked")
                file.write(block)
