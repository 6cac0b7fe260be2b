"""Two runs against each other: both orders, and only a preference that both orders agree on counts.

Costs two calls for each example and pair of runs: for a short list of models, after the pointwise scores.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from r2d_bench.documents import write_atomically
from r2d_bench.errors import UserError
from r2d_bench.judging.ask import WAITING, Case, cases_of, check_judge
from r2d_bench.judging.panel import rubric_of
from r2d_bench.judging.prompts import pair_request
from r2d_bench.judging.score import selection_of
from r2d_bench.judging.setup import make_setup
from r2d_bench.judging.store import FOLDER, JudgmentStore, find_judgments
from r2d_bench.judging.verdict import PARSER, read_reply
from r2d_bench.machine import versions
from r2d_bench.metrics.base import About, Metric
from r2d_bench.metrics.figures import means, rate
from r2d_bench.records import digest, missing
from r2d_bench.runs.asking import Asker
from r2d_bench.runs.scoring import check_data
from r2d_bench.runs.selection import Selection, select, union

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from r2d_bench.job import JudgeJob
    from r2d_bench.judging.panel import JudgeReporter
    from r2d_bench.judging.prompts import Order
    from r2d_bench.judging.setup import JudgeSetup
    from r2d_bench.models.base import Model
    from r2d_bench.records import Estimate, Json, Request, Response
    from r2d_bench.runs.budget import Budget
    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.task import Task

MOST_RUNS = 4
NO_ANSWER = "no answer"
ADVANTAGE = Metric(
    "advantage",
    "Advantage",
    About.RATIONALE,
    low=-1.0,
    percent=True,
    decimals=1,
    help="Wins minus losses of the first run, as a share of the items.",
)
ORDERS: tuple[Order, ...] = ("ab", "ba")
# Which run a preference names, by the order in which they were shown.
WINNER = {("ab", "first"): "a", ("ab", "second"): "b", ("ba", "first"): "b", ("ba", "second"): "a"}


@dataclass(frozen=True)
class Pair:
    """Two runs that a judge compares.

    Attributes:
        one, other: the runs.
        task: their task.
        setup: judge and rubric.
        selection: the examples.
    """

    one: RunStore
    other: RunStore
    task: Task
    setup: JudgeSetup
    selection: Selection

    @property
    def store(self) -> JudgmentStore:
        """Where replies go: in the first run's folder, named with the other run."""
        name = f"{self.setup.folder}--vs--{digest(self.other.name, 8)}"
        return JudgmentStore(self.one.folder / FOLDER / name)


@dataclass(frozen=True)
class PlannedPair(Pair):
    """Two runs whose comparison has been checked and not yet begun.

    Attributes:
        model: the judge.
    """

    model: Model


@dataclass(frozen=True, slots=True)
class Preference:
    """What a judge said of one example.

    Attributes:
        example_id: the example.
        outcome: `a`, `b`, `tie` or `turned` (the orders name different runs); None without a preference.
        unscored: why there is none.
    """

    example_id: str
    outcome: str | None
    unscored: str | None = None


@dataclass(frozen=True, slots=True)
class PairResult:
    """What a judge said of two runs.

    Attributes:
        one, other: names of the runs.
        judge: title of the judge.
        wins, losses: items where both orders prefer the first run's rationale, or the other's.
        ties: items that are ties in both orders or in one.
        turned: items where the two orders name different runs; they count as ties.
        unscored: reason → items without a preference.
        advantage: (wins - losses) / items.
        consistency: share of items where both orders say the same.
        waiting: items that were asked about last and still lack a reply.
    """

    one: str
    other: str
    judge: str
    wins: int
    losses: int
    ties: int
    turned: int
    unscored: Mapping[str, int]
    advantage: Estimate
    consistency: Estimate
    waiting: int

    def as_json(self) -> dict[str, Json]:
        """Return the result as it stands in `scores.json`."""
        plain = {key: value for key, value in asdict(self).items() if key not in {"advantage", "consistency"}}
        return plain | {"advantage": self.advantage.as_json(), "consistency": self.consistency.as_json()}


