"""The contract of a protocol file."""

from __future__ import annotations

import json
import re
from typing import Literal, Self

from jinja2 import TemplateSyntaxError
from pydantic import BaseModel, ConfigDict, Field, model_validator

from r2d_bench.templates import reaches_into


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Keys(_Part):
    """Names under which a structured output holds label and rationale (JSON keys, tags)."""

    label: str | None = None
    rationale: str | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.label is None and self.rationale is None:
            raise ValueError("names neither label nor rationale")
        return self


class Output(_Part):
    """How the text of a stage is read; exactly one of the four.

    Attributes:
        whole: the whole text is the label, or the rationale.
        json_object: one JSON object (spelled `json` in the file); fences and prose around it are allowed, a second
            object that fits is not.
        tags: `<name>…</name>`.
        regex: a pattern with groups called `label` and/or `rationale`, searched in the text.
    """

    whole: Literal["label", "rationale"] | None = None
    json_object: Keys | None = Field(default=None, alias="json")
    tags: Keys | None = None
    regex: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [part for part in (self.whole, self.json_object, self.tags, self.regex) if part is not None]
        if len(given) != 1:
            raise ValueError("needs exactly one of whole, json, tags, regex")
        if self.regex is not None:
            try:
                groups = re.compile(self.regex).groupindex
            except re.error as error:
                raise ValueError(f"broken regex ({error})") from None
            if not {"label", "rationale"} & set(groups):
                raise ValueError("the regex needs a group (?P<label>…) or (?P<rationale>…)")
        return self

    @property
    def json_schema(self) -> str | None:
        """The JSON schema (as text) of the object that is asked for; reasoning stands before the label.

        Labels are no enumeration in it: a label that is had freely must be able to miss.
        """
        if self.json_object is None:
            return None
        keys = [key for key in (self.json_object.rationale, self.json_object.label) if key is not None]
        properties = {key: {"type": "string"} for key in keys}
        schema = {"type": "object", "properties": properties, "required": keys, "additionalProperties": False}
        return json.dumps(schema)

    @property
    def gives(self) -> frozenset[str]:
        """Which of label and rationale the stage yields."""
        if self.whole is not None:
            return frozenset({self.whole})
        if self.regex is not None:
            return frozenset(re.compile(self.regex).groupindex) & {"label", "rationale"}
        keys = self.json_object or self.tags
        return frozenset(key for key in ("label", "rationale") if keys and getattr(keys, key) is not None)


class Turn(_Part):
    """One turn of a chat prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


class Stage(_Part):
    """One generation per example.

    Attributes:
        prompt: a text prompt, or
        messages: the turns of a chat prompt. Both are Jinja over the names that `protocols.prompts` documents.
        max_new_tokens: budget of the answer, whatever the input's length.
        max_input_tokens: the prompt is cut to this length (the example's input first); None: the model's own limit.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    prompt: str | None = None
    messages: tuple[Turn, ...] | None = None
    output: Output
    max_new_tokens: int = Field(gt=0)
    max_input_tokens: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("a stage needs either prompt (text) or messages (chat)")
        if self.messages is not None and (not self.messages or self.messages[-1].role != "user"):
            raise ValueError("the last of a stage's messages must be the user's")
        for source in self.sources:
            try:
                list(reaches_into(source, "outputs"))
            except TemplateSyntaxError as error:
                raise ValueError(f"broken template ({error.message})") from None
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """The templates of the stage."""
        return tuple(turn.content for turn in self.messages or ()) if self.prompt is None else (self.prompt,)

    @property
    def chat(self) -> bool:
        """Whether the stage needs a chat model."""
        return self.messages is not None


class Protocol(_Part):
    """A whole protocol.

    Attributes:
        name, version: an edit that can change an output raises the version.
        source: where the protocol comes from.
        label_map: a checkpoint's own label words → labels of the task.
        structured: the stages are answered by label and rationale directly, no prompt is read (baselines, replays).
        stages: in order; each sees the outputs of those before it.
        probes: optional further stages that give a label alone (say, from the generated rationale) or a rationale
            alone (say, for a wrong label); they see every stage's output and the gold, extend a finished run, and are
            no part of its identity.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    version: int = Field(default=1, ge=1)
    title: str = ""
    description: str = ""
    source: str = ""
    structured: bool = False
    label_map: dict[str, str] = Field(default_factory=dict)
    stages: tuple[Stage, ...] = Field(min_length=1)
    probes: tuple[Stage, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_stages()
        for probe in self.probes:
            if probe.output.whole is None:
                raise ValueError(
                    f"probe {probe.name} should give the label or the rationale alone "
                    "(output: {whole: label} or {whole: rationale})"
                )
        return self

    def _check_stages(self) -> None:
        names = [stage.name for stage in (*self.stages, *self.probes)]
        if len(set(names)) < len(names):
            raise ValueError("two stages have the same name")
        for what in ("label", "rationale"):
            if sum(what in stage.output.gives for stage in self.stages) > 1:
                raise ValueError(f"two stages give a {what}")
        for number, stage in enumerate((*self.stages, *self.probes)):
            earlier = names[: min(number, len(self.stages))]
            for path in (path for source in stage.sources for path in reaches_into(source, "outputs")):
                known = not path or path[0] is None or path[0] in earlier or hasattr(dict, path[0])
                if not known:
                    raise ValueError(f"stage {stage.name} uses outputs.{path[0]}, which is no earlier stage")

    @property
    def gives(self) -> frozenset[str]:
        """Which of label and rationale the protocol elicits."""
        return frozenset().union(*(stage.output.gives for stage in self.stages))

    @property
    def chat(self) -> bool:
        """Whether any stage needs a chat model."""
        return any(stage.chat for stage in self.stages)

    @property
    def full_name(self) -> str:
        """Name and version, as runs and pages name the protocol."""
        return f"{self.name}@{self.version}"
