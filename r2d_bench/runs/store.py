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

from r2d_bench.runs.selection import Selection
from r2d_bench.runs.setup import RunSetup
from r2d_bench.runs.sittings import SittingLog

if TYPE_CHECKING:
    from pathlib import Path


class RunStore(SittingLog):
    """One run folder: the log of its answers, its manifest and its scores."""

    MANIFEST = "run.json"
    WHAT = "run"

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
        self.keep_setup(setup.as_json())


def find_runs(folder: Path) -> list[RunStore]:
    """Return the run folders below a folder, by name."""
    if not folder.is_dir():
        return []
    return [RunStore(path) for path in sorted(folder.iterdir()) if (path / "run.json").is_file()]
