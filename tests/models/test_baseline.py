"""Baselines, by expectations worked out by hand."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from run_parts import LABELS, carry_out, make_task, row
from small_task import write_task

from r2d_bench.errors import UserError
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.records import LabelMethod, RationaleStatus
from r2d_bench.runs.predictions import Reader
from r2d_bench.runs.setup import plan_run
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.models.base import Model
    from r2d_bench.records import Json, Prediction
    from r2d_bench.tasks.task import Task

# Training golds: no twice, NA twice, yes once. "no" stands before "NA" in the label set.
TRAIN = [
    row("f0", "NA", "broken arm after a fall", "train"),
    row("f1", "no", "runny nose and cough", "train"),
    row("f2", "yes", "crushing chest pain", "train"),
    row("f3", "NA", "twisted ankle after a fall", "train"),
    row("f4", "no", "sore throat and cough", "train"),
]
TEST = [
    row("t0", "yes", "chest pain, crushing"),
    row("t1", "no", "a cough and a sore throat"),
    row("t2", "NA", "a fall, twisted ankle"),
]


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return make_task(tmp_path, [*TRAIN, *TEST])


def fitted(task: Task, name: str, seed: int = 0) -> Model:
    model = make_model(parse_spec(f"baseline:{name}"), task=task, seed=seed)
    model.fit(task.examples("train"), [])
    return model


def predicted(task: Task, model: Model, runs: Path, method: LabelMethod = LabelMethod.FREE) -> list[Prediction]:
    store, outcome = carry_out(task, model, runs, setup=plan_run(task, model, label_method=method))
    assert outcome.incomplete == 0
    reader, responses = Reader(task, store.setup()), store.responses()
    return [reader.prediction(e, responses) for e in task.examples()]


@pytest.mark.parametrize("method", list(LabelMethod))
def test_majority_says_the_commonest_label_the_first_of_equals(task: Task, tmp_path: Path, method: LabelMethod):
    found = predicted(task, fitted(task, "majority"), tmp_path / "runs", method)
    assert [p.label for p in found] == ["no", "no", "no"]
    assert all(p.rationale is None for p in found)
    if method is LabelMethod.SCORED:
        assert found[0].scores is not None
        shares = {label: math.exp(score) for label, score in found[0].scores.items()}
        assert shares == pytest.approx({"yes": 0.2, "no": 0.4, "None": 1e-9, "NA": 0.4})


def test_stratified_draws_from_the_training_shares_by_item_and_seed(tmp_path: Path):
    task = make_task(tmp_path, [*TRAIN, *(row(f"t{k}", "yes", "the same note") for k in range(2000))])
    first = [p.label for p in predicted(task, fitted(task, "stratified"), tmp_path / "a")]
    assert first == [p.label for p in predicted(task, fitted(task, "stratified"), tmp_path / "b")]
    assert first != [p.label for p in predicted(task, fitted(task, "stratified", 1), tmp_path / "c")]
    counts = Counter(first)
    assert counts["None"] == 0
    for label, share in {"yes": 0.2, "no": 0.4, "NA": 0.4}.items():
        # Five standard errors of a share of 2,000 draws.
        assert abs(counts[label] / 2000 - share) < 5 * math.sqrt(share * (1 - share) / 2000)


def test_stratified_has_no_likeliest_label_to_score(task: Task):
    with pytest.raises(UserError, match="has no label method scored"):
        plan_run(task, fitted(task, "stratified"), label_method=LabelMethod.SCORED)


def test_tfidf_takes_the_label_by_words_and_the_rationale_of_the_nearest_item_with_it(task: Task, tmp_path: Path):
    found = predicted(task, fitted(task, "tfidf"), tmp_path / "runs")
    assert [p.label for p in found] == ["yes", "no", "NA"]
    assert [p.rationale for p in found] == [f"because of {n} it is so" for n in ("f2", "f4", "f3")]


def test_tfidf_scores_are_probabilities(task: Task, tmp_path: Path):
    for p in predicted(task, fitted(task, "tfidf"), tmp_path / "runs", LabelMethod.SCORED):
        assert p.scores is not None
        assert tuple(p.scores) == LABELS
        assert sum(math.exp(score) for score in p.scores.values()) == pytest.approx(1, abs=1e-8)
        assert p.label == max(p.scores, key=lambda label: p.scores[label])
        assert math.exp(p.scores["None"]) == pytest.approx(1e-9)  # unseen in training


def test_tfidf_with_one_training_label_says_it(tmp_path: Path):
    task = make_task(tmp_path, [row("f0", "NA", "a fall", "train"), row("f1", "NA", "pain", "train"), *TEST])
    assert [p.label for p in predicted(task, fitted(task, "tfidf"), tmp_path / "a")] == ["NA", "NA", "NA"]
    scored = predicted(task, fitted(task, "tfidf"), tmp_path / "b", LabelMethod.SCORED)
    assert scored[0].scores["NA"] == 0.0


def test_training_inputs_without_words_are_told(tmp_path: Path):
    task = make_task(tmp_path, [row("f0", "NA", "?", "train"), row("f1", "no", "!", "train"), *TEST])
    with pytest.raises(UserError, match="the training inputs hold no words"):
        fitted(task, "tfidf")


def test_a_baseline_needs_training_rows(task: Task):
    model = make_model(parse_spec("baseline:majority"), task=task, seed=0)
    with pytest.raises(UserError, match="needs a training split"):
        model.fit([], [])


def test_identity_follows_the_training_rows_and_the_seed_where_it_matters(task: Task, tmp_path: Path):
    other = make_task(tmp_path / "other", [*TRAIN[:-1], *TEST])
    assert fitted(task, "majority").identity == fitted(task, "majority", seed=5).identity
    assert fitted(task, "majority").identity != fitted(other, "majority").identity
    assert fitted(task, "stratified").identity != fitted(task, "stratified", seed=5).identity


# Options that differ per item (label space choices), and labels that nobody listed (open)


def choice(ident: str, options: str, gold: str, note: str = "", split: str = "test", why: str | None = None) -> Json:
    """Return a row; `options` stand behind one another, parted by `|`."""
    reason = f"because of {ident}" if why is None else why
    return {
        "id": ident,
        "split": split,
        "note": note or f"question {ident}",
        "o": options.split("|"),
        "label": gold,
        "why": reason,
    }


def make_choices(folder: Path, content: list[Json], space: str = "choices") -> Task:
    fields = {"options": "{{ o }}"} if space == "choices" else {}
    source = {"files": {"all": "rows.jsonl"}, "split": "{{ split }}"}
    lines = "\n".join(json.dumps(item) for item in content)
    label = {"space": space, "values": []}
    return load_task(str(write_task(folder / "small", lines, "rows.jsonl", source=source, fields=fields, label=label)))


# Golds by letter: A once, B once, C three times.
LETTERS = [
    choice("f0", "salt|rest|ice", "ice", split="train"),
    choice("f1", "heat|tea|sun", "sun", split="train"),
    choice("f2", "milk|oil|tar", "milk", split="train"),
    choice("f3", "fat|gel|pus", "gel", split="train"),
    choice("f4", "gas|lip|arm", "arm", split="train"),
]


@pytest.mark.parametrize("method", list(LabelMethod))
def test_majority_of_choices_says_the_commonest_letter(tmp_path: Path, method: LabelMethod):
    tests = [
        choice("t0", "one|two|three|four", "one"),
        choice("t1", "one|two", "two"),  # has no C: A and B are equals, the first is said
        choice("t2", "one|One.|two", "two"),  # the same option twice is one label
        choice("t3", "only", "only"),
    ]
    task = make_choices(tmp_path, [*LETTERS, *tests])
    found = predicted(task, fitted(task, "majority"), tmp_path / "runs", method)
    assert [p.label for p in found] == ["three", "one", "one", "only"]
    if method is LabelMethod.SCORED:
        shares = [{o: math.exp(s) for o, s in (p.scores or {}).items()} for p in found]
        assert shares[0] == pytest.approx({"one": 0.2, "two": 0.2, "three": 0.6, "four": 1e-9})
        assert shares[1] == pytest.approx({"one": 0.5, "two": 0.5})
        assert shares[3] == pytest.approx({"only": 1.0})


def test_letters_that_training_has_not_seen_are_alike(tmp_path: Path):
    train = [choice("f0", "a1|b1|c1", "c1", split="train")]
    task = make_choices(tmp_path, [*train, choice("t0", "x|y", "y")])
    (found,) = predicted(task, fitted(task, "majority"), tmp_path / "runs", LabelMethod.SCORED)
    assert found.label == "x"
    assert {o: math.exp(s) for o, s in (found.scores or {}).items()} == pytest.approx({"x": 0.5, "y": 0.5})


def test_stratified_draws_letters(tmp_path: Path):
    tests = [choice(f"t{k}", "one|two|three|four", "one") for k in range(2000)]
    task = make_choices(tmp_path, [*LETTERS, *tests])
    first = [p.label for p in predicted(task, fitted(task, "stratified"), tmp_path / "a")]
    assert first != [p.label for p in predicted(task, fitted(task, "stratified", 1), tmp_path / "b")]
    counts = Counter(first)
    assert counts["four"] == 0
    for option, share in {"one": 0.2, "two": 0.2, "three": 0.6}.items():
        assert abs(counts[option] / 2000 - share) < 5 * math.sqrt(share * (1 - share) / 2000)


# The right option is always the one that says "all of them"; each letter is right twice.
TELLING = [
    choice("f0", "all of them|rest|ice", "all of them", "fever in a child", "train"),
    choice("f1", "heat|all of them|sun", "all of them", "swelling of the knee", "train"),
    choice("f2", "milk|oil|all of them", "all of them", "cough at night", "train"),
    choice("f3", "all of them|gel|pus", "all of them", "rash on the arm", "train"),
    choice("f4", "gas|all of them|arm", "all of them", "pain behind the eye", "train"),
    choice("f5", "fat|lip|all of them", "all of them", "a child with a rash", "train", why=""),
]


def test_tfidf_of_choices_ranks_options_and_takes_the_rationale_of_the_nearest_question(tmp_path: Path):
    tests = [
        choice("t0", "sugar|all of them|water|air|all", "sugar", "what causes swelling of a knee"),
        choice("t1", "sugar|all of them", "sugar", "cough during the night"),
        choice("t2", "sugar", "sugar", "the eye"),
    ]
    task = make_choices(tmp_path, [*TELLING, *tests])
    found = predicted(task, fitted(task, "tfidf"), tmp_path / "free")
    assert [p.label for p in found] == ["all of them", "all of them", "sugar"]
    assert [p.rationale for p in found] == ["because of f1", "because of f2", "because of f4"]
    for p, free in zip(predicted(task, fitted(task, "tfidf"), tmp_path / "s", LabelMethod.SCORED), found, strict=True):
        assert p.scores is not None
        assert p.label == free.label == max(p.scores, key=lambda label: p.scores[label])
        assert sum(math.exp(score) for score in p.scores.values()) == pytest.approx(1)


def test_tfidf_of_choices_where_there_is_nothing_to_learn(tmp_path: Path):
    train = [choice("f0", "rest", "rest", split="train", why=""), choice("f1", "ice", "ice", split="train", why="")]
    task = make_choices(tmp_path, [*train, choice("t0", "one|two", "two")])
    (found,) = predicted(task, fitted(task, "tfidf"), tmp_path / "runs")
    assert (found.label, found.rationale) == ("one", "")
    assert found.rationale_status is RationaleStatus.EMPTY


def test_training_options_without_words_are_told(tmp_path: Path):
    task = make_choices(tmp_path, [choice("f0", "?|!", "!", "-", "train"), choice("t0", "one|two", "two")])
    with pytest.raises(UserError, match="the training inputs hold no words"):
        fitted(task, "tfidf")


def test_labels_of_an_open_space_are_those_of_training(tmp_path: Path):
    train = [choice("f0", "", "flu", "high fever", "train"), choice("f1", "", "gout", "red toe", "train")]
    task = make_choices(tmp_path, [*train, choice("t0", "", "gout", "a red toe")], "open")
    assert [p.label for p in predicted(task, fitted(task, "majority"), tmp_path / "a")] == ["flu"]  # the first by name
    assert [p.label for p in predicted(task, fitted(task, "tfidf"), tmp_path / "b")] == ["gout"]
