"""Which plots a page has: rows of `results.json` in, drawings out. Nothing is computed but places on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.judging.meaning import SCORE
from r2d_bench.leaderboard.judge_pages import meanings
from r2d_bench.leaderboard.lookups import name_of
from r2d_bench.leaderboard.plots.forest import Mark, forest
from r2d_bench.leaderboard.plots.frame import Axis
from r2d_bench.leaderboard.plots.lines import Series, curves
from r2d_bench.leaderboard.plots.matrix import confusion
from r2d_bench.leaderboard.plots.scatter import Point, scatter
from r2d_bench.metrics.base import Direction
from r2d_bench.metrics.display import heading, shown
from r2d_bench.metrics.registry import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from r2d_bench.leaderboard.plots.svg import Plot
    from r2d_bench.records import Json

SEVERAL = 3  # fewer points tell less than the table


def plots_of_table(table: Mapping[str, Json]) -> list[Plot]:
    """Return the primary figure of each row, of each seed, and against size, cost and time of rows that know them."""
    found = [
        _rows(table),
        _seeds(table),
        _against(table, "size", "Parameters", lambda row: row["sittings"]["card"]["parameters"]),
        _against(table, "cost", "US dollars", lambda row: row["sittings"]["cost"]),
        _against(table, "time", "Seconds an example", lambda row: row["seconds_each"]),
    ]
    return [plot for plot in found if plot is not None]


def _against(
    table: Mapping[str, Json], what: str, title: str, of: Callable[[Mapping[str, Json]], float | None]
) -> Plot | None:
    metric = METRICS[table["primary"]]
    points = []
    for row in table["rows"]:
        figure, x = row["metrics"][metric.name], of(row)
        if figure["value"] is not None and x:
            points.append(Point(name_of(row), x, figure["value"], figure["low"], figure["high"], _kind(row)))
    if len(points) < SEVERAL:
        return None
    higher = metric.direction is not Direction.LOWER
    return scatter(
        f"{metric.title} against {what}", title, heading(metric.name), points, _as(metric.name), higher=higher
    )


def _rows(table: Mapping[str, Json]) -> Plot | None:
    metric = table["primary"]
    marks = [
        Mark(name_of(row), figure["value"], figure["low"], figure["high"], kind=_kind(row))
        for row in table["rows"]
        if (figure := row["metrics"][metric])["value"] is not None
    ]
    return forest(METRICS[metric].title, heading(metric), marks, _as(metric)) if len(marks) > 1 else None


def _kind(row: Mapping[str, Json]) -> str:
    return "human" if row["model"]["row"] == "human" else "" if row["complete"] else "part"


def _seeds(table: Mapping[str, Json]) -> Plot | None:
    metric = table["primary"]
    values = {row["run"]: row["metrics"][metric]["value"] for row in table["rows"]}
    marks = [
        Mark(group["title"], group["metrics"][metric]["mean"], single=tuple(values[run] for run in group["runs"]))
        for group in table["seeds"]
        if group["metrics"][metric]["mean"] is not None
    ]
    return forest(f"{METRICS[metric].title} of each seed, and their mean", heading(metric), marks, _as(metric))


def plots_of_judgment(judgment: Mapping[str, Json], card: Mapping[str, Json]) -> list[Plot]:
    """Return the mean of each criterion of a judge, with its interval; none where there are fewer than two."""
    metrics = {name: metric for name, metric in meanings(card).items() if name.startswith(SCORE)}
    marks = [
        Mark(metric.title, figure["value"], figure["low"], figure["high"])
        for name, metric in metrics.items()
        if (figure := judgment["metrics"][name])["value"] is not None
    ]
    if len(marks) < 2:
        return []
    first = next(iter(metrics.values()))
    rubric = card["rubric"]
    plot = forest(
        f"Criteria, {card['title']}",
        f"Score, {rubric['low']} to {rubric['high']}",
        marks,
        lambda value: shown(first, value),
    )
    return [] if plot is None else [plot]


def plots_of_row(row: Mapping[str, Json]) -> list[Plot]:
    """Return the plots of a run: slices, cost over ratios, reliability, risk against coverage."""
    return [*_slices(row), *_sweep(row), *_calibration(row)]


def confusion_of(table: Mapping[str, Json], row: Mapping[str, Json]) -> Plot:
    """Return the confusion matrix of a run that publishes one; its table stands on the page anyway."""
    ordinal = table["card"]["space"] == "ordinal"
    return confusion(row["confusion"]["labels"], row["confusion"]["counts"], ordinal=ordinal)


def _slices(row: Mapping[str, Json]) -> Iterator[Plot]:
    for name, one in row["slices"].items():
        marks = [
            Mark(part["value"], part["accuracy"]["value"], part["accuracy"]["low"], part["accuracy"]["high"])
            for part in one["values"]
        ]
        plot = forest(f"Accuracy by {name}", heading("accuracy"), marks, _as("accuracy"))
        if plot is not None and len(marks) > 1:
            yield plot


def _sweep(row: Mapping[str, Json]) -> Iterator[Plot]:
    points = [(point["ratio"], point["figure"]["value"]) for point in row["cost_sweep"] or ()]
    if not points:
        return
    x = Axis("A level of under-triage costs so many levels of over-triage", [ratio for ratio, _ in points], log=True)
    y = Axis("Mean cost", [0.0, *(cost for _, cost in points)], label=lambda value: f"{value:.2f}")
    plot = curves("Cost over the ratio of its kinds", x, y, [Series("cost", tuple(points))])
    if plot is not None:
        yield plot


def _calibration(row: Mapping[str, Json]) -> Iterator[Plot]:
    share = _as("accuracy")
    if row["reliability"]:
        points = tuple((part["confidence"], part["accuracy"]) for part in row["reliability"])
        axes = Axis("Confidence, %", [0, 1], label=share), Axis("Right, %", [0, 1], label=share)
        plot = curves("Reliability", *axes, [Series("bins", points)], diagonal=True)
        if plot is not None:
            yield plot
    if row["risk_coverage"]:
        points = tuple((part["coverage"], part["risk"]) for part in row["risk_coverage"])
        axes = Axis("Coverage, %", [0, 1], label=share), Axis("Errors, %", [0, 1], label=share)
        plot = curves("Risk against coverage, surest first", *axes, [Series("risk", points)])
        if plot is not None:
            yield plot


def _as(metric: str) -> Callable[[float], str]:
    return lambda value: shown(metric, value)
