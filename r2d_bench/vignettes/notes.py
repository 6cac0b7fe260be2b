"""Writing a case down as a nurse's note, with the place of every finding in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.vignettes import slots

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from r2d_bench.vignettes.cases import Case
    from r2d_bench.vignettes.lexicon import Lexicon, Voice

FEWEST_WORDS, MOST_WORDS = 60, 160
AIM = (58, 106)  # words a note is filled up to, drawn for each case whatever its label

# Orders of a note's parts; `pos` and `neg` may stand in two parts each.
PLANS = (
    "opener story pos neg vitals history tried ask context",
    "opener story pos tried neg history context vitals ask",
    "opener history story pos neg vitals tried context ask",
    "opener story context pos vitals neg tried history ask",
    "opener story vitals pos tried neg history ask context",
    "opener ask story pos history neg vitals tried context",
    "opener story neg pos vitals tried history context ask",
    "opener story tried pos neg context history vitals ask",
    "opener context story pos history neg tried vitals ask",
    "opener story vitals pos neg ask history tried context",
    "opener story pos history vitals neg ask context tried",
    "opener history story neg tried pos context vitals ask",
)
ADULT = 18
_SHORT_UNITS = {"months": " mo ", "weeks": " wk old ", "days": " d old "}


@dataclass(frozen=True, slots=True)
class Span:
    """Where a finding stands in a note."""

    finding: str
    start: int
    end: int
    text: str

    def as_json(self) -> dict[str, object]:
        """Return the span as it stands in the data."""
        return {"finding": self.finding, "start": self.start, "end": self.end, "text": self.text}


@dataclass(frozen=True, slots=True)
class Note:
    """A note's text, and where its findings stand."""

    text: str
    positives: tuple[Span, ...]
    negatives: tuple[Span, ...]

    @property
    def words(self) -> int:
        """Number of words."""
        return len(self.text.split())


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A piece of text; `finding` and `present` where it states one."""

    text: str
    finding: str | None = None
    present: bool = True


_Sentence = list[_Chunk]


def write_note(case: Case, lexicon: Lexicon) -> Note:
    """Return the note of a case."""
    return _Writer(case, lexicon).note()


class Speech:
    """A case's way of typing: region, abbreviations, units. Notes and rationales share it."""

    def __init__(self, case: Case, lexicon: Lexicon, *, abbreviate: float | None = None) -> None:
        manner = case.manner
        self._case, self._lexicon, self._region = case, lexicon, manner.region
        self._abbreviate = lexicon.voices[manner.voice].abbreviate if abbreviate is None else abbreviate
        share = lexicon.regions[manner.region].fahrenheit
        self._fahrenheit = lexicon.rng(case.key, "unit").random() < share

    def text(self, text: str, finding: str = "", extra: dict[str, str] | None = None) -> str:
        """Return a text with its slots filled and its words as the case's region and voice have them."""
        if "{" not in (local := self._lexicon.local(text, self._region, self._abbreviate, self._case.key)):
            return local
        return slots.fill(local, self._values(finding, extra))

    def _values(self, finding: str, extra: dict[str, str] | None) -> dict[str, str]:
        family, values = self._case.family, self._case.values
        declared = family.slots | (family.findings[finding].slots if finding else {})
        drawn = values[""] | (values[finding] if finding else {}) | (extra or {})
        return {name: self.degrees(value, declared.get(name, "")) for name, value in drawn.items()}

    def degrees(self, value: str, slot: str) -> str:
        """Return a temperature in the case's unit; other values as they are."""
        return f"{slots.fahrenheit(value)}F" if slots.is_temperature(slot) and self._fahrenheit else value


