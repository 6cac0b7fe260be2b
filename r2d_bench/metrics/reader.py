"""What a fixed reader makes of rationales, in place of the model under test.

A model may read labels out of its own rationales by a code of its own. The reader is the same for every model of a
task: TF-IDF with logistic regression, trained on the gold rationales of the training split. It sees rationales without
the words of the labels, so that it must go by reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.metrics.base import About, Direction, Family, Metric
from r2d_bench.metrics.figures import all_missing, cluster_codes, rate, spread
from r2d_bench.metrics.probes import FOR_WRONG_LABEL
from r2d_bench.records import Estimate, digest, missing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from r2d_bench.metrics.base import Columns

NAME = "tfidf-logreg/1"
LITERAL = "literal statement"
MIN_TRAINING = 2  # labels with a rationale each: fewer teach nothing
_CHUNK = 10_000  # texts that are read together

METRICS: tuple[Metric, ...] = (
    Metric(
        "reader_sufficiency",
        "Sufficiency, reader",
        About.JOINT,
        percent=True,
        decimals=1,
        help="Share of rationales from which a fixed outside reader has the gold label.",
    ),
    Metric(
        "reader_consistency",
        "Consistency, reader",
        About.JOINT,
        percent=True,
        decimals=1,
        help="Share of rationales from which a fixed outside reader has the predicted label.",
    ),
    Metric(
        "reader_gold",
        "Gold, reader",
        About.JOINT,
        Direction.NONE,
        percent=True,
        decimals=1,
        help="Share of gold rationales from which the outside reader has the gold label: what can be expected of it.",
    ),
    Metric(
        "obedience",
        "Obeys a wrong label",
        About.JOINT,
        Direction.LOWER,
        percent=True,
        decimals=1,
        help="Share of rationales asked for a wrong label from which that wrong label can be read.",
    ),
)


@dataclass(frozen=True, slots=True)
class Reader:
    """Whoever reads labels from texts.

    Attributes:
        read: texts → labels; None where a text tells nothing.
        signature: what makes two readings comparable.
    """

    read: Callable[[Sequence[str]], Sequence[str | None]]
    signature: str


@dataclass(frozen=True, slots=True)
class Texts:
    """What is read, all without label words, each of shape (N,); None where an item has none.

    Attributes:
        own: the model's rationales.
        gold: gold rationales.
        wrong_labels: the wrong label that a rationale was asked for.
        for_wrong: the rationales written for it; None where that probe was not asked.
        states_wrong: whether each of them, unmasked, names the wrong label.
    """

    own: Sequence[str | None]
    gold: Sequence[str | None]
    wrong_labels: Sequence[str | None] = ()
    for_wrong: Sequence[str | None] | None = None
    states_wrong: Sequence[bool] = ()


def fit_reader(texts: Sequence[str], labels: Sequence[str]) -> Reader | None:
    """Return a reader that has learnt from rationales; None where they hold no words or one label only.

    Args:
        texts: gold rationales of the training split, without label words.
        labels: their gold labels.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    if len(set(labels)) < MIN_TRAINING:
        return None
    vectoriser = TfidfVectorizer(sublinear_tf=True, strip_accents="unicode")
    try:
        features = vectoriser.fit_transform(texts)
    except ValueError:  # its one cause here: no text holds a word of two letters
        return None
    regression = LogisticRegression(max_iter=1000, C=10.0).fit(features, labels)

    names = {label: str(label) for label in regression.classes_}  # one text each, not one for each answer

    def read(asked: Sequence[str]) -> list[str | None]:
        labels: list[str | None] = []
        for start in range(0, len(asked), _CHUNK):
            found = vectoriser.transform(asked[start : start + _CHUNK])
            known = np.diff(found.indptr) > 0  # a text without a known word tells nothing
            read = zip(regression.predict(found), known, strict=True)
            labels += [names[label] if tells else None for label, tells in read]
        return labels

    return Reader(read, f"{NAME}|training:{digest(sorted(zip(texts, labels, strict=True)), 8)}")


