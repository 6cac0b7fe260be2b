"""Runs into sides: those that differ in their seed alone are one side."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, product
from string import ascii_uppercase
from typing import TYPE_CHECKING

from r2d_bench.comparison.document import Side
from r2d_bench.models.base import Identity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from r2d_bench.comparison.loaded import LoadedRun

ONE_SEED = "one seed only: how much its figures depend on the seed is not known"


@dataclass(frozen=True, slots=True)
class Kin:
    """What tells runs that differ in their seed alone from others.

    Attributes:
        alike: digest of all that a run is, but for its seed.
        seed: its seed, or that of its training.
        trained: whether it is a checkpoint that was trained with that seed.
    """

    alike: str
    seed: int
    trained: bool = False


def sides_of(runs: Sequence[LoadedRun], kin: Mapping[str, Kin]) -> tuple[tuple[Side, ...], tuple[tuple[int, ...], ...]]:
    """Return the sides, and the numbers of the runs of each, in the order given.

    Args:
        runs: the runs.
        kin: run → its kin; a run that has none stands alone.
    """
    groups: dict[str, list[int]] = {}
    for number, run in enumerate(runs):
        groups.setdefault(kin[run.name].alike if run.name in kin else run.name, []).append(number)
    members: list[tuple[int, ...]] = []
    for numbers in groups.values():
        seeds = {kin[runs[n].name].seed for n in numbers} if len(numbers) > 1 else set()
        if len(seeds) == len(numbers):
            members.append(tuple(sorted(numbers, key=lambda n: kin[runs[n].name].seed)))
        else:  # one seed twice is no repetition
            members.extend((n,) for n in numbers)
    return _sides(runs, kin, members), tuple(members)


def alone(runs: Sequence[LoadedRun], kin: Mapping[str, Kin]) -> tuple[tuple[Side, ...], tuple[tuple[int, ...], ...]]:
    """Return each run as a side of its own."""
    members = tuple((number,) for number in range(len(runs)))
    return _sides(runs, kin, members), members


def _sides(runs: Sequence[LoadedRun], kin: Mapping[str, Kin], members: Sequence[tuple[int, ...]]) -> tuple[Side, ...]:
    several = any(len(numbers) > 1 for numbers in members)
    titles = _titles(runs, members)
    found = []
    for letter, title, numbers in zip(_letters(), titles, members, strict=False):
        mine = [runs[n] for n in numbers]
        known = [kin.get(run.name) for run in mine]
        single = len(mine) == 1 and known[0] is not None and (known[0].trained or several)
        found.append(
            Side(
                letter=letter,
                title=title,
                runs=tuple(run.name for run in mine),
                seeds=tuple(one.seed if one else run.setup.seed for one, run in zip(known, mine, strict=True)),
                flags=(*((ONE_SEED,) if single else ()), *_asked(mine)),
            )
        )
    return tuple(found)


def _letters() -> Iterator[str]:
    for length in count(1):
        yield from ("".join(letters) for letters in product(ascii_uppercase, repeat=length))


def _asked(runs: Sequence[LoadedRun]) -> Iterator[str]:
    """Yield what is odd about the items that the runs were asked."""
    for run in runs:
        selection, which = run.scores["selection"], f" (seed {run.setup.seed})" if len(runs) > 1 else ""
        if selection["partial"]:
            yield f"partial{which}: asked {selection['n']} of {selection['of']} items"
        if (lost := selection["n"] - run.scores["answered"]) > 0:
            yield f"{lost} items without an answer{which}"


def _titles(runs: Sequence[LoadedRun], members: Sequence[Sequence[int]]) -> list[str]:
    """Return the model of each side, with protocol and label method where the sides differ in them."""
    first = [runs[numbers[0]] for numbers in members]
    protocols = len({run.setup.protocol.full_name for run in first}) > 1
    methods = len({run.setup.label_method for run in first}) > 1
    titles = []
    for run, numbers in zip(first, members, strict=True):
        model = dict(run.setup.model)
        if len(numbers) > 1:
            model["params"] = {key: value for key, value in model["params"].items() if key != "seed"}
        parts = [Identity(**model).title]
        parts += [run.setup.protocol.name] if protocols else []
        parts += [f"label {run.setup.label_method}"] if methods else []
        parts += [f"{len(numbers)} seeds"] if len(numbers) > 1 else []
        titles.append(", ".join(parts))
    return titles
