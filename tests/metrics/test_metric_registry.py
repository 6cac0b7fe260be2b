import subprocess
import sys

import pytest

from r2d_bench.errors import UserError
from r2d_bench.metrics import (
    bertscore,
    calibration,
    call_mix,
    challenges,
    grounding,
    joint,
    labels,
    leak,
    overlap,
    paper,
    probes,
    reader,
    triage,
)
from r2d_bench.metrics.base import Direction
from r2d_bench.metrics.registry import METRICS, lookup


def test_names_are_unique_and_in_display_order():
    of_labels = (labels, triage, call_mix, calibration)
    families = (*of_labels, bertscore, overlap, joint, probes, reader, leak, grounding, challenges, paper)
    assert list(METRICS) == [metric.name for family in families for metric in family.METRICS]
    assert len(METRICS) == sum(len(family.METRICS) for family in families)
    assert next(iter(METRICS)) == "accuracy"


def test_paper_figures_are_marked_in_name_title_and_preset():
    for name, metric in METRICS.items():
        marks = {name.startswith("paper_"), metric.title.endswith("(paper script)"), metric.preset == "paper"}
        assert len(marks) == 1, name


def test_shares_of_trouble_are_better_low():
    assert {n for n, m in METRICS.items() if m.direction is Direction.LOWER} == {
        "unparsed",
        "input_truncated",
        "output_truncated",
        "under_triage",
        "severe_under_triage",
        "over_triage",
        "critical_miss",
        "mean_distance",
        "ece",
        "brier",
        "nll",
        "aurc",
        "expected_cost",
        "expected_cost_mix",
        "invariance_flips",
        "right_wrong_reason",
        "wrong_convincing",
        "obedience",
        "states_label",
        "states_gold",
        "empty_rationale",
        "repeated_rationale",
    }


def test_lookup():
    assert lookup("macro_f1").title == "Macro-F1"
    with pytest.raises(UserError, match=r"metric 'makro_f1': unknown \(did you mean 'macro_f1'\?\)"):
        lookup("makro_f1")


def test_the_registry_imports_no_engine():
    engines = ["torch", "bert_score", "nltk", "sklearn", "sacrebleu"]
    code = f"import sys, r2d_bench.metrics.registry; print([m for m in {engines} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
