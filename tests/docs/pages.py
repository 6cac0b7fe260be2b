"""What a reader of README and docs is told to type: the fenced blocks of a page, in order.

A block whose fence has a title (```` ```yaml title="models.yaml" ````) shows a file under that name. Any other block of
the kinds `sh`, `console`, `bash` or none holds commands; `python` is run as it stands. `$ ` in front of a command is no
part of it. A comment `# exits with N` behind a command tells its exit code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.name != "performance.md"),
]
BLOCK = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r'title="([^"]+)"')
COMMENT = re.compile(r"\s{2,}#.*$")
EXIT = re.compile(r"#.*exits with (\d)")
SHELL = {"", "sh", "bash", "console"}
# What begins a command in a block that names no kind: other blocks without a kind show files or output.
PROGRAMS = ("r2d-bench ", "make ", "pip ", "python ", "git ", "apt-get ", "pre-commit ", "npx ", "export ", "docker ")


@dataclass(frozen=True)
class Command:
    """A line to type."""

    text: str
    code: int = 0


@dataclass(frozen=True)
class Snippet:
    """Python to run."""

    text: str


@dataclass(frozen=True)
class File:
    """A file that the page shows."""

    name: str
    text: str


Step = Command | Snippet | File


def name(page: Path) -> str:
    """Return the page's path within the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """Return (kind, title, text) of every fenced block."""
    found = []
    for kind, rest, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        title = TITLE.search(rest)
        found.append((kind, title.group(1) if title else "", text))
    return found


def steps(page: Path) -> list[Step]:
    """Return what a page tells to write and to run, in order."""
    found: list[Step] = []
    for kind, title, text in blocks(page):
        if title:
            found.append(File(title, text))
        elif kind == "python":
            found.append(Snippet(text))
        elif kind in SHELL:
            found += _commands(text)
    return found


def commands() -> list[tuple[str, Command]]:
    """Return page and command of every command of all pages."""
    return [(name(page), step) for page in PAGES for step in steps(page) if isinstance(step, Command)]


def _commands(text: str) -> list[Step]:
    lines = text.replace("\\\n", " ").splitlines()
    lines = [line.removeprefix("$ ") for line in lines]
    return [_command(line) for line in lines if line.startswith(PROGRAMS)]


def _command(line: str) -> Command:
    code = EXIT.search(line)
    return Command(" ".join(COMMENT.sub("", line).split()), int(code.group(1)) if code else 0)
