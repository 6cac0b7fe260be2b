"""Reading rows: texts stay the texts they are, and a broken file is told with its line."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, time
from typing import TYPE_CHECKING, Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from r2d_bench.documents import read_yaml
from r2d_bench.errors import UserError
from r2d_bench.tasks.sources import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AWKWARD = ["yes", "no", "None", "NA", "1", "01", "1e3", "null", "~", "true", "", "nan", "-", "1.0", "2020-01-01", " x "]

Rows = list[dict[str, Any]]


def write_csv(path: Path, rows: Rows, delimiter: str = ",", end: str = "\r\n") -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode("utf-8"))


def write_tsv(path: Path, rows: Rows) -> None:
    write_csv(path, rows, "\t", "\n")


def write_jsonl(path: Path, rows: Rows) -> None:
    # As they are: no escapes, so that U+2028 stands raw in the line.
    path.write_bytes("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8"))


def write_list(path: Path, rows: Rows) -> None:
    path.write_text(json.dumps(rows), encoding="utf-8")


def write_object(path: Path, rows: Rows) -> None:
    path.write_text(json.dumps({f"k{n}": row for n, row in enumerate(rows)}), encoding="utf-8")


def write_parquet(path: Path, rows: Rows) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


def write_excel(path: Path, rows: Rows) -> None:
    write_sheet(path, [list(rows[0]), *(list(row.values()) for row in rows)])


def write_sheet(path: Path, lines: list[list[Any]]) -> None:
    """Write cells as they are given; a text never becomes a formula or a number."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for number, line in enumerate(lines, 1):
        for column, value in enumerate(line, 1):
            cell = sheet.cell(number, column, value)
            if isinstance(value, str):
                cell.data_type = "s"
    book.create_sheet("another").append(["not", "read"])
    book.save(path)


FORMATS: dict[str, Callable[[Path, Rows], None]] = {
    "rows.csv": write_csv,
    "rows.tsv": write_tsv,
    "rows.jsonl": write_jsonl,
    "rows.ndjson": write_jsonl,
    "list.json": write_list,
    "object.json": write_object,
    "rows.parquet": write_parquet,
    "rows.xlsx": write_excel,
    "ROWS.CSV": write_csv,
}


def values(path: Path) -> Rows:
    return [{key: value for key, value in row.values.items() if key != "key"} for row in read_rows(path)]


@pytest.mark.parametrize("name", FORMATS)
def test_words_that_other_readers_convert_stay_text(tmp_path: Path, name: str):
    rows = [{"id": str(n), "label": text} for n, text in enumerate(AWKWARD)]
    FORMATS[name](tmp_path / name, rows)
    assert values(tmp_path / name) == rows


# UTF-8 holds no half of a surrogate pair.
CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.jsonl", "rows.parquet"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cells=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
def test_any_text_comes_back(tmp_path: Path, name: str, cells: list[tuple[str, str]]):
    rows = [{"id": one, "note": other} for one, other in cells]
    FORMATS[name](tmp_path / name, rows)
    assert values(tmp_path / name) == rows


