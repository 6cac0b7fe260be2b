"""`run`: predict → score → page."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.cli import options

if TYPE_CHECKING:
    from argparse import Namespace

    from r2d_bench.job import Job
    from r2d_bench.records import Json

EXAMPLES = """\
  r2d-bench run hf:./my-t5 baseline:majority -t triage
  r2d-bench run hf:./my-t5 -t triage -t pubmedqa --data pubmedqa=./pubmedqa
  r2d-bench run hf:org/chat-model -t triage --label-method scored --limit 60
  r2d-bench run hf:./my-t5 -t triage --board main --probes all
  r2d-bench run r2d:tiny r2d:google/flan-t5-base -t triage --seeds 1,2,3      train, then benchmark
  r2d-bench run hf:./my-t5 -t triage --judge clinical_rationale --judge-model api:openai/gpt-4o-mini
  r2d-bench run hf:./my-t5 -t triage --workers 2                             two processes (or GPUs), through Ray
  r2d-bench run --config job.yaml --dry-run
the same command again goes on where it stopped
"""


def add_parser(verbs: options.Verbs[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = options.add_verb(verbs, "run", "Run models on tasks: predict, score, page.", main, EXAMPLES)
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="KIND:NAME[,KEY=VALUE…]; kinds: hf, r2d, ct2, vllm, api, baseline, replay, mock",
    )
    parser.add_argument("-t", "--task", action="append", default=[], metavar="TASK", help="a task (repeatable)")
    parser.add_argument("--config", metavar="FILE", help="a job file; options given beside it stand before it")
    parser.add_argument("--baselines", action="store_true", default=None, help="also run each task's own baselines")
    parser.add_argument("--protocol", metavar="NAME|FILE", help="how label and rationale are elicited")
    parser.add_argument(
        "--label-method",
        choices=["free", "constrained", "scored"],
        help="how the label is had (default: free)",
    )
    parser.add_argument("--max-new-tokens", action="append", default=[], metavar="STAGE=N", help="budget of a stage")
    parser.add_argument("--limit", type=int, metavar="N", help="only N examples, labels in proportion; stamped partial")
    parser.add_argument("--ids", metavar="ID,…|FILE", help="only these examples (a file: one id a line)")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of everything that draws (default: 0)")
    parser.add_argument("--seeds", metavar="N,…", help="run everything once for each seed")
    parser.add_argument("--shots", type=int, metavar="K", help="K training examples in front of every prompt")
    parser.add_argument("--probes", metavar="NAME,…|all", help="also ask these probes of the protocol")
    parser.add_argument(
        "--challenges",
        action=argparse.BooleanOptionalAction,
        help="also ask the task's challenge sets (default: when the whole split is asked)",
    )
    options.add_rationale_style(parser, "the task's")
    parser.add_argument("--judge", metavar="NAME", help="also let a judge score the rationales (a rubric of judges/)")
    parser.add_argument(
        "--judge-model", action="append", default=[], metavar="SPEC[,SPEC…]", help="who judges; several are a jury"
    )
    parser.add_argument("--judge-sample", type=int, metavar="N", help="judge only N rationales of each run")
    options.add_judge_dir(parser)
    parser.add_argument("--dry-run", action="store_true", help="tell requests, tokens, cost and time; ask nothing")
    parser.add_argument("--max-requests", type=int, metavar="N", help="stop cleanly after N requests")
    parser.add_argument("--max-cost", type=float, metavar="USD", help="stop cleanly when so much is spent")
    parser.add_argument(
        "--models-file", metavar="FILE", help="names for models (default: models.yaml, if there is one)"
    )
    options.add_data(parser)
    options.add_task_dir(parser)
    parser.add_argument("--runs", metavar="DIR", help="folder of the run folders (default: runs)")
    parser.add_argument("--checkpoints", metavar="DIR", help="folder of what r2d: trains (default: checkpoints)")
    parser.add_argument("--site", metavar="DIR", help="folder of the page (default: site)")
    parser.add_argument("--no-page", action="store_true", help="build no page")
    parser.add_argument("--board", metavar="NAME", help="the leaderboard of the page; its baseline panel is run too")
    options.add_bertscore(parser)
    options.add_executor(parser)
    options.add_json(parser)


def main(args: Namespace) -> int:
    """Run the job."""
    from r2d_bench.benchmark import benchmark, plan_judges
    from r2d_bench.cli.console import make_reporter, show_estimates, show_report
    from r2d_bench.errors import IncompleteRunError
    from r2d_bench.estimate import estimate, estimate_judges
    from r2d_bench.models.spread import executor_of
    from r2d_bench.planning import plan

    job = job_of(args)
    with make_reporter() as reporter:
        if args.dry_run:
            with executor_of(job) as executor:
                planned = plan(job, reporter, train=False, executor=executor)
            estimates = estimate(planned, Path(job.runs), job.probes)
            estimates += estimate_judges(planned, plan_judges(job, planned))
        else:
            report = benchmark(job, reporter)
    if args.dry_run:
        show_estimates(estimates, as_json=args.json)
        return 0
    show_report(report, as_json=args.json)
    if report.incomplete:
        again = shlex.join(["r2d-bench", *sys.argv[1:]])
        if report.stopped:
            raise IncompleteRunError(
                f"stopped at {report.stopped}, {report.incomplete} examples wait; go on with: {again}"
            )
        reasons = ", ".join(f"{reason}: {count} requests" for reason, count in report.failures.most_common())
        raise IncompleteRunError(f"{report.incomplete} examples have no answer ({reasons}); go on with: {again}")
    return 0


def job_of(args: Namespace) -> Job:
    """Return the job of a job file and the options beside it, options first.

    Raises:
        UserError: a job that lacks something, or does not fit the schema.
    """
    from r2d_bench.documents import check, read_yaml
    from r2d_bench.errors import UserError
    from r2d_bench.job import Job

    where = args.config or "run"
    values: dict[str, Json] = read_yaml(Path(args.config)) if args.config else {}
    if not isinstance(values, dict):
        raise UserError(f"{args.config}: should hold keys and values")
    if args.models:
        values["models"] = args.models
    values |= _given(args)
    how = _how(args)
    if not values.get("tasks"):
        raise UserError("no task given: name one with -t (see r2d-bench tasks list)")
    if isinstance(values.get("models"), list):
        specs = [{"spec": m} if isinstance(m, str) else m for m in values["models"]]
        # An option stands before a model's own word; what is neither text nor mapping, the schema refuses.
        values["models"] = [_told(m, how, part=_part(args)) if isinstance(m, dict) else m for m in specs]
    return check(Job, values, where)


def _given(args: Namespace) -> dict[str, Json]:
    """Return the job's keys that were given as options."""
    bertscore = options.bertscore_of(args.bertscore)
    values = {
        "tasks": args.task,
        "data": options.data_pairs(args.data),
        "task_dirs": args.task_dir,
        "baselines": args.baselines,
        "runs": args.runs,
        "checkpoints": args.checkpoints,
        "site": args.site,
        "board": args.board,
        "panel": True if args.board else None,
        "models_file": args.models_file,
        "seed": args.seed,
        "seeds": _words(args.seeds),
        "shots": args.shots,
        "challenges": args.challenges,
        "rationale_style": args.rationale_style,
        "probes": _words(args.probes),
        "judges": _judges(args),
        "judge_dirs": args.judge_dir,
        "executor": args.executor,
        "workers": args.workers,
        "worker_gpus": args.worker_gpus,
        "worker_memory": args.worker_memory,
        "ray_address": args.ray_address,
        "max_requests": args.max_requests,
        "max_cost": args.max_cost,
        "bertscore": bertscore.model_dump() if bertscore else None,
    }
    given = {key: value for key, value in values.items() if value not in (None, [], {})}
    return given | _part(args) | ({"site": None} if args.no_page else {})


