"""A fake model that is part of the product: seeded, offline, with scriptable faults and latency.

`mock:random` answers with a random label of the example and a rationale made of its words. Shares of faults are
given as parameters, `mock:random,refuse=0.05,empty=0.02,fail=0.1`; each request meets the same fault every time,
except `fail` (transport), which is drawn anew in every sitting, so that repeating the command goes on.
`mock:script.yaml` answers by the first of its rules whose pattern is found in the prompt.
"""

from __future__ import annotations

import json
import math
import random
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from r2d_bench.documents import load
from r2d_bench.errors import UserError
from r2d_bench.models.base import Answer, Capabilities, Identity, Model, Params
from r2d_bench.records import Failure, Finish, LabelMethod, Response, digest
from r2d_bench.templates import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from r2d_bench.records import Json, Request
    from r2d_bench.tasks.task import Task


class MockParams(Params):
    """What goes wrong, how often (shares of requests), and how long an answer takes (seconds)."""

    seed: int = 0
    latency: float = Field(default=0.0, ge=0)
    fail: float = Field(default=0.0, ge=0, le=1)
    refuse: float = Field(default=0.0, ge=0, le=1)
    empty: float = Field(default=0.0, ge=0, le=1)
    cut: float = Field(default=0.0, ge=0, le=1)
    garbage: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.refuse + self.empty + self.cut + self.garbage > 1:
            raise ValueError("refuse, empty, cut and garbage add up to more than 1")
        return self


class Rule(BaseModel):
    """One rule: where `match` (a regex) is found in the prompt, `answer` (Jinja over its groups) is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    match: str
    answer: str
    finish: Finish = Finish.STOP

    @field_validator("match")
    @classmethod
    def _compiles(cls, match: str) -> str:
        try:
            re.compile(match)
        except re.error as error:
            raise ValueError(f"broken regex ({error})") from None
        return match


class Script(BaseModel):
    """A scripted mock: rules, first fit wins; a prompt that none fits fails."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    rules: tuple[Rule, ...] = Field(min_length=1)


class Mock(Model):
    """The fake model."""

    Params = MockParams

    def __init__(self, name: str, params: MockParams, script: Script | None) -> None:
        self._name = name
        self._params = params
        self._script = script
        self._rules = (
            [(re.compile(rule.match), Prompt(rule.answer, f"mock:{name}"), rule) for rule in script.rules]
            if script
            else []
        )

    @classmethod
    def create(cls, name: str, params: BaseModel, *, task: Task, seed: int) -> Self:  # noqa: ARG003
        """Make a mock; raises UserError for a name that is neither `random` nor a script."""
        chosen = MockParams.model_validate(params.model_dump())
        if name.endswith((".yaml", ".yml")):
            return cls(Path(name).stem, chosen, load(Script, Path(name)))
        if name != "random":
            raise UserError(f"mock:{name}: should be mock:random or mock:SCRIPT.yaml")
        return cls(name, chosen, None)

    @property
    def identity(self) -> Identity:
        """Name, script and the parameters that change answers (latency and transport failures do not)."""
        params = self._params.model_dump(exclude={"latency", "fail"}, exclude_defaults=True)
        return Identity(
            "mock", self._name, digest(self._script.model_dump(mode="json")) if self._script else None, params
        )

    @property
    def capabilities(self) -> Capabilities:
        """Takes any prompt and any label method."""
        return Capabilities(chat=True, methods=frozenset(LabelMethod), default_protocol="r2d")

    def generate(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Answer or fail, after the latency."""
        for request in requests:
            yield request.key, self._failure() or self._answer(request)

    def score(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Give seeded log-probabilities that add up to one, or fail, after the latency."""
        for request in requests:
            yield request.key, self._failure() or self._scores(request)

    def _failure(self) -> Failure | None:
        """Wait, then tell whether the connection fails."""
        if self._params.latency:
            time.sleep(self._params.latency)
        # Not seeded: an outage must not hit the same request for ever.
        failed = self._params.fail and random.random() < self._params.fail  # noqa: S311
        return Failure("connection", "scripted failure") if failed else None

    def _scores(self, request: Request) -> Response:
        chance = random.Random(f"{self._params.seed} {request.content}")  # noqa: S311
        scores = {word: chance.gammavariate(1.0, 1.0) for word in request.candidates}
        whole = sum(scores.values())
        logs = {word: math.log(value / whole) for word, value in scores.items()}
        return Response(max(logs, key=lambda word: logs[word]), scores=logs)

    def _answer(self, request: Request) -> Response:
        chance = random.Random(f"{self._params.seed} {request.content}")  # noqa: S311
        drawn = chance.random()
        for fault in ("refuse", "empty", "cut", "garbage"):
            share = float(getattr(self._params, fault))
            if drawn < share:
                return self._faulty(fault, request, chance)
            drawn -= share
        return self._scripted(request) if self._script else Response(self._text(request, chance))

    def _faulty(self, fault: str, request: Request, chance: random.Random) -> Response:
        if fault == "refuse":
            return Response("I'm sorry, but I can't help with that.", Finish.REFUSED)
        if fault == "empty":
            return Response("")
        if fault == "cut":
            return Response(self._text(request, chance)[:3], Finish.LENGTH)
        return Response("".join(chance.choices("qxzjkv", k=12)))

    def _text(self, request: Request, chance: random.Random) -> str:
        """Return an object of the wanted schema, a random label in a label stage, else some words of the input."""
        if request.json_schema is not None and request.stage.startswith("judge"):
            return json.dumps(_drawn(json.loads(request.json_schema), chance))
        asks_label = request.stage in {"predict", "label", "decide"}
        if asks_label and (words := request.candidates or request.options):
            return chance.choice(words)
        words = tuple(request.input.split())
        rationale = " ".join(chance.sample(words, min(12, len(words))))
        if request.stage == "answer" and request.options:
            return json.dumps({"rationale": rationale, "label": chance.choice(request.options)})
        return rationale

    def _scripted(self, request: Request) -> Response:
        prompt = (
            request.prompt if isinstance(request.prompt, str) else "\n".join(turn.content for turn in request.prompt)
        )
        for pattern, answer, rule in self._rules:
            if found := pattern.search(prompt):
                return Response(answer.render(found.groupdict()), rule.finish)
        raise UserError(f"mock:{self._name}: no rule fits the prompt '{prompt[:60]}…'")


def _drawn(schema: Json, chance: random.Random) -> Json:
    """Return a random value that fits a JSON schema, as far as judges' schemas go."""
    if "enum" in schema:
        return chance.choice(schema["enum"])
    if "anyOf" in schema:
        return _drawn(chance.choice(schema["anyOf"]), chance)
    if "const" in schema:
        return schema["const"]
    if schema["type"] == "object":
        return {name: _drawn(part, chance) for name, part in schema["properties"].items()}
    if schema["type"] == "boolean":
        return chance.random() < 0.1
    return " ".join(chance.choices(("firm", "vague", "short", "sound", "partial"), k=6))[: schema.get("maxLength")]
