"""The run folder on disk.

```
run.json          manifest: schema, setup, sittings (atomic renames)
responses.jsonl   one line per answered request, appended and flushed; a torn last line is dropped on reading
attempts.jsonl    one line per failed request
scores.json       every aggregate
examples.parquet  one row per example
lock              held while a process works on the folder
```
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock, Timeout

from r2d_bench.documents import read_json, to_json, write_atomically
from r2d_bench.errors import UserError
from r2d_bench.records import Failure, Finish, Request, Response
from r2d_bench.runs.provenance import now
from r2d_bench.runs.selection import Selection
from r2d_bench.runs.setup import RunSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import IO

    from r2d_bench.records import Json

SCHEMA = 1
_HEAD = frozenset({"key", "id", "stage"})
_FIELDS = tuple(field.name for field in fields(Response))


class StoredAnswer(NamedTuple):
    """One line of `responses.jsonl`."""

    key: str
    example_id: str
    stage: str
    response: Response


class RunStore:
    """One run folder. Reading needs no lock; writing does (`locked`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    # The manifest

    def manifest(self) -> dict[str, Json]:
        """Return `run.json`.

        Raises:
            UserError: no run folder, or one of another schema.
        """
        path = self.folder / "run.json"
        if not path.is_file():
            raise UserError(f"{self.folder}: not a run folder (it has no run.json)")
        manifest = read_json(path)
        if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
            raise UserError(f"{path}: not a manifest of schema {SCHEMA}; run the benchmark again with this version")
        return manifest

    def setup(self) -> RunSetup:
        """Return what the run is."""
        return RunSetup.from_json(self.manifest()["setup"], str(self.folder / "run.json"))

    def selections(self) -> list[Selection]:
        """Return what each sitting asked for."""
        return [
            Selection(tuple(s["selection"]["ids"]), s["selection"]["of"], s["selection"]["how"])
            for s in self.manifest()["sittings"]
        ]

    def probes(self) -> set[str]:
        """Return the probes that any sitting asked."""
        return {name for sitting in self.manifest()["sittings"] for name in sitting["probes"]}

    def challenges(self) -> dict[str, str]:
        """Return the challenge sets that any sitting asked, each with the digest of the rows asked last."""
        found: dict[str, str] = {}
        for sitting in self.manifest()["sittings"]:
            found |= sitting.get("challenges", {})
        return found

    def style(self, *, of_probes: bool = False) -> str | None:
        """Return the style of gold rationales in the newest sitting, or in the newest one that asked a probe."""
        sittings = self.manifest()["sittings"]
        probing = [sitting for sitting in sittings if sitting["probes"]]
        newest = (probing if of_probes and probing else sittings)[-1:]
        return next((sitting.get("rationale_style") for sitting in newest), None)

    def create(self, setup: RunSetup) -> None:
        """Make the folder and its manifest, or keep the one that is there."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.folder}: cannot be written ({error.strerror})") from None
        known = self.manifest() if (self.folder / "run.json").exists() else {"schema": SCHEMA, "sittings": []}
        if known.get("setup") != setup.as_json():  # what the folder's name does not cover may change: titles, probes
            self._write(known | {"setup": setup.as_json()})

    def add_sitting(self, sitting: dict[str, Json]) -> None:
        """Append a sitting to the manifest."""
        manifest = self.manifest()
        manifest["sittings"].append(sitting)
        self._write(manifest)

    def update_sitting(self, **changes: Json) -> None:
        """Change the newest sitting."""
        manifest = self.manifest()
        manifest["sittings"][-1] |= changes
        self._write(manifest)

    def _write(self, manifest: dict[str, Json]) -> None:
        write_atomically(self.folder / "run.json", to_json(manifest) + "\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; a second process is told so at once. The lock dies with its process.

        Raises:
            UserError: another process works on the folder.
        """
        lock = FileLock(self.folder / "lock", timeout=0)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise UserError(f"{self.folder}: another process works on this run; wait for it, or stop it") from None
        except OSError as error:
            raise UserError(f"{self.folder}: cannot be written ({error.strerror})") from None
        try:  # apart from the above: an error of the work itself is not one of the lock
            yield
        finally:
            lock.release()

    # Answers

    def responses(self) -> dict[str, Response]:
        """Return every stored answer by request key.

        Raises:
            UserError: a broken line that is not the torn last one.
        """
        return {answer.key: answer.response for answer in self.answers()}

    def answers(self) -> Iterator[StoredAnswer]:
        """Yield every stored answer with what it answers, in the order of writing.

        Raises:
            UserError: a broken line that is not the torn last one.
        """
        path = self.folder / "responses.jsonl"
        if not path.is_file():
            return
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                if not raw.endswith(b"\n"):
                    break  # torn by a crash in the middle of writing: as if it had not been written
                try:
                    line = json.loads(raw)
                    answer = StoredAnswer(line["key"], line["id"], line["stage"], _response(line))
                except (AttributeError, KeyError, TypeError, ValueError):
                    raise UserError(
                        f"{path} line {number}: not a stored answer; remove the line to have it asked again"
                    ) from None
                yield answer

    @contextmanager
    def writer(self) -> Iterator[Callable[[Request, Response | Failure], None]]:
        """Give a function that appends one answer (or failed attempt) and flushes it. Needs the lock."""
        with self._appending("responses.jsonl") as responses, self._appending("attempts.jsonl") as attempts:

            def write(request: Request, answer: Response | Failure) -> None:
                head = {"key": request.key, "id": request.example_id, "stage": request.stage}
                if isinstance(answer, Failure):
                    line, file = (
                        head | {"at": now(), "reason": answer.reason, "detail": answer.detail},
                        attempts,
                    )
                else:
                    line, file = head | _plain(answer), responses
                file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
                file.flush()

            yield write

    @contextmanager
    def _appending(self, name: str) -> Iterator[IO[bytes]]:
        path = self.folder / name
        with path.open("ab+") as file:
            _drop_torn_tail(file)
            yield file

    # Scores

    def scores(self) -> dict[str, Json] | None:
        """Return `scores.json`; None where the run has not been scored."""
        path = self.folder / "scores.json"
        return dict(read_json(path)) if path.is_file() else None

    def write_scores(self, scores: dict[str, Json]) -> None:
        """Write `scores.json` whole."""
        write_atomically(self.folder / "scores.json", to_json(scores) + "\n")


def _plain(response: Response) -> dict[str, Json]:
    values = {name: getattr(response, name) for name in _FIELDS}
    return {name: value for name, value in values.items() if value is not None and value != ()}


def _response(line: dict[str, Json]) -> Response:
    values = {key: value for key, value in line.items() if key not in _HEAD}
    values["finish"] = Finish(values["finish"])
    values["remarks"] = tuple(values.get("remarks", ()))
    return Response(**values)


def _drop_torn_tail(file: IO[bytes]) -> None:
    """Cut the file behind its last newline, so that the next line does not grow onto half a line."""
    end = file.seek(0, 2)
    position = end
    while position > 0:
        step = min(65536, position)
        file.seek(position - step)
        block = file.read(step)
        newline = block.rfind(b"\n")
        if newline >= 0:
            position = position - step + newline + 1
            break
        position -= step
    if position < end:
        file.truncate(position)


def find_runs(folder: Path) -> list[RunStore]:
    """Return the run folders below a folder, by name."""
    if not folder.is_dir():
        return []
    return [RunStore(path) for path in sorted(folder.iterdir()) if (path / "run.json").is_file()]
