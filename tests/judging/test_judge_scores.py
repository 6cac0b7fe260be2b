from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from judged_parts import judge, judged_task
from scipy.stats import binomtest
from verdict_parts import CRITERIA, RUBRIC, columns, judged, lost, verdict

from r2d_bench.errors import UserError
from r2d_bench.judging import score
from r2d_bench.judging.ask import read_judgments
from r2d_bench.judging.calibrated import calibrated_figures
from r2d_bench.judging.calibration import Calibration
from r2d_bench.judging.meaning import COVERAGE, CRITICAL, MEAN, PARSED, adequate_from, judge_metrics
from r2d_bench.judging.repeats import noise
from r2d_bench.judging.rubric import load_rubric
from r2d_bench.judging.setup import JudgeSetup
from r2d_bench.metrics.base import Direction
from r2d_bench.models.base import Identity

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.judging.verdict import Verdict

SETUP = JudgeSetup(load_rubric("clinical_rationale"), Identity("mock", "m").as_json(), endpoint=None, chat=True)


def test_figures_worked_by_hand() -> None:
    verdicts = [
        verdict(0, 5),
        verdict(1, [1, 2, 3, 4, 5, None]),  # 3.0 over five criteria
        verdict(2, 2, "unsafe_advice", "off_topic"),
        verdict(3, 4, "fabricated_finding"),  # not critical
        verdict(4, None),
        lost(5, "parse"),
        lost(6, "transport"),
        replace(verdict(7, 1, "omits_red_flag"), source="rule"),
    ]
    found = score.figures(judged(verdicts))
    figures = found["metrics"]
    assert figures[MEAN]["value"] == pytest.approx((5 + 3 + 2 + 4 + 1) / 5)
    assert (figures[MEAN]["n"], figures[MEAN]["unscored"]) == (5, 3)
    assert figures["score.label_support"]["value"] == pytest.approx((5 + 1 + 2 + 4 + 1) / 5)
    assert figures["score.clarity"]["value"] == pytest.approx((5 + 2 + 4 + 1) / 4)
    exact = binomtest(2, 6).proportion_ci(method="exact")
    assert figures[CRITICAL]["value"] == pytest.approx(2 / 6)
    assert figures[CRITICAL]["low"] == pytest.approx(exact.low)
    assert figures[CRITICAL]["high"] == pytest.approx(exact.high)
    assert figures["flag.fabricated_finding"]["value"] == pytest.approx(1 / 6)
    wilson = binomtest(6, 8).proportion_ci(method="wilson")
    assert figures[COVERAGE]["value"] == 6 / 8
    assert figures[COVERAGE]["low"] == pytest.approx(wilson.low)
    assert figures[PARSED]["value"] == 5 / 6  # of replies: neither the rule nor the lost connection is one
    assert found["counts"]["unscored"] == {"parse": 1, "transport": 1}
    assert found["counts"]["by_rule"] == 1
    assert found["counts"]["cannot_assess"] == dict.fromkeys(CRITERIA, 1) | {"clarity": 2}
    assert found["scored"] + sum(found["counts"]["unscored"].values()) == found["asked"] == 8
    assert found["care"].startswith("Only 6 of 8 rationales have a verdict (below 98%)")
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("scored", "asked", "told"), [(98, 100, False), (97, 100, True), (49, 50, False), (0, 0, False)]
)
def test_coverage_is_told_below_98_percent(scored: int, asked: int, told: bool) -> None:
    assert (score.coverage_sentence(scored, asked) is not None) == told


def test_no_critical_fail_is_no_proof_of_none() -> None:
    figure = score.figures(judged([verdict(k, 5) for k in range(50)]))["metrics"][CRITICAL]
    assert (figure["value"], figure["low"], figure["method"]) == (0, 0, "exact")
    assert figure["high"] == pytest.approx(1 - 0.025 ** (1 / 50))


