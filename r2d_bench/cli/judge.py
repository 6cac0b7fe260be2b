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
    from r2d_bench.judging.panel import FinishedJudging
    from r2d_bench.runs.budget import Budget
    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.task import Task

EXAMPLES = """\
  r2d-bench judge runs/triage-* --judge clinical_rationale --model api:openai/gpt-4o-mini --dry-run
  r2d-bench judge runs/triage-* --judge label_support --model hf:org/chat-model --sample 100
  r2d-bench judge RUN --judge clinical_rationale --model api:openai/a,temperature=0 --model api:openai/b     a jury
  r2d-bench judge RUN --judge clinical_rationale --parse-only        read the stored replies again
  r2d-bench judge RUN RUN --judge pairwise --model api:openai/gpt-4o-mini      which of two is better, both orders
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
    from r2d_bench.api import load_runs
    from r2d_bench.errors import UserError
    from r2d_bench.judging.rubric import load_rubric
    from r2d_bench.runs.budget import Budget

    rubric = load_rubric(args.judge, _dirs(args)).spec
    runs = load_runs(args.folders, options.data_pairs(args.data), [Path(folder) for folder in args.task_dir])
    if args.parse_only:
        return _read_again(args, runs, rubric.name, pairwise=rubric.mode == "pairwise")
    if not args.model:
        raise UserError("no judge given: name one with --model (hf:…, api:…), or read stored replies: --parse-only")
    ask = _compare if rubric.mode == "pairwise" else _score
    return ask(args, runs, _job(args), Budget(args.max_requests, args.max_cost))


def _dirs(args: Namespace) -> list[Path]:
    return [Path(folder) for folder in args.judge_dir]


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


def _score(args: Namespace, runs: list[tuple[RunStore, Task]], job: JudgeJob, budget: Budget) -> int:
    """Ask every judge about every run, or tell what that would cost."""
    from contextlib import closing

    from r2d_bench.cli.console import make_reporter, show_estimates
    from r2d_bench.cli.judge_tables import show_judgments
    from r2d_bench.estimate import estimate_judging
    from r2d_bench.judging.panel import judge_planned, plan_panel

    panel = plan_panel(runs, job, _dirs(args), args.seed)
    if args.dry_run:
        show_estimates([estimate_judging(one) for planned in panel for one in planned], as_json=args.json)
        return 0
    done: list[FinishedJudging] = []
    with make_reporter() as reporter:
        for planned in panel:
            with closing(planned[0].model):
                done += judge_planned(planned, budget, reporter)
    show_judgments(list(dict.fromkeys(one.planned.store.folder for one in done)), as_json=args.json)
    _check_complete(done)
    return 0


def _check_complete(done: list[FinishedJudging]) -> None:
    """Tell what is left, and how to go on.

    Raises:
        IncompleteRunError: some questions have no reply.
    """
    from collections import Counter

    waiting = sum(one.outcome.incomplete for one in done)
    stopped = next((one.outcome.stopped for one in done if one.outcome.stopped), None)
    failures: Counter[str] = sum((one.outcome.failures for one in done), Counter())
    why = f"stopped at {stopped}" if stopped else ", ".join(f"{k}: {n} requests" for k, n in failures.most_common())
    _refuse_incomplete(f"{waiting} rationales have no verdict yet", why, waiting=waiting)


def _compare(args: Namespace, runs: list[tuple[RunStore, Task]], job: JudgeJob, budget: Budget) -> int:
    """Let every judge compare every two of a few runs, or tell what that would cost."""
    from contextlib import closing

    from r2d_bench.cli.console import make_reporter, show_estimates
    from r2d_bench.cli.judge_tables import show_pairs
    from r2d_bench.estimate import estimate_pairs
    from r2d_bench.judging.pairwise import compare_pair, plan_pairs
    from r2d_bench.models.registry import make_model, parse_spec

    models = [make_model(parse_spec(spec), task=runs[0][1], seed=args.seed) for spec in job.models]
    panel = [plan_pairs(runs, job, _dirs(args), model) for model in models]
    if args.dry_run:
        show_estimates([estimate_pairs(pair) for pairs in panel for pair in pairs], as_json=args.json)
        return 0
    results = []
    with make_reporter() as reporter:
        for model, pairs in zip(models, panel, strict=True):
            with closing(model):
                results += [compare_pair(pair, budget, reporter) for pair in pairs]
    show_pairs(results, as_json=args.json)
    waiting = sum(result.waiting for result in results)
    stopped = budget.met()
    why = f"stopped at {stopped}" if stopped else "requests failed"
    _refuse_incomplete(f"{waiting} comparisons have no reply yet", why, waiting=waiting)
    return 0


def _refuse_incomplete(told: str, why: str, *, waiting: int) -> None:
    """Raise IncompleteRunError where something waits."""
    from r2d_bench.errors import IncompleteRunError

    if waiting:
        raise IncompleteRunError(f"{told} ({why}); go on with: {shlex.join(['r2d-bench', *sys.argv[1:]])}")


def _read_again(args: Namespace, runs: list[tuple[RunStore, Task]], name: str, *, pairwise: bool) -> int:
    """Read the stored replies of a judge again, and show what they say."""
    from r2d_bench.cli.judge_tables import show_judgments, show_pairs
    from r2d_bench.errors import UserError
    from r2d_bench.judging.ask import read_judgments
    from r2d_bench.judging.pairwise import read_pairs
    from r2d_bench.judging.store import find_judgments

    nothing = f"no replies of judge {name} are stored in these runs: ask one first (--model)"
    if pairwise:
        if not (results := read_pairs(runs, name)):
            raise UserError(f"{nothing}, or name both runs of a comparison")
        show_pairs(results, as_json=args.json)
        return 0
    found = [
        (store, run, task)
        for run, task in runs
        for store in find_judgments(run.folder)
        if store.setup().rubric.spec.name == name
    ]
    if not found:
        raise UserError(nothing)
    for store, run, task in found:
        with store.locked():
            read_judgments(store, run, task)
    show_judgments([store.folder for store, _, _ in found], as_json=args.json)
    return 0