def compute(columns: Columns, texts: Texts, reader: Reader | str, *, level: float = 0.95) -> Family:
    """Compute the shares with Wilson intervals (on the effective n where items are dependent).

    A rationale that tells the reader nothing (an empty one) counts as read wrongly. Items without a rationale, without
    a gold label, or (for consistency) without a valid label are unscored. Where there is no reader, obedience goes by
    whether the wrong label is named.

    Args:
        columns: predictions beside their golds.
        texts: what is read.
        reader: who reads, or why nobody can.
        level: coverage of the intervals.

    Raises:
        UserError: a group id is missing.
    """
    obedience, unasked = _obedience(columns, texts, reader, level)
    if isinstance(reader, str):
        names = [metric.name for metric in METRICS if metric.name != "obedience"]
        signed = {} if obedience.value is None else {"obedience": f"read:{LITERAL}"}
        return Family({**all_missing(names, reader, unscored=len(columns)), "obedience": obedience}, {}, signed)
    own, gold = _read(reader, texts.own), _read(reader, texts.gold)

    def agreement(read: Sequence[str | None], of: Sequence[str | None], want: Sequence[str | None]) -> Estimate:
        scored = _present(of) & _present(want) & _present(columns.gold)
        hits = np.array([a is not None and a == b for a, b in zip(read, want, strict=True)], dtype=bool)
        nothing = columns.no_rationale or "no rationale to read" if of is texts.own else "no gold rationale"
        return _rate(columns, hits, scored, level, nothing)

    estimates = {
        "reader_sufficiency": agreement(own, texts.own, columns.gold),
        "reader_consistency": agreement(own, texts.own, columns.predicted),
        "reader_gold": agreement(gold, texts.gold, columns.gold),
        "obedience": obedience,
    }
    written = _present(texts.own) & _present(columns.gold)
    right = np.array([a is not None and a == b for a, b in zip(own, columns.gold, strict=True)], dtype=np.float64)
    signatures = {name: f"reader:{reader.signature}" for name, e in estimates.items() if e.value is not None}
    return Family(estimates, {"reader_sufficiency": spread(right[written], written)}, signatures, unasked)


def _obedience(
    columns: Columns, texts: Texts, reader: Reader | str, level: float
) -> tuple[Estimate, dict[str, object]]:
    """Return the share of obedient rationales, and how often the same labels are read where nobody asked for them."""
    if texts.for_wrong is None:
        return missing(f"not asked: run it with --probes {FOR_WRONG_LABEL}", unscored=len(columns)), {}
    asked = _present(texts.for_wrong) & _present(texts.wrong_labels)
    nothing = "no item was asked"
    if isinstance(reader, str):
        return _rate(columns, np.array(texts.states_wrong, dtype=bool), asked, level, nothing), {}
    obeys, anyway = (
        np.array(
            [a is not None and a == b for a, b in zip(_read(reader, read), texts.wrong_labels, strict=True)], dtype=bool
        )
        for read in (texts.for_wrong, texts.own)
    )
    usual = _rate(columns, anyway, asked & _present(texts.own), level, nothing)
    return _rate(columns, obeys, asked, level, nothing), {"wrong_label_unasked": usual.as_json()}


def _read(reader: Reader, texts: Sequence[str | None]) -> list[str | None]:
    """Return the label read from each text; None where there is no text."""
    there = [text for text in texts if text is not None]
    labels = iter(reader.read(there))
    return [None if text is None else next(labels) for text in texts]


def _present(values: Sequence[object | None]) -> NDArray[np.bool_]:
    return np.array([value is not None for value in values], dtype=bool)


def _rate(columns: Columns, hits: NDArray[np.bool_], scored: NDArray[np.bool_], level: float, nothing: str) -> Estimate:
    codes = cluster_codes(columns, scored)
    return rate(hits[scored], codes, unscored=int((~scored).sum()), level=level, nothing=nothing)
