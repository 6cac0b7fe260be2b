"""How a board is cited, and a run repeated."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from r2d_bench.documents import slug
from r2d_bench.models.base import Identity
from r2d_bench.records import LabelMethod

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from r2d_bench.leaderboard.board import Board
    from r2d_bench.leaderboard.document import Table
    from r2d_bench.leaderboard.parts import Stamp
    from r2d_bench.records import Json
    from r2d_bench.runs.setup import RunSetup

_TEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}"} | {sign: "\\" + sign for sign in "&%$#_"}


def page_of(model: Mapping[str, Json]) -> str:
    """Return the name of a model's page: rows of one identity share it, whatever the task."""
    identity = Identity(**model)
    return slug(f"{identity.kind}--{identity.name.rpartition('/')[2]}--{identity.short}")


def command_of(setup: RunSetup, asked: Stamp) -> str:
    """Return the command that asks the same again.

    A name without an owner is that of a folder or file of whoever made the run, which the digest tells apart.
    """
    words = ["r2d-bench", "run", _spec(setup.model), "--task", setup.task.rpartition("@")[0]]
    if not setup.protocol.structured:
        words += ["--protocol", setup.protocol.name]
    if setup.label_method is not LabelMethod.FREE:
        words += ["--label-method", str(setup.label_method)]
    for stage, budget in setup.max_new_tokens.items():
        words += ["--max-new-tokens", f"{stage}={budget}"]
    words += ["--seed", str(setup.seed)] if setup.seed else []
    words += ["--shots", str(len(setup.shots))] if setup.shots else []
    words += ["--limit", str(asked.n)] if asked.partial else []
    return shlex.join(words)


def _spec(model: Mapping[str, Json]) -> str:
    name = str(model["name"])
    local = model["kind"] in {"hf", "ct2", "vllm", "replay"} and "/" not in name and not name.startswith("pkg:")
    settings = [
        f"{key}={value}" for key, value in sorted(model["params"].items()) if key != "seed" and value is not None
    ]
    return ",".join([f"{model['kind']}:{'./' if local else ''}{name}", *settings])


def bibtex(board: Board, tables: Iterable[Table]) -> str:
    """Return a BibTeX entry for the board as it stands: its newest run gives year and date."""
    shown = list(tables)
    date = max((row.sittings.last for table in shown for row in table.rows), default="")
    data = ", ".join(f"{table.task} (data digest {table.data_digest})" for table in shown)
    entry = {
        "title": f"{{{_tex(board.title)}}}",
        "year": date[:4],
        "note": _tex(f"Leaderboard made with r2d-bench; newest run {date}; {data}") if shown else "",
        "howpublished": rf"\url{{{board.url}}}" if board.url else "",
    }
    lines = [f"  {key} = {{{value}}}," for key, value in entry.items() if value]
    return "\n".join([f"@misc{{{re.sub('[^a-z0-9]', '', board.name)}{date[:4]},", *lines, "}"])


def _tex(text: str) -> str:
    return "".join(_TEX.get(sign, sign) for sign in " ".join(text.split()))
