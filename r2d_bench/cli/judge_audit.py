"""`judge-audit`: how far a judge agrees with people, and what moves it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.cli import options

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace
    from collections.abc import Mapping

    from r2d_bench.judging.audit import PlannedAudit
    from r2d_bench.records import Json

EXAMPLES = """\
  r2d-bench judge-audit --judge label_support --model hf:./chat-model --data ./judge_validation
  r2d-bench judge-audit --judge clinical_rationale --model api:openai/NAME --data kqa=kqa_nli.jsonl --sample 60
  r2d-bench judge-audit --judge clinical_rationale --model mock:random --sample 5 --dry-run
the same command again goes on where it stopped
"""


def add_parser(verbs: options.Verbs[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    text = "Audit a judge: agreement with people, and probes of what moves it."
    parser = options.add_verb(verbs, "judge-audit", text, main, EXAMPLES)
    parser.add_argument("--judge", required=True, metavar="NAME", help="a judge's name or folder")
    parser.add_argument("--model", required=True, metavar="SPEC", help="who judges: KIND:NAME[,KEY=VALUE…]")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="SET=PATH|DIR",
        help="rated texts: kqa=PATH, acceptability=PATH, or a folder with their files (repeatable; default: "
        "$R2D_BENCH_DATA/judge_validation)",
    )
    parser.add_argument("--task", default="triage", metavar="TASK", help="whose gold rationales the probes change")
    parser.add_argument("--run", action="append", default=[], metavar="RUN", help="a run folder that this judge judged")
    parser.add_argument("--sample", type=int, metavar="N", help="only N items of every set and of the task")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of everything that draws (default: 0)")
    parser.add_argument(
        "--score-method", choices=["reply", "probability"], default="reply", help="how scores are had (default: reply)"
    )
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="budget of a reply (default: the rubric's)")
    options.add_judge_dir(parser)
    options.add_task_dir(parser)
    parser.add_argument("--audits", default="audits", metavar="DIR", help="folder of the audits (default: audits)")
    parser.add_argument("--dry-run", action="store_true", help="tell requests, tokens and cost; ask nothing")
    parser.add_argument("--max-requests", type=int, metavar="N", help="stop cleanly after N requests")
    parser.add_argument("--max-cost", type=float, metavar="USD", help="stop cleanly when so much is spent")
    options.add_json(parser)


def main(args: Namespace) -> int:
    """Audit the judge."""
    from contextlib import closing

    from r2d_bench.cli.console import make_reporter, show_estimates
    from r2d_bench.errors import IncompleteRunError
    from r2d_bench.estimate import estimate_requests
    from r2d_bench.judging.audit import run_audit
    from r2d_bench.judging.own_family import own_family
    from r2d_bench.runs.budget import Budget

    planned = _plan(args)
    with closing(planned.model):
        if args.dry_run:
            log, model = planned.store, planned.model
            show_estimates([estimate_requests(log.name, planned.questions.first(), log, model)], as_json=args.json)
            return 0
        family = own_family(planned.setup, [Path(run) for run in args.run], seed=args.seed) if args.run else None
        with make_reporter() as reporter:
            reporter.judging("audit", planned.setup, asked=planned.questions.size, of=planned.questions.size)
            outcome = run_audit(planned, Budget(args.max_requests, args.max_cost), reporter, family)
    _show(planned, as_json=args.json)
    if outcome.incomplete:
        again = shlex.join(["r2d-bench", *sys.argv[1:]])
        why = f"stopped at {outcome.stopped}; " if outcome.stopped else ""
        raise IncompleteRunError(f"{why}{outcome.incomplete} questions have no answer; go on with: {again}")
    return 0


def _plan(args: Namespace) -> PlannedAudit:
    from dataclasses import replace

    from r2d_bench.judging.audit import AuditOptions, plan_audit
    from r2d_bench.judging.human_sets import human_paths, read_human_set
    from r2d_bench.judging.rubric import load_rubric
    from r2d_bench.models.registry import make_model, parse_spec
    from r2d_bench.tasks.task import load_task

    rubric = load_rubric(args.judge, [Path(folder) for folder in args.judge_dir])
    if args.max_new_tokens is not None:
        rubric = replace(rubric, spec=rubric.spec.model_copy(update={"max_new_tokens": args.max_new_tokens}))
    sets = [read_human_set(name, path) for name, path in human_paths(args.data).items()]
    task = load_task(args.task, task_dirs=[Path(folder) for folder in args.task_dir])
    model = make_model(parse_spec(args.model), task=task, seed=args.seed)
    wanted = AuditOptions(args.sample, args.seed, args.score_method)
    return plan_audit(task, rubric, model, sets, Path(args.audits), wanted)


def _show(planned: PlannedAudit, *, as_json: bool) -> None:
    from r2d_bench.cli.plain import say, say_json

    audit = planned.store.audit()
    if audit is None:
        return
    if as_json:
        say_json({"folder": str(planned.store.folder), **audit})
        return
    _show_people(audit)
    _show_probes(audit)
    _show_rest(audit)
    say(audit["sentence"])
    say(f"audit: {planned.store.folder}")


def _show_people(audit: Mapping[str, Json]) -> None:
    from r2d_bench.cli.plain import say, show_table
    from r2d_bench.judging.agreement import FIGURES
    from r2d_bench.judging.human_sets import KINDS

    if not audit["human"]:
        say(f"agreement with people: {audit['without_people']}")
        return
    sets = [audit["human"][name] for name in KINDS if name in audit["human"]]
    rows = [
        [one["title"], str(one["figures"]["bias"]["n"]), *(_cell(one["figures"][name]) for name in FIGURES)]
        for one in sets
    ]
    show_table(["set", "n", *FIGURES.values()], rows, "agreement with people   [95 % intervals]")
    _say_reasons({one["title"]: list(one["figures"].values()) for one in sets})
    for one in sets:
        if one["unscored"]:
            say(f"  – {one['title']}: without a score: {_counts(one['unscored'])}")


def _show_probes(audit: Mapping[str, Json]) -> None:
    from r2d_bench.cli.plain import show_table
    from r2d_bench.judging.audit_probes import PROBES

    probes = [audit["probes"][name] for name in PROBES]
    rows = [
        [
            probe["title"],
            probe["criterion"],
            str(probe["share"].get("n", 0)),
            str(sum(probe["unscored"].values())),
            _cell(probe["shift"]),
            _cell(probe["share"]),
            probe["expected"],
            probe["verdict"],
        ]
        for probe in probes
    ]
    head = ["probe", "criterion", "n", "unscored", "mean shift", "share", "expected", "verdict"]
    show_table(head, rows, "probes: gold rationales, changed   [95 % intervals]")
    _say_reasons({probe["title"]: [probe["share"]] for probe in probes})


def _cell(estimate: Mapping[str, Json]) -> str:
    from r2d_bench.judging.audit_words import shown
    from r2d_bench.metrics.display import MISSING

    return MISSING if estimate["value"] is None else shown(estimate)


def _say_reasons(estimates: Mapping[str, list[Mapping[str, Json]]]) -> None:
    """Print once why figures of a table are missing."""
    from r2d_bench.cli.plain import say

    for title, row in estimates.items():
        for reason in dict.fromkeys(one["reason"] for one in row if one["value"] is None):
            say(f"  – {title}: {reason}")


def _counts(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))


def _show_rest(audit: Mapping[str, Json]) -> None:
    from r2d_bench.cli.plain import say
    from r2d_bench.judging.audit_words import shown

    covered = audit["coverage"]
    unscored = f"; unscored: {_counts(covered['unscored'])}" if covered["unscored"] else ""
    readable = shown(covered["parse_rate"])
    say(f"answered: {covered['answered']} of {covered['asked']} questions, readable {readable}{unscored}")
    calibration = audit["calibration"]
    if "reason" in calibration:
        say(f"calibration: none ({calibration['reason']})")
        return
    steps = ", ".join(
        f"{score:g} → {value:.2f}" for score, value in zip(calibration["scores"], calibration["values"], strict=True)
    )
    say(f"calibration of {calibration['criterion']}: {steps}")
    for name, checks in calibration["checks"].items():
        say(
            f"  held out, {name}: bias {shown(checks['bias_raw'])} becomes {shown(checks['bias_calibrated'])}, "
            f"error {shown(checks['error_raw'])} becomes {shown(checks['error_calibrated'])}"
        )
