"""A whole job: which models on which tasks, how, and where the results go (`run --config job.yaml`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from r2d_bench.records import LabelMethod
from r2d_bench.tasks.spec import BertScore


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelJob(_Part):
    """One model of a job, and how it is run.

    Attributes:
        spec: `kind:name[,key=value…]`, or a name of `models.yaml`.
        protocol: a protocol's name or file; the model's own default where absent.
        label_method: free, constrained or scored.
        limit: so many examples, the labels in proportion; the job's where absent.
        ids: exactly these examples; the job's where absent.
        max_new_tokens: stage → budget.
        shots: training examples in front of every prompt; the job's where absent.
        note: what a reader must know of this row, shown wherever its figures stand.
    """

    spec: str
    protocol: str | None = None
    label_method: LabelMethod = LabelMethod.FREE
    limit: int | None = Field(default=None, ge=1)
    ids: tuple[str, ...] | None = None
    max_new_tokens: dict[str, PositiveInt] = Field(default_factory=dict)
    shots: int | None = Field(default=None, ge=0)
    note: str | None = None


class JudgeJob(_Part):
    """A judge of the job's rationales.

    Attributes:
        judge: a rubric's name or folder.
        models: the specs of those that judge; several are a jury.
        sample: so many of each run's examples, labels in proportion; all where absent.
        repeats: how often the repeated examples are asked about.
        repeated: so many examples are asked about more than once, to see the judge's own noise.
        method: `reply`, or `probability` (expected value over the probabilities of the numbers).
        max_new_tokens: budget of a reply; the rubric's where absent.
    """

    judge: str
    models: tuple[str, ...] = Field(min_length=1)
    sample: int | None = Field(default=None, ge=1)
    repeats: int = Field(default=1, ge=1)
    repeated: int = Field(default=0, ge=0)
    method: Literal["reply", "probability"] = "reply"
    max_new_tokens: PositiveInt | None = None


def _short_form(models: Any) -> Any:  # noqa: ANN401 - unchecked input
    """Let a bare spec stand for a model run with the defaults."""
    return [{"spec": m} if isinstance(m, str) else m for m in models] if isinstance(models, list | tuple) else models


ModelJobs = Annotated[tuple[ModelJob, ...], BeforeValidator(_short_form)]


class Job(_Part):
    """A whole job.

    Attributes:
        models: each a spec, or a spec with how it is run.
        tasks: names or folders of tasks.
        data: task (its name, or as it stands in `tasks`) → local data that stand in for its source.
        task_dirs: further folders with tasks.
        baselines: also run each task's own baselines.
        limit, ids: the part of the split that every model is asked, unless it has its own.
        runs: folder of the run folders.
        checkpoints: folder of what `r2d:` trains.
        site: folder of the page; None (in a file: `none`) builds none.
        board: the leaderboard that the page shows.
        panel: also run the board's panel of baselines, as far as it fits each task.
        models_file: names for models and what is known of them; `models.yaml` beside the command by default.
        bertscore: encoder that stands in for the board's and the tasks'.
        paper: also compute the figures as the paper's released code does.
        seed: seed of everything that draws.
        seeds: run everything once for each of these seeds instead.
        shots: so many training examples in front of every prompt, drawn with the seed.
        challenges: also ask the tasks' challenge sets; where absent, with every run that is asked the whole split.
        rationale_style: the style of the gold rationales, for tasks that declare several; their default where absent.
        probes: probes that are asked too; `all` stands for all of the protocol's.
        judges: who judges the rationales, by which rubric.
        judge_dirs: further folders with rubrics.
        audits: folder of the judges' audits.
        executor: `ray` spreads every model over workers; none by default, unless workers are asked for.
        workers: processes that answer; one for each share of a GPU, or one, where absent.
        worker_gpus: GPUs of each worker, also a part of one; 1 by default where there are GPUs.
        worker_memory: GiB that are kept for each worker.
        ray_address: `auto`, or HOST:PORT of a cluster; by default $RAY_ADDRESS, else Ray is started on this machine.
        max_requests, max_cost: stop cleanly when so many requests were sent, or US dollars spent.
    """

    models: ModelJobs = ()
    tasks: tuple[str, ...] = Field(min_length=1)
    data: dict[str, str] = Field(default_factory=dict)
    task_dirs: tuple[str, ...] = ()
    baselines: bool = False
    limit: int | None = Field(default=None, ge=1)
    ids: tuple[str, ...] | None = None
    runs: str = "runs"
    checkpoints: str = "checkpoints"
    site: str | None = "site"
    board: str = "main"
    panel: bool = False
    models_file: str | None = None
    bertscore: BertScore | None = None
    paper: bool = True
    seed: int = Field(default=0, ge=0)
    seeds: tuple[NonNegativeInt, ...] = ()
    shots: int = Field(default=0, ge=0)
    challenges: bool | None = None
    rationale_style: str | None = None
    probes: tuple[str, ...] = ()
    judges: tuple[JudgeJob, ...] = ()
    judge_dirs: tuple[str, ...] = ()
    audits: str = "audits"
    executor: Literal["none", "ray"] | None = None
    workers: PositiveInt | None = None
    worker_gpus: float | None = Field(default=None, ge=0)
    worker_memory: float | None = Field(default=None, gt=0)
    ray_address: str | None = None
    max_requests: int | None = Field(default=None, ge=0)
    max_cost: float | None = Field(default=None, ge=0)

    @field_validator("site", mode="before")
    @classmethod
    def _no_site(cls, site: Any) -> Any:  # noqa: ANN401 - unchecked input
        """A job file holds text alone, so that no page is asked for in words (`site: none`, or nothing behind it)."""
        return None if site in ("", "none", "null") else site

    @property
    def spreads(self) -> bool:
        """Whether the requests are spread over workers."""
        return self.executor == "ray" or (self.executor is None and self._asks_for_workers)

    @property
    def _asks_for_workers(self) -> bool:
        told = (self.workers, self.worker_gpus, self.worker_memory, self.ray_address)
        return any(value is not None for value in told)

    @model_validator(mode="after")
    def _executor_fits(self) -> Self:
        if self.executor == "none" and self._asks_for_workers:
            raise ValueError("executor none has no workers: leave out workers, worker_gpus, worker_memory, ray_address")
        return self

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.models and not self.baselines and not self.panel:
            raise ValueError("no model given: name one (hf:./my-t5, baseline:majority, …) or ask for the baselines")
        known = {*self.tasks, *(Path(task).resolve().name for task in self.tasks)}
        for name in self.data:
            if name not in known:
                raise ValueError(f"data: '{name}' is not among the job's tasks ({', '.join(self.tasks)})")
        return self
