from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from boards import HOSTILE, WIDE_ROWS, Made, board

from r2d_bench.errors import UserError
from r2d_bench.leaderboard.build import build
from r2d_bench.leaderboard.examples import script_json
from r2d_bench.leaderboard.exports import defused
from r2d_bench.runs.table import read_examples

if TYPE_CHECKING:
    from pathlib import Path


def files(site: Path) -> dict[str, bytes]:
    return {str(p.relative_to(site)): p.read_bytes() for p in sorted(site.rglob("*")) if p.is_file()}


def results(made: Made):
    return json.loads((made.site / "downloads" / "results.json").read_text(encoding="utf-8"))


def shard(site: Path, name: str):
    """Return what a data file of the site holds; it is a script that does nothing but hand it over."""
    text = (site / "data" / f"{name}.js").read_text(encoding="utf-8")
    found = re.fullmatch(r'R2D\.shard\("([^"]+)", (.*)\);\n', text, re.DOTALL)
    assert found is not None
    assert found[1] == name
    return json.loads(found[2])


class Cells(HTMLParser):
    """Collects tags, the machine-readable values, and the text of the page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def data(self) -> list[str]:
        return [attrs["value"] or "" for tag, attrs in self.tags if tag == "data"]


def test_the_same_runs_give_the_same_bytes(made: Made, tmp_path: Path):
    index = build(board(), made.runs, tmp_path / "again", [made.tasks])
    assert index == (tmp_path / "again" / "index.html").resolve()
    assert files(tmp_path / "again") == files(made.site)
    build(board(), made.runs, tmp_path / "again", [made.tasks])  # over itself
    assert files(tmp_path / "again") == files(made.site)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]  # nothing is left beside it


def test_a_folder_that_is_no_site_is_kept(made: Made, tmp_path: Path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "index.html").write_text("mine")
    with pytest.raises(UserError, match="is not a leaderboard"):
        build(board(), made.runs, tmp_path / "thesis", [made.tasks])
    assert files(tmp_path / "thesis") == {"index.html": b"mine"}


def test_a_failed_build_keeps_the_old_site(made: Made, tmp_path: Path):
    build(board(), made.runs, tmp_path / "site", [made.tasks])
    before = files(tmp_path / "site")
    with pytest.raises(UserError, match="holds no run folder"):
        build(board(), tmp_path / "nothing", tmp_path / "site", [made.tasks])
    assert files(tmp_path / "site") == before


def test_numbers_on_the_pages_are_those_of_results_json(made: Made):
    document = results(made)
    on_index = []
    for table in document["tables"]:
        on_task = []
        for row in table["rows"]:
            for column in table["columns"]:
                figure, shown = row["metrics"][column["metric"]], []
                if figure["value"] is not None:
                    shown = [str(figure["value"])]
                    shown += [f"{figure['low']}/{figure['high']}"] if figure["low"] is not None else []
                on_task += shown
                on_index += shown if column["first"] else []
        assert Cells(made.site / "task" / table["id"] / "index.html").data == on_task
    assert Cells(made.site / "index.html").data == on_index
    row = next(r for t in document["tables"] for r in t["rows"] if r["run"] == made.tfidf)
    on_page = Cells(made.site / "run" / f"{made.tfidf}.html").data
    for figure in row["metrics"].values():
        assert figure["value"] is None or str(figure["value"]) in on_page


def test_missing_figures_are_dashes_with_a_reason(made: Made):
    page = (made.site / "index.html").read_text()
    reason = "baseline:majority writes no rationale"
    assert f'<span class="none" title="{reason}">–</span>' in page
    assert re.search(rf'<li id="note-triage-v2-\d+">{reason}</li>', page)


def test_partial_runs_and_people_are_marked(made: Made):
    page = (made.site / "index.html").read_text()
    assert "partial: 60 of 240" in page
    assert '<span class="stamp human">human</span>' in page
    assert f"<code>{made.unscored}</code>: not scored" in (made.site / "about.html").read_text()


def test_under_triage_is_said_in_words(made: Made):
    document = results(made)
    row = next(r for t in document["tables"] for r in t["rows"] if r["run"] == made.mock)
    under = sum(count > 0 for i, line in enumerate(row["confusion"]["counts"]) for count in line[i + 1 : -1])
    page = (made.site / "run" / f"{made.mock}.html").read_text()
    assert len(re.findall(r"% under</small>", page)) == under > 0
    assert "no valid label" in page


def test_run_page_says_what_was_run(made: Made):
    text = Cells(made.site / "run" / f"{made.mock}.html").text
    assert "given label: {{ outputs.predict.text }}, explain: {{ input }}" in text  # verbatim
    for words in ("Not for clinical use", "numpy", "parser standard/1", "arXiv 2512.20074", "240 of 240 (all)"):
        assert words in text


def test_shards_hold_every_row_and_cannot_end_a_script(made: Made):
    folder = made.site / "data"
    found = {}
    for path in sorted(folder.rglob("*.js")):
        text = path.read_text(encoding="utf-8")
        assert not re.search("[<>&\u2028\u2029]", text)
        name = path.relative_to(folder).with_suffix("").as_posix()
        found[name] = shard(made.site, name)
    items, mine = found["wide-v1/items/index"], found[f"wide-v1/{made.wide}/index"]
    assert items["ids"] == [f"w{n}" for n in range(WIDE_ROWS)]
    assert [items["labels"][number] for number in items["gold"]] == ["yes"] * WIDE_ROWS
    assert mine["items"] is None
    assert len(mine["states"]) == len(mine["labels"]) == WIDE_ROWS
    texts = [row for number in range(3) for row in found[f"wide-v1/items/00{number}"]]
    rows = [row for number in range(3) for row in found[f"wide-v1/{made.wide}/00{number}"]]
    assert len(found["wide-v1/items/000"]) == items["rows"]
    for n, (text, row) in enumerate(zip(texts, rows, strict=True)):
        hostile = HOSTILE[n % len(HOSTILE)]
        assert text == {"input": f"input {n} {hostile}", "reference": f"gold {hostile}"}
        assert row["rationale"] == f"said {n} {hostile}"  # literally
        assert [output["stage"] for output in row["outputs"]] == ["label", "rationale"]
        assert len(row["values"]) == len(mine["metrics"])


def test_items_of_a_table_are_written_once_and_rows_point_at_them(made: Made):
    table = next(t for t in results(made)["tables"] if t["task"].startswith("triage@"))
    items = shard(made.site, f"{table['id']}/items/index")
    assert not (made.site / "data" / table["id"] / made.unscored).exists()
    labels: dict[int, set[int]] = {}
    for row in table["rows"]:
        mine = shard(made.site, f"{table['id']}/{row['run']}/index")
        known = list(range(len(items["ids"]))) if mine["items"] is None else mine["items"]
        assert (mine["items"] is None) == (row["run"] != made.partial)
        source = read_examples(made.runs / row["run"] / "examples.parquet")
        assert [items["ids"][item] for item in known] == [one["id"] for one in source]
        said = [None if number < 0 else items["labels"][number] for number in mine["labels"]]
        assert said == [one["label"] for one in source]
        for item, label, state in zip(known, mine["labels"], mine["states"], strict=True):
            if state != "n":
                labels.setdefault(item, set()).add(label)
    differ = [len(labels[item]) > 1 for item in range(len(items["ids"]))]
    assert items["differ"] == "".join("1" if one else "0" for one in differ)
    assert 0 < sum(differ) < len(differ)


@pytest.mark.parametrize("text", HOSTILE)
def test_script_json_is_json(text: str):
    assert json.loads(script_json(text)) == text


def test_titles_are_escaped(made: Made):
    page = (made.site / "index.html").read_text()
    assert "Wide &lt;b&gt;task&lt;/b&gt;" in page
    assert "Wide <b>" not in page


@pytest.mark.parametrize(
    ("cell", "safe"),
    [("=1+1", "'=1+1"), ("+1", "'+1"), ("-x", "'-x"), ("@a", "'@a"), ("a=b", "a=b"), (-0.5, -0.5), (None, None)],
)
def test_csv_cells_are_no_formulas(cell: str | float | None, safe: str | float | None):
    assert defused(cell) == safe


def test_csv_holds_every_figure(made: Made):
    with (made.site / "downloads" / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    found = {(line["run"], line["metric"]): line for line in lines}
    for table in results(made)["tables"]:
        for row in table["rows"]:
            for name, figure in row["metrics"].items():
                value = found[row["run"], name]["value"]
                assert (float(value) if value else None) == figure["value"]
                assert found[row["run"], name]["reason"] == (figure["reason"] or "")


def test_pages_refer_to_nothing_outside_and_hold_no_inline_code(made: Made):
    for name, content in files(made.site).items():
        if not name.endswith((".html", ".css", ".js", ".svg")) or name.startswith("data/"):
            continue
        text = content.decode("utf-8")
        outside = set(re.findall(r"https?://[^\s\"'<)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert outside == set(), name
        if name.endswith(".html"):
            page = Cells(made.site / name)
            assert all("src" in attrs for tag, attrs in page.tags if tag == "script")
            assert not any(key == "style" or key.startswith("on") for _, attrs in page.tags for key in attrs)
            for _, attrs in page.tags:
                target = attrs.get("href") or attrs.get("src") or ""
                if target and not target.startswith("#"):
                    path = ((made.site / name).parent / target.partition("#")[0]).resolve()
                    assert path.is_file(), (name, target)


def test_no_path_of_this_machine_is_published(made: Made):
    for name, content in files(made.site).items():
        assert str(made.runs.parent).encode() not in content, name
