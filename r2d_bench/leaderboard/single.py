"""A whole site in one HTML file: to send by mail, to keep beside a paper.

Pages stand below each other, so that everything is there without scripts; with scripts one page is seen at a time.
Links between pages become anchors, downloads become `data:` addresses, shards become packed text that is no script.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import posixpath
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from markupsafe import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "leaderboard.html"
SHARDS = 40_000_000  # bytes, packed: mail servers and browsers refuse more
LEFT_OUT = "The examples are too many for a single file; the site has them."

_BODY = re.compile(r'<nav class="site".*?</nav>\n(.*?)<footer>(.*?)</footer>', re.DOTALL)
_NAV = re.compile(r'<nav class="site".*?</nav>', re.DOTALL)
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
# Attributes that name a place. All of them stand in our own templates: what models wrote is escaped, quotes too.
_PLACE = re.compile(r'\b(id|href)="([^"]*)"')
_KEY = re.compile(r'R2D\.shard\("([^"]+)", (.*)\);\n', re.DOTALL)
_TYPES = {"json": "application/json", "csv": "text/csv", "yaml": "application/yaml", "gz": "application/gzip"}


def single_file(files: Mapping[str, str], order: tuple[str, ...] = ("index.html",)) -> str:
    """Return the site as one HTML document.

    Args:
        files: path → text of every file of the site.
        order: pages that stand in front; the others follow by name.
    """
    pages = [*order, *sorted(name for name in files if name.endswith(".html") and name not in order)]
    numbers = {name: f"p{number}" for number, name in enumerate(pages)}
    sections = [_section(name, files, numbers) for name in pages]
    first = files[pages[0]]
    body = _BODY.search(first)
    footer = "" if body is None else _moved(body[2], pages[0], files, numbers)
    nav = _NAV.search(first)
    title = _TITLE.search(first)
    scripts = [files[f"assets/{name}"] for name in _scripts(files)]
    style = files["assets/r2d.css"]
    icon = _data("image/svg+xml", files["assets/icon.svg"])
    policy = (
        f"default-src 'none'; script-src {' '.join(_digest(text) for text in scripts)}; style-src {_digest(style)}; "
        "img-src data:; connect-src 'none'; base-uri 'none'; form-action 'none'"
    )
    head = [
        "<!doctype html>",
        '<html lang="en" class="single">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{'' if title is None else title[1]}</title>",
        f'<link rel="icon" href="{icon}">',
        f"<style>{style}</style>",
        "</head>",
        '<body data-root="">',
        "" if nav is None else _moved(nav[0], pages[0], files, numbers),
    ]
    tail = [f"<footer>{footer}</footer>", *_shards(files), *(f"<script>{text}</script>" for text in scripts)]
    return "\n".join([*head, *sections, *tail, "</body>", "</html>", ""])


def _scripts(files: Mapping[str, str]) -> list[str]:
    """Return the scripts: the kernel, what turns the pages, then those that look which page is seen."""
    names = sorted(name.partition("/")[2] for name in files if name.startswith("assets/") and name.endswith(".js"))
    inner = [name for name in names if name not in {"r2d.js", "single.js"}]
    return ["r2d.js", "single.js", *inner]


def _section(name: str, files: Mapping[str, str], numbers: Mapping[str, str]) -> str:
    body = _BODY.search(files[name])
    inner = "" if body is None else _moved(body[1], name, files, numbers)
    return f'<div class="page" id="{numbers[name]}" data-page="{escape(name)}">\n{inner}</div>'


def _moved(html: str, name: str, files: Mapping[str, str], numbers: Mapping[str, str]) -> str:
    """Return a part of a page with its names of places as they are in the one file."""

    def place(found: re.Match[str]) -> str:
        kind, value = found.groups()
        if kind == "id":
            return f'id="{numbers[name]}-{value}"'
        path, _, anchor = value.partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(path))) if path else name
        if target in numbers:
            return f'href="#{numbers[target]}{"-" if anchor else ""}{anchor}"'
        if target in files:
            kept = posixpath.basename(target)
            return f'download="{escape(kept)}" href="{_data(_TYPES[kept.rpartition(".")[2]], files[target])}"'
        return found[0]

    return _PLACE.sub(place, html)


def _shards(files: Mapping[str, str]) -> list[str]:
    """Return the text shards, packed; a sentence in their place where they are too large."""
    found = []
    size = 0
    for name in sorted(files):
        shard = _KEY.fullmatch(files[name]) if name.startswith("data/") else None
        if shard is not None:
            packed = base64.b64encode(gzip.compress(shard[2].encode(), mtime=0)).decode()
            size += len(packed)
            if size > SHARDS:
                return [f"<p>{LEFT_OUT}</p>"]
            found.append(
                f'<script type="application/octet-stream;base64" data-shard="{escape(shard[1])}">{packed}</script>'
            )
    return found


def _data(kind: str, text: str) -> str:
    content = text.encode("utf-8", "replace")
    packed = gzip.compress(content, mtime=0) if kind.endswith("gzip") else content
    return f"data:{kind};base64,{base64.b64encode(packed).decode()}"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
