"""Rows into examples: the field mapping, and every check that a row can fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.records import Example
from r2d_bench.templates import Mapped, MissingValue, mapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from r2d_bench.records import Json
    from r2d_bench.tasks.labels import LabelSpace
    from r2d_bench.tasks.sources import Row
    from r2d_bench.tasks.spec import TaskSpec


def optional_text(value: Json, where: str) -> str | None:
    """Return a mapped value as text; None where it is missing or empty.

    Raises:
        UserError: a list or an object, where text is needed.
    """
    if value is None or value == "" or isinstance(value, MissingValue):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):  # JSON's own spelling
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise UserError(f"{where}: should be text, is {type(value).__name__}")


def texts(value: Json, where: str) -> tuple[str, ...]:
    """Return a mapped value as several texts: a list's entries, or the one text; empty entries are dropped."""
    entries = value if isinstance(value, list | tuple) else [value]
    return tuple(text for entry in entries if (text := optional_text(entry, where)) is not None)


class _Mapping:
    """The compiled field mapping of a task."""

    def __init__(self, spec: TaskSpec) -> None:
        where = f"task {spec.name}, fields."
        self._templates: dict[str, Mapped] = {
            key: mapped(template, where + key) for key, template in spec.fields.model_dump(exclude_none=True).items()
        }
        if spec.source.split is not None:
            self._templates["split"] = mapped(spec.source.split, f"task {spec.name}, source.split")
        self.slices = {key: mapped(value, f"task {spec.name}, slices.{key}") for key, value in spec.slices.items()}

    def __contains__(self, key: str) -> bool:
        return key in self._templates

    def value(self, key: str, row: Row) -> Json:
        """Return the mapped value; None where the task maps none."""
        template = self._templates.get(key)
        return None if template is None else template(row.values)

    def check_columns(self, rows: Sequence[Row]) -> None:
        """Refuse a mapping that names a column which no row has."""
        for key, template in (self._templates | self.slices).items():
            if all(isinstance(missing := template(row.values), MissingValue) for row in rows):
                columns = dict.fromkeys(column for row in rows for column in row.values)
                hint = did_you_mean(missing.name, columns)
                raise UserError(f"{rows[0].file}: the column '{missing.name}' is missing, needed for {key}{hint}")


def build_examples(spec: TaskSpec, space: LabelSpace, rows: Mapping[str, Sequence[Row]]) -> dict[str, list[Example]]:
    """Return the examples of every split.

    Raises:
        UserError: a missing column or value, a label outside the set, a doubled id, told with file and line.
    """
    mapping = _Mapping(spec)
    splits: dict[str, list[Example]] = {}
    for source_split, part in rows.items():
        mapping.check_columns(part)
        for number, row in enumerate(part, 1):
            split = source_split
            if "split" in mapping:
                split = _required(mapping, "split", row)
            splits.setdefault(split, []).append(_example(mapping, space, row, split, number))
    for name, examples in splits.items():
        _refuse_doubled_ids(name, examples)
    return splits


def _required(mapping: _Mapping, key: str, row: Row) -> str:
    value = optional_text(mapping.value(key, row), f"{row.where}: {key}")
    if value is None:
        raise UserError(f"{row.where}: {key} is empty")
    return value


def _example(mapping: _Mapping, space: LabelSpace, row: Row, split: str, number: int) -> Example:
    options = texts(mapping.value("options", row), f"{row.where}: options")
    group = optional_text(mapping.value("group", row), f"{row.where}: group")
    if group is None and "group" in mapping:
        raise UserError(f"{row.where}: group is empty; intervals need every item's cluster")
    acceptable = texts(mapping.value("acceptable", row), f"{row.where}: acceptable")
    return Example(
        id=_required(mapping, "id", row) if "id" in mapping else str(number),
        split=split,
        input=_required(mapping, "input", row),
        gold=_label(space, options, _required(mapping, "gold", row), row),
        references=texts(mapping.value("references", row), f"{row.where}: references"),
        options=options,
        acceptable=tuple(_label(space, options, label, row) for label in acceptable),
        group=group,
        slices={k: optional_text(t(row.values), row.where) or "(none)" for k, t in mapping.slices.items()},
        fields=row.values,
    )


def _label(space: LabelSpace, options: tuple[str, ...], text: str, row: Row) -> str:
    """Return a gold label in the spelling of its label space."""
    allowed = space.labels(options)
    if text in allowed:
        return text
    if space.space == "open":
        return text.strip()
    label = space.vocabulary(options).exact(text)
    if label is None:
        raise UserError(f"{row.where}: the label '{text}' is not in the label set{did_you_mean(text, allowed)}")
    return label


def _refuse_doubled_ids(split: str, examples: Sequence[Example]) -> None:
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise UserError(f"split {split}: the id '{example.id}' stands twice; ids must be unique")
        seen.add(example.id)
