"""What a metric is: frozen semantics, and columns as its input."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from r2d_bench.records import Estimate, LabelStatus


class Direction(StrEnum):
    """Which way is better; drives sorting and bold in every table."""

    HIGHER = "higher"
    LOWER = "lower"
    NONE = "none"


class About(StrEnum):
    """What a metric speaks of."""

    LABEL = "label"
    SAFETY = "safety"  # of labels in an order: the direction of errors
    CALIBRATION = "calibration"  # of labels whose probabilities are known
    RATIONALE = "rationale"
    JOINT = "joint"  # of label and rationale together
    CHALLENGE = "challenge"  # of labels, on challenge sets alone


@dataclass(frozen=True, slots=True)
class Metric:
    """The meaning of one figure.

    Attributes:
        name: key in `scores.json`.
        title: column heading.
        about: what it speaks of.
        direction: which way is better.
        low, high: the range of values (None: unbounded).
        percent: show as per cent; otherwise as a plain number with `decimals`.
        decimals: digits behind the point as shown.
        preset: `standard`, or `paper` for a figure computed as the paper's released code does. The two are never
            shown under one name.
        help: one sentence for the page.
    """

    name: str
    title: str
    about: About
    direction: Direction = Direction.HIGHER
    low: float | None = 0.0
    high: float | None = 1.0
    percent: bool = False
    decimals: int = 3
    preset: str = "standard"
    help: str = ""


@dataclass(frozen=True, slots=True)
class Columns:
    """Predictions of one run beside their golds, as columns of equal length N (selection order).

    Attributes:
        ids: example ids.
        labels: the fixed label set; empty where the label space has none (choices, open).
        gold: gold labels in the spelling of the label space.
        predicted: parsed labels; None where the answer has no valid label.
        statuses: what became of each label; None where there is no answer (transport failure).
        label_texts: the raw label text, for figures computed on decoded strings.
        hypotheses: rationales as written; None where there is none to score (no answer, or label-only).
        references: gold rationales per example; an empty list where the item has none.
        acceptable: labels that also count as right, per example; empty where the task declares none.
        groups: cluster ids of dependent items; None where items are independent.
        input_cut, output_cut: whether the prompt, or the answer, was cut.
        no_label_set: why there is no fixed label set, where `labels` is empty.
        no_label: why this run has no labels at all (a protocol that elicits none), else None.
        no_rationale: why this run has no rationales at all, else None.
        ordinal: the label set is ordered, most urgent first.
        probes: probe → label per example; a probe that was not asked has no entry. A tuple says that it was asked
            of this example (its label may be None: no valid one), None that it was not.
        probabilities: label → probability per example, adding up to 1; None where the model gave none. Empty for a run
            whose labels were not scored.
        inputs: what the model was given to read; empty where no metric may see it.
    """

    ids: Sequence[str]
    labels: Sequence[str]
    gold: Sequence[str | None]
    predicted: Sequence[str | None]
    statuses: Sequence[LabelStatus | None]
    label_texts: Sequence[str | None]
    hypotheses: Sequence[str | None]
    references: Sequence[Sequence[str]]
    groups: Sequence[str] | None
    input_cut: Sequence[bool]
    output_cut: Sequence[bool]
    acceptable: Sequence[Sequence[str]] = ()
    no_label_set: str = "options differ per example"
    no_label: str | None = None
    no_rationale: str | None = None
    ordinal: bool = False
    probes: Mapping[str, Sequence[tuple[str | None] | None]] = field(default_factory=dict)
    probabilities: Sequence[Mapping[str, float] | None] = ()
    inputs: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Family:
    """What one family of metrics computed for a run.

    Attributes:
        estimates: metric name → figure.
        per_example: metric name → one value per example (NaN: unscored), where such values exist.
        signatures: metric name → signature or hash that makes the figure comparable.
        extra: tables that are no single figure (confusion matrix, per-class values), ready for JSON.
    """

    estimates: Mapping[str, Estimate]
    per_example: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    signatures: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)
