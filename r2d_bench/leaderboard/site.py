"""`results.json` into pages. Templates see nothing but the document and how to show a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from r2d_bench.leaderboard.drawn import confusion_of, plots_of_judgment, plots_of_row, plots_of_table
from r2d_bench.leaderboard.judge_pages import helpers
from r2d_bench.leaderboard.lookups import FILTERS, lookups

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from r2d_bench.records import Json

HERE = Path(__file__).parent
# Kind of page → its scripts, beside the kernel.
SCRIPTS = {
    "index.html": ["board.js"],
    "task.html": ["board.js"],
    "run.html": ["examples.js"],
    "compare.html": ["compare.js"],
}
ASSETS = ("r2d.css", "r2d.js", "board.js", "compare.js", "examples.js", "icon.svg")


def environment() -> Environment:
    """Return the environment of the pages: everything is escaped, unknown names are errors."""
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals |= lookups()
    env.globals |= helpers()
    env.globals |= {"plots_of_table": plots_of_table, "plots_of_row": plots_of_row, "confusion_of": confusion_of}
    env.globals["plots_of_judgment"] = plots_of_judgment
    env.filters |= FILTERS
    return env


def pages(results: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Yield path and HTML of every page.

    Args:
        results: the document, as it stands in `results.json`.
    """
    env = environment()
    judges = {card["id"]: card for card in results["judges"]}

    def page(template: str, root: str, **more: Json) -> str:
        scripts = ["r2d.js", *SCRIPTS[template]] if template in SCRIPTS else []
        found = env.get_template(template)
        return found.render(results=results, judges=judges, root=root, scripts=scripts, **more)

    for name in ("index.html", "compare.html", "about.html"):
        yield name, page(name, "")
    for ident, card in judges.items():
        yield f"judge/{ident}.html", page("judge.html", "../", card=card)
    models: dict[str, list[tuple[Json, Json]]] = {}
    for table in results["tables"]:
        yield f"task/{table['id']}/index.html", page("task.html", "../../", table=table)
        for row in table["rows"]:
            models.setdefault(row["page"], []).append((table, row))
            yield f"run/{row['run']}.html", page("run.html", "../", table=table, row=row)
    for ident, rows in models.items():
        yield f"model/{ident}.html", page("model.html", "../", shown_rows=rows)


def assets() -> Iterator[tuple[str, str]]:
    """Yield path and text of every asset."""
    for name in ASSETS:
        yield f"assets/{name}", asset(name)


def asset(name: str) -> str:
    """Return the text of an asset."""
    return (HERE / "assets" / name).read_text(encoding="utf-8")
