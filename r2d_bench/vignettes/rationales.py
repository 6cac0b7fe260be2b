"""Rationales of a case in three styles: decisive findings, what is absent, why the time frame is right."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING

from r2d_bench.vignettes import slots
from r2d_bench.vignettes.notes import Speech, ruled_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from r2d_bench.vignettes.cases import Case
    from r2d_bench.vignettes.lexicon import Lexicon

FEWEST_WORDS, MOST_WORDS = 20, 50
STYLES = ("nurse", "edited", "llm")
MASK = "[masked]"
REDRAWS = 60

Parts = tuple[tuple[str, ...], tuple[str, ...]]


def write_rationales(case: Case, lexicon: Lexicon) -> dict[str, str]:
    """Return the rationale in each style.

    Raises:
        ValueError: the material gives none of 20 to 50 words.
    """
    return {style: _rationale(case, lexicon, style)[0] for style in STYLES}


def write_masked(case: Case, lexicon: Lexicon, style: str) -> str:
    """Return the rationale in a style, its clause of reasons and any word of a label or time frame masked.

    What is left are findings: a reader of them should do little better than a reader of the note.
    """
    return mask(_rationale(case, lexicon, style)[1], lexicon)


def has_rationales(case: Case, lexicon: Lexicon) -> bool:
    """Return whether the material gives a case a rationale of the right length in every style."""
    try:
        write_rationales(case, lexicon)
    except ValueError:
        return False
    return True


def first_sound(draw: Callable[[str], Case], key: str, lexicon: Lexicon) -> Case:
    """Return the first of several draws that has rationales.

    Raises:
        ValueError: none has.
    """
    for attempt in range(REDRAWS):
        if has_rationales(case := draw(f"{key}/{attempt}"), lexicon):
            return case
    write_rationales(case, lexicon)  # tells what is wrong
    return case


def mask(text: str, lexicon: Lexicon) -> str:
    """Return the text with words of the labels and of their time frames masked."""
    return lexicon.giveaway.sub(MASK, text)


def _rationale(case: Case, lexicon: Lexicon, style: str) -> tuple[str, str]:
    """Return the rationale, and the same without its clause of reasons."""
    rng = lexicon.rng(case.key, "rationale", style, case.rule_id)
    speech = _Remembered(case, lexicon, abbreviate=0.9 if style == "nurse" else 0.0)
    tried = []
    for said, why, frame in _options(case, lexicon, style, rng):
        text = _filled(case, lexicon, speech, style, said, speech.text(why), frame)
        words = len(text.split())
        if FEWEST_WORDS <= words <= MOST_WORDS:
            return text, _filled(case, lexicon, speech, style, said, MASK, frame)
        tried.append(words)
    raise ValueError(f"{case.key}: no {style} rationale of 20 to 50 words (tried {min(tried)} to {max(tried)})")


class _Remembered(Speech):
    """Speech that is asked for the same texts again and again, while a fitting rationale is sought."""

    def __init__(self, case: Case, lexicon: Lexicon, *, abbreviate: float) -> None:
        super().__init__(case, lexicon, abbreviate=abbreviate)
        self._said: dict[tuple[str, str], str] = {}

    def text(self, text: str, finding: str = "", extra: dict[str, str] | None = None) -> str:
        if (text, finding) not in self._said:
            self._said[text, finding] = super().text(text, finding, extra)
        return self._said[text, finding]


def _options(case: Case, lexicon: Lexicon, style: str, rng: Random) -> Iterator[tuple[Parts, str, tuple[str, ...]]]:
    """Yield what could be said, the best first: all that is decisive, two or three absences, then more or less."""
    whys = list(getattr(case.why, style))
    frames = list(lexicon.frames[style])
    rng.shuffle(whys)
    rng.shuffle(frames)
    if style == "nurse":  # terse wording may need both reasons to say enough
        whys.append("; ".join(whys))
    others = tuple(name for name in case.positives if name not in case.decisive)
    amounts = [(0, 3), (0, 2), (1, 3), (2, 4), (2, 3), (0, 1), (0, 4)]
    for (more, absent), why, frame in product(amounts, whys, frames):
        present = (*case.decisive, *others[:more])
        yield (present, case.negatives[:absent]), why, frame


def _filled(
    case: Case, lexicon: Lexicon, speech: Speech, style: str, said: Parts, why: str, frame: tuple[str, ...]
) -> str:
    present, absent = said
    findings = case.family.findings
    terms = [speech.text(findings[name].brief if style == "nurse" else findings[name].term, name) for name in present]
    if case.unknown_term is not None:
        terms.append(speech.text(case.unknown_term))
    nots = [speech.text(ruled_out(case, lexicon, name), name) for name in absent]
    if style == "nurse":
        joined, denied = frame[1].join(terms), frame[2].join(nots)
    else:
        joined, denied = _listed(terms, "", "and "), _listed(nots, "no ", "and no ")
    short, full = _who(case)
    values = {"p": joined, "n": denied, "w": why, "who": short, "who_a": full, "who_A": _upper(full)}
    return _sentences(slots.fill(frame[0], values))


def _who(case: Case) -> tuple[str, str]:
    """Return the patient in terse and in full words."""
    age, sex = case.age, case.manner.sex
    short = {"years": "", "months": " mo ", "weeks": " wk ", "days": " d "}
    article = "an" if age in (8, 11, 18) or 80 <= age < 90 else "a"
    return f"{age}{short[case.unit]}{sex}", f"{article} {age}-{case.unit.removesuffix('s')}-old"


def _listed(items: list[str], before: str, last: str) -> str:
    return items[0] if len(items) == 1 else f"{f', {before}'.join(items[:-1])} {last}{items[-1]}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentences(text: str) -> str:
    """Return the text with a capital at the start of every sentence, and one full stop at its end."""
    text = re.sub(r"\.\.+", ".", text)
    return _upper(re.sub(r"(?<!\b[ap]\.m)\. ([a-z])", lambda found: f". {found[1].upper()}", text))
