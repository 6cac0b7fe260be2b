"""A run's figures as metadata of a model card (`model-index`), which the Hugging Face hub shows beside a model.

Source of the format: the hub's model card specification, section "Evaluation results".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from r2d_bench.metrics.registry import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from r2d_bench.leaderboard.document import Row, Table
    from r2d_bench.leaderboard.parts import Figure
    from r2d_bench.records import Json

# The hub's own names of metrics, where it has one; others keep ours.
HUB_NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "f1",
    "weighted_f1": "f1",
    "micro_f1": "f1",
    "mcc": "matthews_correlation",
    "bleu": "sacrebleu",
    "chrf": "chrf",
    "bertscore_f1": "bertscore",
}


def model_index(table: Table, row: Row) -> str:
    """Return the YAML that goes between the `---` lines of a model card.

    Holds what the run's page shows, interval, n and signature with each figure; figures without a value are left out.
    """
    entry = {
        "name": row.sittings.card.title or row.model.name,
        "results": [
            {
                "task": {"type": "text-classification", "name": table.card.title},
                "dataset": {
                    "type": table.task.partition("@")[0],
                    "name": table.task,
                    "split": table.split,
                    "args": {"digest": table.data_digest},
                },
                "metrics": list(_metrics(row)),
                "source": {"name": f"r2d-bench, run {row.run}"},
            }
        ],
    }
    return yaml.safe_dump({"model-index": [entry]}, sort_keys=False, allow_unicode=True, width=120)


def _metrics(row: Row) -> Iterator[dict[str, Json]]:
    for name, figure in row.metrics.items():
        if figure.value is not None:
            yield {
                "type": HUB_NAMES.get(name, name),
                "name": METRICS[name].title,
                "value": figure.value,
                "args": _args(row, name, figure),
            }


def _args(row: Row, name: str, figure: Figure) -> dict[str, Json]:
    """Return what makes a figure readable and comparable."""
    args: dict[str, Json] = {"n": figure.n, "unscored": figure.unscored}
    if figure.low is not None:
        args |= {"low": figure.low, "high": figure.high, "level": figure.level, "interval": figure.method}
    if row.selection.partial:
        args["partial"] = f"{row.selection.n} of {row.selection.of}"
    if name in row.signatures:
        args["signature"] = row.signatures[name]
    return args
