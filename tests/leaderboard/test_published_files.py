"""What a board holds beside its tables: plots, reported rows, the schema, metadata for model cards."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml
from boards import HIDDEN_INPUT, HIDDEN_OUTPUT, Made, board

from r2d_bench.leaderboard.build import build
from r2d_bench.leaderboard.drawn import plots_of_row, plots_of_table
from r2d_bench.leaderboard.results import collect

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Json

REPORTED = {
    "task": "triage",
    "system": "T5 <b>large</b>",
    "data": "a private set",
    "source": "a paper",
    "figures": {"macro_f1": {"value": 0.6058, "spread": 0.0046}},
}


def document(made: Made) -> Json:
    return json.loads((made.site / "downloads" / "results.json").read_text(encoding="utf-8"))


def test_results_follow_the_published_schema(made: Made) -> None:
    schema = json.loads((made.site / "downloads" / "results.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(document(made), schema)
    broken = document(made)
    broken["tables"][0]["rows"][0]["metrics"]["accuracy"]["value"] = "much"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def test_model_index_says_what_the_page_says(made: Made) -> None:
    path = made.site / "downloads" / "model-index" / f"{made.tfidf}.yaml"
    (entry,) = yaml.safe_load(path.read_text(encoding="utf-8"))["model-index"]
    (result,) = entry["results"]
    row = next(r for t in document(made)["tables"] for r in t["rows"] if r["run"] == made.tfidf)
    told = {metric["name"]: metric for metric in result["metrics"]}
    figure = row["metrics"]["macro_f1"]
    assert told["Macro-F1"]["value"] == figure["value"]
    assert told["Macro-F1"]["type"] == "f1"
    assert (told["Macro-F1"]["args"]["low"], told["Macro-F1"]["args"]["high"]) == (figure["low"], figure["high"])
    assert told["BLEU"]["args"]["signature"] == row["signatures"]["bleu"]
    assert result["dataset"]["args"]["digest"]
    assert len(told) == sum(figure["value"] is not None for figure in row["metrics"].values())


def test_private_rows_hide_bins_and_words(made: Made) -> None:
    for path in (made.site / "downloads" / "model-index").glob("secret*"):
        text = path.read_text(encoding="utf-8")
        for hidden in (HIDDEN_INPUT, HIDDEN_OUTPUT):
            assert hidden.split()[0] not in text
    row = next(r for t in document(made)["tables"] if t["task"] == "secret@1" for r in t["rows"])
    assert (row["reliability"], row["risk_coverage"]) == (None, None)


def test_reported_rows_stand_apart_and_are_escaped(made: Made, tmp_path: Path) -> None:
    page = build(board(reported=[REPORTED]), made.runs, tmp_path / "site", [made.tasks])
    text = page.read_text(encoding="utf-8")
    section = text[text.index('id="reported"') :]
    assert "T5 &lt;b&gt;large&lt;/b&gt;" in section
    assert "60.6 ± 0.5" in section
    assert "reported" not in re.sub(r"(?s)<section id=.reported.*?</section>", "", text)
    for table in json.loads((tmp_path / "site" / "downloads" / "results.json").read_text())["tables"]:
        assert all("T5" not in row["model"]["title"] for row in table["rows"])


def test_a_runs_plots_show_its_own_numbers(made: Made) -> None:
    results = collect(board(), made.runs, [made.tasks]).as_json()
    row = next(r for t in results["tables"] for r in t["rows"] if r["run"] == made.tfidf)
    plots = {plot.title: plot for plot in plots_of_row(row)}
    sweep = plots["Cost over the ratio of its kinds"]
    assert [cells[1] for cells in sweep.rows] == [f"{point['figure']['value']:.2f}" for point in row["cost_sweep"]]
    parts = {part["value"]: part["accuracy"]["value"] for part in row["slices"]["difficulty"]["values"]}
    drawn = {cells[0]: cells[1] for cells in plots["Accuracy by difficulty"].rows}
    assert drawn == {name: "–" if value is None else f"{value * 100:.1f}" for name, value in parts.items()}
    html = (made.site / "run" / f"{made.tfidf}.html").read_text(encoding="utf-8")
    assert html.count('class="plot"') == len(plots) + 1  # and the confusion matrix


def test_a_table_is_drawn_where_enough_rows_tell_what_they_took() -> None:
    def row(title: str, value: float, parameters: int | None) -> Json:
        figure = {"value": value, "low": None, "high": None}
        card = {"parameters": parameters, "title": None}
        sittings = {"card": card, "cost": 0.0, "seconds": 0.0}
        return {
            "metrics": {"macro_f1": figure},
            "sittings": sittings,
            "seconds_each": None,
            "run": title,
            "complete": True,
            "model": {"row": "model", "title": title},
        }

    rows = [row("small", 0.3, 10**6), row("large", 0.5, 10**9), row("middle", 0.4, 10**8), row("unknown", 0.9, None)]
    whiskers, plot = plots_of_table({"primary": "macro_f1", "rows": rows, "seeds": []})
    assert [cells[0] for cells in whiskers.rows] == ["small", "large", "middle", "unknown"]
    assert plot.title == "Macro-F1 against size"
    assert [cells[1] for cells in plot.rows] == ["small", "middle", "large"]
    assert len(plots_of_table({"primary": "macro_f1", "rows": rows[:2], "seeds": []})) == 1
