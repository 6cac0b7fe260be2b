"""What must hold of the rows of challenge sets beside those of the evaluated split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.records import ChallengeKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from r2d_bench.records import Example
    from r2d_bench.tasks.spec import TaskSpec


def check_challenges(spec: TaskSpec, splits: Mapping[str, Sequence[Example]]) -> None:
    """Check every challenge set of a task against the evaluated split.

    Raises:
        UserError: a split that does not exist, an id that stands in two of the splits, a row without (or with a wrong)
            base, labels that do not differ where they must, or differ where they must not; an edge row without
            acceptable labels.
    """
    if not spec.challenges or spec.evaluate not in splits:  # that the latter is missing is told when it is asked for
        return
    bases = {example.id: example for example in splits[spec.evaluate]}
    owners = dict.fromkeys(bases, spec.evaluate)
    for name, challenge in spec.challenges.items():
        where = f"task {spec.name}, challenges.{name}"
        if challenge.split not in splits:
            raise UserError(
                f"{where}: the data have no split '{challenge.split}'{did_you_mean(challenge.split, splits)}"
            )
        for example in splits[challenge.split]:
            if owner := owners.get(example.id):
                raise UserError(f"{where}: the id '{example.id}' stands in split {owner} too; ids must differ")
            owners[example.id] = challenge.split
            _check_row(challenge.kind, example, bases, where)


def _check_row(kind: ChallengeKind, example: Example, bases: Mapping[str, Example], where: str) -> None:
    if kind is ChallengeKind.EDGE and not example.acceptable:
        raise UserError(f"{where}: example {example.id} has no acceptable labels")
    if example.pair is None:
        if kind.paired:
            raise UserError(f"{where}: example {example.id} has no pair: which evaluated example is it a twin of?")
        return
    base = bases.get(example.pair)
    if base is None:
        hint = did_you_mean(example.pair, bases) if len(bases) <= 10_000 else ""
        raise UserError(f"{where}: the pair of example {example.id}, '{example.pair}', is no evaluated example{hint}")
    same = example.gold == base.gold
    if kind is ChallengeKind.MINIMAL_PAIR and same:
        raise UserError(f"{where}: examples {example.id} and {base.id} of a minimal pair have the same label")
    if kind is ChallengeKind.INVARIANCE and not same:
        raise UserError(f"{where}: examples {example.id} and {base.id} should have the same label")
