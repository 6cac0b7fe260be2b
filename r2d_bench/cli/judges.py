"""`judges list | show | validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.cli import options

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace

EXAMPLES = """\
  r2d-bench judges list
  r2d-bench judges show clinical_rationale
  r2d-bench judges validate ./my-judge
"""


def add_parser(verbs: options.Verbs[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = options.add_verb(verbs, "judges", "The rubrics that judges follow.", _list, EXAMPLES)
    parser.set_defaults(json=False, judge_dir=[])
    kinds = parser.add_subparsers(metavar="list|show|validate")
    listing = options.add_verb(kinds, "list", "List the rubrics at hand.", _list, EXAMPLES)
    options.add_judge_dir(listing)
    options.add_json(listing)
    show = options.add_verb(kinds, "show", "Print a rubric with its prompt and card.", _show, EXAMPLES)
    show.add_argument("name", metavar="NAME|DIR")
    options.add_judge_dir(show)
    options.add_json(show)
    check = options.add_verb(kinds, "validate", "Check a rubric of your own.", _validate, EXAMPLES)
    check.add_argument("name", metavar="NAME|DIR")
    options.add_judge_dir(check)


def _list(args: Namespace) -> int:
    from r2d_bench import content
    from r2d_bench.cli.plain import say_json, show_table
    from r2d_bench.judging.rubric import load_rubric

    dirs = [Path(folder) for folder in args.judge_dir]
    found = [load_rubric(str(folder.resolve())) for folder in content.found("judges", dirs).values()]
    if args.json:
        say_json([rubric.spec.model_dump(mode="json") | {"digest": rubric.digest} for rubric in found])
        return 0
    rows = [
        [
            rubric.spec.full_name,
            rubric.spec.mode,
            "shown" if rubric.spec.reference else "blind",
            str(len(rubric.spec.criteria)),
            str(len(rubric.spec.flags)),
            rubric.spec.title,
        ]
        for rubric in found
    ]
    show_table(["judge", "mode", "gold", "criteria", "flags", "what it asks"], rows)
    return 0


def _show(args: Namespace) -> int:
    from r2d_bench.cli.plain import say, say_json
    from r2d_bench.judging.rubric import load_rubric
    from r2d_bench.judging.verdict import schema_of

    rubric = load_rubric(args.name, [Path(folder) for folder in args.judge_dir])
    if args.json:
        whole = rubric.spec.model_dump(mode="json")
        say_json(whole | {"prompt": rubric.source, "schema": schema_of(rubric.spec), "digest": rubric.digest})
        return 0
    spec = rubric.spec
    say(f"{spec.full_name}: {spec.title} (digest {rubric.digest})\n")
    for criterion in spec.criteria:
        say(f"{criterion.name}: {criterion.question}")
        for number, text in sorted(criterion.anchors.items()):
            say(f"  {number}  {text}")
    for flag in spec.flags:
        say(f"flag {flag.name}{' (critical)' if flag.critical else ''}: {flag.question}")
    say(f"\nsystem turn:\n{spec.system}\n\nuser turn:\n{rubric.source}")
    if rubric.card:
        say(rubric.card)
    return 0


def _validate(args: Namespace) -> int:
    from r2d_bench.cli.plain import say
    from r2d_bench.judging.rubric import load_rubric

    # Loading tries the prompt on a made-up case as well.
    rubric = load_rubric(args.name, [Path(folder) for folder in args.judge_dir])
    say(f"{rubric.spec.full_name}: fine ({len(rubric.spec.criteria)} criteria, {len(rubric.spec.flags)} flags)")
    return 0
