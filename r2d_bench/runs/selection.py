"""Which examples of a split are asked. A selection extends a run folder and is no part of its name."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.records import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from r2d_bench.records import Example, Json
    from r2d_bench.tasks.task import Task


@dataclass(frozen=True, slots=True)
class Selection:
    """Chosen ids of a split, in the split's order; `how` says in words how they were chosen."""

    ids: tuple[str, ...]
    of: int
    how: str

    @property
    def partial(self) -> bool:
        """Whether a part of the split is missing."""
        return len(self.ids) < self.of

    def as_json(self) -> dict[str, Json]:
        """Return the selection's stamp, without the ids."""
        return {
            "how": self.how,
            "n": len(self.ids),
            "of": self.of,
            "partial": self.partial,
            "digest": digest(self.ids, 16),
        }


def select(examples: Sequence[Example], *, limit: int | None = None, ids: Sequence[str] | None = None) -> Selection:
    """Choose examples.

    Args:
        examples: the whole split.
        limit: so many examples, the labels in proportion. The choice depends on ids and golds alone, and a smaller
            limit's choice is part of a larger one's.
        ids: exactly these.

    Raises:
        UserError: a limit below one, an unknown id, or both given.
    """
    if limit is not None and ids is not None:
        raise UserError("give either a limit or ids, not both")
    if ids is not None:
        if not ids:
            raise UserError("no example id given")
        known = {example.id for example in examples}
        for wanted in ids:
            if wanted not in known:
                hint = did_you_mean(wanted, known) if len(known) <= 10_000 else ""
                raise UserError(f"unknown example id '{wanted}'{hint}")
        return _in_order(examples, set(ids), f"{len(set(ids))} ids")
    if limit is None:
        return _in_order(examples, {example.id for example in examples}, "all")
    if limit < 1:
        raise UserError(f"--limit {limit}: should be 1 or more")
    if limit >= len(examples):
        return _in_order(examples, {example.id for example in examples}, "all")
    return _in_order(examples, set(_proportional(examples)[:limit]), f"limit {limit}, labels in proportion")


def _proportional(examples: Sequence[Example]) -> list[str]:
    """Return all ids in an order of which every front part has the labels in proportion.

    Systematic sampling: each label's items stand at equal steps, from a start that the label's hash gives. With one
    start for all, labels of a single item (options that differ per example) would stand in one block.
    """
    by_label: dict[str, list[str]] = defaultdict(list)
    for example in examples:
        by_label[example.gold or ""].append(example.id)
    placed = []
    for label, members in sorted(by_label.items()):
        shuffled = sorted(members, key=_hash)
        start = int(_hash(label)[:12], 16) / 16**12
        placed += [((rank + start) / len(members), label, ident) for rank, ident in enumerate(shuffled)]
    return [ident for _, _, ident in sorted(placed)]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def union(examples: Sequence[Example], parts: Iterable[Selection]) -> Selection:
    """Return what several sittings on one folder asked for together."""
    parts = list(parts)
    ids = {ident for part in parts for ident in part.ids}
    hows = list(dict.fromkeys(part.how for part in parts))
    whole = len(ids) == len(examples)
    # A part that contains all others names the union; a smaller limit lies inside a larger one.
    covering = [part.how for part in parts if len(part.ids) == len(ids)]
    return _in_order(examples, ids, "all" if whole else covering[0] if covering else " + ".join(hows))


def asked_examples(task: Task, split: str, selection: Selection, challenges: Iterable[str]) -> list[Example]:
    """Return what a sitting asks: the chosen examples of a split, then the whole of its challenge sets."""
    chosen = set(selection.ids)
    asked = [example for example in task.examples(split) if example.id in chosen]
    return asked + [example for name in challenges for example in task.challenge(name)]


def _in_order(examples: Sequence[Example], chosen: set[str], how: str) -> Selection:
    return Selection(tuple(e.id for e in examples if e.id in chosen), len(examples), how)
