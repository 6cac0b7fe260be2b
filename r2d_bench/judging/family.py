"""Which family a model is of: judges are kinder to texts of their own family (Panickssery et al. 2024).

The family stands in the model's card (`family` in `models.yaml`), or is read from its name. A model may be of several
(a Qwen that was taught by DeepSeek is of both); of one whose name says nothing, no family is known.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from r2d_bench.records import Json

# Family → what of a lower-cased name tells it. A provider (`ollama/`) tells nothing: it serves others, too.
_PATTERNS = {
    "claude": r"claude",
    "command": r"(?<![a-z])command(?:-|_)?(?:r|a|light|nightly)?(?![a-z])|(?<![a-z])aya(?![a-z])",
    "deepseek": r"deepseek",
    "falcon": r"falcon",
    "gemini": r"gemini",
    "gemma": r"gemma",
    "glm": r"(?<![a-z])(?:chat)?glm",
    "gpt": r"(?<![a-z])(?:chat)?gpt(?!4all|-?neo|-?j(?![a-z]))|(?<![a-z0-9])o[134](?![a-z0-9])",
    "gpt-neo": r"gpt-?neo|gpt-?j(?![a-z])|pythia",
    "granite": r"granite",
    "grok": r"grok",
    "internlm": r"internlm",
    "kimi": r"kimi|moonlight",
    "llama": r"(?<!o)llama|vicuna|alpaca|meditron|asclepius|clinicalcamel|openbiollm",
    "mistral": r"(?:mis|minis|codes|magis|devs|maths)tral|mixtral|zephyr",
    "nemotron": r"nemotron",
    "olmo": r"olmo",
    "phi": r"(?<![a-z])phi(?![a-z])",
    "qwen": r"qwen|qwq",
    "smollm": r"smollm",
    "t5": r"(?<![a-z0-9])[a-z]*t5(?![a-z0-9])|scifive|(?<![a-z])flan-?ul2",
    "yi": r"(?<![a-z])yi(?![a-z])",
}
_KNOWN = {family: re.compile(pattern) for family, pattern in _PATTERNS.items()}
NAMED = frozenset({"api", "hf", "r2d", "replay"})  # kinds of adapters whose names are those of models
Families = frozenset[str]


def families_of_name(name: str) -> Families:
    """Return the families that a model's name tells; none where it tells nothing."""
    last = name.lower().rpartition("@")[0] or name.lower()  # the host of a server is no part of the model
    return frozenset(family for family, pattern in _KNOWN.items() if pattern.search(last))


def families(model: Mapping[str, Json], card: Mapping[str, Json], base: str | None = None) -> Families:
    """Return the families of a model.

    Args:
        model: its identity as JSON.
        card: what is known of it; its `family` stands before everything else (several with commas between).
        base: name of the weights that it was trained from, where its lineage tells.
    """
    told = card.get("family")
    if told:
        return frozenset(part.strip().lower() for part in told.split(",") if part.strip())
    if model["kind"] not in NAMED or model["row"] != "model":
        return frozenset()
    return families_of_name(base or model["name"])


def families_of_manifest(manifest: Mapping[str, Json]) -> Families:
    """Return the families of who answered in a folder, from `run.json` or `judge.json`."""
    sittings = list(reversed(manifest["sittings"]))
    card: Mapping[str, Json] = next((sitting["card"] for sitting in sittings if sitting.get("card")), {})
    lineage = next((sitting["lineage"] for sitting in sittings if sitting.get("lineage")), None)
    return families(manifest["setup"]["model"], card, None if lineage is None else lineage["base"]["name"])


def same_family(judge: Families, model: Families) -> bool | None:
    """Tell whether judge and model share a family; None where that of either is not known."""
    return bool(judge & model) if judge and model else None
