"""What the templates need to show figures of runs: lookups in the document, and the forms of figures; no numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from r2d_bench.comparison.words import p_value
from r2d_bench.judging.meaning import COVERAGE, MEAN
from r2d_bench.leaderboard.judge_pages import meanings
from r2d_bench.leaderboard.whiskers import WIDTH, axis
from r2d_bench.metrics.base import About, Metric
from r2d_bench.metrics.display import between, heading, shown
from r2d_bench.metrics.registry import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from r2d_bench.records import Json

PAPER = "As the paper's script computes them"
GROUPS = {
    About.LABEL: "Label",
    About.SAFETY: "Triage safety",
    About.CALIBRATION: "Calibration",
    About.RATIONALE: "Rationale",
    About.JOINT: "Label and rationale together",
    About.CHALLENGE: "Challenge sets",
}
# Columns behind the figures: key, title, group, the better or usual way to sort, whether it is a number.
FACTS = (
    ("parameters", "Parameters", "Model", "asc", True),
    ("licence", "Licence", "Model", "asc", False),
    ("family", "Family", "Model", "asc", False),
    ("weights", "Open weights", "Model", "asc", False),
    ("seconds", "Seconds an example", "Cost", "asc", True),
    ("dollars", "US dollars", "Cost", "asc", True),
    ("date", "Asked on", "Setting", "desc", False),
    ("checked", "Checked by", "Setting", "asc", False),
)
ORIGINS = {
    "verified": "recomputed from its answers",
    "part": "recomputed from its answers in part",
    "community": "nobody yet",
    "own": "the maker of this board",
}
# Metric → what the task's card must declare for it.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "accuracy_mix": ("mix",),
    "expected_cost": ("cost",),
    "expected_cost_mix": ("mix", "cost"),
}


def lookups() -> dict[str, Any]:
    """Return what templates may call, by name."""
    return {
        "WIDTH": WIDTH,
        "METRICS": METRICS,
        "FACTS": FACTS,
        "Notes": Notes,
        "heading": heading,
        "cell_of": cell_of,
        "axis_of": axis_of,
        "grouped": grouped,
        "side_of": side_of,
        "rows_of": rows_of,
        "groups_of": groups_of,
        "single_seeds": single_seeds,
        "spread_of": spread_of,
        "group_of": group_of,
        "column_key": column_key,
        "judged_columns": judged_columns,
        "facts_of": facts_of,
        "name_of": name_of,
        "side_name": side_name,
    }


def group_of(metric: Metric) -> str:
    """Return the heading that a metric stands under."""
    return PAPER if metric.preset == "paper" else GROUPS[metric.about]


def column_key(column: Mapping[str, Json], place: int) -> str:
    """Return what a column is called in an address: the metric, and its place where it stands several times."""
    return f"{column['metric']}.{place}" if column["split"] else str(column["metric"])


def name_of(row: Mapping[str, Json]) -> str:
    """Return the name that readers know a row's model by."""
    return str(row["sittings"]["card"]["title"] or row["model"]["title"])


def side_name(table: Mapping[str, Json], runs: Sequence[str]) -> str:
    """Return the name of a row, or of a group of seeds."""
    for group in table["seeds"]:
        if group["runs"] == runs:
            return f"{group['title']}, {len(runs)} seeds"
    return name_of(rows_of(table)[runs[0]])


def facts_of(row: Mapping[str, Json]) -> Iterator[tuple[str, Json, bool]]:
    """Yield text, value to sort by, and whether it is a number, of each of `FACTS`."""
    card, spent = row["sittings"]["card"], row["sittings"]
    weights = {True: "yes", False: "no", None: ""}[card["open_weights"]]
    dollars = f"{spent['cost']:.4f}".rstrip("0").rstrip(".") if spent["cost"] else ""
    seconds = "" if row["seconds_each"] is None else f"{row['seconds_each']:.3g}"
    texts = (
        _counted(card["parameters"]),
        card["licence"] or "",
        card["family"] or "",
        weights,
        seconds,
        dollars,
        spent["last"],
        ORIGINS[row["origin"]],
    )
    numbers = {"parameters": card["parameters"], "seconds": row["seconds_each"], "dollars": spent["cost"] or None}
    for (key, _, _, _, numeric), text in zip(FACTS, texts, strict=True):
        yield text, numbers[key] if numeric else text, numeric


def _counted(count: int | None) -> str:
    if count is None:
        return ""
    for size, sign in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {sign}"
    return str(count)


@dataclass(frozen=True, slots=True)
class JudgedColumn:
    """The mean score of one judge as a column of a table of runs."""

    judge: str
    title: str
    metric: Metric
    coverage_metric: Metric

    def of(self, row: Mapping[str, Json]) -> Mapping[str, Json] | None:
        """Return the figure of a row; None where it was not judged."""
        judgment = self.judgment(row)
        return None if judgment is None else judgment["metrics"][MEAN]

    def coverage(self, row: Mapping[str, Json]) -> str:
        """Return the share of the row's rationales that have a verdict."""
        judgment = self.judgment(row)
        figure = {"value": None} if judgment is None else judgment["metrics"][COVERAGE]
        return f"{_shown(figure, self.coverage_metric)} %"

    def judgment(self, row: Mapping[str, Json]) -> Mapping[str, Json] | None:
        """Return all that the judge said of a row."""
        return next((one for one in row["judgments"] if one["judge"] == self.judge), None)


def judged_columns(table: Mapping[str, Json], judges: Mapping[str, Mapping[str, Json]]) -> list[JudgedColumn]:
    """Return a column for each judge of any row of a table."""
    cards = [judges[judged["judge"]] for judged in table["judged"]]
    return [JudgedColumn(card["id"], card["title"], meanings(card)[MEAN], meanings(card)[COVERAGE]) for card in cards]


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
    titles = [*(title for about, title in GROUPS.items() if about is not About.CHALLENGE), PAPER]
    return [(title, [metric for metric in known if group_of(METRICS[metric["name"]]) == title]) for title in titles]


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


def _difference(value: float, metric: str) -> str:
    text = shown(metric, value)
    return f"+{text}" if value > 0 else text


def _opening(text: str) -> str:
    """Return a sentence with a capital in front; the rest stays as it is."""
    return text[:1].upper() + text[1:]


FILTERS = {
    "shown": _shown,
    "between": _between,
    "address": _address,
    "whole": _whole,
    "difference": _difference,
    "p_value": p_value,
    "opening": _opening,
}
