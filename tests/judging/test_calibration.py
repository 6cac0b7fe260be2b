from __future__ import annotations

import json
import random

import numpy as np
import pytest

from r2d_bench.judging.calibration import Calibration, Pair, apply, fit


def pairs(n: int, *, bias: float, noise: float = 0.0, seed: int = 0) -> list[Pair]:
    """Return judge scores that lie `bias` above the human ones (and on the scale)."""
    rng = random.Random(seed)
    made = []
    for k in range(n):
        human = rng.choice([1.0, 2.0, 3.0])
        judge = min(5.0, max(1.0, human + bias + rng.gauss(0, noise)))
        made.append(Pair("kqa", f"question {k // 2}", judge, human))
    return made


def test_a_constant_bias_is_taken_away() -> None:
    found = fit("label_support", pairs(200, bias=1.5, noise=0.3))
    assert isinstance(found, Calibration)
    checks = found.checks["kqa"]
    assert checks["bias_raw"]["value"] == pytest.approx(1.5, abs=0.15)
    assert checks["bias_raw"]["low"] > 1
    assert checks["bias_calibrated"]["low"] < 0 < checks["bias_calibrated"]["high"]
    assert checks["error_calibrated"]["high"] < checks["error_raw"]["low"]


def test_the_map_never_falls_and_holds_beyond_its_ends() -> None:
    found = fit("label_support", pairs(200, bias=0.5, noise=0.8))
    assert isinstance(found, Calibration)
    grid = np.linspace(0, 6, 61)
    mapped = apply(found, grid)
    assert np.all(np.diff(mapped) >= 0)
    assert mapped[0] == found.values[0]
    assert mapped[-1] == found.values[-1]


def test_whole_clusters_are_held_out_and_halves_depend_on_the_seed() -> None:
    together = [Pair("kqa", "one question", k % 5 + 1.0, k % 5 + 1.0) for k in range(100)]
    assert "even over both halves" in str(fit("label_support", together))
    one, other = (fit("label_support", pairs(200, bias=0, noise=1), seed=seed) for seed in (0, 1))
    assert isinstance(one, Calibration)
    assert isinstance(other, Calibration)
    assert one.values != other.values
    assert one == fit("label_support", pairs(200, bias=0, noise=1), seed=0)


def test_sets_weigh_the_same_whatever_their_size() -> None:
    small = [Pair("small", f"s{k}", 3.0 + k % 2, 1.0) for k in range(100)]
    large = [Pair("large", f"l{k}", 3.0 + k % 2, 5.0) for k in range(2000)]
    found = fit("label_support", [*small, *large])
    assert isinstance(found, Calibration)
    assert found.values == pytest.approx([3.0] * len(found.values), abs=0.3)
    assert set(found.checks) == {"small", "large"}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "0 scored items"),
        (pairs(20, bias=0), "20 scored items"),
        ([Pair("kqa", str(k), 4.0, 1.0 + k % 5) for k in range(200)], "one score to everything"),
    ],
)
def test_no_calibration_without_enough_to_learn_from(given: list[Pair], reason: str) -> None:
    found = fit("label_support", given)
    assert isinstance(found, str)
    assert reason in found


def test_it_is_read_back_as_it_was_written() -> None:
    found = fit("label_support", pairs(100, bias=1))
    assert isinstance(found, Calibration)
    written = json.dumps(found.as_json(), allow_nan=False)
    again = Calibration.from_json(json.loads(written))
    assert json.dumps(again.as_json()) == written
    assert np.array_equal(apply(again, np.arange(1.0, 6.0)), apply(found, np.arange(1.0, 6.0)))
