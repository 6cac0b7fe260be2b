"""`r2d-bench`: finds the verb, runs it, and turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import traceback
from typing import NoReturn

from r2d_bench import __version__
from r2d_bench.cli import (
    compare,
    convert,
    doctor,
    judge,
    judge_agreement,
    judge_audit,
    judges,
    leaderboard,
    protocols,
    run,
    runs,
    score,
    tasks,
    train,
)
from r2d_bench.errors import UserError, did_you_mean

VERBS = (
    run,
    train,
    score,
    judge,
    compare,
    judge_audit,
    judge_agreement,
    runs,
    tasks,
    protocols,
    judges,
    leaderboard,
    convert,
    doctor,
)
DESCRIPTION = "Benchmark models that predict a label and write a rationale."
EXAMPLES = """examples:
  r2d-bench run hf:./my-t5 baseline:majority -t triage      predict, score, page
  r2d-bench train google/flan-t5-base -t triage              train one that predicts and explains
  r2d-bench judge runs/* --judge clinical_rationale --model api:openai/gpt-4o-mini
  r2d-bench compare runs/triage-*                           who is better, and how sure that is
  r2d-bench tasks list                                      the tasks at hand
  r2d-bench leaderboard build                               the page again, from the run folders
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        if "invalid choice: " in message and self._subparsers is not None:
            word = message.rsplit("invalid choice: '", maxsplit=1)[-1].split("'", maxsplit=1)[0]
            verbs = next(iter(self._subparsers._group_actions)).choices or {}  # noqa: SLF001 - no public way
            message = f"unknown verb '{word}'{did_you_mean(word, verbs)}"
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser with every verb."""
    parser = _Parser(
        prog="r2d-bench",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"r2d-bench {__version__}")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add_parser(verbs)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code.

    0 done · 1 an unexpected error · 2 bad input · 3 some requests are without an answer · 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    options = make_parser().parse_args([a for a in arguments if a != "--debug"])
    try:
        code = int(options.main(options) or 0)
        sys.stdout.flush()  # a reader that has gone away (`| head`) is noticed here, not when Python ends
    except UserError as error:
        if debug:
            traceback.print_exc()
        sys.stderr.write(f"r2d-bench: {_one_line(error)}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("r2d-bench: interrupted; what was answered is kept, the same command goes on\n")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads what is left to be flushed
        return 0
    except Exception as error:  # noqa: BLE001 - the last door: a person gets one line, --debug the rest
        if debug:
            traceback.print_exc()
        sys.stderr.write(f"r2d-bench: unexpected {type(error).__name__}: {_one_line(error)} (run again with --debug)\n")
        return 1
    return code


def _one_line(error: Exception) -> str:
    """Return the message in one line; what it quotes (a label, say) may hold line breaks."""
    return " ".join(str(error).split())


def entry() -> None:
    """Entry point of the installed command."""
    # Imports and examples live to the end: looking at them for garbage every 700 new objects took a tenth of a short
    # run's time.
    gc.set_threshold(100_000, 50, 100)
    sys.exit(main())


if __name__ == "__main__":
    entry()
