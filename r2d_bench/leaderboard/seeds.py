"""Rows that differ in their seed alone: gathered, with mean and spread of each figure."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from r2d_bench.leaderboard.document import SeedGroup, Spread
from r2d_bench.models.base import Identity
from r2d_bench.records import digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from r2d_bench.leaderboard.document import Row, Training
    from r2d_bench.records import Json
    from r2d_bench.runs.setup import RunSetup


def but_for_the_seed(setup: RunSetup, training: Training | None, asked: str, style: str | None) -> str:
    """Return a digest of all that a run is, apart from seeds and what follows from them.

    The weights of a checkpoint follow from its lineage; so does its folder's name, which holds the seed.

    Args:
        setup: the run.
        training: what its checkpoint tells of itself.
        asked: digest of the examples that it was scored on.
        style: of the gold rationales that it was compared with.
    """
    model = setup.model
    who = [model["name"], model["digest"]] if training is None else [training.alike]
    protocol = setup.protocol.model_dump(mode="json", by_alias=True, exclude={"title", "description", "source"})
    how = [protocol, str(setup.label_method), dict(setup.max_new_tokens), setup.no_rationale is None, len(setup.shots)]
    return digest([model["kind"], model["row"], who, _seedless(model["params"]), how, asked, style])


def gathered(rows: Sequence[Row], alike: Mapping[str, str]) -> tuple[SeedGroup, ...]:
    """Return the groups of rows that differ in nothing but their seed, of two seeds or more.

    Args:
        rows: of one table.
        alike: run → its `but_for_the_seed`.
    """
    groups: dict[str, dict[int, Row]] = {}
    for row in sorted(rows, key=lambda row: row.run):
        groups.setdefault(alike[row.run], {}).setdefault(seed_of(row), row)
    return tuple(_group([part[seed] for seed in sorted(part)]) for part in groups.values() if len(part) > 1)


def seed_of(row: Row) -> int:
    """Return the seed that a row differs by: that of its training, else that of its run."""
    return row.seed if row.training is None else row.training.seed


def _seedless(params: Mapping[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in params.items() if key != "seed"}


def _group(ordered: Sequence[Row]) -> SeedGroup:
    first = ordered[0]
    names = {row.model.name for row in ordered}
    name = first.model.name if len(names) == 1 or first.training is None else first.training.base
    signatures = {
        metric: text
        for metric, text in first.signatures.items()
        if all(row.signatures.get(metric) == text for row in ordered)
    }
    return SeedGroup(
        runs=tuple(row.run for row in ordered),
        seeds=tuple(seed_of(row) for row in ordered),
        title=Identity(first.model.kind, name, None, _seedless(first.model.params)).title,
        metrics={metric: _spread(metric, ordered) for metric in first.metrics},
        signatures=signatures,
    )


def _spread(metric: str, rows: Sequence[Row]) -> Spread:
    """Return mean and standard deviation (n − 1) over seeds."""
    values = [figure.value for row in rows if (figure := row.metrics[metric]).value is not None]
    if len(values) < len(rows):
        return Spread(mean=None, sd=None, n=len(values), reason="not every seed has a figure")
    if len({row.signatures.get(metric) for row in rows}) > 1:
        return Spread(mean=None, sd=None, n=len(values), reason="scored under several signatures")
    return Spread(mean=statistics.fmean(values), sd=statistics.stdev(values), n=len(values))
