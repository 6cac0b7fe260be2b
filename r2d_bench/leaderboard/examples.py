"""The examples of a table as its pages load them. Only ever asked for tasks that publish texts.

```
data/<table>/items/index.js   columns: id, gold label, challenge set, whether the models disagree
data/<table>/items/000.js     texts of 250 items: input, gold rationale
data/<table>/<run>/index.js   columns: which items, what became of each, label, what judges gave
data/<table>/<run>/000.js     texts of 250 rows: outputs, rationale, values, verdicts
```

Classic scripts, `R2D.shard(key, JSON)`, because `fetch` fails on pages that are opened from disk. Pages filter on the
indexes and load texts as rows are shown.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from r2d_bench.leaderboard.example_index import columns, read_index
from r2d_bench.metrics.display import heading, shown
from r2d_bench.metrics.registry import METRICS
from r2d_bench.runs.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from r2d_bench.leaderboard.document import Table
    from r2d_bench.leaderboard.example_index import Answers, ExampleIndex
    from r2d_bench.records import Json

SHARD_ROWS = 250
ITEMS = "items"
INDEX = "index"
# Columns of a run's table that its shards show as they are.
_SHOWN = ("label_status", "rationale", "rationale_status", "unscored", "input_cut", "output_cut")


def example_files(table: Table, runs: Path) -> Iterator[tuple[str, str]]:
    """Yield path below `data/` and JavaScript text of every index and shard of a table.

    Args:
        table: one that publishes texts.
        runs: the folder that holds the run folders.

    Raises:
        UserError: a run has no `examples.parquet`.
    """
    index = read_index([RunStore(runs / row.run) for row in table.rows], table.card, table.split)
    yield _file(table.id, ITEMS, INDEX, _items_index(index))
    for name, part in _shards(_item_texts(index)):
        yield _file(table.id, ITEMS, name, part)
    for run, answers in index.answers.items():
        metrics, rows = _rows(index, answers)
        yield _file(table.id, run, INDEX, _run_index(index, run, metrics))
        for name, part in _shards(rows):
            yield _file(table.id, run, name, part)


def script_json(value: Json) -> str:
    """Return JSON that is safe inside a script: it cannot end the script, nor a line of JavaScript."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _file(table: str, folder: str, name: str, value: Json) -> tuple[str, str]:
    key = f"{table}/{folder}/{name}"
    return f"{key}.js", f"R2D.shard({script_json(key)}, {script_json(value)});\n"


def _shards(rows: Sequence[Json]) -> Iterator[tuple[str, Sequence[Json]]]:
    for number, start in enumerate(range(0, len(rows), SHARD_ROWS)):
        yield f"{number:03d}", rows[start : start + SHARD_ROWS]


def _items_index(index: ExampleIndex) -> dict[str, Json]:
    return {
        "rows": SHARD_ROWS,
        "labels": list(index.labels),
        "ordinal": index.ordinal,
        "sets": list(index.sets),
        "ids": list(index.ids),
        "gold": list(index.gold),
        "member": list(index.member) if any(index.member) else None,
        "differ": _bits(index.differ),
    }


def _run_index(index: ExampleIndex, run: str, metrics: Sequence[str]) -> dict[str, Json]:
    mine, poor = index.answers[run], index.poor(run)
    whole = list(mine.items) == list(range(len(index.ids)))
    return {
        "items": None if whole else list(mine.items),
        "states": mine.states,
        "labels": list(mine.labels),
        "poor": None if poor is None else _bits(poor),
        "judges": index.means(run),
        "metrics": list(metrics),
    }


def _bits(values: Sequence[bool]) -> str:
    return "".join("1" if value else "0" for value in values)


def _item_texts(index: ExampleIndex) -> list[dict[str, Json]]:
    """Return the texts of all items; one run that was asked everything is read, others for what it has not."""
    found: list[dict[str, Json]] = [{}] * len(index.ids)
    for mine in sorted(index.answers.values(), key=lambda one: -len(one.items)):
        if all(found[item] for item in mine.items):
            continue
        texts = columns(mine.store.folder / "examples.parquet", ("input", "reference"))
        for item, text, reference in zip(mine.items, texts["input"], texts["reference"], strict=True):
            found[item] = {"input": text, "reference": reference}
    return found


def _rows(index: ExampleIndex, mine: Answers) -> tuple[list[str], list[dict[str, Json]]]:
    """Return the headings of the values that a run has per row, and what each of its rows says."""
    texts = columns(mine.store.folder / "examples.parquet", _SHOWN)
    metrics, values = _values(mine)
    outputs = _outputs(mine)
    rows = []
    for row, item in enumerate(mine.items):
        ident = index.ids[item]
        found: dict[str, Json] = {name: column[row] for name, column in texts.items()}
        found |= {"outputs": outputs.get(ident, []), "values": [column[row] for column in values]}
        if mine.judges and not index.member[item]:
            found["judged"] = [said for judge in mine.judges if (said := judge.said(ident)) is not None]
        rows.append(found)
    return metrics, rows


def _values(mine: Answers) -> tuple[list[str], list[list[str | None]]]:
    """Return headings and values, as they are shown, of the metrics that have values per row."""
    read = columns(mine.store.folder / "examples.parquet", [f"metric.{name}" for name in METRICS])
    kept = [name for name in METRICS if (column := read[f"metric.{name}"]).count(None) < len(column)]
    found = []
    for name in kept:
        column = read[f"metric.{name}"]
        spelled = {value: None if value is None else shown(name, value) for value in set(column)}
        found.append([spelled[value] for value in column])
    return [heading(name) for name in kept], found


def _outputs(mine: Answers) -> dict[str, list[dict[str, Json]]]:
    """Return what the model wrote, by example id, in the order of the stages."""
    stages = {stage.name: place for place, stage in enumerate(mine.store.setup().stages)}
    found: dict[str, list[dict[str, Json] | None]] = {}
    for answer in mine.store.answers():
        place = stages.get(answer.stage)
        if place is None:
            continue  # a probe
        said = {"stage": answer.stage, "text": answer.response.text, "finish": str(answer.response.finish)}
        if answer.response.thinking is not None:
            said["thinking"] = answer.response.thinking
        found.setdefault(answer.example_id, [None] * len(stages))[place] = said
    return {ident: [one for one in said if one is not None] for ident, said in found.items()}


def predictions(store: RunStore) -> str:
    """Return what a run said of each example as JSON lines: gold, label and rationale, each with its status."""
    names = ("id", "split", "gold", "label", "label_status", "rationale", "rationale_status")
    table = columns(store.folder / "examples.parquet", names)
    rows = zip(*(table[name] for name in names), strict=True)
    return "".join(f"{json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False)}\n" for row in rows)
