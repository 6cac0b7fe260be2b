"""The fake model: its faults come as scripted and as often as asked."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from run_parts import LABELS, make_task, rows

from r2d_bench.errors import UserError
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.records import Failure, Finish, LabelMethod, Request, Response

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.models.base import Model
    from r2d_bench.tasks.task import Task

N = 1000
REQUESTS = [Request(f"t{k}", "predict", f"predict: note {k}", f"note {k}", 9, options=LABELS) for k in range(N)]


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return make_task(tmp_path, rows(2))


def mock(task: Task, spec: str) -> Model:
    return make_model(parse_spec(f"mock:{spec}"), task=task, seed=0)


def kind_of(answer: Response | Failure) -> str:
    if isinstance(answer, Failure):
        return "fail"
    if answer.finish is not Finish.STOP:
        return {Finish.REFUSED: "refuse", Finish.LENGTH: "cut"}[answer.finish]
    return "empty" if answer.text == "" else "label" if answer.text in LABELS else "garbage"


def test_answers_are_seeded_and_follow_the_content(task: Task):
    first = dict(mock(task, "random").generate(REQUESTS))
    assert first == dict(mock(task, "random").generate(list(reversed(REQUESTS))))
    assert first != dict(mock(task, "random,seed=1").generate(REQUESTS))
    twin = Request("other", "predict", REQUESTS[0].prompt, REQUESTS[0].input, 9, options=LABELS)
    assert dict(mock(task, "random").generate([twin]))[twin.key] == first[REQUESTS[0].key]


@pytest.mark.parametrize("fault", ["refuse", "empty", "cut", "garbage", "fail"])
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_a_fault_comes_as_often_as_asked(task: Task, fault: str, share: float):
    counts = Counter(kind_of(a) for _, a in mock(task, f"random,{fault}={share}").generate(REQUESTS))
    assert set(counts) <= {fault, "label"}
    assert abs(counts[fault] / N - share) <= 5 * math.sqrt(share * (1 - share) / N)


def test_faults_share_the_requests(task: Task):
    spec = "random,refuse=0.25,empty=0.25,cut=0.25,garbage=0.25"
    counts = Counter(kind_of(a) for _, a in mock(task, spec).generate(REQUESTS))
    assert set(counts) == {"refuse", "empty", "cut", "garbage"}
    assert all(abs(count / N - 0.25) < 0.07 for count in counts.values())


def test_failures_and_latency_change_no_identity(task: Task):
    assert mock(task, "random,fail=0.5,latency=3").identity == mock(task, "random").identity
    assert mock(task, "random,empty=0.5").identity != mock(task, "random").identity
    assert mock(task, "random,seed=1").identity != mock(task, "random").identity


def test_scores_are_probabilities_of_the_candidates(task: Task):
    request = Request("t", "predict", "p", "i", 9, method=LabelMethod.SCORED, candidates=LABELS)
    ((_, answer),) = mock(task, "random").score([request])
    assert isinstance(answer, Response)
    assert answer.scores is not None
    assert sum(math.exp(score) for score in answer.scores.values()) == pytest.approx(1)
    assert answer.text == max(answer.scores, key=lambda word: answer.scores[word])
    assert isinstance(next(mock(task, "random,fail=1").score([request]))[1], Failure)


def test_a_script_answers_by_its_first_fitting_rule(task: Task, tmp_path: Path):
    script = tmp_path / "script.yaml"
    script.write_text(
        "rules:\n"
        "  - {match: 'note (?P<n>7)$', answer: 'seven is {{ n }}', finish: length}\n"
        "  - {match: 'note', answer: 'yes'}\n"
    )
    answers = dict(mock(task, str(script)).generate(REQUESTS[:9]))
    assert answers[REQUESTS[7].key] == Response("seven is 7", Finish.LENGTH)
    assert {answers[r.key].text for r in REQUESTS[:7]} == {"yes"}
    with pytest.raises(UserError, match="no rule fits the prompt 'other"):
        list(mock(task, str(script)).generate([Request("x", "predict", "other", "other", 9)]))
    identity = mock(task, str(script)).identity
    script.write_text(script.read_text().replace("'yes'", "'no'"))
    assert mock(task, str(script)).identity != identity
    assert identity.name == "script"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: [{match: '(', answer: a}]", "broken regex"),
        ("rules: [{match: a, answer: '{{ x'}]", "broken template"),
        ("rules: []", "key 'rules'"),
        ("rules: [{match: a, answer: b}]\nrule: a", "unknown key 'rule' (did you mean 'rules'?)"),
        ("rules: [{match: a, answer: b, finish: bored}]", "finish"),
    ],
)
def test_broken_scripts_are_told(task: Task, tmp_path: Path, text: str, message: str):
    (tmp_path / "script.yaml").write_text(text + "\n")
    with pytest.raises(UserError) as error:
        mock(task, str(tmp_path / "script.yaml"))
    assert message in str(error.value)
