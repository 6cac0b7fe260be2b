"""The log of what was asked and answered: appended and flushed, tolerant of a torn last line.

```
responses.jsonl   one line per answered request; a torn last line is dropped on reading
attempts.jsonl    one line per failed request
lock              held while a process works on the folder
```
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock, Timeout

from r2d_bench.errors import UserError
from r2d_bench.records import Failure, Finish, Request, Response
from r2d_bench.machine import now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import IO

    from r2d_bench.records import Json

_HEAD = frozenset({"key", "id", "stage"})
_FIELDS = tuple(field.name for field in fields(Response))


class StoredAnswer(NamedTuple):
    """One line of `responses.jsonl`."""

    key: str
    example_id: str
    stage: str
    response: Response


class AnswerLog:
    """A folder that answers are appended to. Reading needs no lock; writing does (`locked`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

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