def _judges(args: Namespace) -> list[dict[str, Json]]:
    """Return the judge that was given as options.

    Raises:
        UserError: half of it was given.
    """
    from r2d_bench.errors import UserError

    if bool(args.judge) != bool(args.judge_model):
        missing = "--judge-model SPEC (who judges)" if args.judge else "--judge NAME (by which rubric)"
        raise UserError(f"a judge needs {missing} as well")
    if not args.judge:
        return []
    from r2d_bench.judging.panel import split_specs

    return [{"judge": args.judge, "models": split_specs(args.judge_model), "sample": args.judge_sample}]


def _told(model: dict[str, Json], how: dict[str, Json], *, part: dict[str, Json]) -> dict[str, Json]:
    """Return a model of the job as the options change it; a part given as an option is the whole job's."""
    kept = {key: value for key, value in model.items() if not part or key not in {"limit", "ids"}}
    return kept | how


def _part(args: Namespace) -> dict[str, Json]:
    """Return which part of the split is asked, as far as options say."""
    part = {"limit": args.limit, "ids": _ids(args.ids)}
    return {key: value for key, value in part.items() if value is not None}


def _how(args: Namespace) -> dict[str, Json]:
    """Return how each model is run, as far as options say."""
    from r2d_bench.runs.setup import max_tokens_of

    how: dict[str, Json] = {
        "protocol": args.protocol,
        "label_method": args.label_method,
        "max_new_tokens": max_tokens_of(args.max_new_tokens) or None,
    }
    return {key: value for key, value in how.items() if value is not None}


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _ids(text: str | None) -> list[str] | None:
    from r2d_bench.documents import read_text

    if text is None:
        return None
    if "," not in text and Path(text).is_file():
        return [line.strip() for line in read_text(Path(text)).splitlines() if line.strip()]
    return [ident.strip() for ident in text.split(",") if ident.strip()]
