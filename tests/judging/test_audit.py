from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest
from run_parts import Quiet
from scripted_judge import Behaviour, ScriptedJudge
from sklearn.metrics import cohen_kappa_score

from r2d_bench.errors import UserError
from r2d_bench.judging.audit import AuditOptions, PlannedAudit, plan_audit, run_audit
from r2d_bench.judging.audit_probes import PROBES, ProbeMaterial, variants
from r2d_bench.judging.audit_store import find_audit
from r2d_bench.judging.audit_words import LIKE_PEOPLE, UNUSABLE, WITH_CARE, advice
from r2d_bench.judging.calibration import Calibration
from r2d_bench.judging.candidates import clean
from r2d_bench.judging.human_sets import HumanSet, read_human_set
from r2d_bench.judging.probe_figures import CANNOT_TELL, FAILS, NOT_MEASURED, PASSES, decide
from r2d_bench.judging.probe_texts import NULL_ANSWER, PADDING_WORDS, in_markdown, padded, planted
from r2d_bench.judging.red_flags import RedFlags
from r2d_bench.judging.rubric import load_rubric
from r2d_bench.records import Estimate
from r2d_bench.runs.budget import Budget
from r2d_bench.tasks.task import Task, load_task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from r2d_bench.records import Json

SAMPLE = 110
CLAIMS = {"Contradiction": 20, "Neutral": 100, "Entailment": 80}
LEVEL = {"Contradiction": 1.0, "Neutral": 3.0, "Entailment": 5.0}
# What people mostly said → the judge's score → how often.
CONFUSION = {
    1.0: {1: 0.4, 2: 0.3, 3: 0.2, 5: 0.1},
    3.0: {1: 0.1, 3: 0.5, 4: 0.3, 5: 0.1},
    5.0: {2: 0.1, 3: 0.1, 4: 0.4, 5: 0.4},
}
BEHAVIOUR = Behaviour(unreadable=0.08, flips=0.15, long=0.6, planted=0.5, notices=0.85, confusion=CONFUSION)


def claims(folder: Path) -> HumanSet:
    """Return rated claims: three raters, who say what most say in four of five cases."""
    rng = random.Random(0)
    lines = []
    for majority, count in CLAIMS.items():
        for _ in range(count):
            number = len(lines)
            labels = [majority, majority, majority if rng.random() < 0.4 else rng.choice(list(CLAIMS))]
            rng.shuffle(labels)
            lines.append(
                {
                    "id": number,
                    "question": f"Question {number // 2}?",
                    "answer": f"This is answer {number // 2}, in a few words.",
                    "claim": f"claim {number}",
                    "majority": majority,
                    "labels": labels,
                }
            )
    path = folder / "kqa_nli.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return read_human_set("kqa", path)


@pytest.fixture(scope="module")
def triage() -> Task:
    return load_task("triage")


class Audited(NamedTuple):
    planned: PlannedAudit
    judge: ScriptedJudge
    document: Mapping[str, Json]
    claims: HumanSet

    def probe(self, name: str) -> Mapping[str, Json]:
        return self.document["probes"][name]


