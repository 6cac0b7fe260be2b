"""`runs list | show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.cli import options

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace

    from r2d_bench.records import Json
    from r2d_bench.runs.store import RunStore

EXAMPLES = """\
  r2d-bench runs list
  r2d-bench runs show triage-v1--baseline      a folder, or the start of its name
"""


def add_parser(verbs: options.Verbs[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = options.add_verb(verbs, "runs", "Look at run folders.", _list, EXAMPLES)
    parser.set_defaults(json=False, runs="runs")
    kinds = parser.add_subparsers(metavar="list|show")
    listing = options.add_verb(kinds, "list", "List the run folders.", _list, EXAMPLES)
    show = options.add_verb(kinds, "show", "Show one run: what it is, how far it came, its figures.", _show, EXAMPLES)
    show.add_argument("name", metavar="RUN", help="a run folder, or the start of its name")
    for one in (listing, show):
        options.add_runs(one)
        options.add_json(one)


def _summary(store: RunStore) -> dict[str, Json]:
    """Return one run in a few words."""
    setup, scores = store.setup(), store.scores()
    selection = scores["selection"] if scores else None
    primary = scores["metrics"].get(scores["primary"]) if scores else None
    return {
        "run": store.name,
        "task": setup.task,
        "model": setup.model,
        "protocol": setup.protocol.full_name,
        "label_method": str(setup.label_method),
        "selection": selection,
        "unscored": sum(scores["unscored"].values()) if scores else None,
        "primary": scores["primary"] if scores else None,
        "estimate": primary,
    }


def _list(args: Namespace) -> int:
    from r2d_bench.cli.console import model_title
    from r2d_bench.cli.plain import say, say_json, show_table
    from r2d_bench.metrics.display import figure
    from r2d_bench.runs.store import find_runs

    runs = [_summary(store) for store in find_runs(Path(args.runs))]
    if args.json:
        say_json(runs)
        return 0
    if not runs:
        say(f"no runs in {args.runs}")
        return 0
    rows = []
    for run in runs:
        chosen = run["selection"]
        n = f"{chosen['n']} of {chosen['of']}" if chosen else "not scored"
        primary = f"{run['primary']} {figure(run['primary'], run['estimate'])}" if run["primary"] else "–"
        rows.append(
            [
                run["task"],
                model_title(run["model"]),
                run["protocol"],
                run["label_method"],
                n,
                primary,
                run["run"],
            ]
        )
    show_table(["task", "model", "protocol", "label", "n", "primary", "run"], rows)
    return 0


def _find(folder: Path, name: str) -> RunStore:
    from r2d_bench.errors import UserError, did_you_mean
    from r2d_bench.runs.store import RunStore, find_runs

    if (Path(name) / "run.json").is_file():
        return RunStore(Path(name))
    known = {store.name: store for store in find_runs(folder)}
    fitting = [known[run] for run in known if run.startswith(name)]
    if len(fitting) > 1:
        raise UserError(
            f"run '{name}' fits {len(fitting)} run folders: {', '.join(store.name for store in fitting[:5])}"
        )
    if not fitting:
        raise UserError(f"unknown run '{name}' in {folder}{did_you_mean(name, known)}")
    return fitting[0]


def _show(args: Namespace) -> int:
    from r2d_bench.cli.console import model_title
    from r2d_bench.cli.plain import say, say_json, show_table
    from r2d_bench.documents import to_json
    from r2d_bench.metrics.display import figure

    store = _find(Path(args.runs), args.name)
    manifest, scores = store.manifest(), store.scores()
    if args.json:
        say_json({"manifest": manifest, "scores": scores})
        return 0
    setup = store.setup()
    what = [setup.task, model_title(setup.model), setup.protocol.full_name, f"label {setup.label_method}"]
    say(f"{store.folder}\n{' · '.join(what)}")
    for sitting in manifest["sittings"]:
        came = f"{sitting['answered']} answered, {sitting['failed']} failed" if sitting["finished"] else "not finished"
        sets = "".join(f", challenge set {name}" for name in sitting.get("challenges", ()))
        say(f"  {sitting['started']}: {sitting['selection']['how']}{sets}, {came}")
    if scores is None:
        say("not scored yet: r2d-bench score " + str(store.folder))
        return 0
    rows = []
    for name, estimate in scores["metrics"].items():
        remark = estimate.get("reason") or "; ".join(estimate.get("warnings", []))
        counts = [str(estimate.get("n", 0)), str(estimate.get("unscored", 0))]
        rows.append([name, figure(name, estimate), *counts, estimate.get("method") or "", remark])
    show_table(["metric", "value [95 %]", "n", "unscored", "interval", "remark"], rows)
    if "confusion" in scores:
        say("confusion (rows: gold; last column: no valid label) " + to_json(scores["confusion"], indent=None))
    for name, signature in scores["signatures"].items():
        say(f"{name}: {signature}")
    return 0
