"""README and docs: the site builds strictly, every command parses, every extra and key that they name exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from r2d_bench.cli.main import make_parser
from r2d_bench.documents import check
from r2d_bench.judging.rubric import Rubric
from r2d_bench.leaderboard.board import Board

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"\s{2,}(?:#.*|[a-z ,]+)$")


def commands() -> list[tuple[str, str]]:
    """Return page and command of every line that calls r2d-bench."""
    found = []
    for page in PAGES:
        for kind, block in BLOCK.findall(page.read_text(encoding="utf-8")):
            if kind in {"", "sh"}:
                lines = [line for line in block.splitlines() if line.startswith("r2d-bench ")]
                found += [(page.name, COMMENT.sub("", line)) for line in lines]
    return found


@pytest.mark.parametrize(("page", "command"), commands())
def test_every_command_is_one(page: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        make_parser().parse_args(shlex.split(command)[1:])
    except SystemExit:
        pytest.fail(f"{page}: {command}: {capsys.readouterr().err}")


def test_there_are_commands_on_most_pages() -> None:
    assert len(commands()) > 40
    assert len({page for page, _ in commands()}) > 8


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
    text = (ROOT / "docs" / "howto" / page).read_text(encoding="utf-8")
    (shown,) = [block for kind, block in BLOCK.findall(text) if kind == "yaml"]
    check(schema, yaml.load(shown, Loader=yaml.BaseLoader), page)  # noqa: S506 - all scalars as text


def test_the_docs_build_strictly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "docs")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "docs").rglob("*.html"))
    assert len(pages) >= 15
    # Nothing is fetched from elsewhere when a page is opened.
    for page in pages:
        assert not re.findall(r'(?:src|href)="https?://[^"]+\.(?:js|css|woff2?)', page.read_text(encoding="utf-8"))