def test_a_cluster_counts_as_one_item() -> None:
    scores = [1, 2, 3, 4, 5, 5, 4, 2, 3, 5, 1, 4]
    single = score.figures(judged([verdict(k, s) for k, s in enumerate(scores)]))["metrics"]
    doubled = [verdict(k, s) for k, s in enumerate(s for s in scores for _ in range(2))]
    groups = [f"g{k // 2}" for k in range(24)]
    clustered = score.figures(judged(doubled, groups=groups))["metrics"]
    naive = score.figures(judged(doubled))["metrics"]
    for bound in ("value", "low", "high"):
        assert clustered[MEAN][bound] == pytest.approx(single[MEAN][bound])
    assert naive[MEAN]["high"] - naive[MEAN]["low"] < clustered[MEAN]["high"] - clustered[MEAN]["low"]
    assert clustered[CRITICAL]["high"] == pytest.approx(single[CRITICAL]["high"])


def test_cells_of_label_and_rationale() -> None:
    verdicts = [
        verdict(0, 4),
        verdict(1, 3),
        verdict(2, 5, "contradicts_predicted_label"),
        verdict(3, 5),
        verdict(4, 2),
        verdict(5, None),
        lost(6, "schema"),
    ]
    found = score.figures(judged(verdicts, [True, True, True, False, False, True, True]))
    assert found["joint"]["counts"] == {
        "right_for_right": 1,
        "right_wrong_reason": 2,
        "wrong_convincing": 1,
        "wrong_wrong": 1,
    }
    assert found["joint"]["adequate"] == "label_support >= 4, no critical flag"
    assert found["joint"]["source"] == "judge: clinical_rationale@1 by a judge"
    assert found["metrics"]["wrong_convincing"]["value"] == 1 / 5
    assert found["metrics"]["wrong_convincing"]["unscored"] == 2


def test_without_label_support_nobody_says_what_is_adequate() -> None:
    kept = tuple(criterion for criterion in RUBRIC.criteria if criterion.name != "label_support")
    bare = replace(judged([verdict(0), verdict(1)]), rubric=RUBRIC.model_copy(update={"criteria": kept}))
    found = score.figures(bare)
    assert found["joint"]["adequate"] is None
    assert found["metrics"]["right_for_right"]["value"] is None
    assert "label_support" in found["metrics"]["right_for_right"]["reason"]


@pytest.mark.parametrize("reason", ["parse", "transport", "no answer", "no rationale"])
def test_nothing_scored_gives_reasons_and_no_numbers(reason: str) -> None:
    found = score.figures(judged([lost(k, reason) for k in range(3)]))
    for name, figure in found["metrics"].items():
        assert (figure["value"] is None and figure["reason"]) or name in {COVERAGE, PARSED}
    assert found["metrics"][COVERAGE]["value"] == 0
    json.dumps(found, allow_nan=False)


def test_probabilities_say_nothing_of_flags() -> None:
    verdicts = [replace(verdict(k, 3.4), method="probability", flags={}) for k in range(4)]
    found = score.figures(judged(verdicts, method="probability"))
    assert found["score_method"] == "probability"
    assert found["metrics"][MEAN]["value"] == pytest.approx(3.4)
    assert found["metrics"][CRITICAL] == {
        "value": None, "low": None, "high": None, "n": 0, "unscored": 0, "level": 0.95, "reason": score.NO_FLAGS,
    }  # fmt: skip
    assert found["joint"]["adequate"] == "label_support >= 4"


def test_two_methods_are_never_averaged() -> None:
    mixed = [verdict(0), replace(verdict(1), method="probability")]
    with pytest.raises(UserError, match="holds verdicts by probability, and judges by reply"):
        score.beside(SETUP, columns([True, True]), mixed)


def test_an_item_without_a_verdict_is_refused() -> None:
    with pytest.raises(UserError, match=r"e1 has no verdict; read them again with --parse-only"):
        score.beside(SETUP, columns([True, True]), [verdict(0)])


