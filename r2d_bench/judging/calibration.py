"""From a judge's score to what people would have said: isotonic regression on rated texts.

The map is fitted on one half of the clusters and judged on the other, so that what it promises was not learned by
heart. It never makes a judge better at telling good from bad; it takes away what it is always too high or too low.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.metrics.figures import means
from r2d_bench.records import digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from r2d_bench.records import Estimate, Json

FEWEST = 20  # pairs in each half; with fewer the map would follow single items


@dataclass(frozen=True, slots=True)
class Pair:
    """A judge's score beside people's, on one scale.

    Attributes:
        set: the human set it comes from.
        cluster: items of a cluster go into the same half.
        judge: the judge's score.
        human: the consensus.
    """

    set: str
    cluster: str
    judge: float
    human: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """A monotone map from a judge's scores to people's, as breakpoints with straight lines between them.

    Attributes:
        criterion: whose scores it is for.
        scores: judge's scores, rising.
        values: what people said on average, never falling.
        fitted: set → pairs that it was fitted on.
        seed: of the split in halves.
        checks: set → figure → estimate on the other half (`bias` and `error`, raw and calibrated).
    """

    criterion: str
    scores: tuple[float, ...]
    values: tuple[float, ...]
    fitted: Mapping[str, int]
    seed: int
    checks: Mapping[str, Mapping[str, Json]]

    def as_json(self) -> dict[str, Json]:
        """Return the calibration as it stands in `audit.json`."""
        return {
            "criterion": self.criterion,
            "scores": list(self.scores),
            "values": list(self.values),
            "fitted": dict(self.fitted),
            "seed": self.seed,
            "checks": {name: dict(figures) for name, figures in self.checks.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Calibration:
        """Read a calibration back from `audit.json`."""
        return cls(
            criterion=data["criterion"],
            scores=tuple(data["scores"]),
            values=tuple(data["values"]),
            fitted=data["fitted"],
            seed=data["seed"],
            checks=data["checks"],
        )


def apply(calibration: Calibration, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return calibrated scores, shape as given; beyond the breakpoints the nearest one holds."""
    return np.interp(scores, calibration.scores, calibration.values)


def fit(criterion: str, pairs: Sequence[Pair], *, seed: int = 0) -> Calibration | str:
    """Fit on one half and check on the other; returns the reason where that cannot be done.

    Every set has the same weight in the fit, however many pairs it has.
    """
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415 - slow to import, needed by audits alone

    half = [_first_half(pair, seed) for pair in pairs]
    learned = [pair for pair, first in zip(pairs, half, strict=True) if first]
    held_out = [pair for pair, first in zip(pairs, half, strict=True) if not first]
    if min(len(learned), len(held_out)) < FEWEST:
        return f"{len(pairs)} scored items with human ratings; {2 * FEWEST} or more are needed, even over both halves"
    if len({pair.judge for pair in learned}) < 2:
        return "the judge gives one score to everything"
    sizes = {name: sum(pair.set == name for pair in learned) for name in sorted({pair.set for pair in learned})}
    model = IsotonicRegression(increasing=True, out_of_bounds="clip")
    model.fit(
        [pair.judge for pair in learned],
        [pair.human for pair in learned],
        sample_weight=[1 / sizes[pair.set] for pair in learned],
    )
    scores, values = (tuple(map(float, steps)) for steps in (model.X_thresholds_, model.y_thresholds_))
    found = Calibration(criterion, scores, values, sizes, seed, {})
    names = sorted({pair.set for pair in held_out})
    checks = {name: _check(found, [pair for pair in held_out if pair.set == name], seed) for name in names}
    return Calibration(criterion, scores, values, sizes, seed, checks)


def _first_half(pair: Pair, seed: int) -> bool:
    """Tell which half a pair's cluster is in; the draw depends on the seed and the cluster alone."""
    return int(digest([seed, pair.set, pair.cluster], 8), 16) % 2 == 0


def _check(calibration: Calibration, pairs: Sequence[Pair], seed: int) -> dict[str, Json]:
    """Return mean error and mean absolute error on held-out pairs, before and after."""
    judge = np.array([pair.judge for pair in pairs])
    human = np.array([pair.human for pair in pairs])
    codes = np.unique([pair.cluster for pair in pairs], return_inverse=True)[1]
    raw, calibrated = judge - human, apply(calibration, judge) - human
    names = ("bias_raw", "bias_calibrated", "error_raw", "error_calibrated")
    columns = np.column_stack([raw, calibrated, np.abs(raw), np.abs(calibrated)])
    figures: list[Estimate] = means(columns, codes, seed=seed)
    return {name: figure.as_json() for name, figure in zip(names, figures, strict=True)}
