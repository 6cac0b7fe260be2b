"""A user's own table becomes a task: columns and choices in, the text of `task.yaml` out.

Nothing here reads or writes files. The rows are checked against the very card that is written, so that a wrong label or
an empty note is told with the line of the user's own file.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import yaml

from r2d_bench.documents import check
from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.records import digest
from r2d_bench.tasks.examples import build_examples, optional_text
from r2d_bench.tasks.labels import LabelSpace, normalise
from r2d_bench.tasks.sources import Row
from r2d_bench.tasks.spec import TaskSpec
from r2d_bench.tasks.task import rows_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from r2d_bench.records import Example, Json

Space = Literal["closed", "ordinal", "open"]
ALL_TEST, AUTO = "all-test", "auto"
SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
DIVIDED_FILE = "data.jsonl"  # holds the rows and their split, where `auto` divides them
MOST_LABELS = 50  # more different values than that are texts, not labels
_GUESSES = {  # words of a column's name that tell its role, the likeliest first
    "input": ("note", "text", "input", "narrative", "question", "complaint"),
    "label": ("disposition", "label", "triage", "acuity", "gold", "class", "answer"),
    "rationale": ("rationale", "reason", "reasoning", "explanation", "why"),
    "group": ("patient", "mrn", "family", "group", "subject"),  # before the id: `patient_id`
    "id": ("id", "key", "number"),
    "split": ("split",),
}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user has decided of the new task.

    Attributes:
        name, title, visibility: as on the card.
        file: name of the data file, without a folder.
        input, label, rationale, id, group: columns.
        space: kind of label space; `values` is its fixed set, most urgent first where ordinal.
        split: `all-test`, `auto`, or the column that holds the split.
        seed: of the division by `auto`.
    """

    name: str
    title: str
    file: str
    input: str
    label: str
    rationale: str | None = None
    id: str | None = None
    group: str | None = None
    space: Space = "closed"
    values: tuple[str, ...] = ()
    visibility: Literal["public", "gated", "private"] = "private"
    split: str = AUTO
    seed: int = 0


@dataclass(frozen=True, slots=True)
class NewTask:
    """The files of a new task.

    Attributes:
        card: text of `task.yaml`.
        rows: the rows with their split, for `data.jsonl`; None where the user's file serves as it is.
    """

    card: str
    rows: tuple[dict[str, Json], ...] | None


def columns_of(rows: Iterable[Row]) -> list[str]:
    """Return the columns of a table, in order."""
    return list(dict.fromkeys(column for row in rows for column in row.values))


def guess(columns: Sequence[str]) -> dict[str, str]:
    """Return role → column, as far as the names tell; no column has two roles."""
    words = {column: re.findall(r"[a-z]+", _spaced(column).lower()) for column in columns}
    found: dict[str, str] = {}
    for role, names in _GUESSES.items():
        free = [column for column in columns if column not in found.values()]
        whole = (column for name in names for column in free if words[column] == [name])
        part = (column for name in names for column in free if name in words[column])
        first = next(whole, None) or next(part, None)
        if first is not None:
            found[role] = first
    return found


