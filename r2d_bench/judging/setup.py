"""What a judging is, apart from whose rationales: everything its folder's name is made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from r2d_bench.documents import slug
from r2d_bench.errors import UserError
from r2d_bench.judging.rubric import LoadedRubric, Rubric
from r2d_bench.models.base import Identity
from r2d_bench.records import LabelMethod, digest
from r2d_bench.tasks.privacy import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from r2d_bench.models.base import Model
    from r2d_bench.records import Json

Method = Literal["reply", "probability"]
LOOPBACK = "this machine"


@dataclass(frozen=True)
class JudgeSetup:
    """A rubric and the model that judges by it.

    Attributes:
        rubric: the rubric with its prompt.
        model: the judge's identity as JSON.
        endpoint: where its requests go; None for this process, `this machine` for a loopback address (whose port is
            chance).
        chat: it is asked in turns of a chat.
        method: `reply`, or `probability` (expected value over the probabilities of the numbers).
    """

    rubric: LoadedRubric
    model: Mapping[str, Json]
    endpoint: str | None
    chat: bool
    method: Method = "reply"

    @cached_property
    def digest(self) -> str:
        """Binds verdicts, audit and calibration together: another digest is another judge."""
        return digest([self.rubric.digest, dict(self.model), self.endpoint, self.chat, self.method], 16)

    @property
    def folder(self) -> str:
        """Name of the folder: readable in front, the digest behind."""
        model = slug(f"{self.model['kind']}--{str(self.model['name']).rpartition('/')[2]}")
        return f"{self.rubric.spec.name}--{model}--{self.digest[:8]}"

    @property
    def identity(self) -> Identity:
        """Who judges."""
        return Identity(**self.model)

    def as_json(self) -> dict[str, Json]:
        """Return the setup as it stands in `judge.json`."""
        return {
            "digest": self.digest,
            "rubric": self.rubric.spec.model_dump(mode="json"),
            "prompt": self.rubric.source,
            "rubric_digest": self.rubric.digest,
            "model": dict(self.model),
            "endpoint": self.endpoint,
            "chat": self.chat,
            "method": self.method,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> JudgeSetup:
        """Read a setup back."""
        rubric = LoadedRubric(Rubric.model_validate(data["rubric"]), data["prompt"])
        return cls(rubric, data["model"], data["endpoint"], data["chat"], data["method"])


def make_setup(rubric: LoadedRubric, model: Model, method: Method = "reply") -> JudgeSetup:
    """Return the setup of a model that judges by a rubric.

    Raises:
        UserError: the model reads no prompts, or cannot give the probabilities that are asked for.
    """
    can = model.capabilities
    if not can.rationale or can.default_protocol == "direct":
        raise UserError(f"{model.identity.title} cannot judge: it reads no prompts (use hf:, api: or mock:)")
    if method == "probability":
        if rubric.spec.mode == "pairwise":
            raise UserError(f"judge {rubric.spec.name} is pairwise: it has no scores whose probability could be read")
        if LabelMethod.SCORED not in can.methods:
            raise UserError(
                f"{model.identity.title} gives no probabilities: leave out --score-method probability, or use hf:"
            )
    endpoint = LOOPBACK if can.endpoint is not None and is_loopback(can.endpoint) else can.endpoint
    return JudgeSetup(rubric, model.identity.as_json(), endpoint, can.chat, method)
