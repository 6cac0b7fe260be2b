"""`leaderboard build | serve | publish | …`: pages from run folders, and where others can see them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.cli import leaderboard_submit, options

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace

EXAMPLES = """\
  r2d-bench leaderboard build
  r2d-bench leaderboard build main --runs runs --out site
  r2d-bench leaderboard build triage --single-file      one HTML file, to send by mail
  r2d-bench leaderboard serve
  r2d-bench leaderboard publish --branch git@github.com:me/board.git
  r2d-bench leaderboard publish --space me/board
"""


def add_parser(verbs: options.Verbs[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = options.add_verb(verbs, "leaderboard", "Static pages from run folders.", _help, EXAMPLES)
    parser.set_defaults(parser=parser)
    kinds = parser.add_subparsers(metavar="build|serve|publish|verify|submit|accept")
    build = options.add_verb(kinds, "build", "Build the pages of a board.", main, EXAMPLES)
    build.add_argument("board", nargs="?", default="main", metavar="BOARD", help="name or folder (default: main)")
    options.add_runs(build)
    build.add_argument("--out", default="site", metavar="DIR", help="folder of the pages (default: site)")
    build.add_argument("--audits", default="audits", metavar="DIR", help="folder of judges' audits (default: audits)")
    build.add_argument("--single-file", action="store_true", help="also write everything as one file, leaderboard.html")
    options.add_task_dir(build)
    options.add_json(build)
    serve = options.add_verb(kinds, "serve", "Show the pages on this machine alone.", _serve, EXAMPLES)
    serve.add_argument("--site", default="site", metavar="DIR", help="folder of the pages (default: site)")
    serve.add_argument("--port", type=int, default=8000, metavar="N", help="port on 127.0.0.1 (default: 8000)")
    publish = options.add_verb(kinds, "publish", "Put the pages where others can see them.", _publish, EXAMPLES)
    publish.add_argument("--site", default="site", metavar="DIR", help="folder of the pages (default: site)")
    where = publish.add_mutually_exclusive_group(required=True)
    where.add_argument("--folder", metavar="DIR", help="copy them into a folder")
    where.add_argument("--branch", metavar="REMOTE", help="push them to a branch of a git repository (GitHub Pages)")
    where.add_argument("--space", metavar="OWNER/NAME", help="upload them as a static Space of the Hugging Face hub")
    publish.add_argument("--branch-name", default="gh-pages", metavar="NAME", help="the branch (default: gh-pages)")
    leaderboard_submit.add_kinds(kinds)


def _help(args: Namespace) -> int:
    args.parser.print_help()
    return 0


def main(args: Namespace) -> int:
    """Build the pages."""
    from r2d_bench import api
    from r2d_bench.cli.plain import say, say_json

    dirs = [Path(folder) for folder in args.task_dir]
    page = api.build_leaderboard(
        args.board, runs=args.runs, out=args.out, task_dirs=dirs, audits=args.audits, single=args.single_file
    )
    if args.json:
        say_json({"page": str(page)})
    else:
        say(f"page: {page.resolve()}")
    return 0


def _publish(args: Namespace) -> int:
    from r2d_bench.cli.plain import say
    from r2d_bench.documents import read_json
    from r2d_bench.leaderboard import publish
    from r2d_bench.leaderboard.build import MARKER

    site = Path(args.site)
    publish.check_site(site)
    if args.folder:
        say(f"published: {publish.to_folder(site, Path(args.folder)).resolve()}")
    elif args.branch:
        commit = publish.to_branch(site, args.branch, args.branch_name)
        say(f"published: {args.branch}, branch {args.branch_name}, commit {commit[:12]}")
    else:
        title = read_json(site / MARKER)["board"]["title"]
        say(f"published: {publish.to_space(site, args.space, title)}")
    return 0


def _serve(args: Namespace) -> int:
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    from r2d_bench.cli.plain import say
    from r2d_bench.errors import UserError
    from r2d_bench.leaderboard.publish import check_site

    site = Path(args.site)
    check_site(site)
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", args.port), handler)
    except OSError as error:
        raise UserError(f"--port {args.port}: cannot be used ({error.strerror}); choose another") from None
    say(f"http://127.0.0.1:{server.server_port}/ (stop with Ctrl-C)")
    with server:
        server.serve_forever()
    return 0