def plan_pairs(
    runs: Sequence[tuple[RunStore, Task]], job: JudgeJob, dirs: Sequence[Path], model: Model
) -> list[PlannedPair]:
    """Check everything that can be known before the first request.

    Raises:
        UserError: other than two to four runs, runs of several tasks or data, a run without rationales, or a judge that
            may not see the task or cannot judge.
    """
    rubric = rubric_of(job, dirs)
    if job.repeats > 1:
        raise UserError(f"judge {rubric.spec.name} compares two runs: it asks each pair once (leave out --repeats)")
    if not 2 <= len(runs) <= MOST_RUNS:
        raise UserError(f"judge {rubric.spec.name} compares two to {MOST_RUNS} runs; {len(runs)} were given")
    task = runs[0][1]
    check_judge(task, model)
    setup = make_setup(rubric, model, job.method)
    for run, own in runs:
        known = run.setup()
        if own.name != task.name:
            raise UserError(f"judge {rubric.spec.name} compares runs of one task, not of {task.name} and {own.name}")
        check_data(known, task)
        if known.no_rationale is not None:
            raise UserError(f"{run.name}: has no rationales to judge ({known.no_rationale})")
    return [
        PlannedPair(one, other, task, setup, _common(one, other, task, job.sample), model)
        for (one, _), (other, _) in combinations(runs, 2)
    ]


def _common(one: RunStore, other: RunStore, task: Task, sample: int | None) -> Selection:
    examples = task.examples(one.setup().split)
    both = set(union(examples, one.selections()).ids) & set(union(examples, other.selections()).ids)
    if not both:
        raise UserError(f"{one.name} and {other.name}: no example was asked in both")
    chosen = select([example for example in examples if example.id in both], limit=sample)
    return Selection(chosen.ids, len(examples), chosen.how if sample else "asked in both runs")


def compare_pair(pair: PlannedPair, budget: Budget, reporter: JudgeReporter) -> PairResult:
    """Ask the judge in both orders, going on where it stopped.

    Raises:
        UserError: the folder is held by another process, or the judge may not see the task.
    """
    check_judge(pair.task, pair.model)
    reporter.judging(
        f"{pair.one.name} and {pair.other.name}", pair.setup, asked=len(pair.selection.ids), of=pair.selection.of
    )
    store = pair.store
    questions = questions_of(pair)
    with store.locked():
        store.keep_setup(pair.setup.as_json() | {"other": pair.other.name})
        asker = Asker(pair.model, store.responses(), budget, reporter)
        with (
            store.sitting(
                {
                    "selection": pair.selection.as_json() | {"ids": list(pair.selection.ids)},
                    "repeats": 1,
                    "repeated": [],
                    "parser": PARSER,
                    "versions": versions(),
                },
                asker.spent,
            ),
            store.writer() as write,
        ):
            asker.ask("judge", [request for both in questions.values() for request in both], write)
        return _read(pair, questions)


def read_pairs(runs: Sequence[tuple[RunStore, Task]], rubric: str) -> list[PairResult]:
    """Read the stored replies about these runs again; write preferences and figures down. No judge is asked.

    Args:
        runs: the runs that were compared.
        rubric: name of the pairwise rubric.

    Raises:
        UserError: a run was made on other data, or a folder is held by another process.
    """
    by_name = {run.name: run for run, _ in runs}
    found = []
    for run, task in runs:
        for store in find_judgments(run.folder):
            other = by_name.get(str(store.manifest()["setup"].get("other")))
            if store.setup().rubric.spec.name == rubric and other is not None:
                for one in (run, other):
                    check_data(one.setup(), task)
                with store.locked():
                    found.append(_read(Pair(run, other, task, store.setup(), selection_of(store, run, task))))
    return found


def _read(pair: Pair, asked: Mapping[str, list[Request]] | None = None) -> PairResult:
    """Read all stored replies of a comparison, and write down what they say.

    Args:
        pair: the comparison.
        asked: the questions of this sitting.
    """
    whole = replace(pair, selection=selection_of(pair.store, pair.one, pair.task))
    same = asked is not None and whole.selection.ids == pair.selection.ids
    questions = asked if asked is not None and same else questions_of(whole)
    found = _preferences(whole, questions, pair.store.responses())
    result = _result(whole, found, set(pair.selection.ids))
    lines = [json.dumps(asdict(one), ensure_ascii=False) for one in found]
    write_atomically(pair.store.folder / "preferences.jsonl", "".join(f"{line}\n" for line in lines))
    pair.store.write_scores(result.as_json())
    return result


