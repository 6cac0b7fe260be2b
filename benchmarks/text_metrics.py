"""Time BLEU and chrF with intervals against sacreBLEU's own corpus scores, side by side in one run.

    python benchmarks/text_metrics.py --items 100000 --json docs/performance/text_metrics.json

The rationales are synthetic: words drawn by a power law, gold and output share about half. The values
must be equal. The target is a ratio of at most 1.5 at 100,000 items.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from record import figure, record
from sacrebleu.metrics import BLEU, CHRF

from r2d_bench.metrics import overlap
from r2d_bench.metrics.base import Columns
from r2d_bench.records import LabelStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

TARGET = 1.5


def rationales(items: int, words: int, seed: int) -> tuple[list[str], list[str]]:
    """Return outputs and golds of about `words` words each."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = np.array(["".join(rng.choice(letters, size=rng.integers(2, 12))) for _ in range(8000)])
    gold = (rng.zipf(1.3, size=(items, words)) - 1) % len(vocabulary)
    other = (rng.zipf(1.3, size=(items, words)) - 1) % len(vocabulary)
    output = np.where(rng.random((items, words)) < 0.5, gold, other)
    return [_sentence(vocabulary[row]) for row in output], [_sentence(vocabulary[row]) for row in gold]


def _sentence(words: Sequence[str]) -> str:
    middle = len(words) // 2
    return f"{' '.join(words[:middle])}, {' '.join(words[middle:])}."


def columns(outputs: Sequence[str], golds: Sequence[str]) -> Columns:
    n = len(outputs)
    return Columns(
        ids=[str(i) for i in range(n)],
        labels=["a"],
        gold=["a"] * n,
        predicted=["a"] * n,
        statuses=[LabelStatus.PARSED] * n,
        label_texts=["a"] * n,
        hypotheses=outputs,
        references=[[gold] for gold in golds],
        groups=None,
        input_cut=[False] * n,
        output_cut=[False] * n,
    )


def measure(items: int, words: int, resamples: int, seed: int) -> dict[str, Any]:
    outputs, golds = rationales(items, words, seed)
    data = columns(outputs, golds)
    overlap.compute(columns(outputs[:50], golds[:50]), resamples=10)  # imports are nobody's time
    start, cpu = time.perf_counter(), time.process_time()
    family = overlap.compute(data, resamples=resamples)
    ours, ours_cpu = time.perf_counter() - start, time.process_time() - cpu
    start, cpu = time.perf_counter(), time.process_time()
    bleu = BLEU().corpus_score(outputs, [golds]).score
    chrf = CHRF().corpus_score(outputs, [golds]).score
    theirs, theirs_cpu = time.perf_counter() - start, time.process_time() - cpu
    estimates = family.estimates
    return {
        "items": items,
        "words": words,
        "resamples": resamples,
        "ours_s": round(ours, 2),
        "sacrebleu_s": round(theirs, 2),
        "ratio": round(ours / theirs, 3),
        "ours_cpu_s": round(ours_cpu, 2),
        "sacrebleu_cpu_s": round(theirs_cpu, 2),
        "ratio_cpu": round(ours_cpu / theirs_cpu, 3),
        "target": TARGET,
        "equal": estimates["bleu"].value == bleu and estimates["chrf"].value == chrf,
        "bleu": estimates["bleu"].as_json(),
        "chrf": estimates["chrf"].as_json(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--words", type=int, default=35)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    found = measure(args.items, args.words, args.resamples, args.seed)
    print(
        f"{found['items']} rationales of {found['words']} words: ours with intervals {found['ours_s']} s, "
        f"sacreBLEU corpus_score {found['sacrebleu_s']} s, ratio {found['ratio']} (target {TARGET}; "
        f"of processor time, which other load disturbs less: {found['ratio_cpu']}), "
        f"values {'equal' if found['equal'] else 'DIFFERENT'}"
    )
    if args.json:
        size = f"{args.items:,} rationales"
        figures = [
            figure(f"ours with intervals / corpus_score, {size}", found["ratio"], target=f"at most {TARGET}"),
            figure("the same, of processor time", found["ratio_cpu"]),
            figure("ours with intervals", found["ours_s"], "s"),
            figure("sacreBLEU's corpus_score of both", found["sacrebleu_s"], "s"),
        ]
        record("text_metrics", figures, args.json, details=found)


if __name__ == "__main__":
    main()
