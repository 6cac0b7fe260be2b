"""Label spaces: what holds for any text, and the words of a checkpoint."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2d_bench.errors import UserError
from r2d_bench.records import Finish, LabelStatus
from r2d_bench.tasks.labels import LabelSpace, Vocabulary

WORDS = (
    "EMS_911",
    "yes",
    "no",
    "maybe",
    "None",
    "1",
    "01",
    "-1",
    "A",
    "b) x",
    "\u017ftraße",
    "critical \u0131ssue",
    "+",
    "[",
    "\\",
)
JOINTS = (
    " ",
    ", ",
    ". ",
    "/",
    " or ",
    " and ",
    "\n",
    ": ",
    "—",
    "**",
    ") ",
    "(",
    "not ",
    "Label: ",
    "The answer is ",
    "",
)
TEXTS = st.one_of(
    st.text(),
    st.lists(st.sampled_from(WORDS + JOINTS)).map("".join),
    st.lists(
        st.sampled_from(
            ("\u0130", "\u0131", "K", "\u017f", "i", "cr\u0130tical \u0131ssue", "CRITICAL ISSUE", ".", " ")
        )
    ).map("".join),
)
OPTIONS = st.lists(st.one_of(st.text(min_size=1), st.sampled_from(WORDS)), max_size=40).map(tuple)


@given(text=TEXTS, options=OPTIONS, finish=st.sampled_from(Finish))
def test_a_choice_is_one_of_the_options_or_has_a_reason(text: str, options: tuple[str, ...], finish: Finish):
    space = LabelSpace("choices")
    label, status = space.vocabulary(options).parse(text, finish)
    assert (label is not None) == (status is LabelStatus.PARSED)
    assert label is None or label in space.labels(options)


@given(text=TEXTS, finish=st.sampled_from(Finish))
def test_a_fixed_label_is_in_the_set_or_has_a_reason(text: str, finish: Finish):
    values = ("EMS_911", "HOME_CARE", "critical \u0131ssue", "critical issue", "1", "-1")
    label, status = LabelSpace("closed", values).vocabulary().parse(text, finish)
    assert (label is not None) == (status is LabelStatus.PARSED)
    assert label is None or label in values


@given(text=TEXTS, finish=st.sampled_from(Finish))
def test_an_open_label_is_never_blank(text: str, finish: Finish):
    label, status = LabelSpace("open").vocabulary().parse(text, finish)
    assert (label is not None) == (status is LabelStatus.PARSED)
    assert label is None or label.strip()


@given(options=OPTIONS.filter(bool))
def test_every_option_is_read_as_a_label_that_is_allowed(options: tuple[str, ...]):
    space = LabelSpace("choices")
    for option in (option for option in options if option.strip()):
        label, _ = space.vocabulary(options).parse(option)
        assert label in space.labels(options)


@pytest.mark.parametrize("text", ["\n" * 50_000 + "x", "yes, " * 10_000, "." * 50_000, "* " * 50_000, "is " * 50_000])
def test_a_model_that_repeats_itself_is_read_in_no_time(text: str):
    vocabulary = LabelSpace("closed", ("yes", "no")).vocabulary()
    start = time.perf_counter()
    vocabulary.parse(text)
    assert time.perf_counter() - start < 3  # was half a minute with a pattern that went back and forth


def test_label_map_adds_words_and_shadows_labels():
    space = LabelSpace("closed", ("yes", "no"), {"no": ("nope",)})
    label_map = {"entailment": "yes", "0": "no", "nope": "yes"}
    words = space.vocabulary((), label_map)
    assert [words.parse(text)[0] for text in ("Entailment.", "0", "yes", "no", "nope")] == [
        "yes",
        "no",
        "yes",
        "no",
        "yes",
    ]
    assert space.candidates((), label_map) == ("entailment", "0")
    assert space.vocabulary().parse("entailment")[0] is None  # another run's map does not linger


def test_label_map_of_choices_counts_where_its_label_is_an_option():
    space = LabelSpace("choices")
    label_map = {"ASA": "Aspirin", "UFH": "Heparin"}
    words = space.vocabulary(("Aspirin", "Warfarin"), label_map)
    assert words.parse("ASA") == ("Aspirin", LabelStatus.PARSED)
    assert words.parse("UFH") == (None, LabelStatus.OFF_VOCABULARY)
    assert space.candidates(("Aspirin", "Warfarin"), label_map) == ("ASA", "Warfarin")


def test_label_map_outside_the_set_is_refused():
    with pytest.raises(UserError, match=r"label_map leads to 'perhaps', .* yes, no"):
        LabelSpace("closed", ("yes", "no")).vocabulary((), {"p": "perhaps"})


def test_one_word_for_two_labels_is_refused():
    with pytest.raises(UserError, match="'A_b' stands for two labels, x and y"):
        Vocabulary({"a b": "x", "A_b": "y"})


def test_duplicate_options_are_one_label_in_the_first_spelling():
    space = LabelSpace("choices")
    assert space.labels(("Yes", "yes.", "No", "No")) == ("Yes", "No")
    assert space.candidates(("Yes", "yes.", "No", "No")) == ("Yes", "No")
    assert space.labels(("-1", "1", "+1")) == ("-1", "1", "+1")


def test_many_different_options_keep_memory_flat():
    space = LabelSpace("choices")
    for n in range(1100):
        assert space.vocabulary((f"one {n}", f"two {n}")).parse("B")[0] == f"two {n}"
    assert len(space._by_options) <= 1025
