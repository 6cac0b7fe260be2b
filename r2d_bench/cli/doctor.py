"""`doctor`: hardware, engines, which adapter fits a model, and a self-test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.cli import options

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace

    from r2d_bench.doctor import Advice, Found, SelfTest
    from r2d_bench.records import Json

EXAMPLES = """\
  r2d-bench doctor
  r2d-bench doctor ./my-t5               also: which adapter fits this model here, and why
  r2d-bench doctor --no-test --json
"""


def add_parser(verbs: options.Verbs[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = options.add_verb(verbs, "doctor", "What this machine has, and whether all works.", main, EXAMPLES)
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a folder, a hub name, pkg:MODULE; without a kind")
    parser.add_argument("--no-test", action="store_true", help="leave the self-test out (it takes under a minute)")
    options.add_json(parser)


def main(args: Namespace) -> int:
    """Tell; exit 1 where the self-test fails."""
    from r2d_bench import doctor

    machine, found = doctor.hardware(), doctor.engines()
    advice = doctor.advise(args.model.removeprefix("hf:"), machine, found) if args.model else None
    test = None if args.no_test else doctor.self_test()
    if args.json:
        _json(machine, found, advice, test)
    else:
        _plain(machine, found, advice, test)
    return 0 if test is None or test.works else 1


def _json(machine: dict[str, Json], found: list[Found], advice: Advice | None, test: SelfTest | None) -> None:
    from dataclasses import asdict

    from r2d_bench.cli.plain import say_json

    say_json(
        {
            "hardware": machine,
            "engines": [asdict(one) for one in found],
            "advice": None if advice is None else asdict(advice),
            "self_test": None if test is None else asdict(test),
        }
    )


def _plain(machine: dict[str, Json], found: list[Found], advice: Advice | None, test: SelfTest | None) -> None:
    from r2d_bench.cli.plain import say, show_table

    memory = "memory unknown" if machine["memory_gib"] is None else f"{machine['memory_gib']} GiB"
    flags = ", ".join(machine["flags"]) or "none of the fast instruction sets known here"
    say(f"machine: {machine['system']}, {machine['cores']} cores, {memory}, {flags}; Python {machine['python']}")
    say(f"accelerators: {'; '.join(machine['gpus']) or 'none'}")
    rows = [
        [one.name, ", ".join(f"{name} {version}" for name, version in one.versions.items()), one.install or ""]
        for one in found
    ]
    show_table(["engine", "found", "to install"], rows)
    if advice is not None:
        say(f"use: {advice.spec} ({advice.why})")
    if test is not None:
        say(f"self-test: {'works' if test.works else 'FAILS'}, {test.seconds:.0f} s ({test.told})")
