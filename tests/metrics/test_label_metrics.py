import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from r2d_bench.errors import UserError
from r2d_bench.metrics import labels
from r2d_bench.metrics.base import Columns
from r2d_bench.records import LabelStatus
from r2d_bench.statistics.intervals import wilson

NONE = "<no valid label>"
ODD_LABELS = ["yes", "no", "None", "NA", "1"]


def columns(
    gold: list[str | None],
    predicted: list[str | None],
    label_set: list[str],
    *,
    groups: list[str] | None = None,
    statuses: list[LabelStatus | None] | None = None,
    **more: object,
) -> Columns:
    n = len(gold)
    given_statuses = statuses or [LabelStatus.OFF_VOCABULARY if p is None else LabelStatus.PARSED for p in predicted]
    settings_ = {
        "label_texts": ["?" if p is None else p for p in predicted],
        "hypotheses": [None] * n,
        "references": [[]] * n,
        "input_cut": [False] * n,
        "output_cut": [False] * n,
    } | more
    return Columns(
        ids=[f"e{i}" for i in range(n)],
        labels=label_set,
        gold=gold,
        predicted=predicted,
        statuses=given_statuses,
        groups=groups,
        **settings_,
    )


def drawn(n: int, label_set: list[str], seed: int, none: float = 0.1):
    rng = np.random.default_rng(seed)
    gold = rng.choice(label_set, size=n).tolist()
    predicted = [
        None if rng.random() < none else (g if rng.random() < 0.6 else str(rng.choice(label_set))) for g in gold
    ]
    return gold, predicted


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("label_set", [["a", "b"], ODD_LABELS, [f"c{i}" for i in range(20)]])
@pytest.mark.parametrize("n", [1, 7, 150])
def test_values_agree_with_scikit_learn(seed: int, label_set: list[str], n: int):
    gold, predicted = drawn(n, label_set, seed)
    texts = [NONE if p is None else p for p in predicted]
    found = labels.compute(columns(gold, predicted, label_set), resamples=50).estimates

    def f1(average: str) -> float:
        return sk.f1_score(gold, texts, labels=label_set, average=average, zero_division=0)

    present = sorted(set(gold))
    expected = {
        "accuracy": sk.accuracy_score(gold, texts),
        "macro_f1": f1("macro"),
        "micro_f1": f1("micro"),
        "weighted_f1": f1("weighted"),
        "balanced_accuracy": sk.recall_score(gold, texts, labels=present, average="macro", zero_division=0),
    }
    if len(present) > 1:
        expected["mcc"] = sk.matthews_corrcoef(gold, texts)
    else:
        assert found["mcc"].reason == "all gold labels are of one class"
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, abs=1e-12), name
        assert found[name].n == n


def test_confusion_and_per_class_agree_with_scikit_learn():
    gold, predicted = drawn(200, ODD_LABELS, 3)
    texts = [NONE if p is None else p for p in predicted]
    extra = labels.compute(columns(gold, predicted, ODD_LABELS), resamples=50).extra
    assert extra["confusion"]["labels"] == ODD_LABELS
    expected = sk.confusion_matrix(gold, texts, labels=[*ODD_LABELS, NONE])
    assert extra["confusion"]["counts"] == expected[:-1].tolist()
    precision, recall, f1, support = sk.precision_recall_fscore_support(gold, texts, labels=ODD_LABELS, zero_division=0)
    for k, row in enumerate(extra["per_class"]):
        assert row["label"] == ODD_LABELS[k]
        assert row["gold_n"] == support[k]
        assert row["predicted_n"] == texts.count(ODD_LABELS[k])
        for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
            assert row[name]["value"] == pytest.approx(values[k])
            assert row[name]["low"] < values[k] < row[name]["high"]


@pytest.mark.parametrize("label_set", [["yes", "no"], ["A", "B", "C"], list("abcdef")])
def test_three_stray_strings_in_a_hundred_cost_what_they_are(label_set: list[str]):
    gold = [label_set[i % len(label_set)] for i in range(100)]
    predicted = [None if i < 3 else g for i, g in enumerate(gold)]
    macro = labels.compute(columns(gold, predicted, label_set)).estimates["macro_f1"]
    assert macro.value >= 0.98
    assert macro.low < macro.value < macro.high


def test_intervals_are_of_the_announced_kind():
    gold, predicted = drawn(300, ["a", "b", "c"], 0)
    found = labels.compute(columns(gold, predicted, ["a", "b", "c"])).estimates
    hits = sum(g == p for g, p in zip(gold, predicted, strict=True))
    expected = wilson(hits, 300)
    assert (found["accuracy"].low, found["accuracy"].high) == (expected.low, expected.high)
    assert found["accuracy"].method == "wilson"
    for name in ("macro_f1", "micro_f1", "weighted_f1", "balanced_accuracy", "mcc"):
        assert found[name].method == "bca"
        assert found[name].low < found[name].value < found[name].high
        assert found[name].warnings == ()


