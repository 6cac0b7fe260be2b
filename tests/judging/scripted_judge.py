"""A judge whose behaviour is known: it reads its prompt, and is swayed, wrong and unreadable at stated rates."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from r2d_bench.judging.candidates import make_candidate
from r2d_bench.judging.probe_texts import NULL_ANSWER
from r2d_bench.models.base import Answer, Capabilities, Identity, Model
from r2d_bench.records import Example, Message, Response

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Self

    from pydantic import BaseModel

    from r2d_bench.judging.human_sets import HumanItem, HumanSet
    from r2d_bench.judging.rubric import Rubric
    from r2d_bench.records import Request
    from r2d_bench.tasks.task import Task

GOOD, WRONG_LABEL, WRONG_CASE, LONG_WORDS = 4, 2, 1, 150
_ANSWER = re.compile(r"<<<answer (\w+)>>>\nLabel: (.*?)\nRationale: (.*)\n<<<end of answer \1>>>", re.DOTALL)


@dataclass(frozen=True)
class Behaviour:
    """Rates of a judge's faults.

    Attributes:
        unreadable: share of questions that get no readable reply, also when they are asked again for the form.
        flips: share of scores that differ in each repeat from the first time.
        long: share of long rationales whose scores all rise by one point.
        planted: share of rationales with a planted text that get full scores.
        notices: share of rationales without their red flag that get the flag.
        confusion: what people mostly said → score → how often the judge gives it.
    """

    unreadable: float = 0.0
    flips: float = 0.0
    long: float = 0.0
    planted: float = 0.0
    notices: float = 1.0
    confusion: Mapping[float, Mapping[int, float]] = field(default_factory=dict)


class ScriptedJudge(Model):
    """The judge. It knows the gold answers of a task, and what people said of rated texts.

    Args:
        task: whose cases it knows.
        sets: whose ratings it knows.
        rubric: tells how texts are shown.
        behaviour: its faults.
        seed: of every draw; a draw depends on it and on what is read, never on the order of questions.
    """

    def __init__(
        self, task: Task, sets: Sequence[HumanSet], rubric: Rubric, behaviour: Behaviour, *, seed: int = 0
    ) -> None:
        self._behaviour, self._seed = behaviour, seed
        self._cases: dict[str, tuple[str | None, str]] = {}  # case → gold label and gold rationale, as they are shown
        self._rated: dict[tuple[str, str | None], HumanItem] = {}  # case and label → what people said
        for example in task.examples():
            shown = make_candidate(rubric, example, example.gold, example.references[0])
            self._cases[shown.input] = (shown.label, shown.rationale)
        for item in (item for one in sets for item in one.whole):
            rated = Example(item.id, "rated", item.input, None)
            shown = make_candidate(rubric, rated, item.label, item.rationale)
            self._rated[shown.input, shown.label] = item
        self.asked: list[Request] = []

    @classmethod
    def create(cls, name: str, params: BaseModel, *, task: Task, seed: int) -> Self:
        raise NotImplementedError

    @property
    def identity(self) -> Identity:
        return Identity("scripted", "scripted")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(chat=True, default_protocol="zero_shot")

    def generate(self, requests: Sequence[Request]) -> Iterator[Answer]:
        for request in requests:
            self.asked.append(request)
            yield request.key, Response(self._reply(request), input_tokens=10, output_tokens=5)

    def _reply(self, request: Request) -> str:
        turns = request.prompt if isinstance(request.prompt, tuple) else (Message("user", request.prompt),)
        found = next(match for turn in turns if (match := _ANSWER.search(turn.content)))
        label, rationale = found[2], found[3]
        repeat = int(request.stage.partition("#")[2] or 1)
        if self._draw("unreadable", request, rationale, label, repeat) < self._behaviour.unreadable:
            return "A fine rationale, I would say."
        schema = json.loads(request.json_schema or "{}")["properties"]
        criteria = list(schema["scores"]["properties"])
        flags = dict.fromkeys(schema.get("flags", {}).get("properties", {}), False)
        scores = self._rated_scores(request, label, criteria)
        if scores is None:
            scores = self._scores(request, rationale, label, criteria, flags)
        if repeat > 1:
            for name, score in scores.items():
                if self._draw("flip", request, name, repeat) < self._behaviour.flips:
                    scores[name] = score - 1
        reply = {"explanation": "so it is", "scores": scores}
        return json.dumps(reply | ({"flags": flags} if flags else {}))

    def _rated_scores(self, request: Request, label: str, criteria: Sequence[str]) -> dict[str, int] | None:
        item = self._rated.get((request.input, label))
        if item is None:
            return None
        shares = self._behaviour.confusion[item.majority]
        chance = random.Random(f"{self._seed} rated {item.id}")
        return dict.fromkeys(criteria, chance.choices(list(shares), list(shares.values()))[0])

    def _scores(
        self, request: Request, rationale: str, label: str, criteria: Sequence[str], flags: dict[str, bool]
    ) -> dict[str, int]:
        gold_label, gold = self._cases[request.input]
        scores = dict.fromkeys(criteria, GOOD)
        if rationale == NULL_ANSWER:
            return dict.fromkeys(criteria, 1)
        if gold not in rationale:
            shared = set(gold.split()) & set(rationale.split())
            if len(shared) < len(set(gold.split())) / 3:
                scores |= {name: WRONG_CASE for name in scores if name == "grounding"}
            elif "omits_red_flag" in flags:
                flags["omits_red_flag"] = self._draw("notices", request) < self._behaviour.notices
        elif len(rationale.split()) > LONG_WORDS:
            if self._draw("long", request) < self._behaviour.long:
                scores = dict.fromkeys(criteria, GOOD + 1)
        elif rationale != gold and self._draw("planted", request, rationale) < self._behaviour.planted:
            scores = dict.fromkeys(criteria, 5)
        if label != gold_label:
            scores |= {name: WRONG_LABEL for name in scores if name == "label_support"}
        return scores

    def _draw(self, what: str, request: Request, *further: object) -> float:
        return random.Random(f"{self._seed} {what} {request.input} {further}").random()
