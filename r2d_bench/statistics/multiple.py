"""Correction of p-values where several hypotheses are tested at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values that hold for the whole family (Holm 1979, step-down Bonferroni).

    The chance of one false rejection among all is at most alpha, however the tests depend on each other. The k-th
    smallest of m is multiplied by m - k + 1; a corrected value is never below that of a smaller p, nor above 1.

    Args:
        p_values: shape (m,), each in [0, 1]; leave out tests that could not be made.

    Returns:
        Corrected values in the same order, shape (m,).

    Raises:
        ValueError: a value is NaN or outside [0, 1].
    """
    values = np.asarray(p_values, dtype=np.float64)
    if not np.all((values >= 0) & (values <= 1)):
        raise ValueError("p-values must lie in [0, 1]")
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
