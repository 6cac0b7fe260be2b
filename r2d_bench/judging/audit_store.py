"""The folder of an audit: `audits/<judge>--<model>--<digest>/`, named like the judgments of the same judge.

```
judge.json        manifest: rubric, judge, sittings
responses.jsonl   every reply as it came
attempts.jsonl    every failed request
audit.json        every figure, the calibration, and the sentence on the card
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.documents import read_json, to_json, write_atomically
from r2d_bench.errors import UserError
from r2d_bench.runs.sittings import SittingLog

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Json

AUDIT_SCHEMA = 1
FILE = "audit.json"


class AuditStore(SittingLog):
    """The audit of one judge."""

    MANIFEST = "judge.json"
    WHAT = "audit"

    def audit(self) -> dict[str, Json] | None:
        """Return `audit.json`; None where there is none yet.

        Raises:
            UserError: one of another schema.
        """
        path = self.folder / FILE
        if not path.is_file():
            return None
        found = read_json(path)
        if not isinstance(found, dict) or found.get("schema") != AUDIT_SCHEMA:
            raise UserError(f"{path}: not an audit of schema {AUDIT_SCHEMA}; run judge-audit again with this version")
        return found

    def write_audit(self, audit: dict[str, Json]) -> None:
        """Write `audit.json` whole."""
        write_atomically(self.folder / FILE, to_json(audit) + "\n")


def find_audit(audits: Path, setup_digest: str) -> dict[str, Json] | None:
    """Return the audit of a judge; None where it has not been audited.

    Args:
        audits: the folder of all audits.
        setup_digest: `JudgeSetup.digest`: another rubric, model or way of scoring is another judge.

    Raises:
        UserError: an audit of another schema.
    """
    if not audits.is_dir():
        return None
    for folder in sorted(audits.glob(f"*--{setup_digest[:8]}")):
        found = AuditStore(folder).audit()
        if found is not None and found["setup"]["digest"] == setup_digest:
            return found
    return None
