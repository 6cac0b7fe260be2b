"""What a job would ask and cost, without asking (`run --dry-run`). No model is loaded.

Tokens are estimated at four characters each; prompts of later stages are filled with gold outputs, since the model's
own are not there yet; answers are taken at their budget, which is an upper bound. Time is told where earlier sittings
of the same model tell a rate.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from r2d_bench.judging.ask import Case, Questions, cases_of
from r2d_bench.judging.candidates import make_candidate
from r2d_bench.judging.pairwise import questions_of
from r2d_bench.judging.store import FOLDER, JudgmentStore
from r2d_bench.models.base import Trainable
from r2d_bench.protocols.shots import gold_output
from r2d_bench.runs.predictions import Reader
from r2d_bench.runs.selection import asked_examples
from r2d_bench.runs.store import find_runs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from r2d_bench.judging.ask import PlannedJudging
    from r2d_bench.judging.candidates import Candidate
    from r2d_bench.judging.pairwise import PlannedPair
    from r2d_bench.judging.panel import Judge
    from r2d_bench.models.base import Model
    from r2d_bench.planning import PlannedRun
    from r2d_bench.protocols.spec import Stage
    from r2d_bench.records import Example, Json, Request, Response
    from r2d_bench.runs.answers import AnswerLog

CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """What one run would still ask.

    Attributes:
        run: name of its folder.
        training: stage → the most steps that are trained first; empty where nothing has to be.
        requests: stage → requests that are not answered yet.
        stored: answers that are there already.
        input_tokens: about so many.
        output_tokens: at most so many.
        cost: US dollars, at most; None where no price is known.
        price_source: where the prices come from.
        seconds: at the rate of earlier sittings; None where there were none.
    """

    run: str
    training: dict[str, int]
    requests: dict[str, int]
    stored: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    price_source: str | None
    seconds: float | None

    def as_json(self) -> dict[str, Json]:
        """Return the estimate for --json."""
        return asdict(self)


def estimate(planned: Sequence[PlannedRun], runs: Path, probes: Sequence[str] = ()) -> list[RunEstimate]:
    """Return what each run would still ask.

    Args:
        planned: the runs of a job.
        runs: the folder of the run folders, where earlier sittings tell rates.
        probes: names of the probes that would be asked too.
    """
    rates = _rates(runs)
    return [_estimate(run, probes, rates) for run in planned]


def _estimate(run: PlannedRun, probes: Sequence[str], rates: Mapping[str, float]) -> RunEstimate:
    stored = 0
    requests: dict[str, int] = {}
    input_tokens = output_tokens = 0
    responses = run.store.responses() if (run.store.folder / "run.json").is_file() else {}
    for stage, request in _requests(run, probes, responses):
        requests.setdefault(stage, 0)
        if request.key in responses:
            stored += 1
            continue
        requests[stage] += 1
        input_tokens += _characters(request) // CHARACTERS_PER_TOKEN
        output_tokens += request.max_new_tokens
    prices = run.model.prices()
    rate = rates.get(_who(run.setup.model))
    return RunEstimate(
        run=run.store.name,
        training=run.model.plan.steps if isinstance(run.model, Trainable) and not run.model.ready else {},
        requests=requests,
        stored=stored,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost=round(prices.input * input_tokens + prices.output * output_tokens, 4) if prices else None,
        price_source=prices.source if prices else None,
        seconds=round(sum(requests.values()) / rate, 3) if rate else None,
    )


def estimate_judging(planned: PlannedJudging) -> RunEstimate:
    """Return what a judging would still ask; questions for the form alone come on top where replies cannot be read."""
    cases = cases_of(planned.run, planned.task, planned.setup.rubric, planned.selection.ids)
    questions = Questions(planned.setup, cases, dict.fromkeys(planned.repeated, planned.options.repeats))
    return estimate_requests(
        f"{planned.run.name}/{planned.store.name}", questions.first(), planned.store, planned.model
    )


def estimate_judges(planned: Sequence[PlannedRun], judges: Mapping[str, Sequence[Judge]]) -> list[RunEstimate]:
    """Return what the judges of a job would ask about runs that are still to come.

    Gold rationales stand for those that the models will write; without any, the input does.

    Args:
        planned: the runs of the job.
        judges: task → its judges.
    """
    found = []
    for run in planned:
        if run.setup.no_rationale is not None:
            continue
        examples = asked_examples(run.task, run.setup.split, run.selection, ())
        for judge in judges[run.task.name]:
            how = judge.options
            part = examples if how.sample is None else examples[: how.sample]
            twice = part[: how.repeated] if how.repeats > 1 else ()
            questions = Questions(
                judge.setup,
                [Case(_stand_in(judge, example)) for example in part],
                dict.fromkeys((example.id for example in twice), how.repeats),
            )
            folder = JudgmentStore(run.store.folder / FOLDER / judge.setup.folder)
            name = f"{run.store.name}/{folder.name}"
            found.append(estimate_requests(name, questions.first(), folder, judge.model))
    return found


def _stand_in(judge: Judge, example: Example) -> Candidate:
    text = example.references[0] if example.references else example.input
    return make_candidate(judge.rubric.spec, example, example.gold, text)


def estimate_pairs(pair: PlannedPair) -> RunEstimate:
    """Return what a comparison of two runs would still ask."""
    requests = [request for both in questions_of(pair).values() for request in both]
    return estimate_requests(f"{pair.one.name} and {pair.other.name}", requests, pair.store, pair.model)


def estimate_requests(name: str, requests: Sequence[Request], log: AnswerLog, model: Model) -> RunEstimate:
    """Return what a list of requests would still cost.

    Args:
        name: whose requests.
        requests: all of them.
        log: where answers are stored already.
        model: who is asked.
    """
    responses = log.responses()
    waiting = [request for request in requests if request.key not in responses]
    read = sum(_characters(request) // CHARACTERS_PER_TOKEN for request in waiting)
    written = sum(request.max_new_tokens for request in waiting)
    prices = model.prices()
    return RunEstimate(
        run=name,
        training={},
        requests={"judge": len(waiting)},
        stored=len(requests) - len(waiting),
        input_tokens=read,
        output_tokens=written,
        cost=round(prices.input * read + prices.output * written, 4) if prices else None,
        price_source=prices.source if prices else None,
        seconds=None,
    )


def _requests(
    run: PlannedRun, probes: Sequence[str], responses: Mapping[str, Response]
) -> Iterator[tuple[str, Request]]:
    """Yield every request of a run, later stages as they are or, without an answer before them, filled with gold."""
    reader, prompts = Reader(run.task, run.setup, probes), run.setup.prompts(run.task)
    asked = [probe for probe in run.setup.probes if probe.name in probes]
    for example in asked_examples(run.task, run.setup.split, run.selection, run.challenges):
        gold = {s.name: gold_output(run.task, run.setup.protocol, s, example) for s in _writable(run)}
        for stage in (*run.setup.stages, *(asked if example.split == run.setup.split else ())):
            request = reader.request(stage.name, example, responses)
            if request is None and reader.waits(stage.name, example):
                request = prompts[stage.name].request(example, gold)
            if request is not None:
                yield stage.name, request


def _writable(run: PlannedRun) -> Iterator[Stage]:
    """Yield the stages whose gold output can be written (a regex cannot)."""
    return (stage for stage in run.setup.stages if stage.output.regex is None)


def _characters(request: Request) -> int:
    if isinstance(request.prompt, str):
        return len(request.prompt)
    return sum(len(turn.content) for turn in request.prompt)


def _rates(runs: Path) -> dict[str, float]:
    """Return requests a second of each model, over its finished sittings."""
    answered: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for store in find_runs(runs):
        manifest = store.manifest()
        who = _who(manifest["setup"]["model"])
        for sitting in manifest["sittings"]:
            if sitting["finished"] and sitting["answered"]:
                answered[who] = answered.get(who, 0.0) + sitting["answered"]
                seconds[who] = seconds.get(who, 0.0) + sitting["seconds"]
    return {who: count / seconds[who] for who, count in answered.items() if seconds[who] > 0}


def _who(model: Mapping[str, Json]) -> str:
    return f"{model['kind']}:{model['name']}:{model['digest']}"
