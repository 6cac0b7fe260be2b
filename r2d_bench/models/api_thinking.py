"""How providers are asked to think before they answer, or not to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from r2d_bench.records import Json

_BUDGET = {"anthropic", "bedrock", "gemini", "vertex_ai"}  # take a budget of tokens
_SILENT = {"anthropic", "bedrock"}  # do not think unless they are asked to
_TEMPLATE = {"hosted_vllm"}  # hand a switch on to the model's chat template


def thinking_arguments(
    provider: str, tokens: int, takes: AbstractSet[str], *, reasons: bool
) -> tuple[dict[str, Json], str | None]:
    """Return the arguments of a call that set its thinking, and what a reader should know.

    Args:
        provider: litellm's name of the provider.
        tokens: budget of the thinking text; 0 asks for none.
        takes: parameters that the provider takes.
        reasons: the model is known to think, or is asked to.
    """
    if provider in _TEMPLATE:
        switch = {"chat_template_kwargs": {"enable_thinking": tokens > 0}}
        return {"extra_body": switch}, "thinking bounded by the whole budget only" if tokens else None
    if tokens:
        if provider in _BUDGET and "thinking" in takes:
            return {"thinking": {"type": "enabled", "budget_tokens": tokens}}, None
        return {}, "thinking budget left out: no way to ask for it"
    if not reasons or provider in _SILENT:
        return {}, None
    if provider in _BUDGET and "thinking" in takes:
        return {"thinking": {"type": "disabled", "budget_tokens": 0}}, None
    return {}, "thinking cannot be turned off"
