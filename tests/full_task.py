"""A task that declares everything: challenge sets, styles, mix and costs of calls, acceptable sets, slices."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from r2d_bench.tasks.task import Task, load_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from r2d_bench.records import Json

LABELS = ("NOW", "TODAY", "HOME")  # most urgent first
COST = {"NOW": {"TODAY": "4", "HOME": "10"}, "TODAY": {"NOW": "1", "HOME": "2"}, "HOME": {"NOW": "2", "TODAY": "1"}}
KINDS = {"pairs": "minimal_pair", "same": "invariance", "edge": "edge", "thin": "insufficient"}
CARD: dict[str, Any] = {
    "name": "small",
    "version": "1",
    "title": "Small",
    "visibility": "private",
    "licence": "none",
    "prompts": {"instruction": "Decide."},
    "source": {"files": {"all": "rows.jsonl"}, "split": "{{ split }}"},
    "fields": {
        "id": "{{ id }}",
        "input": "{{ note }}",
        "gold": "{{ label }}",
        "acceptable": "{{ acceptable }}",
        "pair": "{{ pair }}",
    },
    "label": {
        "space": "ordinal",
        "values": list(LABELS),
        "mix": {"NOW": "20", "TODAY": "30", "HOME": "50"},
        "cost": COST,
    },
    "rationale": {"styles": {"nurse": "{{ nurse }}", "edited": "{{ edited }}"}, "style": "edited"},
    "slices": {"ward": "{{ ward }}"},
    "challenges": {name: {"split": name, "kind": kind} for name, kind in KINDS.items()},
}


def row(ident: str, label: str, split: str = "test", **more: Json) -> dict[str, Json]:
    return {
        "id": ident,
        "split": split,
        "note": f"note of {ident}",
        "label": label,
        "nurse": f"{ident} terse words here",
        "edited": f"because of {ident} it is so",
        "ward": "A" if ident.endswith("1") else "B",
        "acceptable": [],
        **more,
    }


def rows() -> list[dict[str, Json]]:
    """Six test rows, six training rows, and two rows of each challenge set."""
    test = [row(f"t{k}", LABELS[k % 3], acceptable=["TODAY"] if k == 0 else []) for k in range(6)]
    train = [row(f"f{k}", LABELS[k % 3], "train") for k in range(6)]
    return [
        *test,
        *train,
        row("p1", "HOME", "pairs", pair="t0"),  # NOW → HOME
        row("p2", "NOW", "pairs", pair="t5"),  # HOME → NOW
        row("s1", "NOW", "same", pair="t0"),
        row("s2", "TODAY", "same", pair="t1"),
        row("e1", "NOW", "edge", acceptable=["NOW", "TODAY"]),
        row("e2", "HOME", "edge", acceptable=["TODAY"]),
        row("i1", "TODAY", "thin"),
        row("i2", "TODAY", "thin"),
    ]


def make_full_task(folder: Path, content: Sequence[dict[str, Json]] | None = None, **parts: Json) -> Task:
    """Write the task into a folder called `small` and load it.

    `parts` replace keys of the card; of a mapping only the keys that are named, and None takes a key out.
    """
    card = dict(CARD)
    for key, part in parts.items():
        merged = card.get(key, {}) | part if isinstance(part, dict) else part
        card[key] = {k: v for k, v in merged.items() if v is not None} if isinstance(merged, dict) else merged
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.yaml").write_text(json.dumps(card), encoding="utf-8")
    lines = [json.dumps(r) + "\n" for r in (rows() if content is None else content)]
    (folder / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    return load_task(str(folder))
