import numpy as np
import pytest
from column_parts import columns
from scipy.stats import bootstrap
from sklearn.metrics import f1_score

from r2d_bench.errors import UserError
from r2d_bench.metrics.paired import difference

LABELS = ("a", "b", "c")


def drawn(seed: int, n: int, right: float) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(seed)
    gold = [LABELS[k] for k in rng.integers(0, 3, n)]
    said = [g if rng.random() < right else LABELS[rng.integers(0, 3)] for g in gold]
    return gold, said


def test_it_agrees_with_scipy_on_independent_items():
    gold, first = drawn(1, 200, 0.7)
    _, second = drawn(2, 200, 0.2)
    found = difference(columns(gold, first, labels=LABELS), columns(gold, second, labels=LABELS), resamples=4000)

    def gap(rows: np.ndarray) -> float:
        chosen = [[one[k] for k in rows] for one in (gold, first, second)]
        return float(
            f1_score(chosen[0], chosen[1], average="macro", labels=LABELS)
            - f1_score(chosen[0], chosen[2], average="macro", labels=LABELS)
        )

    reference = bootstrap(
        (np.arange(200),), gap, n_resamples=1500, vectorized=False, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert found.value == pytest.approx(gap(np.arange(200)))
    assert found.low == pytest.approx(reference.low, abs=0.02)
    assert found.high == pytest.approx(reference.high, abs=0.02)
    assert found.n == 200


def test_the_same_answers_differ_by_nothing():
    gold, said = drawn(3, 60, 0.5)
    found = difference(columns(gold, said, labels=LABELS), columns(gold, said, labels=LABELS))
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_pairing_narrows_the_interval_and_clusters_widen_it():
    gold, first = drawn(4, 240, 0.6)
    second = [*first[:200], *drawn(5, 40, 0.0)[1]]  # the same mistakes but for the last forty
    one, other = columns(gold, first, labels=LABELS), columns(gold, second, labels=LABELS)
    near = difference(one, other)
    far = difference(one, columns(gold, drawn(6, 240, 0.6)[1], labels=LABELS))
    assert near.high - near.low < far.high - far.low
    groups = [f"g{k // 40}" for k in range(240)]
    clustered = difference(
        columns(gold, first, labels=LABELS, groups=groups), columns(gold, second, labels=LABELS, groups=groups)
    )
    assert clustered.high - clustered.low > near.high - near.low


def test_other_examples_are_refused():
    gold, said = drawn(7, 20, 0.5)
    with pytest.raises(UserError, match="the same examples"):
        difference(columns(gold, said, labels=LABELS), columns(gold[::-1], said, labels=LABELS))
