"""The contract of `task.yaml`."""

from __future__ import annotations

import math
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator, model_validator

from r2d_bench.errors import did_you_mean
from r2d_bench.records import ChallengeKind
from r2d_bench.tasks.labels import normalise

MIX_TOLERANCE = 1e-6

NotNegative = Annotated[FiniteFloat, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HubSource(_Part):
    """A data set on the Hugging Face hub.

    Attributes:
        repo: `owner/name`.
        config: its configuration, if it has several.
        revision: a commit that was verified; without one the resolved commit is recorded.
        splits: our split → the hub's.
    """

    repo: str
    config: str | None = None
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    splits: dict[str, str]


class Source(_Part):
    """Where rows come from: files (beside `task.yaml`, or given with --data) or the hub.

    Attributes:
        files: split → file; a path beside `task.yaml`. The split `all` is divided by `split`.
        hub: a data set on the hub, used where no local data are given.
        local: file that a folder given with --data must hold (for tasks with a reader).
        reader: `task.py:function` where no mapping can read the format; see docs of `Task`.
        split: template that gives each row's split, where one file holds several.
        obtain: a sentence that tells a user how to get the data.
    """

    files: dict[str, str] = Field(default_factory=dict)
    hub: HubSource | None = None
    local: str | None = None
    reader: str | None = Field(default=None, pattern=r"^[\w.-]+\.py:[A-Za-z_]\w*$")
    split: str | None = None
    obtain: str | None = None

    @field_validator("files", "local")
    @classmethod
    def _inside(cls, files: dict[str, str] | str | None) -> dict[str, str] | str | None:
        for path in files.values() if isinstance(files, dict) else [files or ""]:
            if PurePosixPath(path).is_absolute() or Path(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise ValueError(f"'{path}' must lie in the task's folder (give others with --data)")
        return files

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if not self.files and not self.hub and not self.reader:
            raise ValueError("a source needs files, hub or reader")
        if self.files and self.reader:
            raise ValueError("a source has files or a reader, not both (the reader is given --data or the hub's rows)")
        return self


class Fields(_Part):
    """How a row becomes an example. Each value is a Jinja template over the row's columns.

    `references`, `options` and `acceptable` may give a list; an empty value means there is none. `pair` gives, for a
    row of a challenge set, the id of the evaluated example that it is a twin of.
    """

    input: str
    gold: str
    id: str | None = None
    references: str | None = None
    options: str | None = None
    acceptable: str | None = None
    group: str | None = None
    pair: str | None = None

    @field_validator("*")
    @classmethod
    def _of_columns(cls, template: str | None) -> str | None:
        return None if template is None else _with_column(template)


def _with_column(template: str) -> str:
    """Refuse a template without a column: `note` and `null` would be every row's text."""
    if "{" not in template:
        raise ValueError(f"'{template}' names no column: write '{{{{ column }}}}', or leave the key out")
    return template


class Labels(_Part):
    """The label space.

    Attributes:
        space: `closed` (a fixed set), `ordinal` (fixed and ordered, most urgent first), `choices` (options per
            example), `open` (any text).
        values: the fixed set, in order of urgency where ordinal.
        titles: value → what it means, shown to chat models and on pages.
        aliases: value → other spellings that the parser takes for it.
        critical: values whose miss is a critical miss.
        cost: gold value → predicted value → cost of that mistake; every mistake is stated, what is right costs 0 unless
            stated.
        mix: value → share of real calls (adding up to 1, or to 100); values that are left out have none.
    """

    space: Literal["closed", "ordinal", "choices", "open"]
    values: tuple[str, ...] = ()
    titles: dict[str, str] = Field(default_factory=dict)
    aliases: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    critical: tuple[str, ...] = ()
    cost: dict[str, dict[str, NotNegative]] = Field(default_factory=dict)
    mix: dict[str, NotNegative] = Field(default_factory=dict)

    @field_validator("mix")
    @classmethod
    def _adds_up(cls, mix: dict[str, float]) -> dict[str, float]:
        total = math.fsum(mix.values())
        if not mix or abs(total - 1) <= MIX_TOLERANCE:
            return mix
        if abs(total / 100 - 1) <= MIX_TOLERANCE:
            return {value: share / 100 for value, share in mix.items()}
        raise ValueError(f"the shares add up to {total:.6g}, not to 1 (or 100)")

    @property
    def cost_matrix(self) -> tuple[tuple[float, ...], ...]:
        """The cost of each gold (row) taken for each predicted value (column), in order; empty without `cost`."""
        if not self.cost:
            return ()
        return tuple(tuple(self.cost.get(gold, {}).get(said, 0.0) for said in self.values) for gold in self.values)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        fixed = self.space in {"closed", "ordinal"}
        if fixed and len(self.values) < 2:
            raise ValueError(f"a {self.space} label space needs two values or more")
        if not fixed and self.values:
            raise ValueError(f"a label space of {self.space} has no fixed values")
        if len(set(self.values)) < len(self.values):
            raise ValueError("a value stands twice")
        named = {key: list(getattr(self, key)) for key in ("titles", "aliases", "critical", "cost", "mix")}
        named["cost"] += [predicted for costs in self.cost.values() for predicted in costs]
        for key, values in named.items():
            for value in values:
                if value not in self.values:
                    raise ValueError(f"{key}: '{value}' is not among the values{did_you_mean(value, self.values)}")
        names: dict[str, str] = {}
        for value in self.values:
            for name in (value, *self.aliases.get(value, ())):
                other = names.setdefault(normalise(name), value)
                if other != value or not normalise(name):
                    raise ValueError(f"'{name}' names two labels, {other} and {value}, or none")
        return self

    @model_validator(mode="after")
    def _costs_are_complete(self) -> Self:
        for gold in self.values if self.cost else ():
            for said in self.values:
                if said != gold and said not in self.cost.get(gold, {}):
                    raise ValueError(f"cost: what does it cost to take {gold} for {said}? State every mistake")
        return self


class Rationale(_Part):
    """What is known of the gold rationales.

    Attributes:
        origin: where they come from.
        mask_token: the token that masks the label in them.
        mask_words: words that give the label away without naming it; masked with the label's names.
        styles: style → template of the gold rationales in it, where there are several; stands for `fields.references`.
        style: the style that is taken unless another one is asked for.
    """

    origin: str = ""
    mask_token: str | None = None
    mask_words: tuple[str, ...] = ()
    styles: dict[str, str] = Field(default_factory=dict)
    style: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, template in self.styles.items():
            if not re.fullmatch(r"[A-Za-z]\w*", name):
                raise ValueError(f"styles: '{name}' should be a word")
            _with_column(template)
        if self.styles and self.style is None:
            raise ValueError(f"style: say which one is taken by default ({', '.join(self.styles)})")
        if self.style is not None and self.style not in self.styles:
            raise ValueError(f"style: '{self.style}' is not among the styles{did_you_mean(self.style, self.styles)}")
        return self


class Challenge(_Part):
    """A challenge set: a further split, asked beside the evaluated one and in no headline figure.

    Attributes:
        split: the split that holds its rows.
        kind: what it asks of a model.
        title: its name on pages; the key by default.
    """

    split: str
    kind: ChallengeKind
    title: str = ""


class Prompts(_Part):
    """The task's words for prompts of chat protocols."""

    instruction: str
    input_name: str = "Text"
    rationale_hint: str = "Explain in one to three sentences which facts of the text decide it."


class Split(_Part):
    """What is known of a split, asserted when it is loaded.

    Attributes:
        rows: number of examples.
        digest: digest of ids, inputs, golds and references (in all styles), as `tasks validate` prints it.
    """

    rows: int | None = None
    digest: str | None = Field(default=None, pattern=r"^[0-9a-f]{16}$")


class BertScore(_Part):
    """The encoder of BERTScore: a hub id, a folder or `pkg:MODULE`; layer where bert-score does not know it."""

    model: str
    num_layers: int | None = None


class Adequacy(_Part):
    """When a rationale counts as adequate without a judge: its overlap with the gold rationale reaches a threshold.

    Attributes:
        metric: the overlap: ROUGE-L F1 (0 to 1), sentence chrF (0 to 100), or BERTScore F1 with the task's encoder.
        threshold: from this value on.
    """

    metric: Literal["rouge_l", "chrf", "bertscore_f1"]
    threshold: FiniteFloat


class Findings(_Part):
    """The annotated findings of a row: templates over its columns, each giving a list of objects.

    An object has the keys `finding` (its name, the same in all rows of a group) and `text` (as it stands in the input).
    """

    present: str
    absent: str | None = None

    @field_validator("present", "absent")
    @classmethod
    def _of_columns(cls, template: str | None) -> str | None:
        return None if template is None else _with_column(template)


class Metrics(_Part):
    """Which figure leads, how BERTScore is had, when a rationale is adequate, and which findings are annotated."""

    primary: str = "macro_f1"
    bertscore: BertScore | None = None
    adequacy: Adequacy | None = None
    findings: Findings | None = None


class Annotation(_Part):
    """Predictions that the rows themselves carry (say, of a human annotator): `replay:NAME` runs them."""

    title: str
    row: Literal["human", "model"] = "human"
    label: str
    rationale: str | None = None


class TaskSpec(_Part):
    """A whole `task.yaml`. An edit that can change a number raises `version`.

    `evaluate` is the split that models are judged on, `training` the splits that they may learn from.
    `endpoints` are the URLs that texts of a task which is not public may be sent to.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    version: int = Field(ge=1)
    title: str
    description: str = ""
    domain: str = ""
    language: str = "en"
    visibility: Literal["public", "gated", "private"]
    licence: str
    citation: str = ""
    homepage: str = ""
    superseded_by: str | None = None
    endpoints: tuple[str, ...] = ()
    source: Source
    fields: Fields
    label: Labels
    rationale: Rationale = Rationale()
    slices: dict[str, str] = Field(default_factory=dict)
    challenges: dict[str, Challenge] = Field(default_factory=dict)
    splits: dict[str, Split] = Field(default_factory=dict)
    evaluate: str = "test"
    training: tuple[str, ...] = Field(default=("train",), min_length=1)
    prompts: Prompts
    metrics: Metrics = Metrics()
    baselines: tuple[str, ...] = ()
    annotations: dict[str, Annotation] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.label.space == "choices" and self.fields.options is None:
            raise ValueError("a label space of choices needs fields.options")
        if self.label.space != "choices" and self.fields.options is not None:
            raise ValueError(f"fields.options belongs to a label space of choices, not {self.label.space}")
        if any(not re.fullmatch(r"[A-Za-z]\w*", name) for name in self.slices):
            raise ValueError("names of slices are words")
        if self.rationale.styles and self.fields.references is not None:
            raise ValueError("rationale.styles stand for fields.references: keep one of the two")
        return self

    @model_validator(mode="after")
    def _challenges(self) -> Self:
        taken = {self.evaluate: "is the evaluated one", "validation": "is no challenge"}
        taken |= dict.fromkeys(self.training, "is for training")
        for name, challenge in self.challenges.items():
            where = f"challenges.{name}"
            if not re.fullmatch(r"[A-Za-z]\w*", name):
                raise ValueError(f"{where}: the name should be a word")
            if why := taken.get(challenge.split):
                raise ValueError(f"{where}: split '{challenge.split}' {why}")
            taken[challenge.split] = f"is that of {where}"
            if challenge.kind.paired and self.fields.pair is None:
                raise ValueError(f"{where}: a set of kind {challenge.kind} needs fields.pair")
            if not challenge.kind.paired and not self.label.values:
                raise ValueError(f"{where}: a set of kind {challenge.kind} needs a fixed set of labels")
            if challenge.kind is ChallengeKind.EDGE and self.fields.acceptable is None:
                raise ValueError(f"{where}: a set of kind edge needs fields.acceptable")
        return self

    @property
    def full_name(self) -> str:
        """Name and version, as runs and pages name the task."""
        return f"{self.name}@{self.version}"
