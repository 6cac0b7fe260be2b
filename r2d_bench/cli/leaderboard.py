"""`leaderboard build`: pages from run folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.cli import options

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace

EXAMPLES = """\
  r2d-bench leaderboard build
  r2d-bench leaderboard build main --runs runs --out site
"""


def add_parser(verbs: options.Verbs[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = options.add_verb(verbs, "leaderboard", "Static pages from run folders.", _help, EXAMPLES)
    parser.set_defaults(parser=parser)
    kinds = parser.add_subparsers(metavar="build")
    build = options.add_verb(kinds, "build", "Build the pages of a board.", main, EXAMPLES)
    build.add_argument("board", nargs="?", default="main", metavar="BOARD", help="name or folder (default: main)")
    options.add_runs(build)
    build.add_argument("--out", default="site", metavar="DIR", help="folder of the pages (default: site)")
    build.add_argument("--audits", default="audits", metavar="DIR", help="folder of judges' audits (default: audits)")
    options.add_task_dir(build)
    options.add_json(build)


def _help(args: Namespace) -> int:
    args.parser.print_help()
    return 0


def main(args: Namespace) -> int:
    """Build the pages."""
    from r2d_bench import api
    from r2d_bench.cli.plain import say, say_json

    dirs = [Path(folder) for folder in args.task_dir]
    page = api.build_leaderboard(args.board, runs=args.runs, out=args.out, task_dirs=dirs, audits=args.audits)
    if args.json:
        say_json({"page": str(page)})
    else:
        say(f"page: {page.resolve()}")
    return 0
