"""Baselines: what can be had without a model. They learn from the task's own training split.

- `majority`: the commonest training label, for every item (ties: the first in the label set).
- `stratified`: a label drawn from the training distribution, seeded per item.
- `tfidf`: TF-IDF (words and pairs of words) with logistic regression; the rationale is that of the nearest training
  item with the predicted label.

In an open label space the labels are those of the training split. Where options differ per item (*choices*), a label
says nothing about another item: `majority` and `stratified` go by the option's letter (its position among the item's
distinct options; an item that lacks the letter shares among those it has), `tfidf` ranks the options (see
`baseline_choices`), and its rationale is that of the nearest training question.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from pydantic import BaseModel, Field

from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.models.base import Answer, Capabilities, Identity, Model
from r2d_bench.models.base import Params as BaseParams
from r2d_bench.models.baseline_choices import OptionRanker, letter_shares, option_shares
from r2d_bench.records import Json, LabelMethod, Response
from r2d_bench.tasks.task import examples_digest, rows_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from r2d_bench.records import Example, Request
    from r2d_bench.tasks.labels import LabelSpace
    from r2d_bench.tasks.task import Task

NAMES = ("majority", "stratified", "tfidf")


class BaselineParams(BaseParams):
    """Parameters of `baseline:tfidf,key=value`.

    Attributes:
        field: read this column of the rows in place of the input: how much of the label can be had from the chief
            complaint alone, or from a masked rationale? Such a row is a check of the task, not a competitor.
    """

    field: str | None = Field(None, min_length=1)


class Baseline(Model):
    """A baseline by name."""

    Params: ClassVar[type[BaseModel]] = BaselineParams

    def __init__(self, name: str, task: Task, seed: int, column: str | None = None) -> None:
        self._name = name
        self._task = task
        self._column = column
        self._space: LabelSpace = task.labels
        self._seed = seed
        self._shares: dict[str, float] = {}
        self._letters: list[float] = []
        self._digest = ""
        self._tfidf: _NearestAndLogistic | _NearestAndRanked | None = None

    @classmethod
    def create(cls, name: str, params: BaseModel, *, task: Task, seed: int) -> Self:
        """Make a baseline; raises UserError for an unknown name, or a column where none is read."""
        if name not in NAMES:
            raise UserError(f"unknown baseline '{name}'{did_you_mean(name, NAMES)}")
        column = cast("BaselineParams", params).field
        if column is not None and name != "tfidf":
            raise UserError(f"baseline:{name}: reads no text, so it takes no field")
        return cls(name, task, seed, column)

    @property
    def identity(self) -> Identity:
        """Name, digest of the training rows, and the seed where it matters."""
        params: dict[str, Json] = {"seed": self._seed} if self._name == "stratified" else {}
        if self._column is not None:
            params["field"] = self._column
        return Identity("baseline", self._name, self._digest, params)

    @property
    def capabilities(self) -> Capabilities:
        """Only `tfidf` writes rationales. What `stratified` draws is not its likeliest label, so it scores none."""
        methods = set(LabelMethod) - ({LabelMethod.SCORED} if self._name == "stratified" else set())
        return Capabilities(
            methods=frozenset(methods),
            rationale=self._name == "tfidf",
            # `stratified` draws by item, and a column may differ: two items with the same text may do so too.
            pure=self._name != "stratified" and self._column is None,
            default_protocol="direct",
        )

    def fit(self, train: Sequence[Example], validation: Sequence[Example]) -> None:  # noqa: ARG002
        """Learn from the training split."""
        if not train:
            raise UserError(f"baseline:{self._name} needs a training split, which the task has not")
        # Only tfidf shows gold rationales: the others are the same model in every style.
        self._digest = (examples_digest if self._name == "tfidf" else rows_digest)(train)
        train = [self._read(example) for example in train]
        options = [self._space.labels(example.options) for example in train]
        if self._space.space == "choices":
            self._letters = letter_shares(train, options)
            self._tfidf = _NearestAndRanked(train, options) if self._name == "tfidf" else None
            return
        counts = Counter(str(example.gold) for example in train)
        self._shares = {label: counts[label] / len(train) for label in self._space.values or sorted(counts)}
        self._tfidf = _NearestAndLogistic(train) if self._name == "tfidf" else None

    def _read(self, example: Example) -> Example:
        """Return an example with the column that is read in place of its input."""
        if self._column is None:
            return example
        if not isinstance(text := example.fields.get(self._column), str):
            known = did_you_mean(self._column, example.fields)
            raise UserError(f"baseline:tfidf: example {example.id} has no text in column '{self._column}'{known}")
        return replace(example, input=text)

    def _asked(self, requests: Sequence[Request]) -> list[Request]:
        """Return requests whose input is the column that is read; their keys stay."""
        if self._column is None:
            return list(requests)
        inputs = {example.id: self._read(example).input for example in self._task.asked()}
        return [replace(request, input=inputs[request.example_id]) for request in requests]

    def generate(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Answer the stages of protocol `direct`: the label, or the nearest rationale."""
        if self._tfidf is not None:
            yield from self._tfidf.answer(self._asked(requests))
            return
        for request in requests:
            shares = self._shares_of(request)
            yield request.key, Response(_best(shares) if self._name == "majority" else self._draw(shares, request))

    def score(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Give the training shares (majority) or the regression's probabilities (tfidf) as ln P."""
        if self._tfidf is not None:
            yield from self._tfidf.score(self._asked(requests), list(self._shares))
            return
        for request in requests:
            shares = self._shares_of(request)
            scores = {label: _log(share) for label, share in shares.items()}
            yield request.key, Response(_best(shares), scores=scores)

    def _shares_of(self, request: Request) -> dict[str, float]:
        """Return the training share of each label that the item may have, in order."""
        return option_shares(self._letters, request.options) if self._letters else self._shares

    def _draw(self, shares: dict[str, float], request: Request) -> str:
        chance = random.Random(f"{self._seed} {request.example_id}")  # noqa: S311 - reproducible, not secret
        return chance.choices(list(shares), weights=list(shares.values()))[0]


class _NearestAndLogistic:
    """TF-IDF features shared by a logistic regression and a nearest-neighbour search."""

    def __init__(self, train: Sequence[Example]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        self._train = train
        self._vectoriser = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, strip_accents="unicode")
        try:
            self._matrix: Any = self._vectoriser.fit_transform([example.input for example in train])
        except ValueError as error:  # its one cause here: no input holds a word of two letters
            raise UserError(f"baseline:tfidf: the training inputs hold no words ({error})") from None
        golds = [str(example.gold) for example in train]
        self._only = golds[0] if len(set(golds)) == 1 else None
        self._regression = LogisticRegression(max_iter=1000, C=10.0)
        if self._only is None:
            self._regression.fit(self._matrix, golds)

    def _features(self, requests: Sequence[Request]) -> Any:  # noqa: ANN401 - a scipy matrix
        return self._vectoriser.transform([request.input for request in requests])

    def _predict(self, features: Any) -> list[str]:  # noqa: ANN401
        if self._only is not None:
            return [self._only] * features.shape[0]
        return [str(label) for label in self._regression.predict(features)]

    def answer(self, requests: Sequence[Request]) -> Iterator[Answer]:
        if not requests:
            return
        features = self._features(requests)
        labels = self._predict(features)
        if requests[0].stage == "label":
            yield from ((r.key, Response(label)) for r, label in zip(requests, labels, strict=True))
            return
        for row, (request, label) in enumerate(zip(requests, labels, strict=True)):
            yield request.key, Response(self._nearest_rationale(features[row], label))

    def _nearest_rationale(self, row: Any, label: str) -> str:  # noqa: ANN401
        """Return the rationale of the training item nearest in cosine among those with this label."""
        similarity = (self._matrix @ row.T).toarray().ravel()
        rated = [
            (float(similarity[n]), -n)
            for n, example in enumerate(self._train)
            if example.gold == label and example.references
        ]
        return self._train[-max(rated)[1]].references[0] if rated else ""

    def score(self, requests: Sequence[Request], labels: Sequence[str]) -> Iterator[Answer]:
        if not requests:
            return
        features = self._features(requests)
        if self._only is not None:
            known, shares = [self._only], [[1.0]] * len(requests)
        else:
            known, shares = (
                [str(c) for c in self._regression.classes_],
                self._regression.predict_proba(features),
            )
        for request, row in zip(requests, shares, strict=True):
            by_label = dict(zip(known, row, strict=True))
            scores = {label: _log(float(by_label.get(label, 0.0))) for label in labels}
            yield request.key, Response(max(scores, key=lambda label: scores[label]), scores=scores)


class _NearestAndRanked:
    """The ranking of options, and the nearest training question in cosine for the rationale."""

    def __init__(self, train: Sequence[Example], options: Sequence[tuple[str, ...]]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._ranker = OptionRanker(train, options)
        self._train = [example for example in train if example.references]
        self._vectoriser = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, strip_accents="unicode")
        inputs = [example.input for example in self._train]
        self._matrix: Any = self._vectoriser.fit_transform(inputs) if inputs else None

    def answer(self, requests: Sequence[Request]) -> Iterator[Answer]:
        if requests and requests[0].stage == "label":
            yield from ((key, Response(answer.text)) for key, answer in self._scored(requests))
            return
        for request in requests:
            yield request.key, Response(self._nearest_rationale(request.input))

    def score(self, requests: Sequence[Request], labels: Sequence[str]) -> Iterator[Answer]:  # noqa: ARG002
        yield from self._scored(requests)

    def _scored(self, requests: Sequence[Request]) -> Iterator[tuple[str, Response]]:
        if not requests:
            return
        found = self._ranker.probabilities([(request.input, request.options) for request in requests])
        for request, shares in zip(requests, found, strict=True):
            scores = {label: _log(share) for label, share in shares.items()}
            yield request.key, Response(_best(shares), scores=scores)

    def _nearest_rationale(self, text: str) -> str:
        if self._matrix is None:
            return ""
        similarity = (self._matrix @ self._vectoriser.transform([text]).T).toarray().ravel()
        return self._train[int(similarity.argmax())].references[0]


def _best(shares: dict[str, float]) -> str:
    """Return the likeliest label, the first of equals."""
    return max(shares, key=lambda label: shares[label])


def _log(share: float) -> float:
    """Return ln P, with a floor: a label unseen in training is improbable, not impossible."""
    return math.log(max(share, 1e-9))