@pytest.mark.parametrize(
    ("name", "raw", "rows"),
    [
        ("bom.csv", b"\xef\xbb\xbfid,note\n1,x\n", [{"id": "1", "note": "x"}]),
        ("bom.jsonl", b'\xef\xbb\xbf{"id": "1"}\n', [{"id": "1"}]),
        ("crlf.csv", b"id,note\r\n1,x\r\n2,y\r\n", [{"id": "1", "note": "x"}, {"id": "2", "note": "y"}]),
        ("crlf.jsonl", b'{"id": "1"}\r\n{"id": "2"}\r\n', [{"id": "1"}, {"id": "2"}]),
        ("mac.csv", b"id,note\r1,x\r", [{"id": "1", "note": "x"}]),
        ("no_end.csv", b"id,note\n1,x", [{"id": "1", "note": "x"}]),
        (
            "quoted.csv",
            b'id,note\n1,"a\nb, ""c"""\n2,y\n',
            [{"id": "1", "note": 'a\nb, "c"'}, {"id": "2", "note": "y"}],
        ),
        ("quote_inside.csv", b'id,note\n1,a 5" cut\n', [{"id": "1", "note": 'a 5" cut'}]),
        ("blank.csv", b"id,note\n\n1,x\n\n", [{"id": "1", "note": "x"}]),
        ("blank.jsonl", b'\n{"id": "1"}\n  \n', [{"id": "1"}]),
        ("separator.jsonl", '{"id": "a\u2028b\u0085c"}\n'.encode(), [{"id": "a\u2028b\u0085c"}]),
        ("separator.csv", "id,note\n1,a\u2028b\u0085c\n".encode(), [{"id": "1", "note": "a\u2028b\u0085c"}]),
        ("types.jsonl", b'{"a": 1, "b": true, "c": null, "d": ["x"]}', [{"a": 1, "b": True, "c": None, "d": ["x"]}]),
        ("spaces.csv", b"id, note\n 1, x\n", [{"id": " 1", " note": " x"}]),
    ],
)
def test_as_it_stands(tmp_path: Path, name: str, raw: bytes, rows: Rows):
    (tmp_path / name).write_bytes(raw)
    assert values(tmp_path / name) == rows


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.jsonl", "rows.parquet"])
def test_a_note_longer_than_the_csv_module_allows(tmp_path: Path, name: str):
    rows = [{"id": "1", "note": "long\n" * 60_000}]
    FORMATS[name](tmp_path / name, rows)
    assert values(tmp_path / name) == rows


