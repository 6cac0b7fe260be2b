"""What a job comes to: every run made and checked before anything is asked, and what has to be trained, trained."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.job import ModelJob
from r2d_bench.leaderboard.board import load_board
from r2d_bench.models.base import Trainable
from r2d_bench.models.cards import ModelCard, NamedModel, card_of, load_models
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.models.spread import check_spread
from r2d_bench.runs.asking import Progress
from r2d_bench.runs.selection import Selection, select, union
from r2d_bench.runs.setup import RunSetup, plan_run
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.task import Task, load_task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from r2d_bench.job import Job
    from r2d_bench.judging.setup import JudgeSetup
    from r2d_bench.models.base import Model
    from r2d_bench.models.registry import ModelSpec
    from r2d_bench.models.spread_cluster import Executor
    from r2d_bench.training.listener import Listener
    from r2d_bench.training.planning import Plan


class Reporter(Progress, Protocol):
    """Who is told how the job goes on."""

    def run_started(self, number: int, of: int, setup: RunSetup, selection: Selection) -> None:
        """A run begins."""

    def scoring(self) -> None:
        """The run's answers are being scored."""

    def left_out(self, spec: str, why: str) -> None:
        """A model of the board's panel does not fit a task."""

    def training(self, number: int, of: int, plan: Plan) -> Listener:
        """A training begins; returns who is told how far it has come."""

    def judging(self, run: str, setup: JudgeSetup, *, asked: int, of: int) -> None:
        """A judge begins with the rationales of a run."""


@dataclass(frozen=True)
class PlannedRun:
    """One run that has been checked and not yet begun."""

    task: Task
    model: Model
    setup: RunSetup
    selection: Selection
    store: RunStore
    probes: tuple[str, ...]
    challenges: tuple[str, ...]
    card: ModelCard
    spec: ModelSpec


@dataclass(frozen=True)
class _Place:
    """One model of the job on one task, made and checked.

    Attributes:
        task, wanted, seed: what the job asks for.
        model: not yet fitted.
        card: what `models.yaml` tells of it.
        panel: it stands in the board's panel, and may be left out.
        spec: what the model was made from.
    """

    task: Task
    wanted: ModelJob
    seed: int
    model: Model
    card: ModelCard
    panel: bool
    spec: ModelSpec

    @property
    def to_train(self) -> Trainable | None:
        """The model, if its weights must be trained first."""
        return self.model if isinstance(self.model, Trainable) and not self.model.ready else None


def plan(job: Job, reporter: Reporter, *, train: bool = True, executor: Executor | None = None) -> list[PlannedRun]:
    """Return every run of the job, checked: tasks loaded, models found and fitted, no weights loaded.

    Every model is made and every run is planned before the first training begins. A model of the board's panel that
    does not fit a task is left out, and the reporter is told why.

    Args:
        job: the job.
        reporter: who is told.
        train: train what has to be trained; without, such runs stand there by an identity without a digest.
        executor: what will spread the requests.

    Raises:
        UserError: the first thing that cannot work.
    """
    found: dict[int, PlannedRun] = {}
    places = dict(enumerate(_places(job, reporter)))
    for number, place in places.items():
        with _leaving_out(place.wanted.spec, reporter, panel=place.panel):
            check_spread(executor, place.task, place.model)
            place.model.fit(place.task.training(), place.task.validation())
            found[number] = _plan_one(job, place)
    if executor is not None and found:
        executor.open()  # whether there is room is told before anything is trained
    waiting = {n: model for n in found if (model := places[n].to_train) is not None} if train else {}
    for order, (number, model) in enumerate(waiting.items(), 1):
        later = [other.plan.parent for n, other in waiting.items() if n > number]
        model.train(reporter.training(order, len(waiting), model.plan), {p for p in later if p is not None})
        found[number] = _plan_one(job, places[number])
    planned: dict[str, PlannedRun] = {}
    for number in sorted(found):
        _add(planned, found[number])
    return list(planned.values())


def _places(job: Job, reporter: Reporter) -> Iterator[_Place]:
    """Yield every model of the job on every task, made; a member of the panel that cannot be made is left out."""
    names = _named_models(job)
    panel = load_board(job.board).panel if job.panel else ()
    for task in load_tasks(job.tasks, job.data, task_dirs(job), job.rationale_style):
        for wanted in _models(job, task):
            for seed in job.seeds or (job.seed,):
                yield _place(job, task, wanted, names, seed)
        for wanted in panel:
            with _leaving_out(wanted.spec, reporter, panel=True):
                yield _place(job, task, wanted, names, job.seed, panel=True)


@contextmanager
def _leaving_out(spec: str, reporter: Reporter, *, panel: bool) -> Iterator[None]:
    """Tell the reporter of an error over a member of the panel; any other error goes on."""
    try:
        yield
    except UserError as error:
        if not panel:
            raise
        reporter.left_out(spec, str(error))


