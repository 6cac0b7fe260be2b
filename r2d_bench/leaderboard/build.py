"""A board's site: run folders in, a folder of static pages out."""

from __future__ import annotations

import gzip
import secrets
import shutil
from typing import TYPE_CHECKING

from r2d_bench.documents import to_json
from r2d_bench.errors import UserError
from r2d_bench.leaderboard.document import Results
from r2d_bench.leaderboard.examples import example_files, predictions
from r2d_bench.leaderboard.exports import leaderboard_csv
from r2d_bench.leaderboard.hub_card import model_index
from r2d_bench.leaderboard.leaks import guard_of
from r2d_bench.leaderboard.results import AUDITS, collect
from r2d_bench.leaderboard.single import NAME, single_file
from r2d_bench.leaderboard.site import asset, assets, pages
from r2d_bench.runs.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from r2d_bench.leaderboard.board import Board

MARKER = "downloads/results.json"  # tells a site of ours from any other folder


def build(
    board: Board,
    runs: Path,
    out: Path,
    task_dirs: Sequence[Path] = (),
    audits: Path = AUDITS,
    *,
    single: bool = False,
) -> Path:
    """Build the site of a board; the same run folders give the same bytes.

    The site is written beside `out` and then put in its place, so that nobody ever sees half of it.

    Args:
        board: the board.
        runs: the folder that holds the run folders.
        out: the folder of the site; an older site there is replaced.
        task_dirs: further folders to look for tasks in.
        audits: the folder that holds the audits of judges.
        single: also write the whole site as one file, `leaderboard.html`.

    Returns:
        The path of `index.html`, or of the single file.

    Raises:
        UserError: no runs, `out` is something else than a site, it cannot be written, or a file of it would hold words
            of a task that is not public.
    """
    check_out(out)
    out = out.resolve()
    results = collect(board, runs, task_dirs, audits)
    guard = guard_of(results, runs, task_dirs)
    fresh, old = (out.with_name(f".{out.name}.{kind}.{secrets.token_hex(4)}") for kind in ("new", "old"))
    try:
        kept = {"assets/single.js": asset("single.js")}
        for name, text in _files(results, runs):
            guard.check(name, text)
            _write(fresh / name, text)
            if single:
                kept[name] = text
        if single:
            _write(fresh / NAME, single_file(kept))
        if out.exists():
            out.rename(old)
        fresh.rename(out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return out / (NAME if single else "index.html")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode("utf-8", "replace")  # a lone half of a surrogate pair in a model's text has no bytes
    path.write_bytes(gzip.compress(content, 6, mtime=0) if path.suffix == ".gz" else content)


def check_out(out: Path) -> None:
    """Refuse a folder that holds something else than a site of ours.

    Raises:
        UserError: it does.
    """
    if out.exists() and not (out / MARKER).is_file() and not _is_empty(out):
        raise UserError(f"{out}: exists and is not a leaderboard; choose another folder or remove it")


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _files(results: Results, runs: Path) -> Iterator[tuple[str, str]]:
    """Yield path and text of every file of the site."""
    document = results.as_json()
    yield MARKER, to_json(document) + "\n"
    yield "downloads/leaderboard.csv", leaderboard_csv(results)
    yield "downloads/results.schema.json", to_json(Results.model_json_schema(mode="serialization")) + "\n"
    yield from assets()
    yield from pages(document)
    for table in results.tables:
        for row in table.rows:
            yield f"downloads/model-index/{row.run}.yaml", model_index(table, row)
        if table.texts:
            for name, text in example_files(table, runs):
                yield f"data/{name}", text
            for row in table.rows:
                yield f"downloads/predictions/{row.run}.jsonl.gz", predictions(RunStore(runs / row.run))
