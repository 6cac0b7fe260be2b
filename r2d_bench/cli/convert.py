"""`convert`: a pickled checkpoint into safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.cli import options

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace

EXAMPLES = """\
  r2d-bench convert ./old-t5 ./old-t5-safetensors
"""


def add_parser(verbs: options.Verbs[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    text = "Write a pytorch_model.bin checkpoint as safetensors; the pickle is read weights-only."
    parser = options.add_verb(verbs, "convert", text, main, EXAMPLES)
    parser.add_argument("folder", metavar="FOLDER", help="checkpoint folder with pytorch_model.bin")
    parser.add_argument("out", metavar="OUT", help="new folder")


def main(args: Namespace) -> int:
    """Convert."""
    from r2d_bench.cli.plain import say
    from r2d_bench.models.convert import convert

    convert(Path(args.folder), Path(args.out))
    say(f"written: {args.out}")
    return 0
