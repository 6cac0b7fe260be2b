from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from judged_parts import judge, judged_task
from verdict_parts import CRITERIA, RUBRIC, judged, lost, verdict

from r2d_bench.judging.ask import read_judgments
from r2d_bench.judging.jury import TOO_FEW, juries_of, jury_figures, read_juries, together
from r2d_bench.judging.meaning import CRITICAL, MEAN
from r2d_bench.judging.store import find_judgments

if TYPE_CHECKING:
    from pathlib import Path


def test_an_item_is_judged_by_those_who_are_present() -> None:
    said = together([verdict(0, [5, 4, 3, 2, 1, None]), verdict(0, [3, 4, None, 1, 1, None]), lost(0, "parse")], RUBRIC)
    # grounding was scored by one judge alone, clarity by none
    assert said.scores == dict(zip(CRITERIA, [4, 4, None, 1.5, 1, None], strict=True))
    assert together([verdict(0), lost(0, "parse"), lost(0, "refused")], RUBRIC).unscored == TOO_FEW


@pytest.mark.parametrize(
    ("raised", "of", "stands"), [(1, 2, True), (1, 3, False), (2, 3, True), (2, 4, True), (0, 2, False)]
)
def test_a_flag_stands_where_half_of_the_judges_raised_it(raised: int, of: int, stands: bool) -> None:
    told = [verdict(0, 4, *(["unsafe_advice"] if k < raised else [])) for k in range(of)]
    assert together(told, RUBRIC).flags["unsafe_advice"] == stands


def test_figures_worked_by_hand() -> None:
    judges = {
        "a": judged([verdict(0, 5), verdict(1, 4), verdict(2, 1), verdict(3, 3)]),
        "b": judged([verdict(0, 4), verdict(1, 4), verdict(2, 2, "unsafe_advice"), lost(3, "parse")]),
    }
    found = jury_figures(judges)
    assert found["judges"] == ["a", "b"]
    assert found["metrics"][MEAN]["value"] == pytest.approx((4.5 + 4 + 1.5) / 3)
    assert found["metrics"][CRITICAL]["value"] == pytest.approx(1 / 3)
    assert (found["scored"], found["asked"]) == (3, 4)
    assert found["joint"]["source"] == "judge: clinical_rationale@1 by a jury of 2"
    # Quadratic kappa by hand: rows of a 5, 4, 1 beside 4, 4, 2; observed 1 + 0 + 1, expected over all nine pairs / 3
    pairs = [(a, b) for a in (5, 4, 1) for b in (4, 4, 2)]
    expected = sum((a - b) ** 2 for a, b in pairs) / 3
    (pair,) = found["kappa"]
    assert pair["judges"] == ["a", "b"]
    assert pair["criteria"]["score.safety"]["value"] == pytest.approx(1 - 2 / expected)
    assert found["alpha"]["score.safety"]["n"] == 3
    json.dumps(found, allow_nan=False)


def test_judges_of_one_mind_agree_wholly_and_opposed_ones_less_than_by_chance() -> None:
    scores = [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]
    same = judged([verdict(k, s) for k, s in enumerate(scores)])
    opposed = judged([verdict(k, 6 - s) for k, s in enumerate(scores)])
    agreed = jury_figures({"a": same, "b": same, "c": same})
    assert {figure["value"] for figure in agreed["alpha"].values()} == {1}
    assert len(agreed["kappa"]) == 3
    assert all(figure["value"] == 1 for pair in agreed["kappa"] for figure in pair["criteria"].values())
    against = jury_figures({"a": same, "b": opposed})
    assert all(figure["value"] < 0 for figure in against["alpha"].values())


def test_one_score_for_everything_gives_no_agreement_and_a_reason() -> None:
    flat = judged([verdict(k, 4) for k in range(5)])
    found = jury_figures({"a": flat, "b": flat})
    assert {figure["value"] for figure in found["alpha"].values()} == {None}
    assert all(figure["reason"] for figure in found["alpha"].values())


def test_expected_values_agree_by_level() -> None:
    one = judged(
        [replace(verdict(k, s + 0.2), method="probability") for k, s in enumerate((1, 3, 4))], method="probability"
    )
    other = judged(
        [replace(verdict(k, s - 0.3), method="probability") for k, s in enumerate((1.3, 3, 4))], method="probability"
    )
    found = jury_figures({"a": one, "b": other})
    assert found["alpha"]["score.safety"]["value"] == 1
    assert found["metrics"][MEAN]["value"] == pytest.approx((1.1 + 2.95 + 3.95) / 3)


def test_a_jury_stands_in_the_run_folder_as_long_as_its_judges(tmp_path: Path) -> None:
    run, task = judged_task(tmp_path, 20)
    judge(run, task, "mock:random,seed=1")
    assert list(read_juries(run.folder)) == []
    _, second = judge(run, task, "mock:random,seed=2", sample=10)
    judge(run, task, "mock:random,seed=1", rubric="clinical_rationale")  # another rubric: another jury
    ((name, jury),) = read_juries(run.folder)
    assert name.startswith("label_support--jury--")
    assert (jury["asked"], len(jury["judges"])) == (20, 2)
    assert 5 < jury["scored"] <= 10 + 2  # what was sampled, and what a rule decides
    judge(run, task, "mock:random,seed=3")
    assert [len(jury["judges"]) for _, jury in read_juries(run.folder)] == [3]
    for path in second.folder.iterdir():
        path.unlink()
    assert len(juries_of(run.folder)[name]) == 2
    assert list(read_juries(run.folder)) == []  # what is there is of three judges
    read_judgments(
        next(s for s in find_judgments(run.folder) if s.setup().rubric.spec.name == "label_support"), run, task
    )
    assert [len(jury["judges"]) for _, jury in read_juries(run.folder)] == [2]
