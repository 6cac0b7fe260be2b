"""`protocols list | show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.cli import options

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace

EXAMPLES = """\
  r2d-bench protocols list
  r2d-bench protocols show r2d > my_protocol.yaml      a start for your own
"""


def add_parser(verbs: options.Verbs[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = options.add_verb(verbs, "protocols", "How label and rationale are elicited.", _list, EXAMPLES)
    parser.set_defaults(json=False)
    kinds = parser.add_subparsers(metavar="list|show")
    listing = options.add_verb(kinds, "list", "List the built-in protocols.", _list, EXAMPLES)
    options.add_json(listing)
    show = options.add_verb(kinds, "show", "Print a protocol's file.", _show, EXAMPLES)
    show.add_argument("name", metavar="NAME|FILE")


def _list(args: Namespace) -> int:
    from r2d_bench.cli.plain import say_json, show_table
    from r2d_bench.protocols.registry import builtin, load_protocol

    found = [load_protocol(name) for name in builtin()]
    if args.json:
        say_json([protocol.model_dump(mode="json", by_alias=True, exclude_none=True) for protocol in found])
    else:
        rows = [[p.name, str(len(p.stages)), "chat" if p.chat else "text", p.description] for p in found]
        show_table(["protocol", "stages", "prompts", "what it does"], rows)
    return 0


def _show(args: Namespace) -> int:
    from r2d_bench.cli.plain import say
    from r2d_bench.documents import read_text
    from r2d_bench.protocols.registry import builtin, load_protocol

    load_protocol(args.name)  # refuses an unknown name, and a file that is no protocol
    say(read_text(builtin().get(args.name, Path(args.name))).rstrip("\n"))
    return 0
