"""What the templates need to show figures of judges: lookups in the document and the meaning of figures, no numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from r2d_bench.judging.meaning import COVERAGE, CRITICAL, FLAG, MEAN, PARSED, SCORE
from r2d_bench.leaderboard.whiskers import Axis, axis
from r2d_bench.metrics.base import About, Direction, Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from r2d_bench.records import Json

AGREEMENT = Metric("agreement", "Agreement", About.RATIONALE, low=-1.0, high=1.0, decimals=2)


def helpers() -> dict[str, Any]:
    """Return what templates may call, by name."""
    return {
        "AGREEMENT": AGREEMENT,
        "meanings": meanings,
        "judgment_of": judgment_of,
        "judged_axis": judged_axis,
        "full_axis": full_axis,
        "name_groups": name_groups,
        "headline_names": headline_names,
        "not_audited": not_audited,
        "no_best": no_best,
    }


def meanings(card: Mapping[str, Json]) -> dict[str, Metric]:
    """Return the metrics of a judge by name."""
    return {
        info["name"]: Metric(
            **info | {"about": About(info["about"]), "direction": Direction(info["direction"])},
        )
        for info in card["metrics"]
    }


def judgment_of(row: Mapping[str, Json], card: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return what a judge said of a run that it has judged."""
    found: Mapping[str, Json] = next(one for one in row["judgments"] if one["judge"] == card["id"])
    return found


def judged_axis(judged: Mapping[str, Json], card: Mapping[str, Json], rows: Mapping[str, Mapping[str, Json]]) -> Axis:
    """Return the common scale of the judge means of a table."""
    figures = [judgment_of(rows[run], card)["metrics"][MEAN] for run in judged["runs"]]
    return axis(meanings(card)[MEAN], figures)


def full_axis(metric: Metric) -> Axis:
    """Return the whole range of a figure as a scale."""
    return Axis(metric.low or 0.0, 1.0 if metric.high is None else metric.high)


def name_groups(card: Mapping[str, Json]) -> list[list[str]]:
    """Return names of figures as they stand together: scores, faults, coverage."""
    names = [info["name"] for info in card["metrics"]]
    scores = [name for name in names if name.startswith(SCORE)]
    flags = [name for name in names if name.startswith(FLAG)]
    return [[MEAN, *scores], [CRITICAL, *flags], [COVERAGE, PARSED]]


def headline_names(card: Mapping[str, Json]) -> list[str]:
    """Return names of the figures of a jury's table."""
    scores, faults, _ = name_groups(card)
    return [*scores, faults[0]]


def not_audited(jury: Mapping[str, Json], cards: Mapping[str, Mapping[str, Json]]) -> list[str]:
    """Return the titles of a jury's judges that have no audit."""
    return [cards[judge]["title"] for judge in jury["judges"] if cards[judge]["audit"] is None]


def no_best(card: Mapping[str, Json]) -> str:
    """Return why no best figure is marked in a judge's table."""
    audit = card["audit"]
    if audit is None:
        return "the judge has not been audited"
    if not audit["usable"]:
        return "the audit does not support comparing models by this judge"
    return "fewer than two models had their whole split judged"