def test_a_doubled_column_of_a_parquet_file_is_told(tmp_path: Path):
    one = pa.array(["x"])
    pq.write_table(pa.Table.from_arrays([one, one], names=["id", "id"]), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet: not a readable Parquet file \(Multiple matches for .*id"):
        read_rows(tmp_path / "a.parquet")


def test_the_folder_s_name_adds_no_column(tmp_path: Path):
    (tmp_path / "site=3").mkdir()
    write_parquet(tmp_path / "site=3" / "rows.parquet", [{"id": "1"}])
    assert values(tmp_path / "site=3" / "rows.parquet") == [{"id": "1"}]


def test_the_keys_of_an_object_are_a_column(tmp_path: Path):
    (tmp_path / "by_id.json").write_text('{"17": {"note": "x"}, "18": {"note": "y", "key": "own"}}', encoding="utf-8")
    assert [row.values["key"] for row in read_rows(tmp_path / "by_id.json")] == ["17", "own"]


@pytest.mark.parametrize(
    ("name", "raw", "places"),
    [
        ("a.csv", b'id,note\n1,"x\ny"\n\n2,z\n', ["a.csv line 2", "a.csv line 5"]),
        ("a.jsonl", b'{"id": 1}\n\n{"id": 2}\n', ["a.jsonl line 1", "a.jsonl line 3"]),
        ("a.json", b'[{"id": 1}, {"id": 2}]', ["a.json item 1", "a.json item 2"]),
    ],
)
def test_a_row_knows_where_it_stood(tmp_path: Path, name: str, raw: bytes, places: list[str]):
    (tmp_path / name).write_bytes(raw)
    assert [row.where for row in read_rows(tmp_path / name)] == places


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("a.csv", None, "a.csv: no such file"),
        ("a.xls", b"x", r"a.xls: unknown format '.xls' \(known: .csv, .tsv, .jsonl"),
        ("a.xlsx", b"x", r"a.xlsx: not a readable Excel workbook"),
        ("a.xlsx", b"PK\x05\x06" + bytes(18), r"a.xlsx: not a readable Excel workbook"),
        ("a.csv", b"", "a.csv: the file is empty"),
        ("a.csv", b"\xef\xbb\xbf", "a.csv: the file is empty"),
        ("a.csv", b"id,note\n", "a.csv: the file has no rows"),
        ("a.csv", b"id,note\n\n\n", "a.csv: the file has no rows"),
        ("a.jsonl", b"", "a.jsonl: the file has no rows"),
        ("a.jsonl", b"\n \n", "a.jsonl: the file has no rows"),
        ("a.json", b"", "a.json line 1: broken JSON"),
        ("a.json", b"[]", "a.json: the file has no rows"),
        ("a.json", b"{}", "a.json: should be a list of objects, or an object of objects by id"),
        ("a.json", b'{"a": 1}', "a.json: should be a list of objects, or an object of objects by id"),
        ("a.json", b'"text"', "a.json: should be a list of objects"),
        ("a.json", b'[{"a": 1}, 2]', "a.json item 2: should be an object"),
        ("a.json", b'{"1": {"a": 1}, "1": {"a": 2}}', "a.json: broken JSON .the key '1' stands twice"),
        ("a.json", b'[\n{"a": 1},\n{"a" 1}]', "a.json line 3: broken JSON"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "a.jsonl line 2: broken JSON .*; a line holds one object"),
        ("a.jsonl", b'{"a": 1} {"a": 2}\n', "a.jsonl line 1: broken JSON .Extra data"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', "a.jsonl line 2: should be a JSON object"),
        ("a.jsonl", b'{"a": 1, "a": 2}\n', "a.jsonl line 1: broken JSON .the key 'a' stands twice"),
        ("a.jsonl", b'{"a": ' + b"9" * 5000 + b"}", "a.jsonl line 1: broken JSON .*digits"),
        ("a.jsonl", b"[" * 200_000, "a.jsonl line 1: broken JSON .*recursion"),
        ("a.csv", b"id,id\n1,2\n", "a.csv line 1: the column 'id' stands twice"),
        ("a.csv", b"id,note\n1,x\n2,y,z\n", "a.csv line 3: 3 cells where the header has 2; quote cells"),
        ("a.csv", b"id,note\n1\n", "a.csv line 2: 1 cells where the header has 2; quote cells"),
        ("a.tsv", b"id\tnote\n1,x\n", "a.tsv line 2: 1 cells where the header has 2"),
        ("a.csv", b'id,note\n1,x\n2,"never closed\n3,y\n4,z\n', "a.csv line 3: broken CSV"),
        ("a.csv", b'id,note\n1,"x" y\n', "a.csv line 2: broken CSV"),
        ("a.csv", b'id,"note\n', "a.csv line 1: broken CSV"),
        ("a.csv", b"id,note\n1,x\n2,caf\xe9\n", "a.csv line 3: not UTF-8 .byte 0xe9.; save the file as UTF-8"),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', "a.jsonl line 2: not UTF-8 .byte 0xff"),
        ("a.csv", "id,note\n1,x\n".encode("utf-16"), "a.csv line 1: not UTF-8"),
        ("a.parquet", b"PAR1 no", "a.parquet: not a readable Parquet file"),
        ("a.parquet", b"", "a.parquet: not a readable Parquet file"),
    ],
)
def test_a_broken_file_is_told_in_one_line(tmp_path: Path, name: str, raw: bytes | None, message: str):
    if raw is not None:
        (tmp_path / name).write_bytes(raw)
    with pytest.raises(UserError, match=message) as caught:
        read_rows(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_file(tmp_path: Path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(UserError, match=r"a\.csv: no such file"):
        read_rows(tmp_path / "a.csv")


@pytest.mark.parametrize("word", [*AWKWARD[:10], "on", "off", "0x1F", "1_000", "12:30:00", ".inf", "=", "<<"])
def test_yaml_scalars_stay_text(tmp_path: Path, word: str):
    path = tmp_path / "a.yaml"
    path.write_text(f"{word}: {word}\nlist: [{word}, {word}]\n", encoding="utf-8")
    assert read_yaml(path) == {word: word, "list": [word, word]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "a.yaml line 3: the key 'a' stands twice"),
        ("a:\n  b: 1\n  b: 2\n", "a.yaml line 3: the key 'b' stands twice"),
        ("a: {b: 1, b: 2}\n", "a.yaml line 1: the key 'b' stands twice"),
        ("a: [1\nb: 2\n", "a.yaml line 2: "),
        ("a: 1\n b: 2\n", "a.yaml line 2: mapping values are not allowed here"),
        ("a: *nowhere\n", "a.yaml line 1: found undefined alias"),
        ("? [a, b]\n: 1\n", "a.yaml line 1: found unhashable key"),
        ("a: 1\n---\nb: 2\n", "a.yaml line 2: but found another document"),
        ("a: \x00\n", "a.yaml: broken YAML .*special characters are not allowed"),
        ("a: " + "[" * 3000 + "\n", "a.yaml: broken YAML|a.yaml line"),
    ],
)
def test_broken_yaml_is_told_in_one_line(tmp_path: Path, text: str, message: str):
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (1, "1"),
        (-20, "-20"),
        (1.5, "1.5"),
        (0.1 + 0.2, "0.3"),
        (True, "TRUE"),
        (None, ""),
        ("1", "1"),
        ("01", "01"),
        ("=1+1", "=1+1"),
        (datetime(2026, 2, 3), "2026-02-03"),  # noqa: DTZ001 - Excel knows no time zones
        (datetime(2026, 2, 3, 14, 5), "2026-02-03T14:05:00"),  # noqa: DTZ001
        (time(14, 5), "14:05:00"),
    ],
)
def test_a_cell_of_a_workbook_is_the_text_that_it_shows(tmp_path: Path, cell: object, text: str):
    write_sheet(tmp_path / "a.xlsx", [["id", "x"], ["1", cell]])
    assert values(tmp_path / "a.xlsx") == [{"id": "1", "x": text}]


