"""The main job: plan every run and train what has to be trained, then predict, score and build the page.

All input is checked before anything is asked or written: a wrong label in the second task does not surface after an
hour on the first.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from r2d_bench.documents import check_writable
from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.job import ModelJob
from r2d_bench.judging.panel import judge_planned, judges_for, plan_judgings
from r2d_bench.leaderboard.board import load_board
from r2d_bench.leaderboard.build import build, check_out
from r2d_bench.models.base import Trainable
from r2d_bench.models.cards import ModelCard, NamedModel, card_of, load_models
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.models.spread import check_spread, executor_of, spread
from r2d_bench.runs.asking import Progress
from r2d_bench.runs.budget import Budget
from r2d_bench.runs.execute import Outcome, Sitting, execute
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run
from r2d_bench.runs.selection import Selection, select, union
from r2d_bench.runs.setup import RunSetup, plan_run
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.task import Task, load_task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from r2d_bench.job import Job
    from r2d_bench.judging.panel import FinishedJudging, Judge
    from r2d_bench.judging.setup import JudgeSetup
    from r2d_bench.leaderboard.board import Board
    from r2d_bench.models.base import Model
    from r2d_bench.models.registry import ModelSpec
    from r2d_bench.models.spread_cluster import Executor
    from r2d_bench.records import Json
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


@dataclass(frozen=True)
class FinishedRun:
    """One run with its outcome and scores."""

    setup: RunSetup
    folder: Path
    outcome: Outcome
    scores: Mapping[str, Json]


@dataclass
class Report:
    """What a job did.

    Attributes:
        finished: every run with its scores, in the job's order.
        judged: every judging of a run.
        page: the first page of the site; None where none was asked for.
    """

    finished: list[FinishedRun] = field(default_factory=list)
    judged: list[FinishedJudging] = field(default_factory=list)
    page: Path | None = None

    @property
    def incomplete(self) -> int:
        """Examples without an answer, or without a judge's reply, over all runs."""
        return sum(outcome.incomplete for outcome in self._outcomes)

    @property
    def stopped(self) -> str | None:
        """The limit of the budget that ended the job early, in words."""
        return next((outcome.stopped for outcome in self._outcomes if outcome.stopped), None)

    @property
    def failures(self) -> Counter[str]:
        """Why requests failed, over all runs, commonest first."""
        return sum((outcome.failures for outcome in self._outcomes), Counter())

    @property
    def _outcomes(self) -> list[Outcome]:
        return [run.outcome for run in self.finished] + [judging.outcome for judging in self.judged]


def benchmark(job: Job, reporter: Reporter) -> Report:
    """Run a whole job.

    Raises:
        UserError: anything in the job that cannot work, before anything is written.
    """
    board = load_board(job.board)
    _check_folders(job)
    with executor_of(job) as executor:
        return _benchmark(job, board, executor, reporter)


def _benchmark(job: Job, board: Board, executor: Executor | None, reporter: Reporter) -> Report:
    planned = plan(job, reporter, executor=executor)
    judges = plan_judges(job, planned)
    options = ScoreOptions(bertscore=job.bertscore or board.bertscore, paper=job.paper, seed=job.seed)
    budget = Budget(job.max_requests, job.max_cost)
    report = Report(_ask_and_score(planned, executor, budget, options, reporter))
    report.judged = _judge(planned, judges, budget, reporter)
    if job.site is not None:
        folders = dict.fromkeys([*_task_dirs(job), *(run.task.folder for run in planned)])
        shown = _with_tasks(board, planned)
        report.page = build(shown, Path(job.runs), Path(job.site), list(folders), Path(job.audits))
    return report


def _ask_and_score(
    planned: Sequence[PlannedRun], executor: Executor | None, budget: Budget, options: ScoreOptions, reporter: Reporter
) -> list[FinishedRun]:
    """Ask one model after the other; a run is scored before the next begins, or beside it if that awaits an endpoint.

    A model that computes here needs the processor itself, so that scoring beside it would help neither.
    """
    scorers = Scorers()
    for run in planned:
        if run.setup.no_rationale is None and (encoder := scorers.encoder(run.task, options)) is not None:
            encoder.check()
    done: list[tuple[PlannedRun, Outcome, Future[dict[str, Json]]]] = []
    with ThreadPoolExecutor(1) as beside:  # one: the runs share encoders and readers
        for number, run in enumerate(planned, 1):
            for *_, earlier in done:
                if earlier.done():
                    earlier.result()  # what keeps a run from being scored ends the job now, not after the last model
            reporter.run_started(number, len(planned), run.setup, run.selection)
            outcome = _ask(run, executor, budget, reporter)
            reporter.scoring()
            scores = beside.submit(score_run, run.store, run.task, options, scorers)
            done.append((run, outcome, scores))
            if not any(later.model.capabilities.endpoint for later in planned[number : number + 1]):
                scores.result()
    return [FinishedRun(run.setup, run.store.folder, outcome, scores.result()) for run, outcome, scores in done]


def _ask(run: PlannedRun, executor: Executor | None, budget: Budget, reporter: Reporter) -> Outcome:
    """Ask the model of a run everything that has no answer yet."""
    card = run.card.model_dump(exclude_none=True)
    lineage = run.model.lineage.as_json() if run.model.lineage else None
    by = executor.cluster.as_json() if executor else None
    sitting = Sitting(run.selection, run.probes, run.challenges, budget, card, lineage, by)
    with closing(spread(run.model, run.spec, run.setup.seed, run.task, executor)) as model:
        return execute(run.task, model, run.setup, sitting, run.store, reporter)


def plan_judges(job: Job, planned: Sequence[PlannedRun]) -> dict[str, list[Judge]]:
    """Return the judges of each task, checked before anything is asked.

    Raises:
        UserError: one that does not exist, cannot judge, or may not see a task.
    """
    dirs = [Path(folder) for folder in job.judge_dirs]
    tasks = {run.task.name: run.task for run in planned}
    return {name: judges_for(task, job.judges, dirs, job.seed) for name, task in tasks.items()}


def _judge(
    planned: Sequence[PlannedRun], judges: Mapping[str, Sequence[Judge]], budget: Budget, reporter: Reporter
) -> list[FinishedJudging]:
    """Let the judges of each task go through its runs, one judge after the other."""
    finished: list[FinishedJudging] = []
    for name, panel in judges.items():
        runs = [(run.store, run.task) for run in planned if run.task.name == name]
        for judge in panel:
            with closing(judge.model):
                finished += judge_planned(plan_judgings(runs, judge), budget, reporter)
    return finished


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
    for task in load_tasks(job.tasks, job.data, _task_dirs(job), job.rationale_style):
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


def _task_dirs(job: Job) -> list[Path]:
    return [Path(folder) for folder in job.task_dirs]


def _with_tasks(board: Board, planned: Sequence[PlannedRun]) -> Board:
    """Return the board with the job's own tasks on it, so that a user's task appears without a board of its own."""
    if not board.tasks:  # such a board shows whatever was run
        return board
    names = dict.fromkeys([*board.tasks, *(run.task.name for run in planned)])
    return board.model_copy(update={"tasks": tuple(names)})


def _check_folders(job: Job) -> None:
    """Refuse folders that cannot be written, before an hour of work."""
    for name in filter(None, (job.runs, job.site)):
        check_writable(Path(name))
    if job.site is not None:
        check_out(Path(job.site))
