"""Where rows come from: CSV, TSV, JSONL, JSON and Parquet files, and the Hugging Face hub.

Every reader yields rows as they are: text stays text (no `None`, `NA` or `1` is turned into something else), and
each row knows where it stood, for error messages.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from r2d_bench.documents import parse_json, read_json, read_text
from r2d_bench.errors import MissingDependencyError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from r2d_bench.records import Json
    from r2d_bench.tasks.spec import HubSource

FORMATS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")


class Row(NamedTuple):
    """One row: its columns, and where it stood (file, and line or number)."""

    values: dict[str, Json]
    file: str
    place: str

    @property
    def where(self) -> str:
        """File and line, for messages."""
        return f"{self.file} {self.place}"


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file; its name's ending tells the format.

    Raises:
        UserError: absent, empty, not UTF-8, an unknown format, or a broken line (with its number).
    """
    readers = {
        ".csv": _delimited,
        ".tsv": _delimited,
        ".jsonl": _lines,
        ".ndjson": _lines,
        ".json": _document,
        ".parquet": _parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: unknown format '{path.suffix}' (known: {', '.join(FORMATS)})")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    rows = list(reader(path))
    if not rows:
        raise UserError(f"{path}: the file has no rows")
    return rows


def _delimited(path: Path) -> Iterator[Row]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    text = read_text(path)
    # The module's default limit of 128 KiB a cell is shorter than long notes; the limit is the file itself.
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1  # where the current row begins: a quote that is never closed runs to the end of the file
    try:
        header = next(reader, None)
        if header is None:
            raise UserError(f"{path}: the file is empty")
        doubled = {name for name in header if header.count(name) > 1}
        if doubled:
            raise UserError(f"{path} line 1: the column '{min(doubled)}' stands twice")
        line = reader.line_num + 1
        for cells in reader:
            if cells and len(cells) != len(header):
                raise UserError(
                    f"{path} line {line}: {len(cells)} cells where the header has {len(header)}; "
                    "quote cells that hold the delimiter or a line break"
                )
            if cells:
                yield Row(dict(zip(header, cells, strict=True)), path.name, f"line {line}")
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path} line {line}: broken {path.suffix[1:].upper()} ({error})") from None


def _lines(path: Path) -> Iterator[Row]:
    # Split at \n alone: U+2028 and its like may stand raw inside JSON strings.
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = parse_json(line)
        except (ValueError, RecursionError) as error:
            problem = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise UserError(f"{path} line {number}: broken JSON ({problem}); a line holds one object") from None
        if not isinstance(values, dict):
            raise UserError(f"{path} line {number}: should be a JSON object with the columns as keys")
        yield Row(values, path.name, f"line {number}")


def _document(path: Path) -> Iterator[Row]:
    """Read a JSON list of objects, or an object of objects, whose keys become the column `key`."""
    data = read_json(path)
    if isinstance(data, dict) and data and all(isinstance(value, dict) for value in data.values()):
        data = [{"key": key} | value for key, value in data.items()]
    if not isinstance(data, list):
        raise UserError(f"{path}: should be a list of objects, or an object of objects by id")
    for number, values in enumerate(data, 1):
        if not isinstance(values, dict):
            raise UserError(f"{path} item {number}: should be an object with the columns as keys")
        yield Row(values, path.name, f"item {number}")


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa  # noqa: PLC0415 - slow to import, needed by few
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})") from None
    for number, values in enumerate(table.to_pylist(), 1):
        yield Row(values, path.name, f"row {number}")


def read_hub(source: HubSource) -> tuple[dict[str, list[Row]], str]:
    """Return rows per split of ours, and the commit they came from.

    Raises:
        UserError: no `datasets`, no network and no cached copy, or no such data set.
    """
    try:
        import datasets  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingDependencyError(f"reading {source.repo} from the hub", "hub") from None
    commit = source.revision or _resolve(source.repo)
    rows: dict[str, list[Row]] = {}
    for ours, theirs in source.splits.items():
        try:
            loaded = datasets.load_dataset(source.repo, source.config, split=theirs, revision=commit)
        except (OSError, ValueError, ConnectionError) as error:
            raise UserError(f"the hub's {source.repo} cannot be loaded ({_first_line(error)})") from None
        rows[ours] = [Row(dict(values), source.repo, f"row {n}") for n, values in enumerate(loaded, 1)]
    return rows, commit


def _resolve(repo: str) -> str:
    """Return the commit that `main` stands for now, or in the local cache where the hub is out of reach."""
    import huggingface_hub  # noqa: PLC0415 - comes with datasets
    from huggingface_hub import constants, errors  # noqa: PLC0415

    try:
        return str(huggingface_hub.HfApi().dataset_info(repo, timeout=20).sha)
    except (OSError, ValueError, errors.HTTPError, errors.OfflineModeIsEnabled) as error:
        cached = Path(constants.HF_HUB_CACHE) / f"datasets--{repo.replace('/', '--')}" / "refs" / "main"
        if cached.is_file():
            return cached.read_text(encoding="ascii").strip()
        raise UserError(f"the hub's {repo} is out of reach and not cached ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
