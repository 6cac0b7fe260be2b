"""The `paper` preset: figures as the released code of Reason2Decide computes them.

They stand beside the standard figures under names of their own and are not comparable with them: macro-F1
without a fixed label set makes every stray string a class, NLTK's sentence BLEU is not corpus BLEU.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.errors import UserError
from r2d_bench.metrics import bertscore
from r2d_bench.metrics.base import About, Family, Metric
from r2d_bench.metrics.figures import (
    all_missing,
    cluster_codes,
    cluster_warnings,
    figure,
    means,
    rate,
    scorable_texts,
    spread,
)
from r2d_bench.statistics.bootstrap import Resamples, cluster_sums, resample_cells, resample_units
from r2d_bench.statistics.intervals import Interval, undefined

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from r2d_bench.metrics.base import Columns
    from r2d_bench.records import Estimate
    from r2d_bench.statistics.bootstrap import Floats

ENCODER = "roberta-large"  # what bert-score takes for lang="en"
ENCODER_LAYER = 17
_LARGEST = 20_000_000  # numbers in one table of the bootstrap: 160 MB
_NO_NLTK = "nltk is not installed: pip install 'r2d-bench[paper]'"
_NO_PUNKT = "NLTK's punkt_tab is missing: python -m nltk.downloader punkt_tab"
_NO_ENCODER = f"needs the encoder {ENCODER} (1.4 GB): name it, or the folder of a local copy, as the paper encoder"


def _metric(name: str, title: str, about: About, text: str, **more: object) -> Metric:
    full = f"{title} (paper script)"
    return Metric(f"paper_{name}", full, about, preset="paper", help=text, **more)  # type: ignore[arg-type]


_PERCENT = {"percent": True, "decimals": 1}
METRICS: tuple[Metric, ...] = (
    _metric("accuracy", "Accuracy", About.LABEL, "Share of decoded strings equal to the gold label.", **_PERCENT),
    _metric(
        "macro_f1",
        "Macro-F1",
        About.LABEL,
        "Mean F1 over all strings that occur as gold or output.",
        **_PERCENT,
    ),
    _metric("bleu", "BLEU", About.RATIONALE, "Mean NLTK sentence BLEU, smoothing method 4, lower-cased, 0 to 1."),
    *(
        _metric(
            name,
            f"BERTScore {part}",
            About.RATIONALE,
            f"Mean BERTScore {part}, {ENCODER} layer 17.",
            low=-1.0,
        )
        for name, part in (("bertscore_f1", "F1"), ("bertscore_p", "P"), ("bertscore_r", "R"))
    ),
)


def compute(
    columns: Columns,
    encoder: bertscore.Encoder | bertscore.BertScorer | None = None,
    *,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = 2000,
) -> Family:
    """Compute the paper's figures.

    The paper gives no intervals; these are the ones of this package. BERTScore needs an encoder and is
    unscored without; BLEU needs NLTK and its `punkt_tab` data.

    Args:
        columns: predictions beside their golds.
        encoder: roberta-large, layer 17; None leaves BERTScore unscored.
        seed: seed of the bootstrap.
        level: coverage of the intervals.
        resamples: number of resamples.

    Raises:
        UserError: the encoder is not the paper's, or a group id is missing.
    """
    parts = (
        _labels(columns, seed, level, resamples),
        _bleu(columns, seed, level, resamples),
        _bertscore(columns, encoder, seed, level, resamples),
    )
    return Family(
        {name: estimate for part in parts for name, estimate in part.estimates.items()},
        {name: values for part in parts for name, values in part.per_example.items()},
        {name: text for part in parts for name, text in part.signatures.items()},
    )


def string_macro_f1(sums: Floats) -> Floats:
    """Return scikit-learn's macro-F1 without `labels=`: over strings that occur, shape (..., 3L) → (...).

    Args:
        sums: for each of L strings how often it is gold, how often it is output, how often both.
    """
    gold, output, hits = np.split(sums, 3, axis=-1)
    seen = gold + output
    f1 = np.divide(2 * hits, seen, out=np.zeros(seen.shape), where=seen > 0)
    classes = (seen > 0).sum(axis=-1)
    mean: Floats = np.divide(f1.sum(axis=-1), classes, out=np.full(classes.shape, np.nan), where=classes > 0)
    return mean


def _labels(columns: Columns, seed: int, level: float, resamples: int) -> Family:
    """Compare decoded strings with gold labels exactly, as R2D does (no stripping, no lower case)."""
    names = ["paper_accuracy", "paper_macro_f1"]
    scored = np.array(
        [s is not None and g is not None for s, g in zip(columns.statuses, columns.gold, strict=True)],
        dtype=bool,
    )
    if columns.no_label or not scored.any():
        reason = columns.no_label or "no item has both an answer and a gold label"
        return Family(all_missing(names, reason, unscored=len(columns)))
    rows = np.flatnonzero(scored)
    number: dict[str, int] = {}
    gold = np.array([number.setdefault(columns.gold[row] or "", len(number)) for row in rows])
    output = np.array([number.setdefault(columns.label_texts[row] or "", len(number)) for row in rows])
    codes = cluster_codes(columns, scored)
    unscored = len(columns) - len(rows)
    value, interval = _macro_f1(gold, output, codes, (seed, resamples), level)
    macro = figure(value, interval, n=len(rows), unscored=unscored, level=level, warnings=cluster_warnings(codes))
    return Family(
        {
            "paper_accuracy": rate(gold == output, codes, unscored=unscored, level=level),
            "paper_macro_f1": macro,
        },
        {"paper_accuracy": spread((gold == output).astype(np.float64), scored)},
    )


def _macro_f1(
    gold: NDArray[np.int64],
    output: NDArray[np.int64],
    codes: NDArray[np.int64] | None,
    draw: tuple[int, int],
    level: float,
) -> tuple[float, Interval]:
    """Return macro-F1 over observed strings with its interval; too many different strings have none."""
    size = int(max(gold.max(), output.max())) + 1
    pairs, which, counts = np.unique(gold * size + output, return_inverse=True, return_counts=True)
    seed, resamples = draw
    rows = max(len(pairs), resamples, 0 if codes is None else len(codes))
    if rows * 3 * size > _LARGEST:
        both = [np.bincount(part, minlength=size) for part in (gold, output, gold[gold == output])]
        value = float(string_macro_f1(np.concatenate(both).astype(np.float64)))
        return value, undefined(f"no interval: {size} different strings")
    stats = _pair_stats(*np.divmod(pairs, size), size)
    drawn: Resamples
    if codes is None:
        drawn = resample_cells(counts, stats, seed=seed, resamples=resamples)
    else:
        drawn = resample_units(cluster_sums(stats[which], codes), seed=seed, resamples=resamples)
    return float(string_macro_f1(drawn.total)), drawn.interval(string_macro_f1, level)


def _pair_stats(gold: NDArray[np.int64], output: NDArray[np.int64], size: int) -> Floats:
    """Return what one item of each (gold, output) pair adds to the sums, shape (C, 3·size)."""
    stats = np.zeros((len(gold), 3 * size))
    cells = np.arange(len(gold))
    stats[cells, gold] = 1
    stats[cells, size + output] = 1
    stats[cells, 2 * size + gold] = gold == output
    return stats


def _bleu(columns: Columns, seed: int, level: float, resamples: int) -> Family:
    """Mean of NLTK's sentence BLEU against the first gold rationale."""
    name = "paper_bleu"
    scored, hypotheses, references, reason = scorable_texts(columns)
    if not hypotheses:
        return Family(all_missing([name], reason, unscored=len(columns)))
    try:
        values = _nltk_bleu(hypotheses, [texts[0] for texts in references])
    except ImportError:
        return Family(all_missing([name], _NO_NLTK, unscored=len(columns)))
    except LookupError:
        return Family(all_missing([name], _NO_PUNKT, unscored=len(columns)))
    (estimate,) = means(
        values[:, None],
        cluster_codes(columns, scored),
        unscored=len(columns) - len(hypotheses),
        level=level,
        seed=seed,
        resamples=resamples,
    )
    return Family({name: estimate}, {name: spread(values, scored)}, {name: "nltk|method4|lc|word_tokenize|nrefs:1"})


