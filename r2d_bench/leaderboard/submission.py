"""A run packed for a pull request: everything that recomputes it, its card, and nothing of the machine it was made on.

```
submission.json    run, task, version, card, SHA-256 of every other file
run.json, responses.jsonl, scores.json, examples.parquet, judgments/…     where the task is public
results.json       the aggregates that a page would show                    where it is not
```
"""

from __future__ import annotations

import getpass
import hashlib
import io
import re
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench import __version__
from r2d_bench.documents import load, read_json, to_json
from r2d_bench.errors import UserError
from r2d_bench.judging.store import FOLDER as JUDGMENTS
from r2d_bench.leaderboard.board import Board
from r2d_bench.leaderboard.origin import SCHEMA, SUBMISSION
from r2d_bench.leaderboard.results import collect
from r2d_bench.models.cards import ModelCard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from r2d_bench.leaderboard.document import Results
    from r2d_bench.runs.store import RunStore

RUN_FILES = ("run.json", "responses.jsonl", "scores.json", "examples.parquet")
AGGREGATES = "results.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say: equal content gives equal bytes
# Homes on the usual systems, wherever in a text they begin (backslashes are doubled in JSON).
_FOLDER = re.compile(r"(?<![\w.])(?:/home/|/Users/|/root/|file://|[A-Za-z]:\\\\+Users\\)")
_NAME = 4  # letters of a user's name: shorter ones stand in any text


@dataclass(frozen=True, slots=True)
class Pack:
    """A submission.

    Attributes:
        run: the run's name.
        texts: it holds texts, since the task is public.
        why: the sentence that says what is published.
        files: name → content.
    """

    run: str
    texts: bool
    why: str
    files: Mapping[str, bytes]


def pack(store: RunStore, card: Path | None = None, task_dirs: Sequence[Path] = ()) -> Pack:
    """Return what a submission of a run holds.

    Args:
        store: the run folder.
        card: a YAML file with the model's card, in place of what the newest sitting knows.
        task_dirs: further folders to look for the task in.

    Raises:
        UserError: no scored run, a card that does not fit, or a file that names a place or person of this machine.
    """
    about = None if card is None else load(ModelCard, card)
    results = _alone(store, task_dirs)
    (table,) = results.tables
    if table.texts:
        files = dict(_run_files(store, about))
    else:
        files = {AGGREGATES: (to_json(results.as_json()) + "\n").encode()}
    told = {
        "schema": SCHEMA,
        "run": store.name,
        "task": table.task,
        "texts": table.texts,
        "version": __version__,
        "card": (about or table.rows[0].sittings.card).model_dump(mode="json"),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
    }
    files[SUBMISSION] = (to_json(told) + "\n").encode()
    _check_local(files)
    return Pack(store.name, table.texts, table.decision, files)


def _alone(store: RunStore, task_dirs: Sequence[Path]) -> Results:
    """Return the document of a board that has this run alone."""
    store.manifest()  # says what is wrong with a folder that is no run
    with tempfile.TemporaryDirectory(prefix="r2d-bench-") as name:
        (Path(name) / store.name).symlink_to(store.folder.resolve(), target_is_directory=True)
        results = collect(Board(name="submission", title=store.name), Path(name), task_dirs)
    if not results.tables:
        raise UserError(f"{store.folder}: {results.skipped[0].reason}")
    return results


def _run_files(store: RunStore, card: ModelCard | None) -> Iterator[tuple[str, bytes]]:
    for name in RUN_FILES:
        content = (store.folder / name).read_bytes()
        if name == "run.json" and card is not None:
            manifest = read_json(store.folder / name)
            manifest["sittings"][-1]["card"] = card.model_dump(mode="json", exclude_none=True)
            content = (to_json(manifest) + "\n").encode()
        yield name, content
    folder = store.folder / JUDGMENTS
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in {".json", ".jsonl"} and path.name != "attempts.jsonl":
            yield path.relative_to(store.folder).as_posix(), path.read_bytes()


def _check_local(files: Mapping[str, bytes]) -> None:
    """Refuse to pack what names a folder or a user of this machine.

    Raises:
        UserError: a file does; the name is not repeated.
    """
    words = list(_of_this_machine())
    for name, content in files.items():
        text = _text(name, content)
        found = [(what, text.find(word)) for what, word in words]
        # Models may write of any folder; what the benchmark wrote down itself should name none.
        if name.endswith(".json") and (match := _FOLDER.search(text)):
            found.append(("a folder", match.start()))
        for what, at in found:
            if at >= 0:
                line = text.count("\n", 0, at) + 1
                raise UserError(f"{name} line {line}: names {what} of this machine; nothing was packed")


def _text(name: str, content: bytes) -> str:
    """Return what a packed file says; Parquet is compressed, and holds a row a line here."""
    if not name.endswith(".parquet"):
        return content.decode("utf-8", "replace")
    import pyarrow as pa  # noqa: PLC0415 - slow to import
    import pyarrow.parquet as pq  # noqa: PLC0415 - slow to import

    table = pq.read_table(pa.BufferReader(content))
    about = [to_json(sorted(map(str, (table.schema.metadata or {}).values())), indent=None)]
    return "\n".join(about + [to_json(row, indent=None) for row in table.to_pylist()])


def _of_this_machine() -> Iterator[tuple[str, str]]:
    for what, folder in (
        ("the home folder", Path.home()),
        ("the working folder", Path.cwd()),
        ("the temporary folder", Path(tempfile.gettempdir())),
    ):
        if len(folder.parts) > 2:  # "/" and "/tmp" stand in any text
            yield what, str(folder)
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        return
    if len(user) >= _NAME and user != "root":
        yield "a folder of the user", f"/{user}/"


def write_pack(found: Pack, out: Path) -> Path:
    """Write a submission as a zip file, or into a new folder where the name has no `.zip`; equal runs, equal bytes.

    Raises:
        UserError: `out` is there already, or cannot be written.
    """
    if out.exists():
        raise UserError(f"{out}: is there already; choose another name or remove it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".zip":
            out.write_bytes(_zipped(found.files))
        else:
            for name, content in found.files.items():
                path = out / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror})") from None
    return out


def _zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            about = zipfile.ZipInfo(name, date_time=_EPOCH)
            about.compress_type = zipfile.ZIP_DEFLATED
            about.create_system = 3  # Unix, wherever it is packed
            about.external_attr = 0o644 << 16
            archive.writestr(about, files[name])
    return buffer.getvalue()
