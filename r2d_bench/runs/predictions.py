"""Stored answers into predictions: a pure function of the run's setup, the task and the answers."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from r2d_bench.protocols.outputs import StageOutput, read_output
from r2d_bench.protocols.prompts import wrong_label
from r2d_bench.records import Finish, Prediction, RationaleStatus
from r2d_bench.templates import reaches_into

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from r2d_bench.protocols.spec import Stage
    from r2d_bench.records import Example, Request, Response
    from r2d_bench.runs.setup import RunSetup
    from r2d_bench.tasks.task import Task


class Reader:
    """Rebuilds requests and reads answers of one run; keeps what it has read of an example until its prediction.

    Args:
        task: the task.
        setup: the run.
        probes: names of the probes that are (or were) asked.
    """

    def __init__(self, task: Task, setup: RunSetup, probes: Collection[str] = ()) -> None:
        self._setup = setup
        self._labels = task.labels
        self._prompts = setup.prompts(task)
        self._stages = {stage.name: stage for stage in setup.stages}
        self._probes = {probe.name: probe for probe in setup.probes if probe.name in probes}
        self._task = task
        self._needs_gold = {probe.name for probe in self._probes.values() if _uses(probe, "gold")}
        self._needs_wrong = {probe.name for probe in self._probes.values() if _uses(probe, "wrong")}
        # By stage and example; a pair of both as the key would take as much memory as what it leads to.
        self._read: dict[str, dict[str, tuple[StageOutput, Response]]] = defaultdict(dict)
        self._keys: dict[str, dict[str, str]] = defaultdict(dict)

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
        """Return the request of a stage; None where an earlier stage has no answer yet, or it does not apply."""
        if not self.waits(stage, example):
            return None
        earlier = self._earlier(stage, example, responses)
        if earlier is None:
            return None
        request = self._prompts[stage].request(example, earlier)
        self._keys[stage][example.id] = request.key
        return request

    def waits(self, stage: str, example: Example) -> bool:
        """Tell whether a stage that has no request waits for an earlier one (else it does not apply)."""
        if stage in self._needs_gold and not example.references:
            return False
        return stage not in self._needs_wrong or wrong_label(self._task, example) is not None

    def _output(
        self,
        stage: str,
        example: Example,
        responses: Mapping[str, Response],
        earlier: Mapping[str, StageOutput],
    ) -> tuple[StageOutput, Response] | None:
        known = self._read[stage].get(example.id)
        if known is None:
            key = self._keys[stage].get(example.id) or self._prompts[stage].request(example, earlier).key
            response = responses.get(key)
            if response is None:
                return None
            vocabulary = self._labels.vocabulary(example.options, self._setup.protocol.label_map)
            output = (self._stages | self._probes)[stage].output
            known = read_output(output, response, vocabulary), response
            self._read[stage][example.id] = known
        return known

    def prediction(self, example: Example, responses: Mapping[str, Response]) -> Prediction:
        """Return what the model said of one example; what was kept of it meanwhile is let go."""
        prediction = self._prediction(example, responses)
        for read in self._read.values():
            read.pop(example.id, None)
        return prediction

    def _prediction(self, example: Example, responses: Mapping[str, Response]) -> Prediction:
        outputs: dict[str, StageOutput] = {}
        answers: list[Response] = []
        for name in self._stages:
            read = self._output(name, example, responses, outputs)
            if read is None:
                return Prediction(example.id, unscored=f"no answer in stage {name}")
            outputs[name] = read[0]
            answers.append(read[1])
        probes = {
            name: read[0]
            for name in self._probes
            if (read := self._probe(name, example, responses, outputs)) is not None
        }
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
            probes={name: (o.label, o.label_status) for name, o in probes.items() if o.label_status is not None},
            probe_texts={name: o.rationale for name, o in probes.items() if o.rationale is not None},
        )

    def _probe(
        self, name: str, example: Example, responses: Mapping[str, Response], outputs: Mapping[str, StageOutput]
    ) -> tuple[StageOutput, Response] | None:
        """Return what a probe gave; None where it was not asked, or does not apply."""
        return self._output(name, example, responses, outputs) if self.waits(name, example) else None


def _uses(stage: Stage, name: str) -> bool:
    """Tell whether a stage's prompt uses a name that only probes know."""
    return any(True for source in stage.sources for _ in reaches_into(source, name))