def _add(planned: dict[str, PlannedRun], run: PlannedRun) -> None:
    """Add a run; one that was asked for already is made once, for all that is asked of it."""
    if (twin := planned.get(run.store.name)) is not None:
        selection = union(run.task.examples(), [twin.selection, run.selection])
        challenges = twin.challenges or run.challenges
        run = replace(run, selection=selection, challenges=challenges, card=twin.card)
    planned[run.store.name] = run


def load_tasks(
    names: Sequence[str], data: Mapping[str, str], task_dirs: Sequence[Path], style: str | None = None
) -> list[Task]:
    """Return tasks by name, with their local data where given, gold rationales in a style where one is asked for."""
    tasks = []
    for name in dict.fromkeys(names):
        path = data.get(name) or data.get(Path(name).resolve().name)
        tasks.append(load_task(name, data=Path(path) if path else None, task_dirs=task_dirs, style=style))
    return tasks


def _models(job: Job, task: Task) -> list[ModelJob]:
    own = [ModelJob(spec=spec) for spec in task.spec.baselines] if job.baselines else []
    return [*job.models, *own]


def _named_models(job: Job) -> dict[str, NamedModel]:
    path = Path(job.models_file or "models.yaml")
    return load_models(path) if job.models_file or path.is_file() else {}


def _place(
    job: Job, task: Task, wanted: ModelJob, names: Mapping[str, NamedModel], seed: int, *, panel: bool = False
) -> _Place:
    """Make a model for a task.

    Raises:
        UserError: an unknown name, or whatever the adapter finds wrong.
    """
    spec, card = wanted.spec, ModelCard()
    if ":" not in spec:
        if spec not in names:
            known = did_you_mean(spec, names) if names else " (there is no models.yaml)"
            raise UserError(f"model '{spec}': neither KIND:NAME, such as hf:./my-t5, nor a name of models.yaml{known}")
        spec, card = names[spec].spec, names[spec].card
    parsed = parse_spec(spec)
    model = make_model(parsed, task=task, seed=seed, usual={"checkpoints": job.checkpoints})
    return _Place(task, wanted, seed, model, card, panel, parsed)


def _plan_one(job: Job, place: _Place) -> PlannedRun:
    task, model, wanted, seed = place.task, place.model, place.wanted, place.seed
    setup = plan_run(
        task,
        model,
        protocol=wanted.protocol,
        label_method=wanted.label_method,
        max_new_tokens=wanted.max_new_tokens,
        shots=wanted.shots if wanted.shots is not None else job.shots,
        seed=seed,
    )
    part = wanted if wanted.limit is not None or wanted.ids is not None else job
    selection = select(task.examples(), limit=part.limit, ids=part.ids)
    return PlannedRun(
        task,
        model,
        setup,
        selection=selection,
        store=RunStore(Path(job.runs) / setup.folder),
        probes=_probes(job.probes, setup),
        challenges=_challenges(job.challenges, task, model, selection),
        card=_card(place),
        spec=place.spec,
    )


def _card(place: _Place) -> ModelCard:
    """Return what is known of a model: the job's word stands before `models.yaml`, and that before the lineage."""
    lineage = place.model.lineage
    told = card_of(lineage).model_dump(exclude_none=True) if lineage else {}
    note = {"note": place.wanted.note} if place.wanted.note else {}
    return ModelCard(**told | place.card.model_dump(exclude_none=True) | note)


def _probes(asked: Sequence[str], setup: RunSetup) -> tuple[str, ...]:
    """Return the probes that a run is asked; a protocol without any is asked none.

    Raises:
        UserError: the protocol has probes, but none of that name.
    """
    known = [probe.name for probe in setup.probes]
    for name in asked:
        if known and name not in known and name != "all":
            raise UserError(
                f"--probes: protocol {setup.protocol.name} has no probe '{name}'{did_you_mean(name, known)}"
            )
    return tuple(known) if "all" in asked else tuple(name for name in known if name in asked)


def _challenges(asked: bool | None, task: Task, model: Model, selection: Selection) -> tuple[str, ...]:  # noqa: FBT001
    """Return the challenge sets that a run is asked.

    Unless the job says otherwise these are all sets where the whole split is asked, but for those of which recorded
    predictions hold nothing.
    """
    names = tuple(task.spec.challenges)
    if asked is not None:
        return names if asked else ()
    if selection.partial:
        return ()
    return tuple(name for name in names if any(model.answers(example) for example in task.challenge(name)))


def task_dirs(job: Job) -> list[Path]:
    """Return the folders in which the job's tasks are looked for too."""
    return [Path(folder) for folder in job.task_dirs]
