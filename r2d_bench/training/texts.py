"""What a stage asks and expects of each example: prompts of the protocols, gold labels and rationales as targets.

Prompts are made by the protocols themselves, so that a checkpoint is asked later by the bytes that it was trained on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.protocols.outputs import StageOutput
from r2d_bench.protocols.prompts import StagePrompts
from r2d_bench.protocols.registry import load_protocol
from r2d_bench.records import Example, LabelMethod

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from r2d_bench.protocols.spec import Protocol
    from r2d_bench.tasks.task import Task
    from r2d_bench.training.methods import Method, Stage

PREDICT, EXPLAIN = "predict", "explain"  # the stages of the protocols r2d, dss and sft


class StageTexts:
    """Prompts and targets of one stage of training for one task."""

    def __init__(self, task: Task, stage: Stage) -> None:
        protocol = load_protocol(stage.protocol)
        self.stage = stage
        self._predict = _prompts(task, protocol, PREDICT)
        self._explain = _prompts(task, protocol, EXPLAIN) if stage.explain else None

    def predict(self, example: Example) -> str:
        """Return the prompt that asks for the label."""
        return _text(self._predict, example, {})

    def explain(self, example: Example, label: str) -> str:
        """Return the prompt that asks for the rationale; it holds the label where the stage is conditioned."""
        if self._explain is None:
            raise ValueError("a stage without rationales")
        return _text(self._explain, example, {PREDICT: StageOutput(label)})

    @property
    def prefix(self) -> str:
        """What stands in front of the input where the label is asked for."""
        marked = Example(id="", split="", input="\x00", gold=None)
        return self.predict(marked).removesuffix(marked.input)


def _prompts(task: Task, protocol: Protocol, name: str) -> StagePrompts:
    stage = next(stage for stage in protocol.stages if stage.name == name)
    return StagePrompts(task, protocol, stage, method=LabelMethod.FREE, max_new_tokens=stage.max_new_tokens)


def _text(prompts: StagePrompts, example: Example, outputs: Mapping[str, StageOutput]) -> str:
    prompt = prompts.request(example, outputs).prompt
    if not isinstance(prompt, str):
        raise TypeError("a chat protocol cannot be trained on")
    return prompt


def rationale(example: Example) -> str | None:
    """Return the gold rationale that is learnt: the first in the chosen style; None where there is none."""
    return next((text for text in example.references if text.strip()), None)


def all_texts(task: Task, method: Method, examples: Sequence[Example]) -> Iterator[str]:
    """Yield every prompt and target that a method trains on, for a tokenizer that is made for them."""
    for stage in method.stages.values():
        texts = StageTexts(task, stage)
        for example in examples:
            label, why = example.gold or "", rationale(example)
            if stage.predict:
                yield from (texts.predict(example), label)
            if stage.explain and why is not None:
                yield from (texts.explain(example, label), why)
