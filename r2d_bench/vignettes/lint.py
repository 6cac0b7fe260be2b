"""Checking a family's material before any set is made of it."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from r2d_bench.vignettes.cases import Drawer, flipped
from r2d_bench.vignettes.notes import FEWEST_WORDS, MOST_WORDS, write_note
from r2d_bench.vignettes.rationales import first_sound, has_rationales, write_rationales
from r2d_bench.vignettes.reader import RuleReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from r2d_bench.vignettes.cases import Case
    from r2d_bench.vignettes.lexicon import Lexicon
    from r2d_bench.vignettes.material import Family, Rule


def problems(family: Family, lexicon: Lexicon, labels: Sequence[str], *, trials: int = 6) -> list[str]:
    """Return what is wrong with a family, in words; nothing where it is sound.

    Args:
        family: the family.
        lexicon: what notes share.
        labels: the label space, in order.
        trials: cases drawn per rule.
    """
    found = [*_levels(family, labels), *_words(family, lexicon)]
    reader = RuleReader([family], lexicon)
    found += [problem for rule in family.rules for problem in _rule(family, lexicon, rule, trials, reader)]
    if family.part == "test":
        found += _challenges(family, lexicon, labels, reader)
    return list(dict.fromkeys(found))


def _levels(family: Family, labels: Sequence[str]) -> Iterator[str]:
    counts = Counter(rule.label for rule in family.rules)
    for label in labels:
        if not counts[label]:
            yield f"no rule for {label}"
    for rule in family.rules:
        if rule.label not in labels:
            yield f"rule {rule.id}: unknown label {rule.label}"
    order = [labels.index(rule.label) for rule in family.rules if rule.label in labels]
    if order != sorted(order):
        yield "rules do not stand in the order of urgency"


def _words(family: Family, lexicon: Lexicon) -> Iterator[str]:
    """Tell words of dispositions where a reader of a note or rationale would see them."""
    texts = [*family.stories, *family.complaints, *(t for pool in family.background for t in pool[1])]
    texts += [text for finding in family.findings.values() for text in finding.texts]
    clauses = [text for why in family.whys for text in (*why.nurse, *why.edited, *why.llm)]
    texts += clauses
    for text in texts:
        if said := lexicon.disposition.search(text):
            yield f"'{text}': disposition word '{said[0]}'"
    for clause in clauses:
        if clause.endswith("."):
            yield f"'{clause}': a why clause has no full stop"
    for name, finding in family.findings.items():
        for text in (*finding.none, finding.no_term):
            if text.split()[0].lower() in {"a", "an", "the", "no", "not", "any", "without"} or "/" in text:
                yield f"findings.{name}: '{text}' stands after 'no': without article, 'any' or slash"
    for text in family.stories:
        if not 5 <= len(text.split()) <= 24:
            yield f"story '{text}': has {len(text.split())} words"


def _rule(family: Family, lexicon: Lexicon, rule: Rule, trials: int, reader: RuleReader) -> Iterator[str]:
    drawer = Drawer(family, lexicon)
    for name in rule.without:
        if name in rule.with_ or all(name in way for way in rule.condition.ways()):
            yield f"rule {rule.id}: '{name}' is both stated and denied"
    try:
        cases = [drawer.of_rule(rule, f"{family.family}/lint/{rule.id}/{trial}") for trial in range(trials)]
    except ValueError as error:
        yield str(error)
        return
    sound = [case for case in cases if has_rationales(case, lexicon)]
    if 2 * len(sound) < len(cases):  # others are drawn anew
        yield f"rule {rule.id}: {len(cases) - len(sound)} of {len(cases)} cases have no rationale of the right length"
    for case in sound:
        yield from _case(case, lexicon, reader)


def _case(case: Case, lexicon: Lexicon, reader: RuleReader) -> Iterator[str]:
    """Write the case down and read it back."""
    note = write_note(case, lexicon)
    if not FEWEST_WORDS <= note.words <= MOST_WORDS:
        yield f"{case.rule_id}: a note has {note.words} words: more background is needed"
    for present, spans in ((True, note.positives), (False, note.negatives)):
        for span in spans:
            if reader.finding(case.family, span.text, present=present) != span.finding:
                yield f"'{span.text}': cannot be told from another finding than {span.finding}"
    try:
        for text in write_rationales(case, lexicon).values():
            if said := lexicon.disposition.search(text):
                yield f"rationale '{text}': disposition word '{said[0]}'"
    except ValueError as error:
        yield str(error)


def _challenges(family: Family, lexicon: Lexicon, labels: Sequence[str], reader: RuleReader) -> Iterator[str]:
    drawer = Drawer(family, lexicon)
    rules = {rule.id: rule for rule in family.rules}
    if len(family.pairs) < 4 or len(family.edges) < 2 or not family.unknowns:
        yield "a test family has 4 pairs, 2 edges and 1 unknown"
    for pair in family.pairs:
        key = f"{family.family}/lint/{pair.rule}/{pair.flip}"
        try:
            base = first_sound(partial(drawer.of_rule, rules[pair.rule], pair=pair), key, lexicon)
            twin = flipped(base, pair)
        except ValueError as error:
            yield str(error)
            continue
        if base.label == twin.label:
            yield f"pair {pair.rule} → {pair.to}: the label does not move"
        yield from (*_case(base, lexicon, reader), *_case(twin, lexicon, reader))
    for edge in family.edges:
        places = [labels.index(label) for label in edge.acceptable]
        if abs(places[0] - places[1]) != 1 or edge.label not in edge.acceptable:
            yield f"edge {edge.id}: needs two neighbouring levels and one of them as label"
        yield from _given(partial(drawer.of_edge, edge), f"{family.family}/edge/{edge.id}", lexicon, reader)
    for unknown in family.unknowns:
        yield from _given(
            partial(drawer.of_unknown, unknown), f"{family.family}/insufficient/{unknown.id}", lexicon, reader
        )


def _given(draw: Callable[[str], Case], key: str, lexicon: Lexicon, reader: RuleReader) -> Iterator[str]:
    try:
        yield from _case(first_sound(draw, key, lexicon), lexicon, reader)
    except ValueError as error:
        yield str(error)
