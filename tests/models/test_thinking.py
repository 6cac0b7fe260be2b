from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2d_bench.models.thinking import split_thinking

TABLE = [
    # text, the prompt opened the block, thinking, answer, cut
    ("urgent", False, None, "urgent", False),
    ("  urgent\n", False, None, "urgent", False),
    ("", False, None, "", False),
    ("<think>fever, so…</think>\n\nurgent", False, "fever, so…", "urgent", False),
    ("\n<think>\nfever\n</think>urgent", False, "fever", "urgent", False),
    ("<think>\n\n</think>\n\nurgent", False, None, "urgent", False),  # a model told not to think
    ("<think>fever, and then", False, "fever, and then", "", True),
    ("<think>", False, None, "", True),
    ("<think>done</think>", False, "done", "", False),
    ("fever\n</think>\nurgent", True, "fever", "urgent", False),
    ("fever\n</think>\nurgent", False, "fever", "urgent", False),
    ("fever, and then", True, "fever, and then", "", True),
    ("", True, None, "", True),
    ("<think>fever</think>urgent", True, "fever", "urgent", False),  # opened by the prompt and again
    ("<think>a <think> b</think>urgent", False, "a <think> b", "urgent", False),
    ("<think>a</think>the tag </think> is text", False, "a", "the tag </think> is text", False),
    ("urgent <think>why</think> yes", False, None, "urgent <think>why</think> yes", False),
    ("urgent, I <think> so", False, None, "urgent, I <think> so", False),
]


@pytest.mark.parametrize(("text", "started", "thinking", "answer", "cut"), TABLE)
def test_split(text: str, started: bool, thinking: str | None, answer: str, cut: bool):
    assert split_thinking(text, started=started) == (thinking, answer, cut)


@given(st.text(), st.text())
def test_what_is_wrapped_is_found_again(thinking: str, answer: str):
    if "</think>" in thinking:
        return
    expected = (thinking.strip() or None, answer.strip(), False)
    assert split_thinking(f"<think>{thinking}</think>{answer}") == expected
    assert split_thinking(f"{thinking}</think>{answer}", started=True)[1:] == expected[1:]


@given(st.text(), st.booleans())
def test_a_cut_text_has_no_answer(text: str, started: bool):
    _, answer, cut = split_thinking(text, started=started)
    assert not (cut and answer)
