"""What is read from a stage's answer: exactly one object, tag or match, or the format was not kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2d_bench.protocols.outputs import json_objects, read_output
from r2d_bench.protocols.spec import Output
from r2d_bench.records import Finish, LabelStatus, RationaleStatus, Response
from r2d_bench.tasks.labels import LabelSpace

WORDS = LabelSpace("closed", ("yes", "no", "maybe", "1", "true", "None")).vocabulary()
JSON = {"json": {"label": "label", "rationale": "rationale"}}
TAGS = {"tags": {"label": "answer", "rationale": "why"}}
REGEX = {"regex": r"(?s)Label: (?P<label>\w+)(?:\nWhy: (?P<rationale>.*?))?(?:\n\n|$)"}
GOOD = '{"rationale": "r", "label": "yes"}'

PARSED, OFF, AMB = LabelStatus.PARSED, LabelStatus.OFF_VOCABULARY, LabelStatus.AMBIGUOUS
ERROR, REFUSED, CUT, EMPTY = LabelStatus.ERROR, LabelStatus.REFUSED, LabelStatus.TRUNCATED, LabelStatus.EMPTY
WRITTEN, R_EMPTY, R_REFUSED = RationaleStatus.WRITTEN, RationaleStatus.EMPTY, RationaleStatus.REFUSED
R_CUT, R_ERROR, ABSENT = RationaleStatus.TRUNCATED, RationaleStatus.ERROR, RationaleStatus.ABSENT


def read(output: dict[str, Any], text: str, finish: Finish = Finish.STOP) -> tuple[Any, ...]:
    got = read_output(Output.model_validate(output), Response(text, finish), WORDS)
    assert got.text == text
    return got.label, got.label_status, got.rationale, got.rationale_status


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (GOOD, ("yes", PARSED, "r", WRITTEN)),
        (f"```json\n{GOOD}\n```", ("yes", PARSED, "r", WRITTEN)),
        (f"Here you are:\n{GOOD}\nI hope this helps.", ("yes", PARSED, "r", WRITTEN)),
        (f"Use {{braces}} and {{{{these}}}}: {GOOD}", ("yes", PARSED, "r", WRITTEN)),
        (f'{{"thought": 1}} {GOOD}', ("yes", PARSED, "r", WRITTEN)),
        (f"{GOOD}\n{GOOD}", (None, ERROR, "", R_ERROR)),
        ('{"label": "yes"} {"rationale": "r"}', (None, ERROR, "", R_ERROR)),
        ('{"label": "yes", "label": "no", "rationale": "r"}', (None, ERROR, "", R_ERROR)),
        ('{"answer": {"label": "yes", "rationale": "r"}}', (None, ERROR, "", R_ERROR)),
        (
            '{"draft": {"label": "no", "rationale": "x"}, "rationale": "r", "label": "yes"}',
            ("yes", PARSED, "r", WRITTEN),
        ),
        ('[{"rationale": "r", "label": "yes"}]', ("yes", PARSED, "r", WRITTEN)),
        ('{"rationale": "r"}', (None, ERROR, "r", WRITTEN)),
        ('{"label": "yes"}', ("yes", PARSED, "", R_ERROR)),
        ('{"label": "yes", "rationale": null}', ("yes", PARSED, "", R_ERROR)),
        ('{"label": "yes", "rationale": " "}', ("yes", PARSED, "", R_EMPTY)),
        ('{"label": null, "rationale": "r"}', (None, ERROR, "r", WRITTEN)),
        ('{"label": "", "rationale": "r"}', (None, EMPTY, "r", WRITTEN)),
        ('{"label": "perhaps", "rationale": "r"}', (None, OFF, "r", WRITTEN)),
        ('{"label": "yes or no", "rationale": "r"}', (None, AMB, "r", WRITTEN)),
        ('{"label": 1, "rationale": 2}', ("1", PARSED, "2", WRITTEN)),
        ('{"label": true, "rationale": ["é"]}', ("true", PARSED, '["é"]', WRITTEN)),
        ('{"label": ["yes"], "rationale": "r"}', ("yes", PARSED, "r", WRITTEN)),
        ('{"label": ["yes", "no"], "rationale": "r"}', (None, AMB, "r", WRITTEN)),
        ('{"label": "None", "rationale": "r"}', ("None", PARSED, "r", WRITTEN)),
        ('{"Label": "yes", "rationale": "r"}', (None, ERROR, "r", WRITTEN)),
        ("{'label': 'yes', 'rationale': 'r'}", (None, ERROR, "", R_ERROR)),
        ('{"rationale": "r", "label": "yes",}', (None, ERROR, "", R_ERROR)),
        ('{"rationale": "r", "label": "yes"', (None, ERROR, "", R_ERROR)),
        # what stands inside a cut or broken object is a draft, no answer
        ('{"draft": {"label": "no", "rationale": "x"}, "rationale": "r', (None, ERROR, "", R_ERROR)),
        ('{"draft": {"label": "no", "rationale": "x"}, oops}', (None, ERROR, "", R_ERROR)),
        (f'The form is {{"rationale": "…", "label": …}}. Mine: {GOOD}', ("yes", PARSED, "r", WRITTEN)),
        ('{"rationale": "a } and { and \\" in it", "label": "yes"}', ("yes", PARSED, 'a } and { and " in it', WRITTEN)),
        ("yes", (None, ERROR, "", R_ERROR)),
        ("I'm sorry, I can't help with that.", (None, REFUSED, "", R_REFUSED)),
        (
            '{"label": "yes", "rationale": "I cannot provide medical advice."}',
            ("yes", PARSED, "I cannot provide medical advice.", R_REFUSED),
        ),
        (
            '{"label": "yes", "rationale": "I cannot rule out sepsis."}',
            ("yes", PARSED, "I cannot rule out sepsis.", WRITTEN),
        ),
        ("", (None, EMPTY, "", R_EMPTY)),
        (" \n", (None, EMPTY, "", R_EMPTY)),
    ],
)
def test_json(text: str, wanted: tuple[Any, ...]):
    assert read(JSON, text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("<answer>yes</answer><why>r</why>", ("yes", PARSED, "r", WRITTEN)),
        ("Well: <WHY>\n r\n</why> so <Answer> **Yes** </Answer>.", ("yes", PARSED, "r", WRITTEN)),
        ("<answer>yes</answer>", ("yes", PARSED, "", R_ERROR)),
        ("<answer>yes</answer><answer>no</answer><why>r</why>", (None, ERROR, "r", WRITTEN)),
        ("<answer>yes<why>r</why>", (None, ERROR, "r", WRITTEN)),
        ("<answer></answer><why></why>", (None, EMPTY, "", R_EMPTY)),
        ("<answer>perhaps</answer><why>r</why>", (None, OFF, "r", WRITTEN)),
        ("yes", (None, ERROR, "", R_ERROR)),
        ("", (None, EMPTY, "", R_EMPTY)),
    ],
)
def test_tags(text: str, wanted: tuple[Any, ...]):
    assert read(TAGS, text) == wanted


@pytest.mark.parametrize(
    ("output", "text", "wanted"),
    [
        (REGEX, "Label: yes\nWhy: r", ("yes", PARSED, "r", WRITTEN)),
        (REGEX, "So.\nLabel: yes\nWhy: r\n\nBye", ("yes", PARSED, "r", WRITTEN)),
        (REGEX, "Label: yes", ("yes", PARSED, "", R_ERROR)),
        (REGEX, "Label: perhaps\nWhy: r", (None, OFF, "r", WRITTEN)),
        (REGEX, "Label: yes\n\nLabel: no", (None, ERROR, "", R_ERROR)),  # two matches: none is the answer
        (REGEX, "yes", (None, ERROR, "", R_ERROR)),
        (REGEX, "", (None, EMPTY, "", R_EMPTY)),
        ({"regex": r"(?s)(?P<rationale>.*)"}, "all of it", (None, None, "all of it", WRITTEN)),
        ({"regex": r"\[(?P<label>.*?)\]"}, "It is [yes].", ("yes", PARSED, None, ABSENT)),
    ],
)
def test_regex(output: dict[str, Any], text: str, wanted: tuple[Any, ...]):
    assert read(output, text) == wanted


@pytest.mark.parametrize(
    ("output", "text", "finish", "wanted"),
    [
        ({"whole": "label"}, "Yes.", Finish.STOP, ("yes", PARSED, None, ABSENT)),
        ({"whole": "label"}, "", Finish.STOP, (None, EMPTY, None, ABSENT)),
        ({"whole": "label"}, "the rea", Finish.LENGTH, (None, CUT, None, ABSENT)),
        ({"whole": "rationale"}, " r \n", Finish.STOP, (None, None, "r", WRITTEN)),
        ({"whole": "rationale"}, "", Finish.STOP, (None, None, "", R_EMPTY)),
        ({"whole": "rationale"}, "r and", Finish.LENGTH, (None, None, "r and", R_CUT)),
        ({"whole": "rationale"}, "", Finish.LENGTH, (None, None, "", R_CUT)),
        ({"whole": "rationale"}, "r", Finish.FILTERED, (None, None, "r", R_REFUSED)),
        ({"whole": "rationale"}, "As an AI, I", Finish.STOP, (None, None, "As an AI, I", R_REFUSED)),
        (JSON, '{"rationale": "r and', Finish.LENGTH, (None, CUT, "", R_CUT)),
        (JSON, GOOD + " and more", Finish.LENGTH, ("yes", PARSED, "r", WRITTEN)),  # the object was finished
        (TAGS, "<why>r</why><answer>ye", Finish.LENGTH, (None, CUT, "r", WRITTEN)),
        (TAGS, "<answer>yes</answer><why>r and", Finish.LENGTH, ("yes", PARSED, "", R_CUT)),
        (JSON, GOOD, Finish.FILTERED, (None, REFUSED, "r", R_REFUSED)),
        (JSON, "", Finish.REFUSED, (None, REFUSED, "", R_REFUSED)),
        (JSON, "", Finish.LENGTH, (None, CUT, "", R_CUT)),
    ],
)
def test_how_the_answer_ended(output: dict[str, Any], text: str, finish: Finish, wanted: tuple[Any, ...]):
    assert read(output, text, finish) == wanted


def test_the_label_s_own_text_is_kept():
    output = Output.model_validate(JSON)
    assert read_output(output, Response('{"label": "Yes!", "rationale": "r"}'), WORDS).label_text == "Yes!"
    assert read_output(output, Response("no object"), WORDS).label_text == "no object"


PIECES = (
    "{",
    "}",
    '"',
    "\\",
    '"label"',
    '"rationale"',
    ":",
    ",",
    '"yes"',
    "[",
    "]",
    " ",
    "<answer>",
    "</answer>",
    "1",
    "x",
)


@given(text=st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)), finish=st.sampled_from(Finish))
@pytest.mark.parametrize("output", [JSON, TAGS, REGEX, {"whole": "label"}, {"whole": "rationale"}])
def test_any_text_gives_a_label_or_a_reason(output: dict[str, Any], text: str, finish: Finish):
    label, status, rationale, rationale_status = read(output, text, finish)
    assert (label is not None) == (status is PARSED)
    assert (rationale_status is ABSENT) == (rationale is None)


@given(st.lists(st.dictionaries(st.text(), st.text(), min_size=1), max_size=4), st.text("abc \n}`"))
def test_whole_objects_are_found_in_order_whatever_stands_between(objects: list[dict[str, str]], between: str):
    text = between + between.join(json.dumps(value) for value in objects) + between
    assert json_objects(text) == objects


@pytest.mark.parametrize("text", ["{" * 100_000, '{"a":' * 50_000, '{"a":' + "9" * 10_000 + "}", "}" * 9 + "{"])
def test_degenerate_texts_hold_no_object(text: str):
    assert json_objects(text) == []
