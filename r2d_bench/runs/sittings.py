"""A folder of answers with its manifest (what is asked, and when it was worked on) and its scores."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from r2d_bench.documents import read_json, to_json, write_atomically
from r2d_bench.errors import UserError
from r2d_bench.machine import now
from r2d_bench.runs.answers import AnswerLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from r2d_bench.records import Json


class SittingLog(AnswerLog):
    """An answer log whose manifest keeps a setup and a list of sittings.

    Attributes:
        MANIFEST: name of the manifest.
        SCHEMA: version of its form.
        WHAT: what the folder holds, for messages.
    """

    MANIFEST: ClassVar[str]
    SCHEMA: ClassVar[int] = 1
    WHAT: ClassVar[str]

    def manifest(self) -> dict[str, Json]:
        """Return the manifest.

        Raises:
            UserError: no such folder, or one of another schema.
        """
        path = self.folder / self.MANIFEST
        if not path.is_file():
            raise UserError(f"{self.folder}: not a {self.WHAT} folder (it has no {self.MANIFEST})")
        manifest = read_json(path)
        if not isinstance(manifest, dict) or manifest.get("schema") != self.SCHEMA:
            raise UserError(f"{path}: not a manifest of schema {self.SCHEMA}; make it again with this version")
        return manifest

    def keep_setup(self, setup: dict[str, Json]) -> None:
        """Make the folder and its manifest, or keep the one that is there.

        What the folder's name does not cover may change (titles, probes): the manifest then holds the newest.

        Raises:
            UserError: the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.folder}: cannot be written ({error.strerror})") from None
        there = (self.folder / self.MANIFEST).exists()
        known = self.manifest() if there else {"schema": self.SCHEMA, "sittings": []}
        if known.get("setup") != setup:
            self._write(known | {"setup": setup})

    @contextmanager
    def sitting(self, about: Mapping[str, Json], did: Callable[[], Mapping[str, Json]]) -> Iterator[None]:
        """Write a sitting into the manifest, and at its end what it did; also where it is interrupted.

        Only one that was killed outright lacks what it did. `finished` is None unless it came to its end.

        Args:
            about: what is known beforehand.
            did: tells what was done and spent.
        """
        begun, finished = time.monotonic(), None
        manifest = self.manifest()
        manifest["sittings"].append({"started": now(), "finished": None, **about})
        self._write(manifest)
        try:
            yield
            finished = now()
        finally:
            seconds = round(time.monotonic() - begun, 3)
            manifest["sittings"][-1] |= {"finished": finished, "seconds": seconds, **did()}
            self._write(manifest)

    def _write(self, manifest: dict[str, Json]) -> None:
        write_atomically(self.folder / self.MANIFEST, to_json(manifest) + "\n")

    def scores(self) -> dict[str, Json] | None:
        """Return `scores.json`; None where nothing has been scored."""
        path = self.folder / "scores.json"
        return dict(read_json(path)) if path.is_file() else None

    def write_scores(self, scores: dict[str, Json]) -> None:
        """Write `scores.json` whole."""
        write_atomically(self.folder / "scores.json", to_json(scores) + "\n")
