"""`judge-agreement`: a team's own ratings beside a judge's verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.cli import options

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace
    from collections.abc import Mapping

    from r2d_bench.records import Json

EXAMPLES = """\
  r2d-bench judge-agreement ratings.csv --run runs/triage-v2--hf--my-t5--r2d--1a2b3c4d5e
  r2d-bench judge-agreement ratings.jsonl --run runs/… --judge clinical_rationale --json
the file has the columns example_id, rater, criterion, score
"""


def add_parser(verbs: options.Verbs[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    text = "How far a judge's verdicts agree with your own ratings."
    parser = options.add_verb(verbs, "judge-agreement", text, main, EXAMPLES)
    parser.add_argument("file", metavar="FILE", help="CSV or JSONL with example_id, rater, criterion, score")
    parser.add_argument("--run", required=True, metavar="RUN", help="a run folder that was judged")
    parser.add_argument("--judge", metavar="NAME", help="which judge, where several judged the run")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the resampling (default: 0)")
    options.add_data(parser)
    options.add_task_dir(parser)
    options.add_json(parser)


def main(args: Namespace) -> int:
    """Compare."""
    from r2d_bench.cli.plain import say_json
    from r2d_bench.judging.own_ratings import compare, find_judgment
    from r2d_bench.judging.ratings import read_ratings
    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.task import load_task

    run = RunStore(Path(args.run))
    name = run.setup().task.partition("@")[0]
    store = find_judgment(run.folder, args.judge)
    spec = store.setup().rubric.spec
    numbers = spec.scale.numbers
    ratings = read_ratings(Path(args.file), [one.name for one in spec.criteria], numbers[0], numbers[-1])
    data = options.data_pairs(args.data).get(name)
    task = load_task(name, data=Path(data) if data else None, task_dirs=[Path(folder) for folder in args.task_dir])
    clusters = {example.id: example.group or example.id for example in task.asked()}
    found = compare(ratings, store.verdicts(), numbers, clusters, seed=args.seed)
    if args.json:
        say_json({"run": run.name, "judge": store.name, "criteria": found})
        return 0
    _show(found, store.name)
    return 0


def _show(found: Mapping[str, Json], judge: str) -> None:
    from r2d_bench.cli.plain import say, show_table
    from r2d_bench.judging.agreement import FIGURES
    from r2d_bench.judging.audit_words import shown

    say(f"judge: {judge}")
    for name, one in found.items():
        everybody = ["all (median)", *(shown(one["consensus"][figure]) for figure in FIGURES)]
        rows = [[rater, *(_single(figures, figure) for figure in FIGURES)] for rater, figures in one["single"].items()]
        title = f"{name}: {one['items']} rated items   [95 % intervals]"
        show_table(["rater", *FIGURES.values()], [everybody, *rows], title)
        if one["unscored"]:
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(one["unscored"].items()))
            say(f"  – without a score of the judge: {reasons}")


def _single(figures: Mapping[str, Json], name: str) -> str:
    """Return one rater's figure; what needs several raters has none."""
    from r2d_bench.judging.audit_words import shown

    return "–" if name in {"kappa_raters", "ceiling", "ceiling_alpha"} else shown(figures[name])