def test_clusters_of_copies_widen_every_interval():
    gold, predicted = drawn(60, ["a", "b", "c"], 1)
    gold, predicted = [g for g in gold for _ in range(9)], [p for p in predicted for _ in range(9)]
    groups = [f"family {i // 9}" for i in range(540)]
    alone = labels.compute(columns(gold, predicted, ["a", "b", "c"])).estimates
    grouped = labels.compute(columns(gold, predicted, ["a", "b", "c"], groups=groups)).estimates
    for name in ("accuracy", "macro_f1", "micro_f1", "weighted_f1", "balanced_accuracy", "mcc"):
        assert grouped[name].value == pytest.approx(alone[name].value)
        ratio = (grouped[name].high - grouped[name].low) / (alone[name].high - alone[name].low)
        assert ratio == pytest.approx(3, rel=0.15), name


def test_singleton_clusters_are_independent_items():
    gold, predicted = drawn(200, ["a", "b"], 2)
    alone = labels.compute(columns(gold, predicted, ["a", "b"])).estimates
    grouped = labels.compute(columns(gold, predicted, ["a", "b"], groups=[f"g{i}" for i in range(200)])).estimates
    assert grouped["accuracy"].low == pytest.approx(alone["accuracy"].low, abs=1e-3)
    assert grouped["macro_f1"].low == pytest.approx(alone["macro_f1"].low, abs=0.01)


def test_few_clusters_are_announced_and_a_missing_id_is_an_error():
    gold, predicted = ["a", "b", "a", "b"], ["a", "b", "b", "b"]
    found = labels.compute(columns(gold, predicted, ["a", "b"], groups=["x", "x", "y", "y"])).estimates
    assert "only 2 clusters: the interval is rough" in found["accuracy"].warnings
    assert "only 2 clusters: the interval is rough" in found["mcc"].warnings
    with pytest.raises(UserError, match="example e2: no group id"):
        labels.compute(columns(gold, predicted, ["a", "b"], groups=["x", "x", "", "y"]))


def test_unanswered_items_and_items_without_gold_are_unscored():
    data = columns(
        ["a", None, "b", "b"],
        ["a", "a", None, None],
        ["a", "b"],
        statuses=[LabelStatus.PARSED, LabelStatus.PARSED, None, LabelStatus.REFUSED],
    )
    family = labels.compute(data)
    accuracy = family.estimates["accuracy"]
    assert (accuracy.value, accuracy.n, accuracy.unscored) == (0.5, 2, 2)
    np.testing.assert_array_equal(family.per_example["correct"], [1.0, np.nan, np.nan, 0.0])
    unparsed = family.estimates["unparsed"]
    assert (unparsed.value, unparsed.n, unparsed.unscored) == (pytest.approx(1 / 3), 3, 1)
    assert family.extra["statuses"] == {"parsed": 2, "refused": 1}


def test_shares_of_cut_prompts_and_answers():
    data = columns(
        ["a"] * 4,
        ["a"] * 4,
        ["a", "b"],
        statuses=[LabelStatus.PARSED] * 3 + [None],
        input_cut=[True, False, True, True],
        output_cut=[False, False, True, False],
    )
    found = labels.compute(data).estimates
    assert (found["input_truncated"].value, found["input_truncated"].n) == (pytest.approx(2 / 3), 3)
    assert found["output_truncated"].value == pytest.approx(1 / 3)
    assert found["output_truncated"].unscored == 1


def test_options_that_differ_leave_accuracy_alone():
    family = labels.compute(columns(["x", "y", "z"], ["x", "q", None], []))
    assert family.estimates["accuracy"].value == pytest.approx(1 / 3)
    for name in ("macro_f1", "micro_f1", "weighted_f1", "balanced_accuracy", "mcc"):
        assert family.estimates[name].value is None
        assert family.estimates[name].reason == "n/a: options differ per example"
    assert "confusion" not in family.extra


def test_a_run_without_labels_is_unscored_with_its_reason():
    data = columns(["a", "b"], [None, None], ["a", "b"], statuses=[None, None], no_label="rationale only")
    family = labels.compute(data)
    for name in ("accuracy", "macro_f1", "mcc", "unparsed"):
        assert family.estimates[name].value is None
        assert family.estimates[name].reason == "rationale only"
        assert family.estimates[name].unscored == 2
    assert np.isnan(family.per_example["correct"]).all()