def questions_of(pair: Pair) -> dict[str, list[Request]]:
    """Return example → its requests in both orders; examples that one of the runs never answered have none."""
    firsts, seconds = (
        {case.candidate.example_id: case for case in cases_of(run, pair.task, pair.setup.rubric, pair.selection.ids)}
        for run in (pair.one, pair.other)
    )
    found = {}
    for ident in pair.selection.ids:
        one, other = firsts[ident], seconds[ident]
        if not _lost(one) and not _lost(other):
            found[ident] = [
                pair_request(pair.setup.rubric, one.candidate, other.candidate, order=order, chat=pair.setup.chat)
                for order in ORDERS
            ]
    return found


def _lost(case: Case) -> bool:
    """Tell whether the run has no answer at all; an empty rationale is compared as the text that it is."""
    return case.ruled is not None and case.ruled.unscored is not None


def _preferences(
    pair: Pair, questions: Mapping[str, list[Request]], responses: Mapping[str, Response]
) -> list[Preference]:
    """Return what the replies say of each example of a comparison."""
    found = []
    for ident in pair.selection.ids:
        if ident not in questions:
            found.append(Preference(ident, None, NO_ANSWER))
            continue
        outcome, reason = _outcome(pair, questions[ident], responses)
        found.append(Preference(ident, outcome, reason or None))
    return found


def _result(pair: Pair, preferences: Sequence[Preference], asked: set[str]) -> PairResult:
    """Return the figures of a comparison.

    Args:
        pair: the comparison.
        preferences: of all examples that were ever asked about.
        asked: those that were asked about last.
    """
    import numpy as np  # noqa: PLC0415

    told = {one.example_id: one.outcome for one in preferences if one.outcome is not None}
    unscored = dict(Counter(one.unscored for one in preferences if one.unscored))
    said, codes, lacking = list(told.values()), _codes(pair, list(told)), sum(unscored.values())
    values = np.array([{"a": 1.0, "b": -1.0}.get(one, 0.0) for one in said])
    nothing = missing("no comparison", unscored=lacking)
    return PairResult(
        one=pair.one.name,
        other=pair.other.name,
        judge=pair.setup.identity.title,
        wins=said.count("a"),
        losses=said.count("b"),
        ties=said.count("tie"),
        turned=said.count("turned"),
        unscored=unscored,
        advantage=means(values[:, None], codes, unscored=lacking)[0] if said else nothing,
        consistency=rate(np.array([one != "turned" for one in said], dtype=bool), codes, unscored=lacking),
        waiting=sum(one.unscored == WAITING and one.example_id in asked for one in preferences),
    )


def _outcome(pair: Pair, requests: Sequence[Request], responses: Mapping[str, Response]) -> tuple[str | None, str]:
    """Return `a`, `b`, `tie` or `turned` (the orders contradict each other); None with the reason."""
    named = []
    for order, request in zip(ORDERS, requests, strict=True):
        reply = responses.get(request.key)
        if reply is None:
            return None, WAITING
        parsed = read_reply(pair.setup.rubric.spec, reply)
        if parsed.preference is None:
            return None, parsed.unscored or "parse"
        named.append(WINNER.get((order, parsed.preference), "tie"))
    if named[0] == named[1]:
        return named[0], ""
    return ("turned" if "tie" not in named else "tie"), ""


def _codes(pair: Pair, ids: Sequence[str]) -> NDArray[np.int64] | None:
    """Return the cluster of each example; None where they are independent."""
    import numpy as np  # noqa: PLC0415

    groups = {e.id: e.group for e in pair.task.examples(pair.one.setup().split)}
    if not ids or any(groups[ident] is None for ident in ids):
        return None
    return np.asarray(np.unique([str(groups[ident]) for ident in ids], return_inverse=True)[1], dtype=np.int64)
