"""What the baselines do where every item has options of its own: letters, and a ranking of options by their look."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from r2d_bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from r2d_bench.records import Example

Item = tuple[str, tuple[str, ...]]  # input, and distinct options in order


def letter_shares(train: Sequence[Example], options: Sequence[Sequence[str]]) -> list[float]:
    """Return the share of each letter (position among the distinct options) among the gold options of training.

    Args:
        train: the training items.
        options: their distinct options, in order.
    """
    counts = Counter(list(own).index(str(example.gold)) for example, own in zip(train, options, strict=True))
    return [counts[letter] / len(train) for letter in range(max(counts) + 1)]


def option_shares(shares: Sequence[float], options: Sequence[str]) -> dict[str, float]:
    """Return the letters' shares as shares of an item's options, in order.

    An item with fewer options than the training letters shares among those it has; where training says nothing of
    these, and for no letter it has seen, every option is alike.
    """
    own = [shares[letter] if letter < len(shares) else 0.0 for letter in range(len(options))]
    total = sum(own)
    return {o: share / total if total else 1 / len(own) for o, share in zip(options, own, strict=True)}


class OptionRanker:
    """Logistic regression over question-option pairs: is this option the right one?

    Features of a pair, the first three centred within the item:

    - cosine of the TF-IDF vectors of input and option;
    - mean cosine of the option with the item's other options;
    - logarithm of the option's number of words;
    - its letter (position), and the TF-IDF of its own words (`all of the above`).
    """

    def __init__(self, train: Sequence[Example], options: Sequence[tuple[str, ...]]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        items = [(example.input, own) for example, own in zip(train, options, strict=True)]
        golds = [own.index(str(example.gold)) for example, own in zip(train, options, strict=True)]
        self._letters = max(len(own) for own in options)
        self._vectoriser = TfidfVectorizer(sublinear_tf=True, strip_accents="unicode")
        try:
            self._vectoriser.fit([text for question, own in items for text in (question, *own)])
        except ValueError as error:  # its one cause here: no text holds a word of two letters
            raise UserError(f"baseline:tfidf: the training inputs hold no words ({error})") from None
        right = [n == gold for own, gold in zip(options, golds, strict=True) for n in range(len(own))]
        self._regression: Any = None
        if not all(right):  # where every item has one option, there is nothing to learn
            self._regression = LogisticRegression(max_iter=1000).fit(self._features(items), right)

    def probabilities(self, items: Sequence[Item]) -> list[dict[str, float]]:
        """Return per item how likely each option is; the regression's probabilities, normalised within the item."""
        if self._regression is None:
            return [option_shares((), own) for _, own in items]
        found = self._regression.predict_proba(self._features(items))[:, 1]
        ends = np.cumsum([len(own) for _, own in items])
        parts = np.split(found, ends[:-1])
        return [
            dict(zip(own, (part / part.sum()).tolist(), strict=True))
            for (_, own), part in zip(items, parts, strict=True)
        ]

    def _features(self, items: Sequence[Item]) -> Any:  # noqa: ANN401 - a scipy matrix
        from scipy import sparse

        questions = self._vectoriser.transform([question for question, _ in items])
        words = self._vectoriser.transform([option for _, own in items for option in own])
        rows, start = [], 0
        for number, (_, own) in enumerate(items):
            vectors = words[start : start + len(own)]
            rows.append(self._dense(vectors, questions[number], own))
            start += len(own)
        return sparse.hstack([sparse.csr_matrix(np.vstack(rows)), words]).tocsr()

    def _dense(self, vectors: Any, question: Any, options: tuple[str, ...]) -> NDArray[np.float64]:  # noqa: ANN401
        """Return the dense features of an item's options, shape (options, 3 + letters)."""
        n = len(options)
        to_question = (vectors @ question.T).toarray().ravel()
        alike = (vectors @ vectors.T).toarray()
        to_others = (alike.sum(axis=1) - np.diagonal(alike)) / max(n - 1, 1)
        length = np.log1p([len(option.split()) for option in options])
        look = np.column_stack([to_question, to_others, length])
        # Letters beyond those of training have no weight: their columns would be all zero.
        return np.hstack([look - look.mean(axis=0), np.eye(n, self._letters)])
