"""`leaderboard verify | submit | accept`: recompute a run, pack it for a board, take it onto one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.cli import options

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace
    from collections.abc import Mapping

VERIFY = """\
  r2d-bench leaderboard verify runs/*
  r2d-bench leaderboard verify triage-v2--hf--my-t5--r2d--1a2b3c4d5e --runs runs --mark
"""
SUBMIT = """\
  r2d-bench leaderboard submit runs/triage-v2--hf--my-t5--r2d--1a2b3c4d5e --out my-t5.zip
  r2d-bench leaderboard submit runs/triage-v2--hf--my-t5--r2d--1a2b3c4d5e --out submissions/my-t5 --card card.yaml
"""
ACCEPT = """\
  r2d-bench leaderboard accept submissions/*.zip --runs runs --all
  r2d-bench leaderboard accept my-t5.zip --data pubmedqa=./pubmedqa
"""


def add_kinds(kinds: options.Verbs[argparse.ArgumentParser]) -> None:
    """Add the verbs."""
    verify = options.add_verb(kinds, "verify", "Recompute every number of runs from their answers.", _verify, VERIFY)
    verify.add_argument("folders", nargs="+", metavar="RUN", help="a run folder, or its name below --runs")
    options.add_runs(verify)
    verify.add_argument("--mark", action="store_true", help="write verification.json beside what holds")
    _add_common(verify)
    submit = options.add_verb(kinds, "submit", "Pack a run for a pull request to a board.", _submit, SUBMIT)
    submit.add_argument("folder", metavar="RUN", help="a run folder")
    submit.add_argument("--out", required=True, metavar="PACK", help="a new .zip file, or a new folder")
    submit.add_argument("--card", metavar="FILE", help="the model's card as YAML (title, parameters, licence, …)")
    options.add_task_dir(submit)
    options.add_json(submit)
    accept = options.add_verb(kinds, "accept", "Check a submission and put it among the runs.", _accept, ACCEPT)
    accept.add_argument("packs", nargs="+", metavar="PACK", help="a submission: .zip file or folder")
    options.add_runs(accept)
    accept.add_argument("--all", action="store_true", help="refuse what cannot be recomputed here (BERTScore)")
    _add_common(accept)


def _add_common(parser: argparse.ArgumentParser) -> None:
    options.add_bertscore(parser)
    options.add_data(parser)
    options.add_task_dir(parser)
    options.add_json(parser)


def _verify(args: Namespace) -> int:
    """Recompute; exit 1 where anything differs."""
    from r2d_bench.api import load_runs
    from r2d_bench.cli.plain import say, say_json
    from r2d_bench.leaderboard.origin import mark
    from r2d_bench.leaderboard.verify import told, verify
    from r2d_bench.runs.scoring import Scorers

    scorers, encoder = Scorers(), options.bertscore_of(args.bertscore)
    dirs = [Path(folder) for folder in args.task_dir]
    folders = [_folder(name, Path(args.runs)) for name in args.folders]
    loaded = load_runs(folders, options.data_pairs(args.data), dirs)
    found = []
    for store, task in loaded:
        one = verify(store, task, encoder, scorers)
        if args.mark and one.holds:
            mark(store.folder, one)
        found.append(one)
        if not args.json:
            left = f", {len(one.not_recomputed)} not recomputed" if one.not_recomputed else ""
            say(f"{one.run}: {'holds' if one.holds else 'DIFFERS'}, {one.equal} values equal{left}")
            for line in one.lines():
                say(f"  {line}")
            _say_absent(one.not_recomputed)
    if args.json:
        say_json(told(found))
    return 0 if all(one.holds for one in found) else 1


def _say_absent(absent: Mapping[str, str]) -> None:
    from r2d_bench.cli.plain import say

    for name, why in absent.items():
        say(f"  not recomputed: {name} ({why})")


def _folder(name: str, runs: Path) -> Path:
    """Return a run folder that is named by its path, or by its name below the folder of runs."""
    below = runs / name
    return below if below.is_dir() and not Path(name).is_dir() else Path(name)


def _submit(args: Namespace) -> int:
    from r2d_bench.cli.plain import say, say_json
    from r2d_bench.leaderboard.submission import pack, write_pack
    from r2d_bench.runs.store import RunStore

    card = Path(args.card) if args.card else None
    found = pack(RunStore(Path(args.folder)), card, [Path(folder) for folder in args.task_dir])
    path = write_pack(found, Path(args.out))
    if args.json:
        say_json({"pack": str(path), "run": found.run, "texts": found.texts, "files": sorted(found.files)})
    else:
        say(f"packed: {path} ({len(found.files)} files). {found.why}")
    return 0


def _accept(args: Namespace) -> int:
    from r2d_bench.cli.plain import say, say_json
    from r2d_bench.errors import UserError
    from r2d_bench.leaderboard.acceptance import accept, task_of
    from r2d_bench.leaderboard.verify import told
    from r2d_bench.runs.scoring import Scorers

    scorers, encoder = Scorers(), options.bertscore_of(args.bertscore)
    data = options.data_pairs(args.data)
    found, refused = [], []
    for name in args.packs:
        pack = Path(name)
        try:
            local = data.get(task_of(pack))
            one = accept(
                pack,
                Path(args.runs),
                data=None if local is None else Path(local),
                task_dirs=[Path(folder) for folder in args.task_dir],
                encoder=encoder,
                scorers=scorers,
                everything=args.all,
            )
        except UserError as error:  # the others are looked at all the same
            refused.append(str(error))
            continue
        found.append(one)
        if not args.json:
            say(f"accepted: {one.run}, {one.equal} values recomputed, {len(one.not_recomputed)} not")
            _say_absent(one.not_recomputed)
    if args.json:
        say_json({"accepted": told(found), "refused": refused})
    else:
        for line in refused:
            say(f"refused: {line}")
    return UserError.exit_code if refused else 0
