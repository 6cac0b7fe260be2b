from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from boards import HOSTILE, Made, board

from r2d_bench.errors import UserError
from r2d_bench.leaderboard.build import build
from r2d_bench.leaderboard.examples import script_json
from r2d_bench.leaderboard.exports import defused

if TYPE_CHECKING:
    from pathlib import Path


def files(site: Path) -> dict[str, bytes]:
    return {str(p.relative_to(site)): p.read_bytes() for p in sorted(site.rglob("*")) if p.is_file()}


def results(made: Made):
    return json.loads((made.site / "downloads" / "results.json").read_text(encoding="utf-8"))


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
    ids = []
    for path in sorted((made.site / "data" / made.wide).iterdir()):
        text = path.read_text(encoding="utf-8")
        assert not re.search("[<>&\u2028\u2029]", text)
        key, rows = re.fullmatch(r'R2D\.shard\("([^"]+)", (.*)\);\n', text, re.DOTALL).groups()
        assert key == f"{made.wide}/{path.stem}"
        part = json.loads(rows)
        assert len(part) <= 250
        ids += [row["id"] for row in part]
        for row in part:
            assert row["rationale"].endswith(HOSTILE[int(row["id"][1:]) % len(HOSTILE)])  # literally
            assert [output["stage"] for output in row["outputs"]] == ["label", "rationale"]
    assert ids == [f"w{n}" for n in range(620)]


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
