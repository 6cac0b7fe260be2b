from __future__ import annotations

import pytest

from r2d_bench.judging.family import families, families_of_manifest, families_of_name, same_family
from r2d_bench.models.cards import ModelCard


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("openai/gpt-4o-mini", {"gpt"}),
        ("openai/o3-mini", {"gpt"}),
        ("openai/gpt-oss-20b", {"gpt"}),
        ("openai/gpt-4o@api.openai.com", {"gpt"}),
        ("anthropic/claude-sonnet-4-5", {"claude"}),
        ("gemini/gemini-2.5-pro", {"gemini"}),
        ("google/medgemma-4b-it", {"gemma"}),
        ("meta-llama/Llama-3.1-8B-Instruct", {"llama"}),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", {"llama"}),
        ("ollama/mistral", {"mistral"}),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", {"mistral"}),
        ("BioMistral/BioMistral-7B", {"mistral"}),
        ("Qwen/Qwen2.5-0.5B-Instruct", {"qwen"}),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", {"deepseek", "qwen"}),
        ("microsoft/Phi-3-mini-4k-instruct", {"phi"}),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", {"smollm"}),
        ("google/flan-t5-small", {"t5"}),
        ("google/mt5-base", {"t5"}),
        ("razent/SciFive-base-PMC", {"t5"}),
        ("EleutherAI/gpt-neo-125m", {"gpt-neo"}),
        ("CohereForAI/c4ai-command-r-v01", {"command"}),
        ("local-model@llama.example.org", set()),  # a host says nothing of the model
        ("delphi-7b", set()),
        ("egpt5x", set()),
        ("my-model", set()),
    ],
)
def test_families_by_name(name: str, known: set[str]) -> None:
    assert families_of_name(name) == known


def identity(kind: str, name: str, row: str = "model") -> dict[str, object]:
    return {"kind": kind, "name": name, "digest": None, "params": {}, "row": row}


def test_the_card_stands_before_the_name_and_the_base_before_the_folder() -> None:
    card = ModelCard(family="Qwen, Llama").model_dump()
    assert families(identity("hf", "gemma-like"), card) == {"qwen", "llama"}
    assert families(identity("r2d", "triage--r2d--llama-lover"), {}, "google/flan-t5-small") == {"t5"}


def test_baselines_and_people_have_no_family() -> None:
    assert families(identity("baseline", "gpt"), {}) == set()
    assert families(identity("replay", "gpt-4o"), {}) == {"gpt"}
    assert families(identity("replay", "claude", "human"), {}) == set()


def test_the_newest_sitting_tells() -> None:
    sittings = [{"card": {"family": "phi"}}, {"card": {}}, {"card": {"family": "llama"}}]
    assert families_of_manifest({"setup": {"model": identity("hf", "x")}, "sittings": sittings}) == {"llama"}
    trained = [{"lineage": {"base": {"name": "google/t5-v1_1-small"}}}]
    assert families_of_manifest({"setup": {"model": identity("r2d", "x")}, "sittings": trained}) == {"t5"}


@pytest.mark.parametrize(
    ("judge", "model", "same"),
    [
        ({"qwen"}, {"deepseek", "qwen"}, True),
        ({"qwen"}, {"llama"}, False),
        (set(), {"llama"}, None),
        ({"qwen"}, set(), None),
    ],
)
def test_same_family_is_not_known_unless_both_are(judge: set[str], model: set[str], same: bool | None) -> None:
    assert same_family(frozenset(judge), frozenset(model)) is same