def _spaced(name: str) -> str:
    """Separate the words of camel case: `PatientId`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)


def labels_in(rows: Sequence[Row], column: str) -> list[str]:
    """Return the labels that stand in a column, by number where all are numbers, else the commonest first.

    Spellings that the label parser takes for one label (`ED`, `ed `) are one, in the commonest spelling.
    """
    spellings = Counter(
        text.strip()
        for row in rows
        if (text := optional_text(row.values.get(column), f"{row.where}: {column}")) is not None and text.strip()
    )
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for text, count in sorted(spellings.items(), key=lambda item: (-item[1], item[0])):
        counts[first.setdefault(normalise(text) or text, text)] += count
    numbers = {label: number for label in counts if (number := _number(label)) is not None}
    if len(numbers) == len(counts):
        return sorted(counts, key=lambda label: numbers[label])
    return sorted(counts, key=lambda label: (-counts[label], label))


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def new_task(choices: Choices, rows: Sequence[Row]) -> NewTask:
    """Return the files of the task that these choices make of the rows.

    Raises:
        UserError: a row that does not fit (with file and line), a doubled label, or no split `test`.
    """
    column = _split_column(choices, rows)
    spec = check(TaskSpec, _card_values(choices, column), f"task {choices.name}")
    divided = None
    if choices.split == AUTO and column is not None:
        undivided = spec.model_copy(update={"source": spec.source.model_copy(update={"split": None})})
        splits = divide(build_examples(undivided, _space(spec), {"all": rows})["all"], choices.seed)
        divided = tuple(
            {key: _json(value) for key, value in row.values.items()} | {column: split}
            for row, split in zip(rows, splits, strict=True)
        )
        rows = [Row(values, row.file, row.place) for values, row in zip(divided, rows, strict=True)]
    examples = build_examples(spec, _space(spec), {"test" if column is None else "all": rows})
    if "test" not in examples:
        known = ", ".join(sorted(examples)[:20])
        raise UserError(
            f"--split {choices.split}: no row has the value 'test', the split to be scored (found: {known})"
        )
    return NewTask(card_text(spec, examples, choices), divided)


def _space(spec: TaskSpec) -> LabelSpace:
    return LabelSpace(spec.label.space, spec.label.values, spec.label.aliases)


def _split_column(choices: Choices, rows: Sequence[Row]) -> str | None:
    """Return the column that holds the split; for `auto` a new one."""
    if choices.split == ALL_TEST:
        return None
    columns = columns_of(rows)
    if choices.split != AUTO:
        return choices.split
    return next(
        name for name in ("split", "r2d_split", *(f"split_{n}" for n in range(len(columns)))) if name not in columns
    )


def divide(examples: Sequence[Example], seed: int) -> list[str]:
    """Return a split for every example: 60/20/20, groups kept whole, labels in proportion as far as groups allow.

    Units (a group, or one example) are taken the largest first, in an order that depends on the seed alone, and go
    where their labels are most wanting; on a tie, where examples are.

    Raises:
        UserError: the rows or groups are too few for three splits.
    """
    names = [str(n) if example.group is None else f"group {example.group}" for n, example in enumerate(examples)]
    units: dict[str, list[Example]] = {}
    for name, example in zip(names, examples, strict=True):
        units.setdefault(name, []).append(example)
    totals = Counter(example.gold for example in examples)
    wanting = {(split, label): share * totals[label] for split, share in SHARES.items() for label in totals}
    room = {split: share * len(examples) for split, share in SHARES.items()}
    chosen: dict[str, str] = {}
    for unit in sorted(units, key=lambda unit: (-len(units[unit]), digest([seed, unit]))):
        counts = Counter(example.gold for example in units[unit])
        need = {
            split: sum(n * wanting[split, label] / totals[label] for label, n in counts.items()) for split in SHARES
        }
        # Rounded, so that the order of a sum does not decide a tie.
        split = max(SHARES, key=lambda split: (round(need[split], 9), round(room[split], 9)))
        chosen[unit] = split
        room[split] -= len(units[unit])
        for label, n in counts.items():
            wanting[split, label] -= n
    if len(set(chosen.values())) < len(SHARES):
        what = "groups" if any(example.group is not None for example in examples) else "rows"
        raise UserError(
            f"--split auto: {len(units)} {what} are too few for train, validation and test; use --split all-test"
        )
    return [chosen[name] for name in names]


def _json(value: Json) -> Json:
    """Return a cell as JSON can hold it: Parquet has dates and missing numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, dict):
        return {str(key): _json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner) for inner in value]
    return str(value)


def column_template(column: str) -> str:
    """Return the template that gives a column's value, whatever the column is called."""
    if _IDENTIFIER.fullmatch(column):
        return f"{{{{ {column} }}}}"
    # Escapes as Jinja reads them; braces would end the template.
    text = "".join(c if c.isprintable() and c not in "'\\{}" else f"\\U{ord(c):08x}" for c in column)
    return f"{{{{ row['{text}'] }}}}"


def _card_values(choices: Choices, split_column: str | None) -> dict[str, Json]:
    """Return the card as data, without what is counted."""
    divided = choices.split == AUTO
    file = DIVIDED_FILE if divided else choices.file
    source: dict[str, Json] = {"files": {"test" if split_column is None else "all": file}}
    if split_column is not None:
        source["split"] = column_template(split_column)
    columns = {
        "id": choices.id,
        "input": choices.input,
        "gold": choices.label,
        "references": choices.rationale,
        "group": choices.group,
    }
    trained = split_column is not None
    return {
        "name": choices.name,
        "version": 1,
        "title": choices.title,
        "visibility": choices.visibility,
        "licence": "internal" if choices.visibility == "private" else "not stated",
        "source": source,
        "fields": {key: column_template(column) for key, column in columns.items() if column is not None},
        "label": {"space": choices.space, "values": choices.values},
        "prompts": {"instruction": "Read the text and decide which label fits it."},
        "metrics": {"primary": "accuracy" if choices.space == "open" else "macro_f1"},
        "baselines": ["baseline:majority", "baseline:tfidf"] if trained and choices.space != "open" else [],
    }


