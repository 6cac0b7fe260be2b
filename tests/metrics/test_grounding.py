from __future__ import annotations

from dataclasses import replace

import pytest
from column_parts import columns

from r2d_bench.metrics import grounding
from r2d_bench.metrics.grounding import Annotated, Finding, Mention, Vocabulary, grounded_numbers
from r2d_bench.tasks.task import load_task


@pytest.mark.parametrize(
    ("rationale", "given", "counts"),
    [
        ("fever of 38.2", "T38.2 by ear", (1, 1)),
        ("fever of 38,20", "T 38.2", (1, 1)),  # a comma is a point elsewhere, and a zero behind it is none
        ("a 6-year-old", "6 yo boy", (1, 1)),
        ("for 2 days", "since 2 d", (1, 1)),
        ("for 2 days", "for two days", (1, 1)),
        ("for 2 days", "for 2 hrs", (0, 1)),  # another unit
        ("for 2 days", "2 loose stools", (1, 1)),  # no unit to disagree with
        ("2 of them", "2 hrs", (1, 1)),
        ("for 40 minutes, then 3 h", "40 min", (1, 2)),
        ("150/90 mmHg", "BP 150/90", (1, 1)),
        ("150/95", "BP 150/90", (0, 1)),
        ("2 days and 2 days", "2 days", (1, 1)),  # the same fact once
        ("takes B12", "nothing", (0, 0)),
        ("for two days", "nothing", (0, 0)),  # words are no numbers in a rationale: `one` is an article
        ("8.2", "38.2", (0, 1)),
    ],
)
def test_numbers(rationale: str, given: str, counts: tuple[int, int]):
    assert grounded_numbers(rationale, given) == counts


ITEM = Annotated(
    [Finding("a/rash", "itchy blotchy rash")], [Finding("a/fever", "fever"), Finding("a/stiff", "stiff neck")]
)
OTHER = Annotated(
    [Finding("a/fever", "raised temperature"), Finding("b/lip", "swollen lips")],
    [Finding("a/walk", "gets by without a stick")],
)


@pytest.mark.parametrize(
    ("rationale", "counts"),
    [
        ("A blotchy, itchy rash with no fever.", (2, 2)),
        ("No rash that is itchy or blotchy.", (0, 1)),  # the note has it
        ("Fever and a stiff neck.", (0, 2)),  # the note denies both
        ("No raised temperature.", (1, 1)),  # another item's words for the same finding
        ("Swollen lips.", (0, 1)),
        ("No fever but swollen lips.", (1, 2)),  # `but` ends the denial
        ("Gets by without a stick.", (0, 0)),  # which side it is on cannot be told
        ("Nothing of note.", (0, 0)),
    ],
)
def test_findings(rationale: str, counts: tuple[int, int]):
    assert Vocabulary([ITEM, OTHER]).grounded(rationale, ITEM) == counts


def test_of_a_finding_within_another_only_the_longer_is_mentioned():
    vocabulary = Vocabulary([Annotated([Finding("a", "pain"), Finding("b", "chest pain")], [])])
    assert vocabulary.mentions("pains in the chest") == {Mention(frozenset({"pain", "chest"}), denied=False)}


def told(texts: list[str | None], inputs: list[str], **more: object) -> grounding.Columns:
    n = len(texts)
    of = columns(["NOW"] * n, ["NOW"] * n)
    return replace(of, hypotheses=texts, inputs=inputs, references=[["2 days"]] * n, **more)


def test_the_share_is_a_ratio_of_sums():
    of = told(["2 days, 3 weeks, 5 mm", "7 days", "no number", None], ["2 days 3 weeks 5 mm", "8 days", "2", "2"])
    family = grounding.compute(of, resamples=50)
    estimate = family.estimates["grounding_numbers"]
    assert (estimate.value, estimate.n, estimate.unscored) == (3 / 4, 2, 2)
    assert family.estimates["grounding_findings"].reason == "the task annotates no findings"
    assert family.extra == {"grounding_of_gold": {"grounding_numbers": 3 / 4}}
    assert family.per_example["grounding_numbers"].tolist()[:2] == [1.0, 0.0]


def test_nothing_to_ground_has_a_reason():
    of = told(["", None], ["a", "b"])
    family = grounding.compute(of, [ITEM, OTHER], resamples=50)
    assert {e.reason for e in family.estimates.values()} == {
        "no rationale states a number",
        "no rationale mentions an annotated finding in its words",
    }
    label_only = grounding.compute(replace(of, no_rationale="label alone"), [ITEM, OTHER])
    assert {e.reason for e in label_only.estimates.values()} == {"label alone"}


def test_gold_rationales_of_the_bundled_set_are_grounded_and_those_of_other_cases_are_not():
    task = load_task("triage")
    examples = task.examples()
    annotated = [
        Annotated(*([Finding(f"{e.group}/{f['finding']}", f["text"]) for f in e.fields[side]] for side in sides))
        for sides in [("positives", "negatives")]
        for e in examples
    ]
    inputs = [example.input for example in examples]
    gold = [example.references[0] for example in examples]
    own = grounding.compute(told(gold, inputs), annotated, resamples=50).estimates
    assert own["grounding_numbers"].value == 1.0
    assert own["grounding_findings"].value > 0.8
    assert own["grounding_findings"].n > 230
    foreign = grounding.compute(told(gold[120:] + gold[:120], inputs), annotated, resamples=50).estimates
    assert foreign["grounding_numbers"].value < 0.15
    assert foreign["grounding_findings"].value < 0.1
    claimed = [text.replace("no ", "").replace("No ", "") for text in gold]  # what the note denies
    assert grounding.compute(told(claimed, inputs), annotated, resamples=50).estimates["grounding_findings"].value < 0.2
