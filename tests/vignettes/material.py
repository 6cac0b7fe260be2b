"""A family small enough to follow by hand."""

from pathlib import Path

from r2d_bench.documents import check, load
from r2d_bench.records import Json
from r2d_bench.vignettes.lexicon import Lexicon
from r2d_bench.vignettes.material import Family

LABELS = ("NOW", "LATER", "NEVER")
BUNDLED = Path(__file__).parents[2] / "tasks" / "triage"


def finding(name: str, **more: Json):
    """A finding called `name`, stated as `NAME seen`, ruled out as `NAME not seen` or `denies NAME`."""
    return {
        "found": [f"{name} seen by caller, plain as day", f"on looking there is {name} on both sides"],
        "absent": [f"{name} not seen when asked to look"],
        "none": [name],
        "term": f"clearly visible {name} on looking closely",
        "brief": f"{name} on looking closely at it",
        "no_term": f"{name} anywhere on looking",
    } | more


def why(text: str):
    return {
        style: [f"{text} for {style} one with more words", f"{text} for {style} two, in other words"]
        for style in ("nurse", "edited", "llm")
    }


def rule(ident: str, label: str, when: str, without: list[str], **more: Json):
    return {
        "id": ident,
        "label": label,
        "when": when,
        "without": without,
        "difficulty": "easy",
        "why": why(ident),
    } | more


def family(name: str = "knee", part: str = "test", **changes: Json):
    """Return a family of three levels: red_a and red_b decide NOW, red_a alone LATER, plain NEVER."""
    texts = [
        f"{name} padding number {word} of the background texts" for word in ("one", "two", "three", "four", "five")
    ]
    data = {
        "family": name,
        "title": "A family",
        "part": part,
        "complaints": ["sore knee", "knee trouble", "bad knee"],
        "who": {"adult": {"age": "20-60 years", "callers": ["self", "spouse"]}},
        "stories": [f"knee story {word} told at some length by the caller" for word in ("one", "two", "three", "four")],
        "findings": {
            "red_a": finding("swelling", red="true"),
            "red_b": finding("a deep wound", red="true"),
            "red_c": finding("numbness", red="true"),
            "plain": finding("a bruise"),
            "extra": finding("a scrape"),
            "hot": finding(
                "heat",
                found=["T {t} at the knee by thermometer", "thermometer reads {t} over the knee"],
                slots={"t": "temp 38.0-38.4"},
            ),
        },
        "background": {key: [f"{key}: {text}" for text in texts] for key in ("history", "tried", "context", "ask")},
        "rules": [
            rule("both", "NOW", "red_a and red_b", ["red_c"], **{"with": ["extra"]}),
            rule("one", "LATER", "red_a and not red_b", ["red_b", "red_c"], **{"with": ["extra", "hot"]}),
            rule("numb", "LATER", "red_c and not red_a", ["red_a", "red_b"]),
            rule("bruise", "NEVER", "plain or hot", ["red_a", "red_b", "red_c"], **{"with": ["extra"]}),
            rule("scrape", "NEVER", "extra", ["red_a", "red_b"]),
            rule("never", "NEVER", "hot and plain", ["red_a"]),
        ],
        "safety_net": ["Call back if it grows."],
        "pairs": [{"rule": "both", "flip": "red_b", "to": "one"}],
    } | changes
    return check(Family, data, name)


def lexicon(**changes: Json):
    return load(Lexicon, BUNDLED / "lexicon.yaml").model_copy(update=changes)