class _Writer:
    """One note under way."""

    def __init__(self, case: Case, lexicon: Lexicon) -> None:
        self._case, self._lexicon = case, lexicon
        self._voice: Voice = lexicon.voices[case.manner.voice]
        self._speech = Speech(case, lexicon)

    def _rng(self, *parts: object) -> Random:
        return self._lexicon.rng(self._case.key, *parts)

    def _order(self, *parts: object) -> Random:
        return self._lexicon.rng(self._case.manner.order, "order", *parts)

    def note(self) -> Note:
        parts = self._findings()
        parts["opener"] = [[_Chunk(self._opener())]]
        parts["story"] = [[_Chunk(self._speech.text(self._rng("story").choice(self._case.family.stories)))]]
        if self._case.unknown:
            parts["story"].append([_Chunk(self._speech.text(self._case.unknown))])
        self._fill(parts)
        plan = self._order("plan").choice(PLANS).split()
        return _typed([(name, parts[name]) for name in plan if parts.get(name)], self)

    def _opener(self) -> str:
        case, manner = self._case, self._case.manner
        kind = "self" if manner.caller == "self" else "other"
        rng = self._rng("opener", kind)
        age, person = f"{case.age}", _person(case.years, manner.sex)
        short = {"years": rng.choice(["", " yo ", "yo ", " y/o "]), **_SHORT_UNITS}
        words = {
            "age": age if case.unit == "years" else f"{age} {case.unit}",
            "age_word": f"{age}-{case.unit.removesuffix('s')}-old",
            "age_sex": f"{age}{short[case.unit]}{manner.sex}",
            "person": person,
            "caller": manner.caller,
            "complaint": case.complaint,
        }
        return self._speech.text(rng.choice(self._lexicon.openers[kind]), extra=words)

    def _findings(self) -> dict[str, list[_Sentence]]:
        """Return the sentences that state what is present and what is absent."""
        case = self._case
        present = [name for name in case.positives if name != case.pinned]
        self._order("pos").shuffle(present)
        absent, listed = _negatives(case, self._lexicon)
        pos = [[self._found(name)] for name in present]
        if case.pinned is not None:
            place = self._rng("pinned").randint(0, len(pos))
            state = self._found if case.pinned in case.positives else self._absent
            pos.insert(place, [state(case.pinned)])
        neg = [[self._absent(name)] for name in absent if name not in listed]
        if listed:
            neg.insert(self._order("list").randint(0, len(neg)), self._denial(listed))
        return {"pos": pos, "neg": neg}

    def _found(self, name: str) -> _Chunk:
        finding, rng = self._case.family.findings[name], self._rng("found", name)
        if finding.said and rng.random() < self._voice.quote:  # callers do not abbreviate
            said = Speech(self._case, self._lexicon, abbreviate=0.0).text(rng.choice(finding.said), name)
            return _Chunk(f'"{said}"', name)
        return _Chunk(self._speech.text(rng.choice(finding.found), name), name)

    def _absent(self, name: str) -> _Chunk:
        text = self._rng("absent", name).choice(self._case.family.findings[name].absent)
        return _Chunk(self._speech.text(text, name), name, present=False)

    def _denial(self, names: list[str]) -> _Sentence:
        """Return `denies A, B or C`."""
        lead, comma, last, end = self._order("denial").choice(self._lexicon.denials)
        if self._voice.labels:  # `Neg: denied when asked: …` would say it twice
            lead, comma, last, end = "no ", ", ", " or ", ""
        chunks = [_Chunk(lead)]
        for index, name in enumerate(names):
            if index:
                chunks.append(_Chunk(last if index == len(names) - 1 else comma))
            text = _none(self._case, self._lexicon, name)
            chunks.append(_Chunk(self._speech.text(text, name), name, present=False))
        return [*chunks, _Chunk(end)]

    def _fill(self, parts: dict[str, list[_Sentence]]) -> None:
        """Add facts that do not matter until the note has its length."""
        rng = self._lexicon.rng(self._case.manner.around, "around")
        aim = self._rng("aim").randint(*AIM)
        for name, text in _around(self._case, self._lexicon, self._speech, rng):
            if _count(parts, self._case.pinned) >= aim:
                break
            parts.setdefault(name, []).append([_Chunk(text)])

    def label(self, part: str) -> str:
        """Return the label in front of a part, where the voice has labels."""
        known = self._lexicon.labels.get(part)
        return f"{self._order('label', part).choice(known)}: " if known and self._voice.labels else ""

    @property
    def join(self) -> str:
        """What stands between two facts of one part."""
        return self._voice.join

    @property
    def capitals(self) -> bool:
        """Whether sentences begin with a capital."""
        return self._voice.capitals


