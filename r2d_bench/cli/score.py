"""`score`: score run folders again, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.cli import options

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace

EXAMPLES = """\
  r2d-bench score runs/triage-v1--hf--my-t5--r2d--1a2b3c4d5e
  r2d-bench score runs/* --bertscore roberta-large@17
"""


def add_parser(verbs: options.Verbs[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = options.add_verb(verbs, "score", "Score run folders again, without a model.", main, EXAMPLES)
    parser.add_argument("folders", nargs="+", metavar="RUN", help="a run folder")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the resampling (default: 0)")
    parser.add_argument("--no-paper", action="store_true", help="leave out the figures of the paper's script")
    parser.add_argument(
        "--board",
        default="main",
        metavar="NAME",
        help="the leaderboard whose BERTScore encoder is used (default: main)",
    )
    options.add_rationale_style(parser, "that of the run's newest sitting")
    options.add_bertscore(parser)
    options.add_data(parser)
    options.add_task_dir(parser)
    options.add_json(parser)


def main(args: Namespace) -> int:
    """Score each folder."""
    from r2d_bench import api
    from r2d_bench.cli.console import show_scores
    from r2d_bench.leaderboard.board import load_board
    from r2d_bench.runs.scoring import ScoreOptions, Scorers
    from r2d_bench.runs.store import RunStore

    data = options.data_pairs(args.data)
    encoder = options.bertscore_of(args.bertscore) or load_board(args.board).bertscore
    style = args.rationale_style
    wanted = ScoreOptions(bertscore=encoder, paper=not args.no_paper, seed=args.seed, rationale_style=style)
    scorers = Scorers()
    stores = [RunStore(Path(folder)) for folder in args.folders]
    names = [store.setup().task.partition("@")[0] for store in stores]  # all are runs, before any is scored
    scored = []
    for store, name in zip(stores, names, strict=True):
        path = Path(data[name]) if name in data else None
        dirs = [Path(folder) for folder in args.task_dir]
        scores = api.score(store.folder, data=path, task_dirs=dirs, options=wanted, scorers=scorers)
        scored.append((store.setup(), store.folder, scores))
    show_scores(scored, as_json=args.json)
    return 0
