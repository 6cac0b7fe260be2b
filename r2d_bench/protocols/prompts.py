"""Prompts of a stage: templates and an example in, a request out.

Prompts know these names: `input` (the example's text), `labels` (list of `word` and `title`; empty for open label
spaces), `options`, `task` (`title`, `instruction`, `input_name`, `rationale_hint`), `fields` (the source row) and
`outputs.<stage>` of earlier stages (`text`, `label`, `rationale`). Probes also know `gold` (`label`, `rationale`), in
outputs and gold `masked` (the rationale without label words), and `wrong.word` (the word for a label that is not the
gold one, the same for every model).

Few-shot examples stand in front: in a chat as turns of their own behind the system turn, in a text prompt each as
prompt, newline, answer, empty line.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError
from r2d_bench.protocols.shots import gold_output
from r2d_bench.records import Json, LabelMethod, Message, Request, digest
from r2d_bench.tasks.masking import Masker
from r2d_bench.templates import Prompt, reaches_into

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from r2d_bench.protocols.outputs import StageOutput
    from r2d_bench.protocols.spec import Protocol, Stage
    from r2d_bench.records import Example
    from r2d_bench.tasks.task import Task


def passes_parsed_label(protocol: Protocol) -> bool:
    """Tell whether a prompt uses an earlier stage's *parsed* label; then the parser can change later outputs.

    Whatever is not plainly the raw text or the rationale of one stage counts as a use of the label.
    """
    sources = [source for stage in protocol.stages for source in stage.sources]
    paths = [path for source in sources for path in reaches_into(source, "outputs")]
    return any(len(path) < 2 or path[1] not in {"text", "rationale"} for path in paths)


def wrong_label(task: Task, example: Example) -> str | None:
    """Return a label of the example that is not the gold one, drawn by its id; None where there is none to draw."""
    others = [label for label in task.labels.labels(example.options) if label != example.gold]
    if example.gold is None or not others:
        return None
    return others[int(digest(["wrong label", example.id], 8), 16) % len(others)]


def stage_method(stage: Stage, method: LabelMethod) -> LabelMethod:
    """Return how this stage is answered: the run's label method where the stage gives the label and nothing else."""
    return method if stage.output.whole == "label" else LabelMethod.FREE


def check_method(protocol: Protocol, method: LabelMethod) -> None:
    """Refuse a label method that no stage of the protocol can carry out."""
    if method is LabelMethod.FREE or any(stage.output.whole == "label" for stage in protocol.stages):
        return
    raise UserError(
        f"label method {method} needs a stage that gives the label alone, which protocol {protocol.name} has not: "
        "use label_first or reason_first"
    )


