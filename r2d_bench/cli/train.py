"""`train`: the training of `r2d:` alone, on one process or several."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2d_bench.cli import options
from r2d_bench.errors import UserError

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace

    from r2d_bench.records import Json
    from r2d_bench.tasks.task import Task
    from r2d_bench.training.planning import Plan
    from r2d_bench.training.train import Trained

EXAMPLES = """\
  r2d-bench train google/flan-t5-base -t triage
  r2d-bench train google/flan-t5-base -t triage --recipe paper/r2d --set stages.decide.steps=10000 --seeds 1,2,3
  r2d-bench train google/flan-t5-large -t triage --set accumulation=4 --nproc 4
  r2d-bench train --from-scratch tiny -t triage --dry-run
recipes: default, demo, demo/sft, demo/dss, demo/r2d_c, paper/sft, paper/dss, paper/r2d, paper/r2d_c, or a YAML file
the same command again goes on where it stopped, or finds the checkpoint
"""


def add_parser(verbs: options.Verbs[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = options.add_verb(
        verbs, "train", "Train a model that predicts and explains (SFT, DSS, R2D, R2D-C).", main, EXAMPLES
    )
    parser.add_argument("base", nargs="?", metavar="BASE", help="an encoder-decoder: a folder or a hub id")
    parser.add_argument("--from-scratch", choices=["tiny"], help="make a small model from nothing instead")
    parser.add_argument("-t", "--task", required=True, metavar="TASK", help="the task that is learnt")
    options.add_data(parser)
    options.add_task_dir(parser)
    parser.add_argument("--recipe", metavar="NAME|FILE", help="how it is trained (default: default; tiny: demo)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="another value for a key of the recipe"
    )
    parser.add_argument("--seeds", default="0", metavar="N,…", help="train once for each seed (default: 0)")
    parser.add_argument(
        "--checkpoints", default="checkpoints", metavar="DIR", help="folder of all checkpoints (default: checkpoints)"
    )
    parser.add_argument("--out", metavar="DIR", help="the checkpoint's own folder, for a single seed")
    parser.add_argument("--keep-state", action="store_true", help="keep what a training needs to go on")
    parser.add_argument("--nproc", type=int, default=1, metavar="N", help="processes that train together (torchrun)")
    parser.add_argument(
        "--dry-run", action="store_true", help="tell steps, examples, cut texts, lineage; train nothing"
    )
    options.add_json(parser)


def main(args: Namespace) -> int:
    """Train once for each seed."""
    from r2d_bench.training.planning import processes
    from r2d_bench.training.train import is_first

    try:
        plans = _plans(args)
        if args.dry_run:
            return _show_plans(plans, as_json=args.json)
        if args.nproc > 1 and processes() == 1 and not all(plan.found for plan in plans):
            return _launch(args.nproc)
        trained = _train(plans, keep_state=args.keep_state)
    except UserError as error:
        if is_first():
            raise
        return error.exit_code  # the first process has told it
    if is_first():
        _show_trained(trained, as_json=args.json)
    return 0


def _plans(args: Namespace) -> list[Plan]:
    """Return the training of each seed, checked."""
    from r2d_bench.models.r2d import find_base
    from r2d_bench.planning import load_tasks
    from r2d_bench.training.planning import plan_training, processes, resolve_recipe

    name, seeds = _base(args), _seeds(args.seeds)
    if args.out and len(seeds) > 1:
        raise UserError("--out: a folder of one checkpoint, and there are several seeds: use --checkpoints")
    if args.nproc < 1:
        raise UserError("--nproc: should be 1 or more")
    data, dirs = options.data_pairs(args.data), [Path(folder) for folder in args.task_dir]
    (task,) = load_tasks([args.task], data, dirs)
    _check_data(data, task)
    recipe = resolve_recipe(name, args.recipe, _overrides(args.set))
    return [
        plan_training(
            task,
            find_base(name, task, recipe, seed),
            recipe,
            seed=seed,
            checkpoints=Path(args.checkpoints),
            out=Path(args.out) if args.out else None,
            together=max(args.nproc, processes()),
        )
        for seed in seeds
    ]


def _base(args: Namespace) -> str:
    if bool(args.base) == bool(args.from_scratch):
        raise UserError("give a BASE model (a folder or a hub id), or --from-scratch tiny, and not both")
    return str(args.base or args.from_scratch)


def _seeds(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdecimal() for word in words):
        raise UserError(f"--seeds: '{text}' should be numbers of 0 or more, such as 1,2,3")
    return list(dict.fromkeys(int(word) for word in words))


def _overrides(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UserError(f"--set: '{pair}' should be KEY=VALUE, such as stages.decide.steps=2000")
        found[key.strip()] = value.strip()
    return found


def _check_data(data: dict[str, str], task: Task) -> None:
    for name in data:
        if name not in {task.name, task.folder.name}:
            raise UserError(f"--data: '{name}' is not the task that is trained on ({task.name})")


def _train(plans: list[Plan], *, keep_state: bool) -> list[Trained]:
    from r2d_bench.cli.training_progress import training_listener
    from r2d_bench.training.listener import Silent
    from r2d_bench.training.train import is_first, train

    def write(line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    if not is_first():
        return [train(plan, Silent(), keep_state=keep_state) for plan in plans]
    with training_listener(write) as begin:
        return [train(plan, begin(n, len(plans), plan), keep_state=keep_state) for n, plan in enumerate(plans, 1)]


def _launch(processes: int) -> int:
    """Run this command again in several processes through torchrun; the first of them reports.

    Raises:
        UserError: the processes cannot be started.
    """
    try:
        from torch.distributed import run
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    except ImportError as error:  # a build of torch without distributed
        raise UserError("--nproc: this build of torch trains in one process only") from error
    command = ["--standalone", f"--nproc-per-node={processes}", "-m", "r2d_bench.cli.main", *_own_arguments()]
    launcher: Any = run  # untyped
    # torchrun's own words (threads, a table of failed processes) say nothing that the first process has not told.
    logging.disable(logging.CRITICAL)
    try:
        launcher.run(launcher.parse_args(command))
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        return next((code for code in codes if code > 0), 1)
    finally:
        logging.disable(logging.NOTSET)
    return 0


def _own_arguments() -> list[str]:
    """Return this command's arguments without --nproc."""
    given = iter(sys.argv[1:])
    kept = []
    for argument in given:
        if argument == "--nproc":
            next(given, None)
        elif not argument.startswith("--nproc="):
            kept.append(argument)
    return kept


