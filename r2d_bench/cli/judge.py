"""`judge`: language models score the rationales of finished runs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.cli import options

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace

    from r2d_bench.job import JudgeJob
    from r2d_bench.judging.panel import FinishedJudging, Judge
    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.task import Task

EXAMPLES = """\
  r2d-bench judge runs/triage-* --judge clinical_rationale --model api:openai/gpt-4o-mini --dry-run
  r2d-bench judge runs/triage-* --judge label_support --model hf:org/chat-model --sample 100
  r2d-bench judge RUN --judge clinical_rationale --model api:openai/a,temperature=0 --model api:openai/b     a jury
  r2d-bench judge RUN --judge clinical_rationale --parse-only        read the stored replies again
  r2d-bench judge RUN RUN --judge pairwise --model api:openai/gpt-4o-mini
the same command again goes on where it stopped
"""


def add_parser(verbs: options.Verbs[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = options.add_verb(verbs, "judge", "Let language models judge the rationales of runs.", main, EXAMPLES)
    parser.add_argument("folders", nargs="+", metavar="RUN", help="a run folder")
    parser.add_argument("--judge", required=True, metavar="NAME", help="a rubric: its name or folder (judges list)")
    parser.add_argument(
        "--model", action="append", default=[], metavar="SPEC[,SPEC…]", help="who judges; several are a jury"
    )
    parser.add_argument("--sample", type=int, metavar="N", help="only N rationales of each run, labels in proportion")
    parser.add_argument("--repeats", type=int, default=1, metavar="K", help="ask K times, to see the judge's own noise")
    parser.add_argument(
        "--repeat-sample", type=int, default=20, metavar="N", help="repeat so many examples (default: 20)"
    )
    parser.add_argument(
        "--score-method", choices=["reply", "probability"], default="reply", help="how scores are had (default: reply)"
    )
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="budget of a reply (default: the rubric's)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the judge (default: 0)")
    parser.add_argument("--parse-only", action="store_true", help="read the stored replies again; ask nothing")
    parser.add_argument("--dry-run", action="store_true", help="tell calls, tokens and cost; ask nothing")
    parser.add_argument("--max-requests", type=int, metavar="N", help="stop cleanly after N requests")
    parser.add_argument("--max-cost", type=float, metavar="USD", help="stop cleanly when so much is spent")
    options.add_judge_dir(parser)
    options.add_data(parser)
    options.add_task_dir(parser)
    options.add_json(parser)


def main(args: Namespace) -> int:
    """Judge the runs."""
    from r2d_bench.cli.judge_tables import show_judgments
    from r2d_bench.errors import UserError
    from r2d_bench.judging.rubric import load_rubric

    pairwise = load_rubric(args.judge, [Path(folder) for folder in args.judge_dir]).spec.mode == "pairwise"
    runs = _runs(args)
    if args.parse_only:
        stores = _read_again(args, runs)
    else:
        if not args.model:
            raise UserError("no judge given: name one with --model (hf:…, api:…), or read stored replies: --parse-only")
        job = _job(args)
        if pairwise:
            return _pairs(args, runs, job)
        if args.dry_run:
            return _dry_run(args, runs, job)
        stores = _ask(args, runs, job)
    show_judgments(stores, as_json=args.json)
    return 0


def _runs(args: Namespace) -> list[tuple[RunStore, Task]]:
    """Return the runs with their tasks; one task is loaded once."""
    from r2d_bench.benchmark import load_tasks
    from r2d_bench.runs.store import RunStore

    data = options.data_pairs(args.data)
    dirs = [Path(folder) for folder in args.task_dir]
    stores = [RunStore(Path(folder)) for folder in dict.fromkeys(args.folders)]
    names = [store.setup().task.rpartition("@")[0] for store in stores]  # all are runs, before any task is loaded
    tasks = {name: load_tasks([name], data, dirs)[0] for name in dict.fromkeys(names)}
    return [(store, tasks[name]) for store, name in zip(stores, names, strict=True)]


def _job(args: Namespace) -> JudgeJob:
    from r2d_bench.documents import check
    from r2d_bench.job import JudgeJob
    from r2d_bench.judging.panel import split_specs

    values = {
        "judge": args.judge,
        "models": split_specs(args.model),
        "sample": args.sample,
        "repeats": args.repeats,
        "repeated": args.repeat_sample if args.repeats > 1 else 0,
        "method": args.score_method,
        "max_new_tokens": args.max_new_tokens,
    }
    return check(JudgeJob, values, "judge")


def _judges(args: Namespace, runs: list[tuple[RunStore, Task]], job: JudgeJob) -> dict[str, list[Judge]]:
    from r2d_bench.judging.panel import judges_for

    dirs = [Path(folder) for folder in args.judge_dir]
    tasks = {task.name: task for _, task in runs}
    return {name: judges_for(task, [job], dirs, args.seed) for name, task in tasks.items()}


def _ask(args: Namespace, runs: list[tuple[RunStore, Task]], job: JudgeJob) -> list[Path]:
    """Ask every judge about every run; returns the folders of the judgings."""
    from contextlib import closing

    from r2d_bench.cli.console import make_reporter
    from r2d_bench.judging.panel import judge_runs
    from r2d_bench.runs.budget import Budget

    panels = _judges(args, runs, job)
    budget = Budget(args.max_requests, args.max_cost)
    done: list[FinishedJudging] = []
    with make_reporter() as reporter:
        for name, panel in panels.items():
            for judge in panel:
                with closing(judge.model):
                    own = [(run, task) for run, task in runs if task.name == name]
                    done += judge_runs(own, judge, budget, reporter)
    _check_complete(done)
    return [one.planned.store.folder for one in done]


def _check_complete(done: list[FinishedJudging]) -> None:
    """Tell what is left, and how to go on.

    Raises:
        UserError: no run has rationales.
        IncompleteRunError: some questions have no reply.
    """
    from collections import Counter

    from r2d_bench.errors import IncompleteRunError, UserError

    if not done:
        raise UserError("none of these runs has rationales to judge")
    waiting = sum(one.outcome.incomplete for one in done)
    if not waiting:
        return
    again = shlex.join(["r2d-bench", *sys.argv[1:]])
    stopped = next((one.outcome.stopped for one in done if one.outcome.stopped), None)
    failures: Counter[str] = sum((one.outcome.failures for one in done), Counter())
    why = f"stopped at {stopped}" if stopped else ", ".join(f"{k}: {n} requests" for k, n in failures.most_common())
    raise IncompleteRunError(f"{waiting} rationales have no verdict yet ({why}); go on with: {again}")


def _dry_run(args: Namespace, runs: list[tuple[RunStore, Task]], job: JudgeJob) -> int:
    from r2d_bench.cli.console import show_estimates
    from r2d_bench.estimate import estimate_judging
    from r2d_bench.judging.ask import plan_judging

    panels = _judges(args, runs, job)
    planned = [
        plan_judging(run, task, judge.rubric, judge.model, judge.options)
        for run, task in runs
        if run.setup().no_rationale is None
        for judge in panels[task.name]
    ]
    show_estimates([estimate_judging(one) for one in planned], as_json=args.json)
    return 0


def _read_again(args: Namespace, runs: list[tuple[RunStore, Task]]) -> list[Path]:
    """Read the stored replies of a judge again; returns the folders."""
    from r2d_bench.errors import UserError
    from r2d_bench.judging.ask import read_judgments
    from r2d_bench.judging.rubric import load_rubric
    from r2d_bench.judging.store import find_judgments

    name = load_rubric(args.judge, [Path(folder) for folder in args.judge_dir]).spec.name
    found = [
        (store, run, task)
        for run, task in runs
        for store in find_judgments(run.folder)
        if store.setup().rubric.spec.name == name
    ]
    if not found:
        raise UserError(f"no replies of judge {name} are stored in these runs: ask one first (--model)")
    for store, run, task in found:
        with store.locked():
            read_judgments(store, run, task)
    return [store.folder for store, _, _ in found]


def _pairs(args: Namespace, runs: list[tuple[RunStore, Task]], job: JudgeJob) -> int:
    """Compare every two of a few runs."""
    from contextlib import closing

    from r2d_bench.cli.console import make_reporter, show_estimates
    from r2d_bench.cli.judge_tables import show_pairs
    from r2d_bench.estimate import estimate_pairs
    from r2d_bench.judging.pairwise import compare_pair, plan_pairs
    from r2d_bench.models.registry import make_model, parse_spec
    from r2d_bench.runs.budget import Budget

    dirs = [Path(folder) for folder in args.judge_dir]
    budget, results = Budget(args.max_requests, args.max_cost), []
    for spec in job.models:
        with closing(make_model(parse_spec(spec), task=runs[0][1], seed=args.seed)) as model:
            planned = plan_pairs(runs, job, dirs, model)
            if args.dry_run:
                show_estimates([estimate_pairs(pair) for pair in planned], as_json=args.json)
                continue
            with make_reporter() as reporter:
                results += [compare_pair(pair, budget, reporter) for pair in planned]
    if not args.dry_run:
        show_pairs(results, as_json=args.json)
        waiting = sum(result.waiting for result in results)
        if waiting:
            from r2d_bench.errors import IncompleteRunError

            again = shlex.join(["r2d-bench", *sys.argv[1:]])
            raise IncompleteRunError(f"{waiting} comparisons have no reply yet; go on with: {again}")
    return 0
