"""Thinking text: what a model writes between `<think>` and `</think>` before it answers."""

from __future__ import annotations

OPEN, CLOSE = "<think>", "</think>"


def split_thinking(text: str, *, started: bool = False) -> tuple[str | None, str, bool]:
    """Keep thinking text apart from the answer.

    Only a block in front of the answer is thinking; tags further behind are the answer's own text. A lone
    `</think>` closes a block that the chat template has opened.

    Args:
        text: what the model wrote.
        started: the prompt itself ends in `<think>`, so that the text begins inside the block.

    Returns:
        (thinking, answer, cut): thinking is None where there is none; cut says that the text ended before the
        thinking did, in which case there is no answer.
    """
    body = text.strip()
    if body.startswith(OPEN):
        body, started = body.removeprefix(OPEN), True
    thinking, closed, answer = body.partition(CLOSE)
    if not started and (not closed or OPEN in thinking):
        return None, body, False
    return thinking.strip() or None, answer.strip(), not closed