def test_leading_zeros_of_a_number_format_are_kept(tmp_path: Path):
    book = openpyxl.Workbook()
    book.worksheets[0].append(["id"])
    book.worksheets[0].append([123])
    book.worksheets[0].cell(2, 1).number_format = "00000"
    book.save(tmp_path / "a.xlsx")
    assert values(tmp_path / "a.xlsx") == [{"id": "00123"}]


def test_empty_rows_and_unnamed_empty_columns_of_a_workbook_are_skipped(tmp_path: Path):
    write_sheet(tmp_path / "a.xlsx", [[], ["id", None, "note"], [], ["1", None, "x"], ["2"], [None, None, ""]])
    rows = read_rows(tmp_path / "a.xlsx")
    assert [row.values for row in rows] == [{"id": "1", "note": "x"}, {"id": "2", "note": ""}]
    assert [row.where for row in rows] == ["a.xlsx row 4", "a.xlsx row 5"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], r"a\.xlsx: the first sheet is empty"),
        ([["id"]], r"a\.xlsx: the file has no rows"),
        ([["id", "id"], ["1", "2"]], r"a\.xlsx row 1: the column 'id' stands twice"),
        ([["id"], ["1", "x"]], r"a\.xlsx row 2: a cell stands in a column without a name; name it in row 1"),
        ([["id", None, "b"], ["1", "x", "y"]], r"a\.xlsx row 2: a cell stands in a column without a name"),
    ],
)
def test_broken_sheets_are_told(tmp_path: Path, lines: list[list[Any]], message: str):
    write_sheet(tmp_path / "a.xlsx", lines)
    with pytest.raises(UserError, match=message):
        read_rows(tmp_path / "a.xlsx")


def test_an_error_in_a_cell_is_told(tmp_path: Path):
    book = openpyxl.Workbook()
    for line in (["id", "label"], ["1", "#REF!"]):
        book.worksheets[0].append(line)
    assert book.worksheets[0].cell(2, 2).data_type == "e"
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(UserError, match=r"a\.xlsx row 2: the cell B2 holds Excel's error #REF!"):
        read_rows(tmp_path / "a.xlsx")
