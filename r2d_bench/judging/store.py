"""The folder of one judging: `judgments/<judge>--<model>--<digest>/` in a run folder.

```
judge.json        manifest: rubric, judge, sittings
responses.jsonl   every reply as it came, appended and flushed
attempts.jsonl    every failed request
verdicts.jsonl    what was read of the replies; made again from them at any time
scores.json       every aggregate
```
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from r2d_bench.documents import write_atomically
from r2d_bench.errors import UserError
from r2d_bench.judging.setup import JudgeSetup
from r2d_bench.judging.verdict import Verdict
from r2d_bench.runs.sittings import SittingLog

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FOLDER = "judgments"


class JudgmentStore(SittingLog):
    """One judging of one run."""

    MANIFEST = "judge.json"
    WHAT = "judgment"

    def setup(self) -> JudgeSetup:
        """Return who judged, and by which rubric."""
        return JudgeSetup.from_json(self.manifest()["setup"])

    def ids(self) -> set[str]:
        """Return the examples that any sitting was asked about."""
        return {ident for sitting in self.manifest()["sittings"] for ident in sitting["selection"]["ids"]}

    def repeats(self) -> dict[str, int]:
        """Return how often each example was asked about, where it was more than once."""
        found: dict[str, int] = {}
        for sitting in self.manifest()["sittings"]:
            for ident in sitting["repeated"]:
                found[ident] = max(found.get(ident, 1), sitting["repeats"])
        return found

    def write_verdicts(self, verdicts: Iterable[Verdict]) -> None:
        """Write `verdicts.jsonl` whole."""
        lines = [json.dumps(_plain(verdict), ensure_ascii=False, allow_nan=False) for verdict in verdicts]
        write_atomically(self.folder / "verdicts.jsonl", "".join(f"{line}\n" for line in lines))

    def verdicts(self) -> list[Verdict]:
        """Return the verdicts as they were read last; none where nothing was judged.

        Raises:
            UserError: a broken line.
        """
        path = self.folder / "verdicts.jsonl"
        if not path.is_file():
            return []
        found = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                values = json.loads(line)
                found.append(Verdict(**values | {"suspects": tuple(values.get("suspects", ()))}))
            except (TypeError, ValueError):
                raise UserError(f"{path} line {number}: not a verdict; read them again with --parse-only") from None
        return found


def _plain(verdict: Verdict) -> dict[str, object]:
    """Return a verdict without what is empty."""
    values = asdict(verdict)
    return {
        key: value for key, value in values.items() if key == "example_id" or value not in (None, (), {}, "", False)
    }


def find_judgments(run: Path) -> list[JudgmentStore]:
    """Return the judgings of a run folder, by name."""
    folder = run / FOLDER
    if not folder.is_dir():
        return []
    return [JudgmentStore(path) for path in sorted(folder.iterdir()) if (path / "judge.json").is_file()]