def test_the_first_verdict_counts_and_repeats_show_the_noise() -> None:
    told = [verdict(0, 5, repeat=3), verdict(0, 3, repeat=1), verdict(0, 4, repeat=2), verdict(1, 2)]
    beside = score.beside(SETUP, columns([True, True]), told)
    assert score.figures(beside)["metrics"][MEAN]["value"] == pytest.approx((3 + 2) / 2)
    found = noise(beside.repeated, beside.columns)
    assert found is not None
    assert (found["examples"], found["times"]) == (1, 3)
    assert found["flips"]["value"] == 1
    assert found["spread"]["value"] == pytest.approx(np.std([3, 4, 5], ddof=1))
    assert found["mean"]["value"] == pytest.approx(4)


def test_noise_of_repeats() -> None:
    repeated: dict[str, list[Verdict]] = {
        "e0": [verdict(0, 3), verdict(0, [3, 3, 3, 3, 3, 4], repeat=2)],
        "e1": [verdict(1, 2), verdict(1, 2, repeat=2)],
        "e2": [verdict(2, 2), replace(lost(2, "parse"), repeat=2)],
    }
    found = noise(repeated, columns([True] * 3))
    assert found is not None
    assert found["flips"]["value"] == pytest.approx(1 / 12)
    assert found["unscored"] == {"parse": 1}
    assert noise({}, columns([True])) is None


def test_meaning_of_figures() -> None:
    metrics = judge_metrics(RUBRIC)
    assert (metrics[MEAN].low, metrics[MEAN].high, metrics[MEAN].decimals) == (1, 5, 2)
    assert (metrics[CRITICAL].direction, metrics[CRITICAL].percent) == (Direction.LOWER, True)
    assert [name for name in metrics if name.startswith("score.")] == [f"score.{name}" for name in CRITERIA]
    assert "unsafe advice" in metrics[CRITICAL].help
    assert adequate_from(RUBRIC) == 4
    assert set(score.figures(judged([verdict(0), verdict(1)]))["metrics"]) == set(metrics)


def test_calibrated_means_beside_raw_ones() -> None:
    verdicts = [verdict(k, s) for k, s in enumerate([5, 5, 3, 1, 4, 2])]
    verdicts.append(replace(verdict(6, 1), source="rule"))
    scores = score.figures(judged(verdicts)) | {"resampling": {"seed": 0, "resamples": 200}}
    plain = Calibration("label_support", (1.0, 5.0), (1.0, 5.0), {}, 0, {})
    (raw,) = calibrated_figures(scores, verdicts, plain).values()
    assert raw.value == pytest.approx(scores["metrics"]["score.label_support"]["value"])
    lower = Calibration("label_support", (1.0, 5.0), (2.0, 3.0), {}, 0, {})
    (mapped,) = calibrated_figures(scores, verdicts, lower).values()
    judged_scores = [2 + (s - 1) / 4 for s in (5, 5, 3, 1, 4, 2)]
    assert mapped.value == pytest.approx((sum(judged_scores) + 1) / 7)  # the rule's lowest score stays
    assert (mapped.n, mapped.unscored) == (7, 0)
    other = Calibration("no_such", (1.0, 5.0), (1.0, 5.0), {}, 0, {})
    assert calibrated_figures(scores, verdicts, other) == {}


def test_figures_stand_in_the_folder(tmp_path: Path) -> None:
    run, task = judged_task(tmp_path)
    _, store = judge(run, task, "mock:random,garbage=0.2,refuse=0.1", repeats=2, repeated=5)
    scores = store.scores()
    assert scores is not None
    assert scores["asked"] == 40 == scores["scored"] + sum(scores["counts"]["unscored"].values())
    assert scores["judge"] == store.setup().digest
    assert scores["repeats"]["examples"] + scores["counts"]["by_rule"] >= 5
    assert scores["spent"]["requests"] > 40 - scores["counts"]["by_rule"]
    assert scores["family"] == {"judge": [], "model": [], "same": None}
    before = (store.folder / "scores.json").read_bytes()
    read_judgments(store, run, task)
    assert (store.folder / "scores.json").read_bytes() == before
