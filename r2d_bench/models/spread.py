"""A local model spread over workers (`--executor ray`): the driver shares out the requests and alone writes answers.

Each worker makes the model from its spec. Who answers, and how the run is called, does not change: a run may be begun
with workers and finished without.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError
from r2d_bench.models.base import Model, Trainable
from r2d_bench.models.spread_chunks import plan_chunks
from r2d_bench.models.spread_cluster import Executor, Wanted
from r2d_bench.models.spread_team import Team
from r2d_bench.models.spread_worker import Made
from r2d_bench.tasks.privacy import check_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import NoReturn

    from pydantic import BaseModel

    from r2d_bench.job import Job
    from r2d_bench.models.base import Answer, Capabilities, Identity, Prices
    from r2d_bench.models.registry import ModelSpec
    from r2d_bench.models.spread_cluster import Cluster
    from r2d_bench.records import Example, Request
    from r2d_bench.tasks.task import Task
    from r2d_bench.training.lineage import Lineage


@contextmanager
def executor_of(job: Job) -> Iterator[Executor | None]:
    """Open what the job's requests are spread by; None for this process alone.

    Raises:
        UserError: no Ray, or no cluster at the address.
    """
    if not job.spreads:
        yield None
        return
    address = job.ray_address or os.environ.get("RAY_ADDRESS")
    with Executor(Wanted(job.workers, job.worker_gpus, job.worker_memory, address)) as executor:
        yield executor


def check_spread(executor: Executor | None, task: Task, model: Model) -> None:
    """Refuse a model that cannot be spread, or a cluster that may not see the task.

    Raises:
        UserError: a model behind an endpoint; or a private task and a cluster that its card does not name.
    """
    if executor is None:
        return
    if model.capabilities.endpoint is not None:
        raise UserError(
            f"{model.identity.title}: --executor ray spreads local models; what asks a server is limited by the "
            "server's rate: run it without"
        )
    check_endpoint(task.spec, executor.endpoint, "--executor ray")


def spread(model: Model, spec: ModelSpec, seed: int, task: Task, executor: Executor | None) -> Model:
    """Return a model that was made from a spec, its requests spread over workers; the model itself without them.

    Raises:
        UserError: the workers do not fit on this machine.
    """
    return model if executor is None else Spread(model, spec, seed=seed, task=task, cluster=executor.cluster)


class Spread(Model):
    """A model whose requests are answered by workers.

    Args:
        inner: the model as this process has made and fitted it; it loads no weights here.
        spec: what it was made from.
        seed: what it was made with.
        task: what it is asked about.
        cluster: where the workers are.
    """

    def __init__(self, inner: Model, spec: ModelSpec, *, seed: int, task: Task, cluster: Cluster) -> None:
        self._inner, self._spec, self._seed, self._task, self._cluster = inner, spec, seed, task, cluster
        self._team: Team | None = None

    @classmethod
    def create(cls, name: str, params: BaseModel, *, task: Task, seed: int) -> NoReturn:  # noqa: ARG003
        """There is no spec of a spread model."""
        raise UserError(f"{name}: a model is spread with --executor ray")

    @property
    def identity(self) -> Identity:
        """The model's own."""
        return self._inner.identity

    @property
    def capabilities(self) -> Capabilities:
        """The model's own; texts go to the cluster."""
        return replace(self._inner.capabilities, endpoint=self._cluster.endpoint)

    @property
    def protocol_file(self) -> Path | None:
        """The model's own."""
        return self._inner.protocol_file

    @property
    def lineage(self) -> Lineage | None:
        """The model's own."""
        return self._inner.lineage

    def answers(self, example: Example) -> bool:
        """Tell whether the model can say anything of an example."""
        return self._inner.answers(example)

    def prices(self) -> Prices | None:
        """Return the model's own."""
        return self._inner.prices()

    def generate(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Let the workers answer, each answer as it comes."""
        yield from self._ask(requests, scored=False)

    def score(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Let the workers score."""
        yield from self._ask(requests, scored=True)

    def close(self) -> None:
        """End the workers."""
        if self._team is not None:
            self._team.close()
        self._team = None
        self._inner.close()

    def _ask(self, requests: Sequence[Request], *, scored: bool) -> Iterator[Answer]:
        if requests:
            self._team = self._team or self._gather()
            yield from self._team.work(plan_chunks(requests, self._cluster.workers), scored=scored)

    def _gather(self) -> Team:
        """Start the workers. Those on other machines show that they have the same weights."""
        elsewhere = self._cluster.endpoint is not None
        spec = self._inner.trained_spec if isinstance(self._inner, Trainable) else self._spec
        if elsewhere:  # the rows travel with the task
            self._task.training(), self._task.validation(), self._task.asked()
        made = Made(spec, self._seed, str(Path.cwd()), gpus=self._cluster.gpus > 0, check=elsewhere)
        return Team(self._cluster, made, self._task, self.identity.digest)
