"""Asking a judge about the rationales of a run: planned and checked, asked, read.

What is asked is a list of cases; a case that a rule decides costs no call. Replies are stored as they come, and the
verdicts are read from them afterwards, so that reading again (`--parse-only`) needs no judge.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError
from r2d_bench.judging.candidates import Candidate, candidate_of
from r2d_bench.judging.jury import score_juries
from r2d_bench.judging.prompts import judge_request, probability_request
from r2d_bench.judging.score import score_judgments
from r2d_bench.judging.setup import JudgeSetup, make_setup
from r2d_bench.judging.store import FOLDER, JudgmentStore
from r2d_bench.judging.verdict import PARSER, Parsed, Verdict, by_rule, expected_score, read_reply, unscored, verdict_of
from r2d_bench.machine import versions
from r2d_bench.runs.asking import Asker
from r2d_bench.runs.execute import Outcome
from r2d_bench.runs.predictions import Reader
from r2d_bench.runs.scoring import check_data
from r2d_bench.runs.selection import Selection, asked_examples, select, union
from r2d_bench.tasks.privacy import check_endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from r2d_bench.judging.rubric import LoadedRubric
    from r2d_bench.judging.setup import Method
    from r2d_bench.models.base import Model
    from r2d_bench.records import Request, Response
    from r2d_bench.runs.asking import Progress
    from r2d_bench.runs.budget import Budget
    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.task import Task

WAITING = "transport"


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """How much is judged, and how.

    Attributes:
        sample: so many of the run's examples, labels in proportion; None: all.
        repeats: how often the repeated examples are asked about.
        repeated: how many examples are asked about more than once, to see the judge's own noise.
        method: see `JudgeSetup`.
    """

    sample: int | None = None
    repeats: int = 1
    repeated: int = 0
    method: Method = "reply"


@dataclass(frozen=True, slots=True)
class Case:
    """One rationale: what is shown, or the verdict that a rule gives."""

    candidate: Candidate
    ruled: Verdict | None = None


@dataclass(frozen=True)
class PlannedJudging:
    """One judging that has been checked and not yet begun.

    Attributes:
        run: whose rationales.
        task: the task.
        model: the judge.
        setup: judge and rubric.
        selection: the examples of this sitting.
        options: how much is asked.
        store: where replies go.
    """

    run: RunStore
    task: Task
    model: Model
    setup: JudgeSetup
    selection: Selection
    options: JudgeOptions
    store: JudgmentStore = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "store", JudgmentStore(self.run.folder / FOLDER / self.setup.folder))

    @property
    def repeated(self) -> tuple[str, ...]:
        """The examples of this sitting that are asked about more than once, labels in proportion."""
        if self.options.repeats < 2 or self.options.repeated < 1:
            return ()
        chosen = set(self.selection.ids)
        examples = [example for example in self.task.examples(self.run.setup().split) if example.id in chosen]
        return select(examples, limit=self.options.repeated).ids


def check_judge(task: Task, model: Model) -> None:
    """Refuse to let a judge see texts that may not go to it.

    Raises:
        UserError: the task is not public and the judge's endpoint is neither loopback nor named by the task.
    """
    check_endpoint(task.spec, model.capabilities.endpoint, f"the judge {model.identity.title}")


def plan_judging(
    run: RunStore, task: Task, rubric: LoadedRubric, model: Model, options: JudgeOptions
) -> PlannedJudging:
    """Check everything that can be known before the first request.

    Raises:
        UserError: the judge may not see the task, reads no prompts, or the run was made on other data.
    """
    check_judge(task, model)
    if rubric.spec.mode == "pairwise":
        raise UserError(f"judge {rubric.spec.name} compares two runs: name them both")
    run_setup = run.setup()
    check_data(run_setup, task)
    if run_setup.no_rationale is not None:
        raise UserError(f"{run.name}: has no rationales to judge ({run_setup.no_rationale})")
    asked = union(task.examples(run_setup.split), run.selections())
    chosen = asked
    if options.sample is not None:
        ids = set(asked.ids)
        part = select([e for e in task.examples(run_setup.split) if e.id in ids], limit=options.sample)
        chosen = Selection(part.ids, asked.of, f"sample of {len(part.ids)}, labels in proportion")
    return PlannedJudging(run, task, model, make_setup(rubric, model, options.method), chosen, options)


def cases_of(run: RunStore, task: Task, rubric: LoadedRubric, ids: Sequence[str]) -> list[Case]:
    """Return the cases of a run's examples, in the split's order."""
    run_setup = run.setup()
    asked = task.in_style(run.style(of_probes=True))
    reader, responses = Reader(asked, run_setup), run.responses()
    examples = asked_examples(asked, run_setup.split, Selection(tuple(ids), len(ids), ""), ())
    cases = []
    for example in examples:
        said = reader.prediction(example, responses)
        candidate = candidate_of(asked, example, said, rubric.spec)
        cases.append(Case(candidate, by_rule(rubric, candidate, said)))
    return cases


def judge_run(planned: PlannedJudging, budget: Budget, progress: Progress) -> Outcome:
    """Ask the judge, going on where it stopped, and read its verdicts.

    Raises:
        UserError: the folder is held by another process, or cannot be written; or the judge may not see the task.
    """
    check_judge(planned.task, planned.model)
    started, store, setup = time.monotonic(), planned.store, planned.setup
    cases = cases_of(planned.run, planned.task, setup.rubric, planned.selection.ids)
    with store.locked():
        store.keep_setup(setup.as_json())
        asker = Asker(planned.model, store.responses(), budget, progress)
        with (
            store.sitting(
                {
                    "selection": planned.selection.as_json() | {"ids": list(planned.selection.ids)},
                    "repeats": planned.options.repeats,
                    "repeated": list(planned.repeated),
                    "parser": PARSER,
                    "versions": versions(),
                },
                asker.spent,
            ),
            store.writer() as write,
        ):
            questions = Questions(setup, cases, dict.fromkeys(planned.repeated, planned.options.repeats))
            asker.ask("judge", questions.first(), write)
            if again := questions.again(asker.responses):
                asker.ask("judge, form alone", again, write)
        same = store.ids() == set(planned.selection.ids) and store.repeats() == questions.repeats
        verdicts = read_judgments(store, planned.run, planned.task, questions if same else None)
    asked_now = set(planned.selection.ids)
    waiting = sum(v.unscored == WAITING and v.example_id in asked_now for v in verdicts)
    seconds = round(time.monotonic() - started, 3)
    return Outcome(asker.answered, asker.failures, waiting, seconds, budget.met() if waiting else None)


def read_judgments(
    store: JudgmentStore, run: RunStore, task: Task, questions: Questions | None = None
) -> list[Verdict]:
    """Read all stored replies of a judging again; write verdicts and figures down. No judge is asked.

    Args:
        store: the judging.
        run: the run that was judged.
        task: its task.
        questions: about all of its cases, where they are at hand.

    Raises:
        UserError: the folder is none, or the run was made on other data.
    """
    check_data(run.setup(), task)
    if questions is None:
        setup, ids = store.setup(), store.ids()
        cases = cases_of(run, task, setup.rubric, [e.id for e in task.examples(run.setup().split) if e.id in ids])
        questions = Questions(setup, cases, store.repeats())
    verdicts = questions.verdicts(store.responses())
    store.write_verdicts(verdicts)
    score_judgments(store, run, task, verdicts)
    score_juries(run, task)
    return verdicts


class Questions:
    """What a judge is asked about a list of cases, and what its replies say. Pure: requests and replies are data.

    Args:
        setup: judge and rubric.
        cases: the cases.
        repeats: example → how often it is asked about, where it is more than once.
    """

    def __init__(self, setup: JudgeSetup, cases: Sequence[Case], repeats: Mapping[str, int]) -> None:
        self._setup = setup
        self._rubric = setup.rubric
        self._cases = cases
        self._repeats = repeats
        # By the case itself, since an audit changes one example in many ways; prompts are long, their keys short.
        self._keys: dict[tuple[int, int], list[str]] = {}

    @property
    def repeats(self) -> dict[str, int]:
        """How often each example is asked about, where it is more than once."""
        return dict(self._repeats)

    def first(self) -> list[Request]:
        """Return every first question; cases that a rule decides have none."""
        return [request for case in self._cases for n in self._times(case) for request in self._requests(case, n)]

    def again(self, responses: Mapping[str, Response]) -> list[Request]:
        """Return the second question, for the form alone, of every reply that could not be read."""
        if self._setup.method == "probability":
            return []
        found = []
        for case in self._cases:
            for repeat in self._times(case):
                reply = responses.get(self._asked(case, repeat)[0])
                if reply is not None and read_reply(self._rubric.spec, reply).askable:
                    found.append(self._second(case, repeat, reply))
        return found

    def verdicts(self, responses: Mapping[str, Response]) -> list[Verdict]:
        """Return the verdict of every case and repeat, unscored ones with their reason."""
        found = []
        for case in self._cases:
            if case.ruled is not None:
                found.append(case.ruled)
            for repeat in self._times(case):
                read = self._expected if self._setup.method == "probability" else self._read
                found.append(read(case, repeat, responses))
        return found

    def _asked(self, case: Case, repeat: int) -> list[str]:
        """Return the keys of a case's first questions, one for each criterion where probabilities are asked for."""
        name = (id(case), repeat)
        if name not in self._keys:
            self._requests(case, repeat)
        return self._keys[name]

    def _times(self, case: Case) -> range:
        return range(1, 1 if case.ruled is not None else 1 + self._repeats.get(case.candidate.example_id, 1))

    def _requests(self, case: Case, repeat: int) -> list[Request]:
        chat = self._setup.chat
        if self._setup.method == "probability":
            # Probabilities do not change from one time to the next: they are asked for once.
            criteria = self._rubric.spec.criteria if repeat == 1 else ()
            found = [probability_request(self._rubric, case.candidate, one.name, chat=chat) for one in criteria]
        else:
            found = [judge_request(self._rubric, case.candidate, chat=chat, repeat=repeat)]
        self._keys[id(case), repeat] = [request.key for request in found]
        return found

    def _second(self, case: Case, repeat: int, reply: Response) -> Request:
        return judge_request(self._rubric, case.candidate, chat=self._setup.chat, repeat=repeat, reask_of=reply.text)

    def _read(self, case: Case, repeat: int, responses: Mapping[str, Response]) -> Verdict:
        reply = responses.get(self._asked(case, repeat)[0])
        if reply is None:
            return unscored(case.candidate.example_id, WAITING, "no reply yet", repeat=repeat)
        parsed = read_reply(self._rubric.spec, reply)
        if parsed.askable and (second := responses.get(self._second(case, repeat, reply).key)) is not None:
            mended = read_reply(self._rubric.spec, second)
            if mended.unscored is None:
                return verdict_of(case.candidate, mended, repeat=repeat, reasked=True)
            return verdict_of(case.candidate, parsed, repeat=repeat, reasked=True)
        return verdict_of(case.candidate, parsed, repeat=repeat)

    def _expected(self, case: Case, repeat: int, responses: Mapping[str, Response]) -> Verdict:
        replies = [responses.get(key) for key in self._asked(case, repeat)]
        scores = {}
        for criterion, reply in zip(self._rubric.spec.criteria, replies, strict=False):
            if reply is None:
                return unscored(case.candidate.example_id, WAITING, "no reply yet", repeat=repeat)
            expected = expected_score(self._rubric.spec, reply.scores or {})
            if expected is None:
                return unscored(case.candidate.example_id, "parse", "no probabilities came", repeat=repeat)
            scores[criterion.name] = expected
        return verdict_of(case.candidate, Parsed(dict(scores)), repeat=repeat, method="probability")
