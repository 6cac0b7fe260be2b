"""What a model should have written in a stage: the answers of few-shot examples, and of prompts that are only shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError
from r2d_bench.protocols.outputs import StageOutput
from r2d_bench.records import LabelStatus, RationaleStatus

if TYPE_CHECKING:
    from r2d_bench.protocols.spec import Protocol, Stage
    from r2d_bench.records import Example
    from r2d_bench.tasks.task import Task


def gold_output(task: Task, protocol: Protocol, stage: Stage, example: Example) -> StageOutput:
    """Return the output of a stage that gives the gold label and the (first) gold rationale in its own format.

    Raises:
        UserError: the stage is read by a regex, which tells how to read an answer but not how to write one.
    """
    word = label_word(task, protocol, example)
    rationale = example.references[0] if example.references else ""
    values = {"label": word, "rationale": rationale}
    output = stage.output
    if output.whole is not None:
        text = values[output.whole]
    elif output.json_object is not None:
        keys = output.json_object
        pairs = ((keys.rationale, rationale), (keys.label, word))
        text = json.dumps({key: value for key, value in pairs if key is not None}, ensure_ascii=False)
    elif output.tags is not None:
        tags = output.tags
        pairs = ((tags.rationale, rationale), (tags.label, word))
        text = "\n".join(f"<{tag}>{value}</{tag}>" for tag, value in pairs if tag is not None)
    else:
        raise UserError(f"protocol {protocol.name}, stage {stage.name}: a regex cannot write the answer of an example")
    return StageOutput(
        text,
        label=example.gold,
        label_text=word,
        label_status=LabelStatus.PARSED,
        rationale=rationale,
        rationale_status=RationaleStatus.WRITTEN,
    )


def label_word(task: Task, protocol: Protocol, example: Example) -> str:
    """Return the word that prompts and candidates use for an example's gold label."""
    labels = task.labels.labels(example.options)
    words = task.labels.candidates(example.options, protocol.label_map)
    return dict(zip(labels, words, strict=True)).get(example.gold or "", example.gold or "")
