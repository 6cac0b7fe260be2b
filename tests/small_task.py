"""A small task on disk, for tests that need one of their own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Json

CARD: dict[str, Any] = {
    "name": "small",
    "version": "1",
    "title": "Small",
    "visibility": "private",
    "licence": "none",
    "source": {"files": {"test": "rows.csv"}},
    "fields": {"id": "{{ id }}", "input": "{{ note }}", "gold": "{{ label }}", "references": "{{ why }}"},
    "label": {"space": "closed", "values": ["yes", "no", "maybe"]},
    "prompts": {"instruction": "Decide."},
}
ROWS = "id,note,label,why\n1,first note,yes,because\n2,second note,no,for a reason\n3,third note,maybe,unclear\n"


def card(**parts: Json) -> dict[str, Any]:
    """Return the small task's card with some keys replaced; a mapping is merged, None takes a key out."""
    made = dict(CARD)
    for key, value in parts.items():
        if value is None:
            del made[key]
        else:
            made[key] = made[key] | value if isinstance(value, dict) and key in made else value
    return made


def write_task(folder: Path, rows: str | bytes | None = ROWS, file: str = "rows.csv", **parts: Json) -> Path:
    """Write the task into `folder`; rows of another format come with the name of their file."""
    if file != "rows.csv":
        parts.setdefault("source", {"files": {"test": file}})
    parts.setdefault("name", folder.name)  # a task has its folder's name
    folder.mkdir(parents=True, exist_ok=True)
    # JSON is YAML; texts keep their quotes, as a careful author would write them.
    (folder / "task.yaml").write_text(json.dumps(card(**parts), ensure_ascii=False), encoding="utf-8")
    if rows is not None:
        (folder / file).write_bytes(rows if isinstance(rows, bytes) else rows.encode("utf-8"))
    return folder
