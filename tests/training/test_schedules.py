"""Schedules against the check values of the paper, and by hand."""

from __future__ import annotations

import math

import pytest

from r2d_bench.training.confidence import Threshold, unit_of
from r2d_bench.training.methods import counting_from
from r2d_bench.training.recipe import Cycle, LabelWeight, Sampling, load_recipe
from r2d_bench.training.schedules import (
    full_sampling_step,
    gumbel_temperature,
    label_weight,
    sampling_probability,
    trust,
)

M = 30_000
SAMPLING = Sampling(kind="scheduled")


@pytest.mark.parametrize(
    ("step", "alpha", "pi"),
    [
        (0, 0.0, 0.0),
        (750, 0.35, 0.0),
        (1_500, 0.70, 0.0),
        (6_000, 0.70, 0.25),
        (10_500, 0.70, 0.50),
        (15_000, 0.70, 0.75),
        (17_700, 0.70, 0.90),
        (29_999, 0.70, 0.90),
    ],
)
def test_the_papers_check_values(step: int, alpha: float, pi: float):
    recipe = load_recipe("paper/r2d")
    assert recipe.stages["decide"].steps == M
    assert label_weight(step, M, recipe.label_weight) == pytest.approx(alpha, abs=1e-12)
    assert sampling_probability(step, M, recipe.sampling) == pytest.approx(pi, abs=1e-12)


def test_sampling_rises_after_the_warmup_alone():
    assert sampling_probability(1_499, M, SAMPLING) == 0
    assert sampling_probability(1_501, M, SAMPLING) == pytest.approx(1 / 18_000)
    assert sampling_probability(M, M, Sampling(kind="none")) == 0


def test_dss_has_one_weight_from_the_start():
    assert label_weight(0, 10_000, LabelWeight(value=0.5, warmup=0.0)) == 0.5


def test_early_stopping_counts_from_full_sampling():
    assert full_sampling_step(M, SAMPLING) == 19_500
    assert counting_from("decide", load_recipe("paper/r2d")) == 19_500
    assert counting_from("explain", load_recipe("paper/r2d")) == 0
    assert counting_from("decide", load_recipe("paper/sft")) == 0


def test_trust_and_temperature():
    assert trust(0.75, 0.75, 10) == 0.5
    assert trust(0.85, 0.75, 10) == pytest.approx(1 / (1 + math.exp(-1)))
    assert gumbel_temperature(0, M, Cycle()) == 1
    assert gumbel_temperature(M // 2, M, Cycle()) == pytest.approx(math.exp(-0.6931 / 2))
    assert gumbel_temperature(2 * M, M, Cycle()) == 0.5


def test_the_threshold_is_the_mean_of_the_last_window():
    sampling = Sampling(kind="confident", threshold_window=4, threshold_fallback=0.75)
    tau = Threshold(0.75)
    tau.add(0.4 + 0.6, 2)
    tau.move(-1, sampling)
    assert tau.value == 0.75, "within the warm-up nothing moves"
    tau.move(0, sampling)
    assert tau.value == pytest.approx(0.5), "the mean over the warm-up"
    tau.add(0.9, 1)
    tau.move(3, sampling)
    assert tau.value == pytest.approx(0.5)
    tau.move(4, sampling)
    assert tau.value == pytest.approx(0.9)
    tau.move(8, sampling)
    assert tau.value == 0.75, "an empty window leaves the fallback"


def test_a_window_of_steps_or_by_the_quirk_of_parts():
    sampling = Sampling(kind="confident", warmup=0.1)
    places = [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]
    units = [unit_of(*place, steps=20, parts=2, sampling=sampling, per_part=False) for place in places]
    assert units == [-1, None, 0, None, 1, None]
    quirk = [
        unit_of(step, part, steps=20, parts=2, sampling=sampling, per_part=True)
        for step in (1, 2, 3)
        for part in (0, 1)
    ]
    assert quirk == [-2, -1, 0, 1, 2, 3]
