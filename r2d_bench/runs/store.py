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

from typing import TYPE_CHECKING

from r2d_bench.documents import read_json, to_json, write_atomically
from r2d_bench.errors import UserError
from r2d_bench.runs.answers import AnswerLog
from r2d_bench.runs.selection import Selection
from r2d_bench.runs.setup import RunSetup

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Json

SCHEMA = 1


class RunStore(AnswerLog):
    """One run folder: the log of its answers, its manifest and its scores."""

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

    # Scores

    def scores(self) -> dict[str, Json] | None:
        """Return `scores.json`; None where the run has not been scored."""
        path = self.folder / "scores.json"
        return dict(read_json(path)) if path.is_file() else None

    def write_scores(self, scores: dict[str, Json]) -> None:
        """Write `scores.json` whole."""
        write_atomically(self.folder / "scores.json", to_json(scores) + "\n")


def find_runs(folder: Path) -> list[RunStore]:
    """Return the run folders below a folder, by name."""
    if not folder.is_dir():
        return []
    return [RunStore(path) for path in sorted(folder.iterdir()) if (path / "run.json").is_file()]