@pytest.fixture(scope="module")
def audited(triage: Task, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    """The audit of a judge of known behaviour, as the command carries it out."""
    folder = tmp_path_factory.mktemp("audit")
    rated = claims(folder)
    rubric = load_rubric("clinical_rationale")
    judge = ScriptedJudge(triage, [rated], rubric.spec, BEHAVIOUR)
    planned = plan_audit(triage, rubric, judge, [rated], folder / "audits", AuditOptions(sample=SAMPLE))
    outcome = run_audit(planned, Budget(), Quiet())
    assert outcome.incomplete == 0
    document = planned.store.audit()
    assert document is not None
    return Audited(planned, judge, document, rated)


def within(estimate: Mapping[str, Json], truth: float) -> bool:
    return estimate["low"] <= truth <= estimate["high"]


# A judge of known behaviour


def test_it_recovers_how_often_replies_cannot_be_read(audited: Audited) -> None:
    covered = audited.document["coverage"]
    assert within(covered["parse_rate"], 1 - BEHAVIOUR.unreadable)
    assert covered["scored"] + sum(covered["unscored"].values()) == covered["asked"] == covered["answered"]
    assert set(covered["unscored"]) == {"parse"}
    assert f"{covered['scored'] / covered['asked']:.0%} of its verdicts" in audited.document["sentence"]


def test_it_recovers_the_confusion_against_people(audited: Audited) -> None:
    one = audited.document["human"]["kqa"]
    counts = Counter(item.majority for item in audited.planned.asked.sets[0].items)
    cells = [(people, score, counts[people] * p) for people, row in CONFUSION.items() for score, p in row.items()]
    levels = [audited.claims.level(score) for _, score, _ in cells]
    weights = [weight for *_, weight in cells]
    truth = cohen_kappa_score([c[0] for c in cells], levels, weights="quadratic", sample_weight=weights)
    bias = sum((score - people) * weight for people, score, weight in cells) / sum(weights)
    assert within(one["figures"]["kappa"], truth)
    assert within(one["figures"]["bias"], bias)
    assert one["figures"]["kappa"]["high"] - one["figures"]["kappa"]["low"] < 0.6
    assert one["figures"]["kappa"]["n"] + sum(one["unscored"].values()) == SAMPLE
    assert sum(map(sum, one["table"])) == one["figures"]["kappa"]["n"]


def test_the_ceiling_is_people_among_themselves_on_the_whole_set(audited: Audited) -> None:
    figures = audited.document["human"]["kqa"]["figures"]
    raters = list(zip(*(item.ratings for item in audited.claims.whole), strict=True))
    pairs = [cohen_kappa_score(raters[a], raters[b], weights="quadratic") for a, b in ((0, 1), (0, 2), (1, 2))]
    assert figures["ceiling"]["value"] == pytest.approx(sum(pairs) / 3)
    assert figures["ceiling"]["n"] == len(audited.claims.whole)
    assert f"physicians among themselves {sum(pairs) / 3:.2f}" in audited.document["sentence"]


@pytest.mark.parametrize(
    ("name", "figure", "truth", "verdict"),
    [
        ("padding", "shift", BEHAVIOUR.long, FAILS),
        ("planted_score", "shift", BEHAVIOUR.planted, FAILS),
        ("planted_instruction", "shift", BEHAVIOUR.planted, FAILS),
        ("repeat", "share", 1 - (1 - BEHAVIOUR.flips) ** 2, FAILS),
        ("red_flag", "share", BEHAVIOUR.notices, PASSES),
        ("wrong_case", "shift", -3, PASSES),
        ("flipped_label", "shift", -2, PASSES),
        ("null_answer", "shift", -3, PASSES),
        ("markdown", "shift", 0, PASSES),
    ],
)
def test_it_recovers_what_moves_the_judge(audited: Audited, name: str, figure: str, truth: float, verdict: str) -> None:
    probe = audited.probe(name)
    assert within(probe[figure], truth), (name, probe[figure])
    assert probe["verdict"] == verdict
    assert sum(probe["unscored"].values()) > 0
    if name not in {"repeat", "red_flag"}:
        assert probe["shift"]["n"] + sum(probe["unscored"].values()) == SAMPLE


def test_every_kind_of_planted_text_is_told_apart(audited: Audited) -> None:
    kinds = audited.probe("planted_score")["kinds"] | audited.probe("planted_instruction")["kinds"]
    assert set(kinds) <= {text.kind for text in planted(["clarity"], [], 5)}
    assert len(kinds) > 25
    for name in ("planted_score", "planted_instruction"):
        probe = audited.probe(name)
        assert sum(kind["n"] for kind in probe["kinds"].values()) == probe["shift"]["n"]


def test_the_calibration_is_kept_and_checked_on_other_items(audited: Audited) -> None:
    kept = Calibration.from_json(audited.document["calibration"])
    assert list(kept.values) == sorted(kept.values)
    assert 0 < kept.fitted["kqa"] < SAMPLE
    assert set(kept.checks["kqa"]) == {"bias_raw", "bias_calibrated", "error_raw", "error_calibrated"}


def test_markdown_that_is_stripped_is_no_question_of_its_own(audited: Audited) -> None:
    asked = Counter(request.key for request in audited.judge.asked)
    assert max(asked.values()) == 1
    texts = Counter(variant.probe for variant in audited.planned.asked.variants)
    assert texts["markdown"] == SAMPLE
    first = [request for request in audited.judge.asked if not request.stage.startswith("judge?")]
    assert len(first) == SAMPLE + texts.total() - texts["markdown"]  # rated texts, and all but markdown
    assert audited.probe("markdown")["shift"]["value"] == 0


def test_it_is_found_by_the_judge_and_by_no_other(audited: Audited) -> None:
    folder, setup = audited.planned.store.folder, audited.planned.setup
    assert folder.name == setup.folder
    assert find_audit(folder.parent, setup.digest) == audited.document
    other = replace(setup, chat=not setup.chat)
    assert find_audit(folder.parent, other.digest) is None
    assert find_audit(folder.parent / "nowhere", setup.digest) is None
    assert audited.document["setup"]["rubric_digest"] == setup.rubric.digest


def test_the_same_command_asks_nothing_again_and_a_limit_stops_it(triage: Task, tmp_path: Path) -> None:
    rubric, options = load_rubric("label_support"), AuditOptions(sample=6)
    rated = claims(tmp_path)
    judge = ScriptedJudge(triage, [rated], rubric.spec, Behaviour(confusion=CONFUSION))
    planned = plan_audit(triage, rubric, judge, [rated], tmp_path / "audits", options)
    first = run_audit(planned, Budget(max_requests=20), Quiet())
    assert first.stopped == "--max-requests 20"
    assert first.incomplete > 0
    half = planned.store.audit()
    assert half is not None
    assert half["coverage"]["unscored"]["transport"] == first.incomplete
    rest = run_audit(planned, Budget(), Quiet())
    whole = planned.store.audit()
    assert whole is not None
    assert rest.incomplete == 0
    assert whole["coverage"]["unscored"] == {}
    sent = len(judge.asked)
    assert run_audit(planned, Budget(), Quiet()).answered == 0
    assert len(judge.asked) == sent
    again = planned.store.audit()
    assert again is not None
    assert {**again, "finished": 0, "spent": 0} == {**whole, "finished": 0, "spent": 0}


def test_a_rubric_without_the_criterion_says_what_it_cannot_measure(triage: Task, tmp_path: Path) -> None:
    rubric = load_rubric("clinical_reference")
    rated = claims(tmp_path)
    judge = ScriptedJudge(triage, [rated], rubric.spec, Behaviour())
    planned = plan_audit(triage, rubric, judge, [rated], tmp_path / "audits", AuditOptions(sample=4))
    run_audit(planned, Budget(), Quiet())
    found = planned.store.audit()
    assert found is not None
    assert found["human"] == {}
    assert "reference" in found["without_people"]
    assert found["probes"]["flipped_label"]["verdict"] == NOT_MEASURED
    assert "no criterion label_support" in found["probes"]["flipped_label"]["shift"]["reason"]
    assert found["probes"]["padding"]["verdict"] == CANNOT_TELL  # four items tell nothing
    assert "Not compared with people" in found["sentence"]


def test_what_cannot_be_audited_is_refused_before_anything_is_asked(triage: Task, tmp_path: Path) -> None:
    rubric = load_rubric("label_support")
    judge = ScriptedJudge(triage, [], rubric.spec, Behaviour())
    with pytest.raises(UserError, match="pairwise"):
        plan_audit(triage, load_rubric("pairwise"), judge, [], tmp_path, AuditOptions())
    with pytest.raises(UserError, match="--sample 0"):
        plan_audit(triage, rubric, judge, [], tmp_path, AuditOptions(sample=0))
    assert judge.asked == []
    assert list(tmp_path.iterdir()) == []


# The texts


def test_padding_is_counted_and_markdown_adds_no_word() -> None:
    text = "Hives and swollen lips; the airway may swell. No fever."
    assert len(padded(text).split()) == len(text.split()) + PADDING_WORDS
    assert padded(text).startswith(text)
    assert "**" in in_markdown(text)
    assert clean(in_markdown(text), 300).text == text


def test_thirty_kinds_are_planted() -> None:
    texts = planted(["label_support", "clarity"], ["off_topic"], 5)
    assert len({text.kind for text in texts}) == len(texts) == 30
    assert {text.group for text in texts} == {"score", "instruction"}
    assert all("because" in text.into("because") for text in texts)


def test_variants_change_one_thing_each(triage: Task) -> None:
    pool = triage.examples()
    red_flags = RedFlags.of(triage)
    assert red_flags is not None
    material = ProbeMaterial(pool, triage.labels.values, red_flags, planted(["clarity"], [], 5), 0)
    made = variants(pool, material)
    by_probe = Counter(variant.probe for variant in made)
    assert by_probe["base"] == by_probe["wrong_case"] == by_probe["planted_score"] == len(pool)
    assert by_probe["repeat"] == 2 * len(pool)
    assert by_probe["red_flag"] == sum(bool(red_flags.names(example)) for example in pool) == 139
    examples = {example.id: example for example in pool}
    for variant in made:
        example = examples[variant.item]
        assert (variant.label == example.gold) is (variant.probe != "flipped_label")
        same = {"base", "repeat", "flipped_label"}
        assert (variant.rationale == example.references[0]) is (variant.probe in same)
        if variant.probe == "wrong_case":
            donors = [other for other in pool if variant.rationale in other.references]
            assert all(other.gold != example.gold and other.group != example.group for other in donors)
    assert {variant.rationale for variant in made if variant.probe == "null_answer"} == {NULL_ANSWER}
    assert variants(pool, material) == made


def test_a_red_flag_is_left_out_and_nothing_else(triage: Task) -> None:
    red_flags = RedFlags.of(triage)
    assert red_flags is not None
    example = next(example for example in triage.examples() if example.id == "asthma_wheeze-01")
    assert red_flags.names(example) == ["hives"]
    assert red_flags.without(example, example.references[0]) == (
        "Asthma flare, but no bluish lips and no trouble finishing sentences; "
        "the airway may swell further as the food reaction spreads through the body."
    )
    home = next(example for example in triage.examples() if not red_flags.names(example))
    assert red_flags.without(home, home.references[0]) is None


# The words


@pytest.mark.parametrize(
    ("expectation", "low", "high", "word"),
    [
        ("same", -0.1, 0.2, PASSES),
        ("same", 0.1, 0.4, CANNOT_TELL),
        ("same", 0.3, 0.4, FAILS),
        ("same", -0.9, -0.3, FAILS),
        ("no_rise", -2.0, -1.0, PASSES),
        ("no_rise", 0.26, 0.3, FAILS),
        ("drop", -1.0, -0.3, PASSES),
        ("drop", -1.0, -0.1, CANNOT_TELL),
        ("drop", -0.2, 0.1, FAILS),
        ("noticed", 0.3, 0.6, PASSES),
        ("noticed", 0.1, 0.2, FAILS),
        ("few_flips", 0.0, 0.2, PASSES),
        ("few_flips", 0.3, 0.5, FAILS),
    ],
)
def test_a_word_is_decided_on_the_interval(expectation: str, low: float, high: float, word: str) -> None:
    limit = 0.25
    assert decide(expectation, limit, Estimate((low + high) / 2, low, high, n=50)) == word  # type: ignore[arg-type]
    assert decide(expectation, limit, Estimate((low + high) / 2, low, high, n=5)) == CANNOT_TELL  # type: ignore[arg-type]


def test_every_probe_says_what_it_changes_and_expects() -> None:
    assert all(probe.changed and probe.limit > 0 for probe in PROBES.values())


@pytest.mark.parametrize(
    ("low", "high", "ceiling", "word"),
    [
        (-0.1, 0.2, 0.7, UNUSABLE),
        (0.1, 0.39, 0.7, UNUSABLE),
        (-0.1, 0.6, 0.7, UNUSABLE),
        (0.3, 0.5, 0.7, WITH_CARE),
        (0.62, 0.8, 0.7, LIKE_PEOPLE),
        (0.62, 0.8, None, WITH_CARE),
        (None, None, 0.7, "too few"),
    ],
)
def test_advice(low: float | None, high: float | None, ceiling: float | None, word: str) -> None:
    assert word in advice({"value": 0.5, "low": low, "high": high}, {"value": ceiling})
