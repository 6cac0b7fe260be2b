"""Rows into examples: the field mapping, and every check that a row can fail."""

from __future__ import annotations

import math
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
        return _whole_characters(value, where)
    if isinstance(value, bool):  # JSON's own spelling
        return "true" if value else "false"
    if isinstance(value, float) and math.isnan(value):  # what pandas writes for a missing value
        return None
    if isinstance(value, int | float):
        return str(value)
    raise UserError(f"{where}: should be text, is {type(value).__name__}; map it to text in the task's fields")


def _whole_characters(text: str, where: str) -> str:
    """Refuse half a surrogate pair (half an emoji's JSON escape, say): no file could hold it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        half = ord(text[error.start])
        raise UserError(f"{where}: holds half a character (\\u{half:04x}); repair the text's encoding") from None
    return text


def texts(value: Json, where: str) -> tuple[str, ...]:
    """Return a mapped value as several texts: a list's entries, or the one text; blank entries are dropped."""
    entries = value if isinstance(value, list | tuple) else [value]
    return tuple(text for entry in entries if (text := optional_text(entry, where) or "").strip())


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
        self.styles = {
            key: mapped(value, f"task {spec.name}, rationale.styles.{key}")
            for key, value in spec.rationale.styles.items()
        }
        self.challenge_splits = {challenge.split for challenge in spec.challenges.values()}

    def __contains__(self, key: str) -> bool:
        return key in self._templates

    def value(self, key: str, row: Row) -> Json:
        """Return the mapped value; None where the task maps none."""
        template = self._templates.get(key)
        return None if template is None else _apply(template, row)

    def check_columns(self, rows: Sequence[Row]) -> None:
        """Refuse a mapping that names a column which no row has; there is one row or more.

        Only rows of challenge sets need `pair`: whether they have it is checked with the sets.
        """
        needed = {key: template for key, template in self._templates.items() if key != "pair"}
        for key, template in (needed | self.slices | self.styles).items():
            if all(isinstance(missing := _apply(template, row), MissingValue) for row in rows):
                columns = dict.fromkeys(column for row in rows for column in row.values)
                hint = did_you_mean(missing.name, columns)
                raise UserError(f"{rows[0].file}: the column '{missing.name}' is missing, needed for {key}{hint}")


def _apply(template: Mapped, row: Row) -> Json:
    """Return the template's value, and tell the row where it fails."""
    try:
        return template(row.values)
    except UserError as error:
        raise UserError(f"{row.where}: {error}") from None


def build_examples(
    spec: TaskSpec, space: LabelSpace, rows: Mapping[str, Sequence[Row]], style: str | None = None
) -> dict[str, list[Example]]:
    """Return the examples of every split; `style` is the style of their references, where the task declares styles.

    Raises:
        UserError: a missing column or value, a label outside the set, a doubled id, told with file and line.
    """
    mapping = _Mapping(spec)
    splits: dict[str, list[Example]] = {}
    places: dict[tuple[str, str], str] = {}
    for source_split, part in rows.items():
        if not part:
            raise UserError(f"task {spec.name}: the data have no rows for split {source_split}")
        mapping.check_columns(part)
        for number, row in enumerate(part, 1):
            split = source_split
            if "split" in mapping:
                split = _required(mapping, "split", row)
            example = _example(mapping, space, row, split=split, number=number, style=style)
            if first := places.get((split, example.id)):
                raise UserError(f"{row.where}: the id '{example.id}' stands twice in split {split} (first: {first})")
            places[split, example.id] = row.where
            splits.setdefault(split, []).append(example)
    return splits


def _required(mapping: _Mapping, key: str, row: Row) -> str:
    value = optional_text(mapping.value(key, row), f"{row.where}: {key}")
    if value is None or not value.strip():
        raise UserError(f"{row.where}: {key} is empty")
    return value


def _example(mapping: _Mapping, space: LabelSpace, row: Row, *, split: str, number: int, style: str | None) -> Example:
    options = _options(mapping.value("options", row), f"{row.where}: options")
    group = optional_text(mapping.value("group", row), f"{row.where}: group")
    if group is None and "group" in mapping:
        raise UserError(f"{row.where}: group is empty; intervals need every item's cluster")
    acceptable = texts(mapping.value("acceptable", row), f"{row.where}: acceptable")
    styles = {key: texts(_apply(t, row), f"{row.where}: {key}") for key, t in mapping.styles.items()}
    references = texts(mapping.value("references", row), f"{row.where}: references")
    twin_of = mapping.value("pair", row) if split in mapping.challenge_splits else None
    return Example(
        id=_required(mapping, "id", row) if "id" in mapping else str(number),
        split=split,
        input=_required(mapping, "input", row),
        gold=_label(space, options, _required(mapping, "gold", row), row),
        references=references if style is None else styles[style],
        styles=styles,
        options=options,
        acceptable=tuple(_label(space, options, label, row) for label in acceptable),
        group=group,
        pair=optional_text(twin_of, f"{row.where}: pair"),
        slices={k: optional_text(_apply(t, row), row.where) or "(none)" for k, t in mapping.slices.items()},
        fields=row.values,
    )


def _options(value: Json, where: str) -> tuple[str, ...]:
    """Return the options of an example; blank ones may only stand at the end, or letters would shift."""
    options = texts(value, where)
    if isinstance(value, list | tuple) and len(texts(value[: len(options)], where)) < len(options):
        raise UserError(f"{where}: a blank option stands before another; fill it or move it to the end")
    return options


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