def _negatives(case: Case, lexicon: Lexicon) -> tuple[list[str], list[str]]:
    """Return what is ruled out, in the note's order, and which of it in one list."""
    absent = [name for name in case.negatives if name != case.pinned]
    lexicon.rng(case.manner.order, "order", "neg").shuffle(absent)
    count = lexicon.rng(case.manner.order, "order", "listed").choice((0, 2, 2, 3, len(absent)))
    return absent, absent[:count] if count > 1 and len(absent) > 1 else []


def _none(case: Case, lexicon: Lexicon, name: str) -> str:
    """Return the noun phrase that rules a finding out in a list."""
    return lexicon.rng(case.key, "none", name).choice(case.family.findings[name].none)


def ruled_out(case: Case, lexicon: Lexicon, name: str) -> str:
    """Return what a rationale may deny: the phrase of the note's list where it stands in one, else its own."""
    _, listed = _negatives(case, lexicon)
    return _none(case, lexicon, name) if name in listed else case.family.findings[name].no_term


def _person(years: float, sex: str) -> str:
    if years < 1:
        return "baby girl" if sex == "F" else "baby boy"
    if years < ADULT:
        return "girl" if sex == "F" else "boy"
    return "woman" if sex == "F" else "man"


def _around(case: Case, lexicon: Lexicon, speech: Speech, rng: Random) -> Iterable[tuple[str, str]]:
    """Yield facts that do not matter, with the part each belongs to, most usual first."""
    family = case.family
    pools = {name: rng.sample(texts, len(texts)) for name, texts in family.background if texts}
    readings = [vital for vital in family.vitals if not set(vital.unless) & {*case.positives, *case.negatives}]
    pools["vitals"] = rng.sample(readings, len(readings)) if rng.random() < 0.6 else []
    pools["context"] = [*rng.sample(lexicon.fillers, 2), *pools["context"]]  # taken from the end
    first = ["history", "tried", "vitals", "context", "ask"]
    rng.shuffle(first)
    for name in [*first, "history", "context", "vitals", "tried", "context", "ask", "history", *["context"] * 8]:
        if pools[name]:
            item = pools[name].pop()
            if name == "vitals":
                drawn = slots.draw(item.slots, lexicon.rng(case.key, "vital", item.text))
                values = {slot: speech.degrees(value, item.slots[slot]) for slot, value in drawn.items()}
                yield name, speech.text(item.text, extra=values)
            else:
                yield name, speech.text(item)


def _count(parts: dict[str, list[_Sentence]], pinned: str | None) -> int:
    """Return the words so far, but for those that a twin of the case tells otherwise: it should be filled up alike."""
    sentences = [sentence for name, part in parts.items() if name != "opener" for sentence in part]
    told = ["".join(chunk.text for chunk in one) for one in sentences if pinned is None or one[0].finding != pinned]
    return sum(len(text.split()) for text in told)


def _typed(parts: list[tuple[str, list[_Sentence]]], writer: _Writer) -> Note:
    """Type the parts one after the other, and note where the findings come to stand."""
    text = ""
    spans: dict[bool, list[Span]] = {True: [], False: []}
    for name, sentences in parts:
        text += writer.label(name)
        for index, sentence in enumerate(sentences):
            if index:
                text += writer.join.removeprefix(".") if text.endswith(".") else writer.join
            for chunk in sentence:
                begins = not text or text.endswith((". ", "? ", "! ")) or text == ""
                piece = _capital(chunk.text) if begins and writer.capitals else chunk.text
                if chunk.finding is not None:
                    spans[chunk.present].append(Span(chunk.finding, len(text), len(text) + len(piece), piece))
                text += piece
        text += " " if text.endswith((".", "?", "!")) else ". "
    return Note(text.strip(), tuple(spans[True]), tuple(spans[False]))


def _capital(text: str) -> str:
    """Return the text with a capital; a quotation's first word too."""
    if text.startswith(("a.m.", "p.m.")):
        return text
    at = 1 if text.startswith('"') else 0
    return text[:at] + text[at : at + 1].upper() + text[at + 1 :]
