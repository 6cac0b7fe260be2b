"""Who vouches for a run: nobody yet, or a recomputation that is written down beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from r2d_bench import __version__
from r2d_bench.documents import read_json, to_json, write_atomically
from r2d_bench.errors import UserError
from r2d_bench.leaderboard.verify import digests
from r2d_bench.machine import now

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.leaderboard.differences import Verification
    from r2d_bench.records import Json
    from r2d_bench.runs.store import RunStore

VERIFICATION = "verification.json"
SUBMISSION = "submission.json"
SCHEMA = 1

Origin = Literal["verified", "part", "community", "own"]


def origin_of(store: RunStore) -> Origin:
    """Return whether a run was recomputed as it is (`part`: but for some figures), came from elsewhere, or is own."""
    document = _vouched(store.folder)
    if document is not None:
        return "part" if document.get("not_recomputed") else "verified"
    return "community" if (store.folder / SUBMISSION).is_file() else "own"


def _vouched(folder: Path) -> dict[str, Json] | None:
    """Return the recomputation that is written down, if it fits the files; a broken file vouches for nothing."""
    path = folder / VERIFICATION
    try:
        document = read_json(path) if path.is_file() else None
    except UserError:
        return None
    return document if isinstance(document, dict) and document.get("files") == digests(folder) else None


def mark(folder: Path, found: Verification) -> None:
    """Write down that a run was recomputed; its files as they are now are meant, and no later ones."""
    document = {
        "schema": SCHEMA,
        "date": now()[:10],
        "version": __version__,
        "files": digests(folder),
        "equal": found.equal,
        "not_recomputed": found.not_recomputed,
    }
    write_atomically(folder / VERIFICATION, to_json(document) + "\n")
