"""Stored answers into predictions: a pure function of the run's setup, the task and the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.protocols.outputs import StageOutput, read_output
from r2d_bench.records import Finish, Prediction, RationaleStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from r2d_bench.records import Example, Request, Response
    from r2d_bench.runs.setup import RunSetup
    from r2d_bench.tasks.task import Task


class Reader:
    """Rebuilds requests and reads answers of one run; keeps what it has read of each example."""

    def __init__(self, task: Task, setup: RunSetup) -> None:
        self._setup = setup
        self._labels = task.labels
        self._prompts = setup.prompts(task)
        self._stages = {stage.name: stage for stage in setup.stages}
        self._read: dict[tuple[str, str], tuple[StageOutput, Response]] = {}
        self._keys: dict[tuple[str, str], str] = {}

    def _earlier(
        self, stage: str, example: Example, responses: Mapping[str, Response]
    ) -> dict[str, StageOutput] | None:
        """Return the outputs of the stages before this one; None where one has no answer yet."""
        outputs: dict[str, StageOutput] = {}
        for name in self._stages:
            if name == stage:
                break
            read = self._output(name, example, responses, outputs)
            if read is None:
                return None
            outputs[name] = read[0]
        return outputs

    def request(self, stage: str, example: Example, responses: Mapping[str, Response]) -> Request | None:
        """Return the request of a stage; None where an earlier stage has no answer yet."""
        earlier = self._earlier(stage, example, responses)
        if earlier is None:
            return None
        request = self._prompts[stage].request(example, earlier)
        self._keys[stage, example.id] = request.key
        return request

    def _output(
        self,
        stage: str,
        example: Example,
        responses: Mapping[str, Response],
        earlier: Mapping[str, StageOutput],
    ) -> tuple[StageOutput, Response] | None:
        known = self._read.get((stage, example.id))
        if known is None:
            key = self._keys.get((stage, example.id)) or self._prompts[stage].request(example, earlier).key
            response = responses.get(key)
            if response is None:
                return None
            vocabulary = self._labels.vocabulary(example.options, self._setup.protocol.label_map)
            known = read_output(self._stages[stage].output, response, vocabulary), response
            self._read[stage, example.id] = known
        return known

    def prediction(self, example: Example, responses: Mapping[str, Response]) -> Prediction:
        """Return what the model said of one example."""
        outputs: dict[str, StageOutput] = {}
        answers: list[Response] = []
        for name in self._stages:
            read = self._output(name, example, responses, outputs)
            if read is None:
                return Prediction(example.id, unscored=f"no answer in stage {name}")
            outputs[name] = read[0]
            answers.append(read[1])
        label = next((o for o in outputs.values() if o.label_status is not None), None)
        rationale = next((o for o in outputs.values() if o.rationale_status is not RationaleStatus.ABSENT), None)
        return Prediction(
            example_id=example.id,
            label=label.label if label else None,
            label_status=label.label_status if label else None,
            label_text=label.label_text if label else None,
            rationale=rationale.rationale if rationale else None,
            rationale_status=rationale.rationale_status if rationale else RationaleStatus.ABSENT,
            scores=next((a.scores for a in answers if a.scores is not None), None),
            input_cut=any(answer.cut_tokens > 0 for answer in answers),
            output_cut=any(answer.finish is Finish.LENGTH for answer in answers),
        )
