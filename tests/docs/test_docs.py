"""README and docs: the site builds strictly, every extra and key that they name exists; commands: test_commands.py."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest
import yaml
from pages import PAGES, ROOT, blocks, commands, name

from r2d_bench.documents import check
from r2d_bench.judging.rubric import Rubric
from r2d_bench.leaderboard.board import Board
from r2d_bench.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from pathlib import Path

FIGURES = sorted((ROOT / "docs" / "performance").glob("*.json"))


def test_there_are_commands_on_most_pages() -> None:
    ours = [page for page, command in commands() if command.text.startswith("r2d-bench ")]
    assert len(ours) > 40
    assert len(set(ours)) > 8


def test_every_extra_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {
        extra
        for page in PAGES
        for found in re.findall(r"r2d-bench\[([\w,]+)\]", page.read_text(encoding="utf-8"))
        for extra in found.split(",")
    }
    assert named
    assert named <= set(extras)


@pytest.mark.parametrize(("page", "schema"), [("write_judge.md", Rubric), ("publish.md", Board)])
def test_files_that_the_docs_show_fit_their_schemas(page: str, schema: type[Rubric | Board]) -> None:
    (shown,) = [block for kind, _, block in blocks(ROOT / "docs" / "howto" / page) if kind == "yaml"]
    check(schema, yaml.load(shown, Loader=yaml.BaseLoader), page)  # noqa: S506 - all scalars as text


def test_what_a_task_may_declare_fits_the_schema() -> None:
    whole, more = [
        yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - all scalars as text
        for kind, _, text in blocks(ROOT / "docs" / "howto" / "write_task.md")
        if kind == "yaml"
    ]
    both = whole | {key: whole[key] | value if key in whole else value for key, value in more.items()}
    del both["fields"]["references"]  # the styles stand for it
    check(TaskSpec, both, "write_task.md")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_page_that_is_linked_exists(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_performance_page_is_what_the_figures_make() -> None:
    script = [sys.executable, str(ROOT / "benchmarks" / "report.py"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_the_script_of_every_figure_exists(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    script = ROOT / "benchmarks" / f"{document['name']}.py"
    assert "from record import figure, record" in script.read_text(encoding="utf-8")
    assert document["figures"]
    assert not re.search(r"/home/|/tmp/|/root/|/work/", path.read_text(encoding="utf-8"))


def test_the_docs_build_strictly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "docs")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "docs").rglob("*.html"))
    assert len(pages) >= 15
    # Nothing is fetched from elsewhere when a page is opened.
    for page in pages:
        assert not re.findall(r'(?:src|href)="https?://[^"]+\.(?:js|css|woff2?)', page.read_text(encoding="utf-8"))
