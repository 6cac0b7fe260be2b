"""What the figures of rationales need beyond predictions: masked texts, a fitted reader, annotated findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from r2d_bench.errors import UserError
from r2d_bench.metrics import grounding, joint, leak, reader
from r2d_bench.metrics.probes import FOR_WRONG_LABEL
from r2d_bench.protocols.prompts import wrong_label
from r2d_bench.tasks.masking import Masker
from r2d_bench.templates import mapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from r2d_bench.metrics.base import Columns, Family
    from r2d_bench.records import Example, Json, Prediction
    from r2d_bench.tasks.task import Task


class _Read(NamedTuple):
    """One example's rationales without label words (own, gold, for a wrong label), and which labels they name."""

    own: str | None
    gold: str | None
    stated: frozenset[str]
    wrong: str | None
    for_wrong: str | None
    states_wrong: bool


@dataclass(frozen=True)
class Told:
    """One run's predictions beside the examples they are about, in the order of the columns.

    Attributes:
        task: the task, in the style that rationales are compared with.
        masker: its label words, with those of the checkpoint.
        columns: the run as metrics read it.
        examples, predictions: both of shape (N,).
        wrong_asked: the probe for a wrong label was asked.
    """

    task: Task
    masker: Masker
    columns: Columns
    examples: Sequence[Example]
    predictions: Sequence[Prediction]
    wrong_asked: bool

    def families(
        self, outside: reader.Reader | str, overlaps: Mapping[str, NDArray[np.float64]], *, seed: int, resamples: int
    ) -> list[Family]:
        """Return the figures of label and rationale together, of leaks, and of grounding.

        Args:
            outside: the fixed reader, or why there is none.
            overlaps: per-example overlaps with gold rationales that were computed already.
            seed: seed of the bootstrap.
            resamples: number of its resamples.
        """
        read = [self._read(e, p) for e, p in zip(self.examples, self.predictions, strict=True)]
        return [
            self._joint(overlaps),
            reader.compute(self.columns, self._texts(read), outside),
            leak.compute(self.columns, [one.stated for one in read]),
            grounding.compute(self.columns, self._findings(), seed=seed, resamples=resamples),
        ]

    def _read(self, example: Example, prediction: Prediction) -> _Read:
        words = self.masker.words(example)  # made once per example: of choices they differ, and patterns are dear
        written, wrong = prediction.probe_texts.get(FOR_WRONG_LABEL), wrong_label(self.task, example)
        texts = (prediction.rationale, next(iter(example.references), None), written)
        own, gold, for_wrong = (None if text is None else words.mask(text) for text in texts)
        states_wrong = wrong is not None and wrong in words.stated(written or "")
        return _Read(own, gold, words.stated(prediction.rationale or ""), wrong, for_wrong, states_wrong)

    def _texts(self, read: Sequence[_Read]) -> reader.Texts:
        own, gold = [one.own for one in read], [one.gold for one in read]
        if not self.wrong_asked:
            return reader.Texts(own, gold)
        wrong, for_wrong = [one.wrong for one in read], [one.for_wrong for one in read]
        return reader.Texts(own, gold, wrong, for_wrong, [one.states_wrong for one in read])

    def _joint(self, overlaps: Mapping[str, NDArray[np.float64]]) -> Family:
        """Return the 2×2 with the overlap that the task names, ROUGE-L by default; never with another one."""
        wanted = self.task.spec.metrics.adequacy
        name, threshold = (wanted.metric, wanted.threshold) if wanted else ("rouge_l", joint.THRESHOLD)
        values = joint.rouge_l_values(self.columns) if name == "rouge_l" else overlaps.get(name)
        adequate = [None] * len(self.columns) if values is None else joint.by_threshold(values, threshold)
        return joint.compute(self.columns, adequate, f"overlap: {name} >= {threshold:g}")

    def _findings(self) -> list[grounding.Annotated] | None:
        wanted = self.task.spec.metrics.findings
        if wanted is None:
            return None
        where = f"{self.task.name} metrics.findings"
        present, absent = mapped(wanted.present, where), mapped(wanted.absent, where) if wanted.absent else None
        return [
            grounding.Annotated(
                _named(present(e.fields), e, where), _named(absent(e.fields), e, where) if absent is not None else ()
            )
            for e in self.examples
        ]


def _named(found: Json, example: Example, where: str) -> list[grounding.Finding]:
    """Return the findings of one example; names are shared within a group of examples.

    Raises:
        UserError: the template gives no list of `finding` and `text`.
    """
    fitting = isinstance(found, list) and all(isinstance(f, dict) and {"finding", "text"} <= f.keys() for f in found)
    if not fitting:
        raise UserError(f"{where}: example {example.id}: should be a list of objects with the keys finding and text")
    return [grounding.Finding(f"{example.group or example.id}/{f['finding']}", str(f["text"])) for f in found]


def fit_reader(task: Task) -> reader.Reader | str:
    """Return the fixed reader of a task, in the style of its gold rationales; or why there is none."""
    if not task.labels.fixed:
        return "no outside reader: the task has no fixed label set"
    try:
        training: Iterable[Example] = task.training()
    except UserError:  # the reason may hold a local path
        return f"no outside reader: the training split cannot be read (see r2d-bench tasks validate {task.name})"
    masker = Masker(task)
    taught = [(masker.mask(e, e.references[0]), e.gold) for e in training if e.references and e.gold is not None]
    fitted = reader.fit_reader([text for text, _ in taught], [gold for _, gold in taught])
    return fitted or "no outside reader: the training split has too few gold rationales"