class StagePrompts:
    """The compiled prompts of one stage for one task."""

    def __init__(
        self,
        task: Task,
        protocol: Protocol,
        stage: Stage,
        *,
        method: LabelMethod,
        max_new_tokens: int,
        shots: Sequence[Example] = (),
    ) -> None:
        self._task = task
        self._protocol = protocol
        self._label_map = protocol.label_map
        self._shots = shots
        self._probe = stage in protocol.probes
        self._stage = stage
        self._method = stage_method(stage, method)
        self._max_new_tokens = max_new_tokens
        where = f"protocol {protocol.name}, stage {stage.name}"
        self._text = Prompt(stage.prompt, where) if stage.prompt is not None else None
        self._turns = [(turn.role, Prompt(turn.content, where)) for turn in stage.messages or ()]
        self._passes = f"{stage.prompt}{stage.messages}".find("labels") >= 0

    @cached_property
    def _task_words(self) -> dict[str, Json]:
        prompts = self._task.spec.prompts
        return {"title": self._task.spec.title, **prompts.model_dump()}

    def _labels(self, example: Example) -> list[dict[str, str]]:
        """Return the labels that a prompt may list, each with the word for it and what it means."""
        space, titles = self._task.labels, self._task.spec.label.titles
        words = space.candidates(example.options, self._label_map)
        labels = space.labels(example.options)
        return [{"word": w, "title": titles.get(label, "")} for w, label in zip(words, labels, strict=True)]

    def request(self, example: Example, outputs: Mapping[str, StageOutput]) -> Request:
        """Return the request of this stage for one example.

        Raises:
            UserError: the template uses a name that prompts do not have, or the label method does not fit the task.
        """
        candidates: tuple[str, ...] = ()
        if self._method is not LabelMethod.FREE:
            candidates = self._task.labels.candidates(example.options, self._label_map)
            if not candidates:
                raise UserError(f"label method {self._method} needs candidate labels; task {self._task.name} is open")
        return Request(
            example_id=example.id,
            stage=self._stage.name,
            prompt=self._prompt(example, outputs),
            input=example.input,
            max_new_tokens=self._max_new_tokens,
            max_input_tokens=self._stage.max_input_tokens,
            method=self._method,
            candidates=candidates,
            options=self._task.labels.labels(example.options),
            json_schema=self._stage.output.json_schema,
        )

    def _prompt(self, example: Example, outputs: Mapping[str, StageOutput]) -> str | tuple[Message, ...]:
        context = self._context(example, outputs)
        if self._text is not None:
            return self._shot_text + self._text.render(context)
        turns = [Message(role, template.render(context)) for role, template in self._turns]
        if not self._shots:
            return tuple(turns)
        systems = sum(turn.role == "system" for turn in turns)
        return (*turns[:systems], *self._shot_turns, *turns[systems:])

    def _context(self, example: Example, outputs: Mapping[str, StageOutput]) -> dict[str, Json]:
        context: dict[str, Json] = {
            "input": example.input,
            "labels": self._labels(example) if self._passes else [],
            "options": list(example.options),
            "task": self._task_words,
            "fields": example.fields,
            "outputs": {name: _visible(output) for name, output in outputs.items()},
        }
        if self._probe:
            self._add_of_probes(context, example)
        return context

    def _add_of_probes(self, context: dict[str, Json], example: Example) -> None:
        """Add what only probes know."""
        context["gold"] = {"label": example.gold, "rationale": example.references[0] if example.references else ""}
        for texts in (context["gold"], *context["outputs"].values()):
            texts["masked"] = self._masker.mask(example, texts["rationale"])
        wrong = wrong_label(self._task, example)
        context["wrong"] = {"word": self._word(example, wrong)} if wrong is not None else {}

    @cached_property
    def _masker(self) -> Masker:
        return Masker(self._task, self._label_map)

    def _word(self, example: Example, label: str) -> str:
        """Return the word that candidates use for a label of the example."""
        space = self._task.labels
        words = space.candidates(example.options, self._label_map)
        return dict(zip(space.labels(example.options), words, strict=True))[label]

    @cached_property
    def _shot_text(self) -> str:
        shown = [(self._text.render(self._shot_context(s)), self._answer(s)) for s in self._shots if self._text]
        return "".join(f"{prompt}\n{answer}\n\n" for prompt, answer in shown)

    @cached_property
    def _shot_turns(self) -> tuple[Message, ...]:
        turns: list[Message] = []
        for shot in self._shots:
            context = self._shot_context(shot)
            turns += [Message(role, template.render(context)) for role, template in self._turns if role != "system"]
            turns.append(Message("assistant", self._answer(shot)))
        return tuple(turns)

    def _shot_context(self, shot: Example) -> dict[str, Json]:
        earlier: dict[str, StageOutput] = {}
        for stage in self._protocol.stages[: self._protocol.stages.index(self._stage)]:
            earlier[stage.name] = gold_output(self._task, self._protocol, stage, shot)
        return self._context(shot, earlier)

    def _answer(self, shot: Example) -> str:
        return gold_output(self._task, self._protocol, self._stage, shot).text


def _visible(output: StageOutput) -> dict[str, str]:
    label = output.label if output.label is not None else (output.label_text or "")
    return {"text": output.text, "label": label, "rationale": output.rationale or ""}
