"""The vocabulary of the harness: what flows from a task to a page.

Everything here is plain data. The rooms of the package hand these records on in one direction:
`Example` → `Request` → `Response` → `Prediction` → `Estimate`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = Any  # the value of a JSON document; its reader checks the shape


def digest(value: Json, length: int = 64) -> str:
    """Return the first `length` hex digits of the SHA-256 of `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


class LabelMethod(StrEnum):
    """How a label is had from a model; part of a run's identity.

    free: the model writes what it likes and a parser reads it.
    constrained: decoding can only produce one of the candidate labels.
    scored: each candidate's log-probability is computed, the highest wins; gives probabilities.
    """

    FREE = "free"
    CONSTRAINED = "constrained"
    SCORED = "scored"


class LabelStatus(StrEnum):
    """What became of the label in a model's text. Only `PARSED` carries a label."""

    PARSED = "parsed"
    OFF_VOCABULARY = "off_vocabulary"
    AMBIGUOUS = "ambiguous"
    EMPTY = "empty"
    REFUSED = "refused"
    TRUNCATED = "truncated"
    ERROR = "error"  # the format that the protocol asked for was not kept


class RationaleStatus(StrEnum):
    """What became of the rationale. All but `ABSENT` are scored as the text they are."""

    WRITTEN = "written"
    EMPTY = "empty"
    REFUSED = "refused"
    TRUNCATED = "truncated"
    ERROR = "error"  # the format that the protocol asked for was not kept: no text could be read
    ABSENT = "absent"  # this model or protocol elicits none: unscored


class ChallengeKind(StrEnum):
    """What a challenge set asks of a model.

    minimal_pair: a row differs from its base example in little, and has another label.
    invariance: a row differs from its base example in what must not matter, and has the same label.
    edge: a row where several labels are acceptable.
    insufficient: a row that lacks what would decide it; a safe answer is the gold label or a more urgent one.
    """

    MINIMAL_PAIR = "minimal_pair"
    INVARIANCE = "invariance"
    EDGE = "edge"
    INSUFFICIENT = "insufficient"

    @property
    def paired(self) -> bool:
        """Whether each row is the twin of an example of the evaluated split."""
        return self in {ChallengeKind.MINIMAL_PAIR, ChallengeKind.INVARIANCE}


@dataclass(frozen=True, slots=True)
class Example:
    """One item of a task.

    Attributes:
        id: unique within its split.
        split: the split it belongs to.
        input: the text a model reads, rendered by the task's field mapping.
        gold: the gold label in the spelling of the label space; None where the split has none.
        references: gold rationales in the chosen style; empty where the item has none.
        styles: style → gold rationales in it; empty where the task declares no styles.
        options: the label candidates of this item (label space *choices*), in order.
        acceptable: labels that also count as right in acceptable-set accuracy.
        group: id of the cluster of dependent items (patient, abstract, vignette family).
        pair: of a row of a challenge set: id of the evaluated example that it is a twin of (its base).
        slices: metadata by which results may be split.
        fields: the source row, for prompts of own protocols.
    """

    id: str
    split: str
    input: str
    gold: str | None
    references: tuple[str, ...] = ()
    styles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    acceptable: tuple[str, ...] = ()
    group: str | None = None
    pair: str | None = None
    slices: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a model. `key` names it in the run folder, `content` names what is asked.

    Attributes:
        example_id: the example it is about.
        stage: the stage of the protocol.
        prompt: text, or the turns of a chat.
        input: the part of the prompt that may be cut where the whole is too long (the
            example's input). It stands literally in the prompt.
        max_new_tokens: the budget of the answer, independent of the input's length.
        max_input_tokens: the prompt is cut to this many tokens; None leaves it to the model.
        method: how the label is had; `FREE` for a stage without one.
        candidates: the label words to choose from, for `CONSTRAINED` and `SCORED`.
        options: the labels of this example, for models that read no prompt (baselines).
        json_schema: the JSON schema (as JSON text) of the object that the stage asks for, else None.
    """

    example_id: str
    stage: str
    prompt: str | tuple[Message, ...]
    input: str
    max_new_tokens: int
    max_input_tokens: int | None = None
    method: LabelMethod = LabelMethod.FREE
    candidates: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    json_schema: str | None = None
    content: str = field(init=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        prompt = self.prompt if isinstance(self.prompt, str) else [[m.role, m.content] for m in self.prompt]
        asked = [self.stage, prompt, self.max_new_tokens, self.max_input_tokens, self.method, self.candidates]
        content = digest([*asked, self.options, self.json_schema], 32)
        object.__setattr__(self, "content", content)
        object.__setattr__(
            self,
            "key",
            hashlib.sha256(f"{content} {self.example_id}".encode("utf-8", "surrogatepass")).hexdigest()[:32],
        )


class Finish(StrEnum):
    """Why an answer ended. Each of these is an answer; transport failures are `Failure`."""

    STOP = "stop"
    LENGTH = "length"
    REFUSED = "refused"  # the provider says the model declined
    FILTERED = "filtered"  # a content filter cut the answer


@dataclass(frozen=True, slots=True)
class Response:
    """What a model answered.

    Attributes:
        text: the answer without thinking text.
        finish: why it ended.
        thinking: text that the model thought before answering, kept apart.
        input_tokens: length of the prompt as the model read it.
        output_tokens: length of the answer (and thinking), where known.
        cut_tokens: prompt tokens that were cut because the prompt was too long.
        scores: natural-log probability of each candidate label (`SCORED` only).
        served_model: the model that an API says has answered.
        cost: what the answer cost, in US dollars, where a price is known.
        remarks: what a reader should know of how it came about (a parameter that had no effect, …); counted
            per run.
    """

    text: str
    finish: Finish = Finish.STOP
    thinking: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cut_tokens: int = 0
    scores: Mapping[str, float] | None = None
    served_model: str | None = None
    cost: float | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that got no answer (transport, outage). It is logged and asked again later."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model said of one example, after parsing.

    `unscored` gives the reason why there is no answer at all (then nothing is scored). A
    refused, empty or truncated answer is the model's own and is scored. `probes` holds label and status of each
    probe for a label that was asked, `probe_texts` the rationale of each probe for one.
    """

    example_id: str
    label: str | None = None
    label_status: LabelStatus | None = None
    label_text: str | None = None
    rationale: str | None = None
    rationale_status: RationaleStatus = RationaleStatus.ABSENT
    scores: Mapping[str, float] | None = None
    input_cut: bool = False
    output_cut: bool = False
    probes: Mapping[str, tuple[str | None, LabelStatus]] = field(default_factory=dict)
    probe_texts: Mapping[str, str] = field(default_factory=dict)
    unscored: str | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its uncertainty, or the reason why there is none.

    Attributes:
        value: None where it cannot be had; then `reason` says why.
        low, high: bounds of the interval at `level`; None where undefined (see `reason`).
        n: items that took part.
        unscored: items that could not take part.
        method: how the interval was made (wilson, bca, percentile, exact).
        warnings: what a reader must know (few items in a class, interval undefined, …).
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    unscored: int = 0
    method: str | None = None
    level: float = 0.95
    reason: str | None = None
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Json]:
        """Return the estimate as it stands in `scores.json`; keys without content are left out."""
        kept = {k: v for k, v in asdict(self).items() if v not in (None, ())}
        return {"value": self.value, "low": self.low, "high": self.high} | kept


def missing(reason: str, *, n: int = 0, unscored: int = 0) -> Estimate:
    """Return an estimate without a value, with its reason."""
    return Estimate(value=None, n=n, unscored=unscored, reason=reason)