def _show_plans(plans: list[Plan], *, as_json: bool) -> int:
    from r2d_bench.cli.plain import say, say_json
    from r2d_bench.training.planning import describe

    told = [describe(plan) for plan in plans]
    if as_json:
        say_json(told)
        return 0
    for plan in told:
        lineage = plan["lineage"]
        say(f"{plan['folder']}{' (is there: nothing to train)' if plan['found'] else ''}")
        say(f"  {lineage['method']} on {lineage['task']}, base {lineage['base']['name']}, seed {lineage['seed']}")
        for name, split in lineage["splits"].items():
            say(f"  {split['role']} {name}: {split['rows']} examples, digest {split['digest']}")
        for name, stage in plan["stages"].items():
            say("  " + _stage_line(name, stage))
        say(f"  recipe {lineage['recipe']}, lineage {lineage['digest']}")
    return 0


def _stage_line(name: str, stage: dict[str, Json]) -> str:
    cut = ", ".join(f"{what} {count}" for what, count in stage["cut"].items()) or "none"
    style = f", rationales of style {stage['rationale_style']}" if stage["rationale_style"] else ""
    return (
        f"stage {name}: at most {stage['steps']} steps of {stage['batch_size']}, {stage['examples']} examples{style},"
        f" {stage['validation']} for validation; texts cut: {cut}"
    )


def _show_trained(trained: list[Trained], *, as_json: bool) -> None:
    from r2d_bench.cli.plain import say, say_json
    from r2d_bench.documents import read_json

    if as_json:
        say_json(
            [
                {"folder": str(one.folder), "found": one.found, "lineage": one.lineage.as_json()}
                | {"history": read_json(one.folder / "history.json")}
                for one in trained
            ]
        )
        return
    for one in trained:
        best = read_json(one.folder / "history.json")["decide"]["best"]
        figure = f", validation {best['metric']} {best['value']:.4f}" if best else ""
        say(f"{one.folder}{' (was there)' if one.found else ''}: seed {one.lineage.seed}{figure}")
