"""Where rows come from: CSV, TSV, JSONL, JSON, Parquet and Excel files, and the Hugging Face hub.

Every reader yields rows as they are: text stays text (no `None`, `NA` or `1` is turned into something else), and
each row knows where it stood, for error messages.
"""

from __future__ import annotations

import csv
import json
import warnings
import zipfile
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from r2d_bench.documents import parse_json, read_json, text_lines
from r2d_bench.errors import MissingDependencyError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from r2d_bench.records import Json
    from r2d_bench.tasks.spec import HubSource

FORMATS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".xlsx")


class Row(NamedTuple):
    """One row: its columns, and where it stood (file, and line or number)."""

    values: dict[str, Json]
    file: str
    place: str

    @property
    def where(self) -> str:
        """File and line, for messages."""
        return f"{self.file} {self.place}"


class Reading(NamedTuple):
    """What a task's own reader found.

    Attributes:
        splits: split → rows. A `Row` keeps its place for messages; plain columns are numbered.
        notes: what a user should know of the rows (how many were skipped, and why); no text of theirs, no path.
    """

    splits: Mapping[str, Sequence[Row | dict[str, Json]]]
    notes: tuple[str, ...] = ()


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
        ".xlsx": _excel,
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
    # The module's default limit of 128 KiB a cell is shorter than long notes; the limit is the file itself.
    csv.field_size_limit(max(csv.field_size_limit(), path.stat().st_size + 1))
    reader = csv.reader(text_lines(path, newline=""), delimiter=delimiter, strict=True)
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
    for number, line in enumerate(text_lines(path), 1):
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


def _excel(path: Path) -> Iterator[Row]:
    """Read the first sheet: text stays text, numbers and dates become the text that stands in the cell.

    The first row that holds anything is the header; empty rows are skipped. Of a formula the value is read that Excel
    stored when it saved the file.
    """
    lines = iter(_excel_lines(path))
    start, header = next(lines, (0, []))
    if not header:
        raise UserError(f"{path}: the first sheet is empty")
    doubled = {name for name in header if name and header.count(name) > 1}
    if doubled:
        raise UserError(f"{path} row {start}: the column '{min(doubled)}' stands twice")
    for number, cells in lines:
        if any(cells[len(header) :]) or any(cell and not name for cell, name in zip(cells, header, strict=False)):
            raise UserError(f"{path} row {number}: a cell stands in a column without a name; name it in row {start}")
        filled = cells + [""] * (len(header) - len(cells))
        values: dict[str, Json] = {name: cell for name, cell in zip(header, filled, strict=True) if name}
        yield Row(values, path.name, f"row {number}")


def _excel_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the rows that hold anything, with their numbers, without the empty cells behind the last."""
    try:
        import openpyxl  # noqa: PLC0415 - an extra
        from openpyxl.utils.exceptions import InvalidFileException  # noqa: PLC0415
    except ImportError:
        raise MissingDependencyError(f"reading {path.name}", "excel") from None
    found: list[tuple[int, list[str]]] = []
    try:
        with warnings.catch_warnings():  # of drop-down lists and styles that a reader of values does not need
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # other programs write wrong ones
            for number, row in enumerate(sheet.iter_rows(), 1):
                cells = [_shown(cell, f"{path} row {number}") for cell in row]
                while cells and not cells[-1]:
                    cells.pop()
                if cells:
                    found.append((number, cells))
            book.close()
    except (zipfile.BadZipFile, InvalidFileException, LookupError, OSError, SyntaxError, ValueError):
        # A broken part of it raises `xml.etree.ElementTree.ParseError`, which is a SyntaxError.
        raise UserError(f"{path}: not a readable Excel workbook (with a password, or an old .xls?)") from None
    return found


def _shown(cell: Any, where: str) -> str:  # noqa: ANN401 - openpyxl has no types
    """Return a cell's value as the text that Excel shows; dates in ISO form."""
    value = cell.value
    if cell.data_type == "e":
        raise UserError(f"{where}: the cell {cell.coordinate} holds Excel's error {value}; mend the formula")
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float):
        return f"{value:.15g}"  # Excel keeps 15 digits: 0.3, not 0.30000000000000004
    # A format of zeros alone (`00000`) is how numbers such as 00123 are kept.
    digits = cell.number_format
    return str(value).zfill(len(digits)) if digits and set(digits) == {"0"} else str(value)


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