@pytest.mark.parametrize(("gold", "predicted"), [("z", "a"), ("a", "z")])
def test_a_label_outside_the_set_is_an_error(gold: str, predicted: str):
    with pytest.raises(UserError, match="example e1: label 'z' is not in the label set"):
        labels.compute(columns(["a", gold], ["a", predicted], ["a", "b"]))


def test_warnings_name_rare_unhit_and_missing_classes():
    # c: no gold item; b: 12 gold items, 2 of them hit; d: 3 gold items, all hit; a: enough of everything.
    gold = ["a"] * 30 + ["b"] * 12 + ["d"] * 3
    predicted = ["a"] * 30 + ["b"] * 2 + ["a"] * 10 + ["d"] * 3
    family = labels.compute(columns(gold, predicted, ["a", "b", "c", "d"]))
    expected = (
        "no gold item in this selection (F1 counts as 0): c (0)",
        "fewer than 10 gold items: d (3)",
        "hit fewer than 10 times, the interval may be too narrow: b (2), d (3)",
    )
    assert family.estimates["macro_f1"].warnings == expected
    assert family.estimates["balanced_accuracy"].warnings == expected
    assert family.estimates["accuracy"].warnings == ()
    # F1: a 60/70, b 4/14, c 0, d 1.
    assert family.estimates["macro_f1"].value == pytest.approx((6 / 7 + 2 / 7 + 0 + 1) / 4)
    missing_class = family.extra["per_class"][2]
    assert missing_class["f1"]["reason"] == "neither gold nor predicted"
    assert missing_class["recall"]["reason"] == "no gold item"
    assert missing_class["precision"]["reason"] == "never predicted"


def test_degenerate_runs():
    nothing = labels.compute(columns([], [], ["a", "b"]))
    assert {e.value for e in nothing.estimates.values()} == {None}
    one = labels.compute(columns(["a"], ["a"], ["a", "b"])).estimates
    assert one["accuracy"].value == 1
    assert one["macro_f1"].value == 0.5
    assert one["macro_f1"].low is None
    assert one["macro_f1"].reason == "no interval: fewer than two independent units"
    right = labels.compute(columns(["a", "b"] * 20, ["a", "b"] * 20, ["a", "b"])).estimates
    assert (right["macro_f1"].value, right["macro_f1"].low) == (1, 1)
    assert "every resample gives the same value" in right["macro_f1"].warnings[0]
    assert right["accuracy"].low < 1
    wrong = labels.compute(columns(["a", "b"] * 20, [None] * 40, ["a", "b"])).estimates
    assert (wrong["accuracy"].value, wrong["macro_f1"].value, wrong["mcc"].value) == (0, 0, 0)
    majority = labels.compute(columns(["a", "b"] * 20, ["a"] * 40, ["a", "b"])).estimates
    assert majority["mcc"].value == 0


@settings(max_examples=80, deadline=None)
@given(
    items=st.lists(
        st.tuples(
            st.sampled_from([*ODD_LABELS, None]),
            st.sampled_from([*ODD_LABELS, None]),
            st.sampled_from([*LabelStatus, None]),
            st.sampled_from("xyz"),
        ),
        max_size=25,
    ),
    grouped=st.booleans(),
    closed=st.booleans(),
)
def test_every_estimate_is_finite_or_has_a_reason(items: list[tuple], grouped: bool, closed: bool):
    gold, predicted, statuses, groups = ([row[i] for row in items] for i in range(4))
    data = columns(
        gold,
        predicted,
        ODD_LABELS if closed else [],
        groups=groups if grouped else None,
        statuses=statuses or [],
    )
    family = labels.compute(data, resamples=60)
    assert set(family.estimates) == {metric.name for metric in labels.METRICS}
    for name, estimate in family.estimates.items():
        assert estimate.n + estimate.unscored == len(items), name
        if estimate.value is None:
            assert estimate.reason
            continue
        assert np.isfinite(estimate.value)
        if estimate.low is None:
            assert estimate.reason
        else:
            assert np.isfinite([estimate.low, estimate.high]).all()
            assert estimate.low <= estimate.high
    for row in family.extra.get("per_class", []):
        for name in ("precision", "recall", "f1"):
            assert row[name]["value"] is None or np.isfinite(row[name]["value"])


@pytest.mark.parametrize("grouped", [False, True])
def test_a_hundred_thousand_items_take_seconds(grouped: bool):
    label_set = list("abcdef")
    rng = np.random.default_rng(0)
    gold = rng.choice(label_set, size=100_000).tolist()
    predicted = rng.choice(label_set, size=100_000).tolist()
    groups = [f"g{i // 4}" for i in range(100_000)] if grouped else None
    start = time.perf_counter()
    labels.compute(columns(gold, predicted, label_set, groups=groups))
    assert time.perf_counter() - start < 8  # measured: well under 2 s on two idle cores
