"""`results.json` into pages. Templates see nothing but the document and how to show a figure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from r2d_bench.leaderboard.drawn import confusion_of, plots_of_row, plots_of_table
from r2d_bench.leaderboard.judge_pages import helpers
from r2d_bench.leaderboard.whiskers import WIDTH, axis
from r2d_bench.metrics.display import between, heading, shown
from r2d_bench.metrics.registry import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from r2d_bench.metrics.base import Metric
    from r2d_bench.records import Json

HERE = Path(__file__).parent
ASSETS = ("r2d.css", "r2d.js", "icon.svg")
GROUPS = (
    ("Label", "label", "standard"),
    ("Triage safety", "safety", "standard"),
    ("Calibration", "calibration", "standard"),
    ("Rationale", "rationale", "standard"),
    ("Label and rationale together", "joint", "standard"),
    ("As the paper's script computes them", None, "paper"),
)
# Metric → what the task's card must declare for it.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "accuracy_mix": ("mix",),
    "expected_cost": ("cost",),
    "expected_cost_mix": ("mix", "cost"),
}


def environment() -> Environment:
    """Return the environment of the pages: everything is escaped, unknown names are errors."""
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals |= {"WIDTH": WIDTH, "METRICS": METRICS, "Notes": Notes}
    env.globals |= {"heading": heading, "cell_of": cell_of, "axis_of": axis_of, "grouped": grouped, "side_of": side_of}
    env.globals |= {"rows_of": rows_of, "groups_of": groups_of, "single_seeds": single_seeds, "spread_of": spread_of}
    env.globals |= helpers()
    env.globals |= {"plots_of_table": plots_of_table, "plots_of_row": plots_of_row, "confusion_of": confusion_of}
    env.filters |= {"shown": _shown, "between": _between, "address": _address, "whole": _whole}
    return env


def pages(results: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Yield path and HTML of every page.

    Args:
        results: the document, as it stands in `results.json`.
    """
    env = environment()
    judges = {card["id"]: card for card in results["judges"]}
    yield "index.html", env.get_template("index.html").render(results=results, judges=judges, root="")
    judge_page = env.get_template("judge.html")
    for ident, card in judges.items():
        yield f"judge/{ident}.html", judge_page.render(results=results, card=card, root="../")
    run_page = env.get_template("run.html")
    for table in results["tables"]:
        for row in table["rows"]:
            html = run_page.render(results=results, judges=judges, table=table, row=row, root="../")
            yield f"run/{row['run']}.html", html


def assets() -> Iterator[tuple[str, str]]:
    """Yield path and text of every asset."""
    for name in ASSETS:
        yield f"assets/{name}", (HERE / "assets" / name).read_text(encoding="utf-8")


def cell_of(row: Mapping[str, Json], column: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return the figure that a run has in a column; none where it was scored under another signature."""
    name = column["metric"]
    figure: dict[str, Json] = row["metrics"][name]
    if figure["value"] is None or row["signatures"].get(name) == column["signature"]:
        return figure
    blank: dict[str, Json] = dict.fromkeys(figure)
    return blank | {"n": 0, "warnings": [], "reason": "scored under another signature: see the column beside"}


def rows_of(table: Mapping[str, Json]) -> dict[str, Mapping[str, Json]]:
    """Return run → its row."""
    return {row["run"]: row for row in table["rows"]}


def groups_of(table: Mapping[str, Json]) -> dict[str, Mapping[str, Json]]:
    """Return run → the group of seeds that it is the first row of."""
    return {group["runs"][0]: group for group in table["seeds"]}


def single_seeds(table: Mapping[str, Json]) -> set[str]:
    """Return the runs of checkpoints that were trained with one seed alone, as far as the table shows."""
    several = {run for group in table["seeds"] for run in group["runs"]}
    return {row["run"] for row in table["rows"] if row["training"] and row["run"] not in several}


def spread_of(group: Mapping[str, Json], column: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return the mean over seeds that a group has in a column; none where it was scored under another signature."""
    name = column["metric"]
    spread: dict[str, Json] = group["metrics"][name]
    if spread["mean"] is None or group["signatures"].get(name) == column["signature"]:
        return spread
    return {"mean": None, "sd": None, "n": 0, "reason": "scored under another signature: see the column beside"}


def axis_of(table: Mapping[str, Json], column: Mapping[str, Json]) -> Any:  # noqa: ANN401 - a template's value
    """Return the scale of a column's whiskers."""
    return axis(column["metric"], [cell_of(row, column) for row in table["rows"]])


def grouped(
    metrics: list[Mapping[str, Json]], card: Mapping[str, Json], row: Mapping[str, Json]
) -> list[tuple[str, list[Mapping[str, Json]]]]:
    """Return the metrics under the headings of a run's page, without those that cannot apply.

    These are figures that need what the task does not declare, the direction of errors where labels have no order, and
    calibration where labels were not scored.
    """
    undeclared = {name for name, needs in NEEDS.items() if not all(card[key] for key in needs)}
    away = {about for about, away in (("safety", card["space"] != "ordinal"), ("calibration", _no_odds(row))) if away}
    known = [metric for metric in metrics if metric["name"] not in undeclared and metric["about"] not in away]
    return [
        (title, [m for m in known if m["preset"] == preset and about in (None, m["about"])])
        for title, about, preset in GROUPS
    ]


def _no_odds(row: Mapping[str, Json]) -> bool:
    return bool(row["label_method"] != "scored")


def side_of(table: Mapping[str, Json], gold: int, predicted: int) -> str:
    """Return on which side of the diagonal a cell lies: labels of an ordinal task stand most urgent first."""
    if table["card"]["space"] != "ordinal" or gold == predicted or predicted >= len(table["card"]["labels"]):
        return ""
    return "under" if predicted > gold else "over"


@dataclass(slots=True)
class Notes:
    """The numbered notes below a table; equal ones share a number."""

    texts: list[str] = field(default_factory=list)

    def numbers(self, figure: Mapping[str, Json]) -> list[int]:
        """Return the numbers of the notes that a figure needs: why it has no value or interval, and its warnings."""
        found = [*([figure["reason"]] if figure["reason"] else []), *figure["warnings"]]
        for text in found:
            if text not in self.texts:
                self.texts.append(text)
        return [self.texts.index(text) + 1 for text in found]


def _whole(figure: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return a figure of `scores.json`, which leaves out empty keys, with those that a cell asks for."""
    return {"reason": None, "warnings": [], **figure}


def _address(text: str) -> str:
    return quote(text, safe="")


def _shown(figure: Mapping[str, Json], metric: str | Metric) -> str:
    return "–" if figure["value"] is None else shown(metric, figure["value"])


def _between(figure: Mapping[str, Json], metric: str | Metric) -> str:
    return "" if figure["low"] is None else between(metric, figure["low"], figure["high"])