def _nltk_bleu(hypotheses: Sequence[str], references: Sequence[str]) -> Floats:
    """Return NLTK's sentence BLEU of each pair.

    Raises:
        ImportError: NLTK is missing.
        LookupError: its tokenizer data is missing.
    """
    from nltk import word_tokenize
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    smooth = SmoothingFunction().method4
    scores = [
        sentence_bleu([word_tokenize(gold.lower())], word_tokenize(text.lower()), smoothing_function=smooth)
        for text, gold in zip(hypotheses, references, strict=True)
    ]
    return np.array(scores, dtype=np.float64)


def _bertscore(
    columns: Columns,
    encoder: bertscore.Encoder | bertscore.BertScorer | None,
    seed: int,
    level: float,
    resamples: int,
) -> Family:
    """BERTScore with the paper's encoder, under names of the preset."""
    if encoder is None:
        names = [f"paper_{metric.name}" for metric in bertscore.METRICS]
        return Family(all_missing(names, columns.no_rationale or _NO_ENCODER, unscored=len(columns)))
    settings = encoder.encoder if isinstance(encoder, bertscore.BertScorer) else encoder
    if settings.public_id.rpartition("/")[2] != ENCODER or settings.num_layers not in (None, ENCODER_LAYER):
        raise UserError(
            f"paper encoder {settings.public_id}: the paper's figures are {ENCODER}, layer {ENCODER_LAYER}: "
            "use it, or leave the paper encoder out"
        )
    if isinstance(encoder, bertscore.Encoder):
        encoder = replace(encoder, num_layers=ENCODER_LAYER)
    family = bertscore.compute(columns, encoder, seed=seed, level=level, resamples=resamples)
    return Family(
        _prefixed(family.estimates),
        {f"paper_{name}": values for name, values in family.per_example.items()},
        {f"paper_{name}": text for name, text in family.signatures.items()},
    )


def _prefixed(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    return {f"paper_{name}": estimate for name, estimate in estimates.items()}
