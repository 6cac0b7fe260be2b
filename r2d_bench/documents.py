"""Reading and writing the small documents of the harness: YAML in, JSON in and out.

Every YAML scalar is read as the text it is and gets its type from the schema it is checked against, so that
labels such as `yes`, `no`, `None`, `NA`, `1` or `01` are never touched by YAML's own typing.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from r2d_bench.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from pathlib import Path

    from pydantic_core import ErrorDetails

    from r2d_bench.records import Json

Checked = TypeVar("Checked", bound=BaseModel)


class _TextLoader(yaml.BaseLoader):
    """YAML whose scalars all stay text; a key that stands twice is refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Json]:  # noqa: FBT001, FBT002
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key.value, str) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key.value}' stands twice", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def read_text(path: Path) -> str:
    """Return the file's text.

    Raises:
        UserError: the file is absent, unreadable, or not UTF-8 (with the line of the first bad byte).
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path} line {line}: not UTF-8 (byte 0x{raw[error.start]:02x}); save the file as UTF-8"
        ) from None


def text_lines(path: Path, newline: Literal["", "\n"] = "\n") -> Iterator[str]:
    r"""Yield the file's lines with their ends, one at a time, so that a large file is never held whole.

    Args:
        path: the file.
        newline: where lines end: at `\n` alone, or ("") at `\r` and `\r\n` too.

    Raises:
        UserError: as `read_text`.
    """
    try:
        with path.open(encoding="utf-8-sig", newline=newline) as file:
            yield from file
    except (OSError, UnicodeDecodeError):
        read_text(path)  # says which line
        raise


def read_yaml(path: Path) -> Json:
    """Return the YAML document with every scalar as text.

    Raises:
        UserError: broken YAML or a doubled key, with its line.
    """
    try:
        # BaseLoader builds nothing but dicts, lists and strings.
        return yaml.load(read_text(path), Loader=_TextLoader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path}{line}: {error.problem or 'broken YAML'}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: broken YAML ({' '.join(str(error).split())})") from None


def check(schema: type[Checked], data: Json, where: str) -> Checked:
    """Return `data` checked against `schema`.

    Raises:
        UserError: the first thing that does not fit: its key, why, and the nearest known key.
    """
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        problems = error.errors()
        # A misspelled key is told before the key that is missing for it.
        unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
        raise UserError(f"{where}: {_explain(schema, (unknown or problems)[0])}") from None


def _explain(schema: type[BaseModel], problem: ErrorDetails) -> str:
    """Return one validation problem in words."""
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _known_keys(schema, problem["loc"][:-1])
        return f"unknown key '{key}'{did_you_mean(str(problem['loc'][-1]), known)}"
    if problem["type"] == "missing":
        return f"the key '{key}' is missing"
    message = problem["msg"].removeprefix("Value error, ")
    return f"key '{key}': {message}" if key else message


def _known_keys(schema: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the schema knows at `loc` (the top's, where the way leads through a union)."""
    for part in loc:
        fields = {field.alias or name: field for name, field in schema.model_fields.items()}
        if (found := fields.get(str(part))) and (models := _models_in(found.annotation)):
            schema = models[0]
    return [field.alias or name for name, field in schema.model_fields.items()]


def _models_in(annotation: object) -> list[type[BaseModel]]:
    """Return the schemas that a field's type is made of, as in `tuple[Stage, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def load(schema: type[Checked], path: Path) -> Checked:
    """Read a YAML file and check it against `schema`."""
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise UserError(f"{path}: should hold keys and values, not {'nothing' if data is None else 'a list or text'}")
    return check(schema, data, str(path))


def read_json(path: Path) -> Json:
    """Return a JSON document.

    Raises:
        UserError: broken JSON, with its line, or a doubled key.
    """
    try:
        return parse_json(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} line {error.lineno}: broken JSON ({error.msg})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: broken JSON ({error})") from None


def parse_json(text: str) -> Json:
    """Return the value of a JSON text.

    Raises:
        ValueError: broken JSON (`JSONDecodeError`), a key that stands twice, or a number of thousands of digits.
        RecursionError: nested too deeply.
    """
    return json.loads(text, object_pairs_hook=without_doubles)


def without_doubles(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """Return the object; `json` alone would keep the last of two values and not tell."""
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key '{next(key for key in keys if keys.count(key) > 1)}' stands twice")
    return values


def to_json(value: Json, *, indent: int | None = 1) -> str:
    """Return the one JSON spelling used in every file: sorted keys, no NaN, text as text."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=indent)


def check_writable(folder: Path) -> None:
    """Refuse a folder that is not there and cannot be made, or cannot be written in.

    Raises:
        UserError: a file stands in its place, or a permission is missing.
    """
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not existing.is_dir():
        raise UserError(f"{folder}: cannot be written ({existing} is a file)")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{folder}: cannot be written (no permission in {existing})")


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file so that a reader or a crash never sees half of it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)  # noqa: PTH105 - the atomic one by name
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        with contextlib.suppress(OSError):  # there is one only where something failed
            temporary.unlink()


def slug(text: str) -> str:
    """Return `text` as a file name: letters, digits, `.`, `_`, `-`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "unnamed"
