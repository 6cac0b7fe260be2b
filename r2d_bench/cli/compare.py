"""`compare`: who is better, how sure that is, and on which items."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.cli import options
from r2d_bench.errors import UserError

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace

    from r2d_bench.comparison.document import Comparison
    from r2d_bench.comparison.tables import Table

_NUMBER = re.compile(r"[-\d\[<–]|$")  # figures, intervals and small p-values stand on the right
EXAMPLES = """\
  r2d-bench compare runs/triage-v2--*
  r2d-bench compare runs/A runs/B --metric macro_f1 --metric under_triage --margin 2
  r2d-bench compare runs/A runs/B --json > comparison.json
"""


def add_parser(verbs: options.Verbs[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    text = "Compare runs of one task: differences with intervals and tests, ranks, and the items they differ on."
    parser = options.add_verb(verbs, "compare", text, main, EXAMPLES)
    parser.add_argument("folders", nargs="+", metavar="RUN", help="a run folder; two or more")
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME",
        help="what to compare (repeatable); `judge` stands for the means of all judges (default: the task's primary "
        "metric, accuracy, rates of triage, BERTScore, BLEU, chrF, judges)",
    )
    parser.add_argument(
        "--margin",
        action="append",
        default=[],
        metavar="[METRIC=]SIZE",
        help="a difference that does not matter: points of metrics in per cent, or of one metric in its own unit "
        "(repeatable; default: 1 point)",
    )
    parser.add_argument("--resamples", type=int, metavar="N", help="resamples and swaps (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the resampling (default: 0)")
    options.add_data(parser)
    options.add_task_dir(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON to standard output, with all items")
    form.add_argument("--markdown", action="store_true", help="print Markdown")


def main(args: Namespace) -> int:
    """Compare the runs."""
    from r2d_bench import api
    from r2d_bench.cli.plain import say, say_json
    from r2d_bench.comparison.compare import MARGIN, CompareOptions
    from r2d_bench.comparison.contest import RESAMPLES, Settings
    from r2d_bench.comparison.markdown import markdown

    resamples = RESAMPLES if args.resamples is None else args.resamples
    if resamples < 100:
        raise UserError(f"--resamples: {resamples}: give 100 or more")
    margin, margins = margins_of(args.margin)
    wanted = CompareOptions(
        metrics=tuple(args.metric),
        settings=Settings(resamples, args.seed),
        margin=MARGIN if margin is None else margin,
        margins=margins,
    )
    found = api.compare(
        [Path(folder) for folder in args.folders],
        data={name: Path(path) for name, path in options.data_pairs(args.data).items()},
        task_dirs=[Path(folder) for folder in args.task_dir],
        options=wanted,
    )
    if args.json:
        say_json(found.as_json())
    elif args.markdown:
        say(markdown(found).rstrip())
    else:
        _show(found)
    return 0


def margins_of(texts: list[str]) -> tuple[float | None, dict[str, float]]:
    """Read `[METRIC=]SIZE`; sizes of metrics in per cent are given in points and returned as shares.

    Returns:
        The margin of metrics in per cent, None where none was given; the margins of single metrics.

    Raises:
        UserError: no number, a negative one, or an unknown metric.
    """
    from r2d_bench.metrics.registry import lookup

    general, single = None, {}
    for text in texts:
        name, _, size = text.rpartition("=")
        try:
            value = float(size)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise UserError(f"--margin: '{text}' should be [METRIC=]SIZE with a size of 0 or more")
        percent = not name or (not name.startswith("judge") and lookup(name).percent)
        value = value / 100 if percent else value
        if name:
            single[name] = value
        else:
            general = value
    return general, single


def _show(comparison: Comparison) -> None:
    """Print tables and lines; a blank line stands between the parts."""
    from r2d_bench.cli.plain import say
    from r2d_bench.comparison.tables import sections

    for number, section in enumerate(sections(comparison)):
        if number:
            say("")
        for table in section.tables:
            _draw(table)
        for line in section.lines:
            _write(line)


def _write(line: str) -> None:
    """Print a line; on a terminal it is broken between words, and goes on further in."""
    from r2d_bench.cli.plain import say

    if not sys.stdout.isatty():
        say(line)
        return
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    for n, part in enumerate(Text(line).wrap(Console(), Console().width - 2)):
        Console().print(Padding(part, (0, 0, 0, 2 if n else 0)))


def _draw(table: Table) -> None:
    """Print a table: drawn on a terminal, with the figures of the best tie group bold; tab-separated elsewhere."""
    from r2d_bench.cli.plain import show_table

    if not sys.stdout.isatty():
        show_table(table.head, [[" ".join(cell.split("\n")) for cell in row] for row in table.rows], table.title)
        return
    from rich.console import Console
    from rich.table import Table as Drawn
    from rich.text import Text

    drawn = Drawn(title=Text(table.title), title_justify="left", header_style="bold")
    for n, name in enumerate(table.head):
        numbers = n > 0 and all(_NUMBER.match(row[n]) for row in table.rows)
        drawn.add_column(Text(name), overflow="fold", justify="right" if numbers else "left")
    for n, row in enumerate(table.rows):
        cells = [Text(cell) for cell in row]
        if n in table.bold:
            cells[1].stylize("bold")
        drawn.add_row(*cells)
    Console().print(drawn)
