"""`examples.parquet`: one row per example with what was said of it and every per-example value.

Texts that a task brings (input, gold rationale, slices) stand in the table only where the task is public; what the
model wrote always does. The run folder of a task that is not public stays private either way.
"""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r2d_bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from r2d_bench.metrics.base import Family
    from r2d_bench.records import Example, Json, Prediction
    from r2d_bench.tasks.task import Task


_ROWS = 20_000  # at once: the table is held by no one


def write_examples(
    path: Path,
    task: Task,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    families: Sequence[Family],
    challenges: Family,
) -> None:
    """Write the table in one atomic step.

    Args:
        path: the file.
        task: the task.
        examples: those of the evaluated split that were asked, then those of the challenge sets.
        predictions: what was said of each.
        families: values per example of the evaluated split.
        challenges: values per row of the challenge sets.
    """
    values = {f"metric.{name}": column for family in families for name, column in family.per_example.items()}
    extra = {f"metric.{name}": column for name, column in challenges.per_example.items()}
    whole = {name: _padded(column, len(examples), at_end=True) for name, column in values.items()}
    whole |= {name: _padded(column, len(examples), at_end=False) for name, column in extra.items()}
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with ExitStack() as stack:
            writer: pq.ParquetWriter | None = None
            for start in range(0, max(1, len(examples)), _ROWS):
                rows = slice(start, start + _ROWS)
                arrays = _texts(task, examples[rows], predictions[rows])
                arrays |= {name: pa.array(c[rows], type=pa.float64(), mask=np.isnan(c[rows])) for name, c in whole.items()}
                table = pa.table(arrays)
                if writer is None:
                    writer = stack.enter_context(pq.ParquetWriter(temporary, table.schema, compression="zstd"))
                writer.write_table(table)
        os.replace(temporary, path)  # noqa: PTH105 - the atomic one by name
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None


def _texts(task: Task, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, pa.Array]:
    """Return the columns of some rows but for the figures."""
    columns: dict[str, Json] = {
        "id": [e.id for e in examples],
        "split": [e.split for e in examples],
        "pair": [e.pair for e in examples],
        "group": [e.group for e in examples],
        "gold": [e.gold for e in examples],
        "label": [p.label for p in predictions],
        "label_status": [p.label_status and str(p.label_status) for p in predictions],
        "label_text": [p.label_text for p in predictions],
        "rationale": [p.rationale for p in predictions],
        "rationale_status": [str(p.rationale_status) for p in predictions],
        "input_cut": [p.input_cut for p in predictions],
        "output_cut": [p.output_cut for p in predictions],
        "unscored": [p.unscored for p in predictions],
    }
    if task.public:
        columns["input"] = [e.input for e in examples]
        columns["reference"] = ["\n".join(e.references) or None for e in examples]
        columns |= {f"slice.{name}": [e.slices[name] for e in examples] for name in task.spec.slices}
    types = {name: pa.bool_() if name.endswith("_cut") else pa.string() for name in columns}
    return {name: pa.array([_encodable(v) for v in values], type=types[name]) for name, values in columns.items()}


def _padded(values: NDArray[np.float64], rows: int, *, at_end: bool) -> NDArray[np.float64]:
    """Return a column of all rows, NaN where it has no values."""
    lacking = rows - len(values)
    return np.pad(values, (0, lacking) if at_end else (lacking, 0), constant_values=np.nan) if lacking else values


def _encodable(value: Json) -> Json:
    """Lone surrogates, which JSON can carry, have no UTF-8 form."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def read_examples(path: Path) -> list[dict[str, Json]]:
    """Return the rows of the table."""
    return list(pq.read_table(path).to_pylist())
