from __future__ import annotations

from dataclasses import replace

import pytest

from r2d_bench.comparison.words import Told, amount, called, p_value, sentence
from r2d_bench.metrics.registry import METRICS
from r2d_bench.statistics.boards import Pair, PairTest
from r2d_bench.statistics.intervals import Interval

PAIR = Pair(
    first=0,
    second=1,
    difference=0.031,
    interval=Interval(0.008, 0.054, "bca"),
    standard_error=0.012,
    p=0.004,
    corrected=0.004,
    test=PairTest.RANDOMISATION,
    winner=0,
    identical=False,
    equivalent=None,
)
TOLD = Told(first="A", second="B", items=500, clusters=None, pairs=1, level=0.95, margin=0.01, detectable=0.042)
UNCLEAR = replace(PAIR, difference=-0.004, interval=Interval(-0.02, 0.012, "bca"), p=0.4, corrected=0.4, winner=None)


@pytest.mark.parametrize(
    ("metric", "pair", "told", "words"),
    [
        (
            "macro_f1", PAIR, TOLD,
            "A is better than B by 3.1 points of macro-F1, 95 % interval 0.8 to 5.4",
        ),
        (
            "macro_f1", replace(PAIR, difference=-0.031, interval=Interval(-0.054, -0.008, "bca"), winner=1), TOLD,
            "B is better than A by 3.1 points of macro-F1, 95 % interval 0.8 to 5.4",
        ),
        (
            "unparsed", replace(PAIR, winner=1), TOLD,
            "B is better than A by 3.1 points of no valid label (lower is better), 95 % interval 0.8 to 5.4",
        ),
        (
            "bertscore_f1", PAIR, TOLD,
            "A is better than B by 0.031 in BERTScore F1, 95 % interval 0.008 to 0.054",
        ),
        (
            "chrf", replace(PAIR, difference=1.25, interval=Interval(0.5, 2.0, "bca")), TOLD,
            "A is better than B by 1.2 points of chrF, 95 % interval 0.5 to 2.0",
        ),
        (
            "macro_f1", UNCLEAR, TOLD,
            ("A and B cannot be told apart with 500 items (B is 0.4 points higher, 95 % interval -1.2 to 2.0); "
            "a difference under 4.2 points would not be seen"),
        ),
        (
            "macro_f1", replace(UNCLEAR, p=0.03, corrected=0.09), replace(TOLD, pairs=3, clusters=24),
            ("A and B cannot be told apart with 500 items in 24 groups (B is 0.4 points higher, 95 % interval -1.2 to "
            "2.0): taken alone the pair would be (p 0.030), among 3 pairs it may be chance; a difference under 4.2 "
            "points would not be seen"),
        ),
        (
            "macro_f1", replace(UNCLEAR, equivalent=True), replace(TOLD, margin=0.02),
            "A and B are equal within the margin of 2 points (B is 0.4 points higher, 95 % interval -1.2 to 2.0)",
        ),
        (
            "macro_f1", replace(PAIR, equivalent=True), replace(TOLD, margin=0.06),
            ("A is better than B by 3.1 points of macro-F1, 95 % interval 0.8 to 5.4; "
            "that is less than the margin of 6 points"),
        ),
        (
            "macro_f1", replace(UNCLEAR, difference=0.0, identical=True), replace(TOLD, items=2),
            "A and B have the same score on each of the 2 items",
        ),
        (
            "macro_f1", replace(UNCLEAR, p=None, reason="fewer than two independent units"), TOLD,
            "A and B: not compared (fewer than two independent units)",
        ),
        (
            "wrong_wrong", PAIR, TOLD,
            "A is higher than B by 3.1 points of wrong both ways, 95 % interval 0.8 to 5.4",
        ),
    ],
)  # fmt: skip
def test_sentences(metric: str, pair: Pair, told: Told, words: str) -> None:
    assert sentence(METRICS[metric], pair, told) == words


@pytest.mark.parametrize(
    ("value", "text"), [(0.01, "1.0 point"), (-0.023, "2.3 points"), (0.0, "0.0 points"), (0.0002, "0.02 points")]
)
def test_amounts_have_a_unit_and_never_vanish(value: float, text: str) -> None:
    assert amount(METRICS["accuracy"], value) == text


def test_names_keep_their_capitals() -> None:
    names = ("macro_f1", "bleu", "chrf", "bertscore_f1", "mcc", "unparsed")
    assert [called(METRICS[name]) for name in names] == [
        "macro-F1", "BLEU", "chrF", "BERTScore F1", "MCC", "no valid label",
    ]  # fmt: skip


@pytest.mark.parametrize(("p", "text"), [(None, "–"), (0.0002, "< 0.001"), (0.0504, "0.050"), (1.0, "1.000")])
def test_p_values(p: float | None, text: str) -> None:
    assert p_value(p) == text