def quoted(text: str) -> str:
    """Return a text as YAML, always in quotes: no reader can take `yes`, `None` or `01` for something else."""
    return str(yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf)).rstrip("\n")


def card_text(spec: TaskSpec, examples: Mapping[str, Sequence[Example]], choices: Choices) -> str:
    """Return the text of `task.yaml`."""
    files = ", ".join(f"{split}: {quoted(file)}" for split, file in spec.source.files.items())
    lines = [
        f"# Made by `r2d-bench tasks new` from {json.dumps(choices.file, ensure_ascii=True)}.",
        "# Edit it freely; an edit that can change a number raises the version.",
        f"name: {quoted(spec.name)}",
        "version: 1",
        f"title: {quoted(spec.title)}",
        f"visibility: {spec.visibility}{_VISIBILITY[spec.visibility]}",
        f"licence: {quoted(spec.licence)}",
        "",
        "source:",
        f"  files: {{{files}}}",
    ]
    if spec.source.split is not None:
        lines.append(f"  split: {quoted(spec.source.split)}{_how_divided(choices)}")
    lines += ["", "fields: # templates over the columns of a row"]
    lines += [f"  {key}: {quoted(value)}" for key, value in spec.fields.model_dump(exclude_none=True).items()]
    lines += ["", *_label_lines(spec), ""]
    lines.append("splits: # asserted whenever the data are loaded")
    names = [name for name in SHARES if name in examples] + [name for name in examples if name not in SHARES]
    lines += [f"  {quoted(n)}: {{rows: {len(examples[n])}, digest: {quoted(rows_digest(examples[n]))}}}" for n in names]
    lines += [
        "",
        "prompts: # for chat models: say what they are and what to decide",
        f"  instruction: {quoted(spec.prompts.instruction)}",
        "",
        "metrics:",
        f"  primary: {spec.metrics.primary}",
    ]
    if choices.rationale is not None:
        lines.append("  # bertscore: {model: roberta-large, num_layers: 17}")
    if spec.baselines and {"train"} <= set(examples):
        lines += ["", f"baselines: [{', '.join(quoted(baseline) for baseline in spec.baselines)}]"]
    return "\n".join(lines) + "\n"


_VISIBILITY = {
    "private": " # no text, id or small cell of it is ever written into a page",
    "gated": " # no text of it is ever written into a page",
    "public": " # its texts are written into pages",
}


def _how_divided(choices: Choices) -> str:
    if choices.split != AUTO:
        return ""
    shares = "/".join(f"{share * 100:.0f}" for share in SHARES.values())
    whole = ", groups kept whole" if choices.group is not None else ""
    return f" # {shares} in proportion to the labels{whole}, seed {choices.seed}"


def _label_lines(spec: TaskSpec) -> list[str]:
    ordinal = spec.label.space == "ordinal"
    lines = ["label:", f"  space: {spec.label.space}{' # most urgent first' if ordinal else ''}"]
    if spec.label.values:
        lines += ["  values:", *(f"    - {quoted(value)}" for value in spec.label.values)]
        lines.append("  # titles: {LABEL: what it means to a reader}")
    if ordinal:
        lines.append("  # critical: [LABEL] # whose miss is a critical miss")
    return lines


def checked_values(values: Sequence[str], found: Sequence[str], column: str) -> tuple[str, ...]:
    """Return the label set of a fixed label space.

    Args:
        values: the labels that the user names, in order; empty takes those found.
        found: the labels that stand in the column.
        column: its name, for messages.

    Raises:
        UserError: fewer than two labels, or so many values that the column holds texts.
    """
    if not values and len(found) > MOST_LABELS:
        raise UserError(
            f"--label {column}: {len(found)} different values are too many for labels (--open for free answers)"
        )
    chosen = tuple(values or found)
    if len(chosen) < 2:
        raise UserError(f"the column '{column}' holds {len(chosen)} label; a task needs two or more (--labels A,B)")
    return chosen


def checked_column(column: str, columns: Sequence[str], flag: str) -> str:
    """Return a column's name, or tell that there is none of that name."""
    if column not in columns:
        raise UserError(f"{flag}: no column '{column}'{did_you_mean(column, columns)}")
    return column
