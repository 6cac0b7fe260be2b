"""Replies of a judge: what is a verdict, and why everything else is none."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2d_bench.judging.candidates import Candidate
from r2d_bench.judging.rubric import Criterion, Rubric, load_rubric
from r2d_bench.judging.verdict import by_rule, expected_score, read_reply, schema_of, skeleton_of, verdict_of
from r2d_bench.records import Finish, Prediction, RationaleStatus, Response

if TYPE_CHECKING:
    from r2d_bench.judging.rubric import LoadedRubric
    from r2d_bench.records import Json

CLINICAL = load_rubric("clinical_rationale")
SUPPORT = load_rubric("label_support")
PAIRWISE = load_rubric("pairwise")


def reply(**changes: Json) -> dict[str, Json]:
    whole: dict[str, Json] = {
        "explanation": "Names the red flag.",
        "scores": {criterion.name: 4 for criterion in CLINICAL.spec.criteria},
        "flags": {flag.name: False for flag in CLINICAL.spec.flags},
    }
    return whole | changes


GOOD = json.dumps(reply())
LOW = json.dumps(reply(scores={criterion.name: 1 for criterion in CLINICAL.spec.criteria}))


def scores(**changes: Json) -> Json:
    return reply()["scores"] | changes


READ = {
    "plain": GOOD,
    "white space around": f"\n\n  {GOOD} \n",
    "indented": json.dumps(reply(), indent=2),
    "fence": f"```json\n{GOOD}\n```",
    "fence without a name": f"```\n{GOOD}\n```",
    "trailing comma": GOOD[:-1] + ",}",
    "trailing comma in a fence": f"```json\n{GOOD[:-1]},\n}}\n```",
    "keys in another order": json.dumps(dict(reversed(reply().items()))),
    "explanation in another language": json.dumps(reply(explanation="Die Begründung nennt das Warnzeichen: ja, }, ]")),
    "half a surrogate in the explanation": GOOD.replace("Names the", r"\ud800"),
    "comma and bracket inside a text": json.dumps(reply(explanation="pain, ] and so on ,}")),
}


@pytest.mark.parametrize("text", READ.values(), ids=READ.keys())
def test_what_is_read(text: str) -> None:
    parsed = read_reply(CLINICAL.spec, Response(text))
    assert parsed.unscored is None
    assert set(parsed.scores.values()) == {4.0}
    assert not any(parsed.flags.values())
    parsed.explanation.encode("utf-8")


FAULTS: dict[str, tuple[str, str]] = {
    "truncated object": (GOOD[:60], "parse"),
    "prose in front": (f"Here is my verdict: {GOOD}", "parse"),
    "prose behind": (f"{GOOD} I hope that helps.", "parse"),
    "prose around a fence": (f"Sure!\n```json\n{GOOD}\n```", "parse"),
    "two objects": (GOOD + LOW, "parse"),
    "two objects on two lines": (GOOD + "\n" + LOW, "parse"),
    "two fences": (f"```json\n{GOOD}\n```\n```json\n{LOW}\n```", "parse"),
    "a list of one": (f"[{GOOD}]", "schema"),
    "a text": ('"4"', "schema"),
    "a number": ("4", "schema"),
    "another language": ("La justificación es correcta y completa; cuatro de cinco.", "parse"),
    "score above": (json.dumps(reply(scores=scores(safety=6))), "range"),
    "score below": (json.dumps(reply(scores=scores(safety=0))), "range"),
    "huge score": (json.dumps(reply(scores=scores(safety=10**30))), "range"),
    "score as text": (json.dumps(reply(scores=scores(safety="4"))), "schema"),
    "score as float": (json.dumps(reply(scores=scores(safety=4.0))), "schema"),
    "score true": (json.dumps(reply(scores=scores(safety=True))), "schema"),
    "score null": (json.dumps(reply(scores=scores(safety=None))), "schema"),
    "score NaN": (GOOD.replace('"safety": 4', '"safety": NaN'), "parse"),
    "score Infinity": (GOOD.replace('"safety": 4', '"safety": Infinity'), "parse"),
    "flag as text": (json.dumps(reply(flags=reply()["flags"] | {"off_topic": "no"})), "schema"),
    "flag as number": (json.dumps(reply(flags=reply()["flags"] | {"off_topic": 0})), "schema"),
    "further criterion": (json.dumps(reply(scores=scores(style=5))), "schema"),
    "further key": (json.dumps(reply(overall=5)), "schema"),
    "criterion missing": (json.dumps(reply(scores={"safety": 4})), "schema"),
    "flags missing": (json.dumps({k: v for k, v in reply().items() if k != "flags"}), "schema"),
    "explanation missing": (json.dumps({k: v for k, v in reply().items() if k != "explanation"}), "schema"),
    "explanation is a number": (json.dumps(reply(explanation=3)), "schema"),
    "doubled key": (GOOD[:-1] + ', "explanation": "again"}', "parse"),
    "doubled criterion": (GOOD.replace('"safety": 4', '"safety": 4, "safety": 1'), "parse"),
    "single quotes": (GOOD.replace('"', "'"), "parse"),
    "comment": ("// verdict\n" + GOOD, "parse"),
    "empty": ("", "empty"),
    "white space": (" \n\t", "empty"),
    "refusal": ("I'm sorry, but I can't help with that.", "refused"),
    "nested too deeply": ("[" * 100_000, "parse"),
    "keys in another language": (GOOD.replace("explanation", "Begründung").replace("scores", "Noten"), "schema"),
    "half a surrogate in a key": (GOOD[:-1] + r', "\ud800": 1}', "schema"),
    "a very long key": (GOOD[:-1] + ', "' + "k" * 100_000 + '": 1}', "schema"),
    "score of thousands of digits": (GOOD.replace('"safety": 4', f'"safety": {"4" * 10_000}'), "parse"),
    "score with an exponent": (GOOD.replace('"safety": 4', '"safety": 4e0'), "schema"),
    "score in a list": (json.dumps(reply(scores=scores(safety=[4]))), "schema"),
    "scores as a list": (json.dumps(reply(scores=[4, 4, 4, 4, 4, 4])), "schema"),
    "scores not nested": (json.dumps(reply()["scores"] | {"explanation": "e"}), "schema"),
    "other word for cannot_assess": (json.dumps(reply(scores=scores(safety="n/a"))), "schema"),
    "range and type": (json.dumps(reply(scores=scores(safety=9, clarity="4"))), "schema"),
    "fence not closed": (f"```json\n{GOOD}", "parse"),
    "fence in a fence": (f"````\n```json\n{GOOD}\n```\n````", "parse"),
    "object in a text": (json.dumps(GOOD), "schema"),
    "YAML": ("explanation: fine\nscores:\n  safety: 4", "parse"),
    "byte order mark": ("\ufeff" + GOOD, "parse"),
    "two trailing commas": (GOOD[:-1] + ",,}", "parse"),
    "line break in a text": (GOOD.replace("Names the", "Names\nthe"), "parse"),
}


@pytest.mark.parametrize(("text", "reason"), FAULTS.values(), ids=FAULTS.keys())
def test_what_is_no_verdict(text: str, reason: str) -> None:
    parsed = read_reply(CLINICAL.spec, Response(text))
    assert (parsed.unscored, dict(parsed.scores), dict(parsed.flags)) == (reason, {}, {})
    assert 0 < len(parsed.detail) <= 200
    assert parsed.detail.isprintable()
    parsed.detail.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        (GOOD[:80], Finish.LENGTH, "truncated"),
        ("", Finish.LENGTH, "truncated"),
        (GOOD, Finish.FILTERED, "content_filter"),
        ("", Finish.FILTERED, "content_filter"),
        (GOOD, Finish.REFUSED, "refused"),
    ],
)
def test_how_a_reply_ended_counts(text: str, finish: Finish, reason: str) -> None:
    assert read_reply(CLINICAL.spec, Response(text, finish)).unscored == reason


def test_a_whole_object_at_the_limit_of_length_counts() -> None:
    assert read_reply(CLINICAL.spec, Response(GOOD, Finish.LENGTH)).unscored is None


def test_only_what_could_not_be_read_is_asked_again() -> None:
    assert read_reply(CLINICAL.spec, Response("so so")).askable
    assert not read_reply(CLINICAL.spec, Response("", Finish.FILTERED)).askable
    assert not read_reply(CLINICAL.spec, Response("I'm sorry, but I can't help with that.")).askable
    assert not read_reply(CLINICAL.spec, Response(GOOD)).askable


def test_cannot_assess_is_no_number() -> None:
    text = json.dumps(reply(scores=scores(safety="cannot_assess")))
    assert read_reply(CLINICAL.spec, Response(text)).scores["safety"] is None


def test_an_explanation_is_one_plain_line() -> None:
    parsed = read_reply(CLINICAL.spec, Response(json.dumps(reply(explanation="a\u202eb\n\n c\u0000\u200b"))))
    assert parsed.explanation == "ab c"


def test_a_prompt_that_was_cut_is_told() -> None:
    whole, cut = (read_reply(CLINICAL.spec, Response(GOOD, cut_tokens=n)) for n in (0, 7))
    assert (whole.cut, cut.cut) == (False, True)
    assert verdict_of(SHOWN, cut).cut
    assert verdict_of(replace(SHOWN, input_cut=True), whole).cut
    assert not verdict_of(SHOWN, whole).cut


def test_a_long_explanation_is_cut_and_costs_no_verdict() -> None:
    parsed = read_reply(CLINICAL.spec, Response(json.dumps(reply(explanation="x" * 5000))))
    assert len(parsed.explanation) == CLINICAL.spec.limits.explanation


@pytest.mark.parametrize("preference", ["first", "second", "tie"])
def test_pairwise_replies(preference: str) -> None:
    text = json.dumps({"explanation": "e", "preference": preference})
    assert read_reply(PAIRWISE.spec, Response(text)).preference == preference
    assert read_reply(PAIRWISE.spec, Response(text.replace(preference, "both"))).unscored == "schema"


@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_no_reply_whatever_raises_or_makes_numbers_of_nothing(text: str) -> None:
    parsed = read_reply(SUPPORT.spec, Response(text))
    assert parsed.unscored is not None
    assert not parsed.scores


PIECES = st.sampled_from(
    [
        GOOD,
        LOW,
        '{"explanation": "e", "scores": {"label_support": 5}}',
        "```json\n",
        "\n```",
        ",",
        "}",
        "{",
        '"',
        "5",
        " ",
        "x",
    ]
)


@given(st.lists(PIECES, min_size=2, max_size=6).map("".join))
def test_verdicts_in_pieces_are_read_only_where_one_is_the_whole_reply(text: str) -> None:
    parsed = read_reply(SUPPORT.spec, Response(text))
    if parsed.scores:
        body = text.strip().removeprefix("```").removeprefix("json").removesuffix("```").strip()
        assert json.loads(body)["scores"] == {"label_support": 5}
    else:
        assert parsed.unscored is not None


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.booleans()), st.sampled_from(list(Finish)))
def test_further_keys_are_never_read(more: dict[str, Json], finish: Finish) -> None:
    said = more | {"explanation": "e", "scores": {"label_support": 3}}
    parsed = read_reply(SUPPORT.spec, Response(json.dumps(said), finish))
    clean = not set(more) - {"explanation", "scores"} and finish in {Finish.STOP, Finish.LENGTH}
    assert dict(parsed.scores) == ({"label_support": 3.0} if clean else {})


@given(st.integers(), st.text(max_size=400))
def test_a_score_is_read_exactly_within_its_range(score: int, explanation: str) -> None:
    text = json.dumps({"explanation": explanation, "scores": {"label_support": score}})
    parsed = read_reply(SUPPORT.spec, Response(text))
    if 1 <= score <= 5:
        assert parsed.scores == {"label_support": float(score)}
    else:
        assert parsed.unscored == "range"


def test_the_schema_is_whole_closed_and_asks_for_the_reason_first() -> None:
    schema = schema_of(CLINICAL.spec)
    assert list(schema["properties"]) == ["explanation", "scores", "flags"]
    assert "$ref" not in json.dumps(schema)
    assert "$defs" not in schema
    for part in (schema, schema["properties"]["scores"], schema["properties"]["flags"]):
        assert part["additionalProperties"] is False
        assert part["required"] == list(part["properties"])
    assert schema["properties"]["explanation"] == {"type": "string", "maxLength": 300}
    assert schema["properties"]["scores"]["properties"]["safety"] == {
        "anyOf": [{"type": "integer", "enum": [1, 2, 3, 4, 5]}, {"type": "string", "enum": ["cannot_assess"]}]
    }


def test_the_form_in_words_shows_numbers_as_numbers() -> None:
    form = skeleton_of(CLINICAL.spec)
    assert form.index("explanation") < form.index("scores") < form.index("flags")
    assert '"safety": 1-5' in form
    assert '"off_topic": true/false' in form


@pytest.mark.parametrize("rubric", [CLINICAL, SUPPORT, PAIRWISE], ids=lambda rubric: rubric.spec.name)
def test_a_copy_of_the_form_is_no_verdict(rubric: LoadedRubric) -> None:
    assert read_reply(rubric.spec, Response(skeleton_of(rubric.spec))).unscored == "parse"


def test_criteria_may_have_any_name() -> None:
    names = ("schema", "copy", "title", "json", "model_dump", "part_0")
    anchors = dict.fromkeys(range(1, 6), "So.")
    criteria = tuple(Criterion(name=name, title="t", question="q", anchors=anchors) for name in names)
    rubric = Rubric(name="odd", version=1, title="t", criteria=criteria)
    assert list(schema_of(rubric)["properties"]["scores"]["properties"]) == list(names)
    said = {"explanation": "e", "scores": dict.fromkeys(names, 2)}
    assert dict(read_reply(rubric, Response(json.dumps(said))).scores) == dict.fromkeys(names, 2.0)
    assert read_reply(rubric, Response(json.dumps(said).replace('"copy"', '"part_1"'))).unscored == "schema"


# By rule

SHOWN = Candidate("a", "case", "NOW", "because")


@pytest.mark.parametrize("status", [RationaleStatus.EMPTY, RationaleStatus.REFUSED, RationaleStatus.ERROR])
def test_an_empty_rationale_is_lowest_by_rule(status: RationaleStatus) -> None:
    verdict = by_rule(CLINICAL, SHOWN, Prediction("a", "NOW", rationale="", rationale_status=status))
    assert verdict is not None
    assert verdict.source == "rule"
    assert set(verdict.scores.values()) == {1.0}
    assert [name for name, raised in verdict.flags.items() if raised] == ["omits_red_flag"]
    assert verdict.unscored is None


def test_a_rationale_of_hidden_characters_alone_is_empty() -> None:
    hidden = Candidate("a", "case", "NOW", "")
    said = Prediction("a", "NOW", rationale="\u200b", rationale_status=RationaleStatus.WRITTEN)
    verdict = by_rule(CLINICAL, hidden, said)
    assert verdict is not None
    assert verdict.source == "rule"


@pytest.mark.parametrize("status", [RationaleStatus.WRITTEN, RationaleStatus.TRUNCATED])
def test_a_text_is_judged(status: RationaleStatus) -> None:
    said = Prediction("a", "NOW", rationale="because", rationale_status=status)
    assert by_rule(CLINICAL, SHOWN, said) is None


def test_what_was_never_answered_is_unscored() -> None:
    lost = by_rule(CLINICAL, SHOWN, Prediction("a", unscored="no answer in stage explain"))
    silent = by_rule(CLINICAL, SHOWN, Prediction("a", "NOW", rationale_status=RationaleStatus.ABSENT))
    assert (lost.unscored if lost else "", silent.unscored if silent else "") == ("no answer", "no rationale")
    assert lost is not None
    assert not lost.scores


def test_a_verdict_keeps_what_is_known_of_the_candidate() -> None:
    candidate = Candidate("a", "case", "NOW", "because", cut=True, suspects=("planted score",))
    verdict = verdict_of(candidate, read_reply(CLINICAL.spec, Response(GOOD)), repeat=2, reasked=True)
    assert (verdict.cut, verdict.suspects, verdict.repeat, verdict.reasked) == (True, ("planted score",), 2, True)


def test_expected_score() -> None:
    even = {str(number): math.log(0.2) for number in range(1, 6)}
    assert expected_score(SUPPORT.spec, even) == pytest.approx(3.0)
    # Only what is said of the numbers counts: 3 parts of 4 and one part of 5.
    assert expected_score(SUPPORT.spec, dict.fromkeys("123", -1000.0) | {"4": math.log(0.3), "5": math.log(0.1)}) == (
        pytest.approx(4.25)
    )


@pytest.mark.parametrize(
    "scores_said",
    [{}, {"5": 0.0}, dict.fromkeys("12345", -math.inf), dict.fromkeys("12345", math.nan), {"1": math.inf}],
)
def test_no_probabilities_are_no_number(scores_said: dict[str, float]) -> None:
    assert expected_score(SUPPORT.spec, scores_said) is None
