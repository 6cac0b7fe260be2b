"""The contract of a model: what an adapter has to be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict

from r2d_bench.errors import UserError
from r2d_bench.records import Failure, Json, LabelMethod, Request, Response, digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path
    from typing import Self

    from r2d_bench.models.registry import ModelSpec
    from r2d_bench.records import Example
    from r2d_bench.tasks.task import Task
    from r2d_bench.training.lineage import Lineage
    from r2d_bench.training.listener import Listener
    from r2d_bench.training.planning import Plan

Answer = tuple[str, Response | Failure]  # (request key, what came of it)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answered: everything that can change an output, nothing that cannot.

    Attributes:
        kind: the adapter.
        name: the name that a reader knows the model by; never a local path.
        digest: of weights and tokenizer, of the fitted state, or of a predictions file; None for
            an API, whose served model is recorded per response.
        params: parameters that change output (dtype, seed, …).
        row: `model` or `human`.
    """

    kind: str
    name: str
    digest: str | None = None
    params: dict[str, Json] = field(default_factory=dict)
    row: str = "model"

    def as_json(self) -> dict[str, Json]:
        """Return the identity as it stands in `run.json`."""
        return {
            "kind": self.kind,
            "name": self.name,
            "digest": self.digest,
            "params": self.params,
            "row": self.row,
        }

    @property
    def title(self) -> str:
        """The identity in one line, for tables."""
        params = ",".join(f"{k}={v}" for k, v in sorted(self.params.items()))
        return f"{self.kind}:{self.name}" + (f" ({params})" if params else "")

    @property
    def short(self) -> str:
        """Eight hex digits that tell two identities apart."""
        return digest(self.as_json(), 8)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can do.

    Attributes:
        text, chat: the kinds of prompt it takes.
        methods: the label methods it offers.
        rationale: False where it never writes one (label-only); its rationale stages are skipped.
        endpoint: base URL that requests are sent to; None where they stay in this process.
        pure: equal content gives equal answers, so that identical requests are sent once.
        default_protocol: the protocol that fits it unless the user names one.
    """

    text: bool = True
    chat: bool = False
    methods: frozenset[LabelMethod] = frozenset({LabelMethod.FREE})
    rationale: bool = True
    endpoint: str | None = None
    pure: bool = True
    default_protocol: str = "direct"


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars a token of input and of output, and where they come from."""

    input: float
    output: float
    source: str


class Params(BaseModel):
    """Base of an adapter's parameters (`kind:name,key=value`); unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(ABC):
    """A model under test.

    An adapter's constructor is cheap enough to be called before anything is planned: it reads what its
    identity needs. Engines are imported and weights loaded on the first request.
    """

    Params: ClassVar[type[BaseModel]] = Params

    @classmethod
    @abstractmethod
    def create(cls, name: str, params: BaseModel, *, task: Task, seed: int) -> Self:
        """Make the model called `name` for `task`.

        Raises:
            UserError: the name leads nowhere, or a parameter does not fit.
        """

    @property
    @abstractmethod
    def identity(self) -> Identity:
        """Who answers. Valid after `fit` where the adapter has one to do."""

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What the model can do."""

    @property
    def protocol_file(self) -> Path | None:
        """A protocol that lies with the checkpoint (`protocol.yaml`) and stands before the default one."""
        return None

    @property
    def lineage(self) -> Lineage | None:
        """What the weights were trained on, where the checkpoint tells (`lineage.json`)."""
        return None

    @abstractmethod
    def generate(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Answer the requests of one stage, each as soon as it is done, in any order.

        Requests whose `method` is `CONSTRAINED` answer with one of their candidates. Closing the
        iterator cancels what is in flight.
        """

    def score(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Answer `SCORED` requests: `Response.scores` holds ln P of every candidate, `text` the best.

        The probability is of the whole candidate and the end-of-text behind it, given the prompt.
        """
        raise UserError(f"{self.identity.title} cannot score {len(requests)} labels: use --label-method free")

    def answers(self, example: Example) -> bool:  # noqa: ARG002
        """Tell whether the model can say anything of an example; recorded predictions may lack it."""
        return True

    def prices(self) -> Prices | None:
        """Return what tokens cost; None where nothing is paid, or no price is known."""
        return None

    def ran_on(self) -> dict[str, Json]:
        """Return what a sitting keeps of how the model computed, once it has been asked: device, batch."""
        return {}

    def fit(self, train: Sequence[Example], validation: Sequence[Example]) -> None:  # noqa: B027
        """Learn from the task's own training split, before the identity is taken; most models do not."""

    def close(self) -> None:  # noqa: B027
        """Give back memory; the model is not used afterwards."""


class Trainable(Model):
    """A model whose weights are trained on the task, unless that was done before.

    Its constructor has checked all that can be known of the training beforehand. Without the weights its identity has
    no digest, and it answers nothing.
    """

    @property
    @abstractmethod
    def plan(self) -> Plan:
        """What is trained."""

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether the trained weights are there."""

    @property
    @abstractmethod
    def trained_spec(self) -> ModelSpec:
        """The checkpoint as a model of its own, which gives the same answers: for processes that do not train."""

    @abstractmethod
    def train(self, listener: Listener, needed: Collection[Path] = ()) -> None:
        """Train, or go on with it; afterwards the identity is whole.

        Args:
            listener: is told how far it has come.
            needed: states of first stages that other trainings of the job start from.
        """
