"""Making the sets: core cases by split, further training cases, pairs, edge and unknown cases."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from r2d_bench.vignettes.cases import Case, Drawer, flipped, retold
from r2d_bench.vignettes.notes import FEWEST_WORDS, MOST_WORDS, Note, write_note
from r2d_bench.vignettes.rationales import REDRAWS, first_sound, has_rationales, write_masked, write_rationales

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from r2d_bench.records import Json
    from r2d_bench.vignettes.lexicon import Lexicon, Sizes
    from r2d_bench.vignettes.material import Family, Pair, Rule

T = TypeVar("T")

MASKED_STYLE = "edited"
MOST_ALIKE = 0.6  # Jaccard of the token sets of two notes that are no pair

_TOKEN = re.compile(r"[a-z0-9']+")


def tokens(text: str) -> frozenset[str]:
    """Return the set of words of a text, lower-cased."""
    return frozenset(_TOKEN.findall(text.lower()))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Return |intersection| / |union|; 1 for two empty sets."""
    union = len(one | other)
    return len(one & other) / union if union else 1.0


def make_sets(
    families: Sequence[Family], lexicon: Lexicon, labels: Sequence[str], sizes: Sizes, version: int
) -> dict[str, list[dict[str, Json]]]:
    """Return the rows of every split.

    Raises:
        ValueError: the material does not suffice, with what is lacking.
    """
    maker = _Maker(lexicon, labels, version)
    core = maker.core(families, sizes)
    challenges = maker.challenges(families, sizes)
    extra = maker.further([family for family in families if family.part == "train"], sizes.train_extra)
    splits: dict[str, list[dict[str, Json]]] = defaultdict(list)
    for row in [*core, *extra, *challenges]:
        splits[row["split"]].append(row)
    return dict(splits)


class _Maker:
    """Sets under way; remembers every family's notes, so that none comes out alike."""

    def __init__(self, lexicon: Lexicon, labels: Sequence[str], version: int) -> None:
        self._lexicon, self._labels, self._version = lexicon, labels, version
        self._written: dict[str, list[frozenset[str]]] = defaultdict(list)
        self._core: dict[str, Case] = {}  # by id, in order
        self._pairs: dict[str, Pair] = {}  # core id -> the pair it is the base of

    def core(self, families: Sequence[Family], sizes: Sizes) -> list[dict[str, Json]]:
        """Return the core cases, balanced over labels within each part."""
        plan: list[tuple[str, Family, Rule]] = []
        places: Counter[str] = Counter()
        for family in sorted(families, key=lambda f: f.family):
            rules = self._allot(family, sizes.core, places[family.part])
            places[family.part] += 1
            plan += [(f"{family.family}-{number:02}", family, rule) for number, rule in enumerate(rules, 1)]
        self._pairs = _choose_pairs(plan, sizes.pairs)
        rows = []
        for ident, family, rule in plan:
            # Neighbouring levels get different complaints, so that each complaint occurs at several levels.
            told = family.complaints[int(ident[-2:]) % min(3, len(family.complaints))]
            case, note = self._fresh(family, rule, ident, pair=self._pairs.get(ident), complaint=told)
            self._core[ident] = case
            rows.append(self._row(ident, family.part, case, note))
        return rows

    def _allot(self, family: Family, size: int, place: int) -> list[Rule]:
        """Return the rules of a family's core cases: every label once, the rest in turn over the part's families."""
        count = len(self._labels)
        quota = Counter(self._labels)
        quota.update(self._labels[(place * (size - count) + k) % count] for k in range(size - count))
        based = {pair.rule for pair in family.pairs}
        chosen = []
        for label in self._labels:
            rules = [rule for rule in family.rules if rule.label == label]
            if not rules:
                raise ValueError(f"family {family.family}: no rule for {label}")
            turned = rules[place % len(rules) :] + rules[: place % len(rules)]
            turned.sort(key=lambda rule: rule.id not in based)  # rules that pairs start from first
            chosen += [turned[k % len(turned)] for k in range(quota[label])]
        return chosen

    def _fresh(
        self, family: Family, rule: Rule, ident: str, *, pair: Pair | None = None, complaint: str | None = None
    ) -> tuple[Case, Note]:
        """Return a case whose note is like none of its family's, and has the right length."""
        drawer, seen = Drawer(family, self._lexicon), self._written[family.family]
        for attempt in range(REDRAWS):
            case = drawer.of_rule(rule, f"{ident}/{attempt}", pair=pair)
            case = replace(case, complaint=complaint or case.complaint)
            note = write_note(case, self._lexicon)
            words = tokens(note.text)
            fits = FEWEST_WORDS <= note.words <= MOST_WORDS and has_rationales(case, self._lexicon)
            fits = fits and (pair is None or has_rationales(flipped(case, pair), self._lexicon))
            if fits and all(jaccard(words, one) < MOST_ALIKE for one in seen):
                seen.append(words)
                return case, note
        raise ValueError(f"family {family.family}: rule {rule.id} gives no further note that is new")

    def further(self, families: Sequence[Family], size: int) -> list[dict[str, Json]]:
        """Return further training cases of train families, labels in turn."""
        rows: list[dict[str, Json]] = []
        for place, family in enumerate(sorted(families, key=lambda f: f.family)):
            share = size // len(families) + (place < size % len(families))
            used: Counter[str] = Counter()
            for number in range(share):
                label = self._labels[(place + number) % len(self._labels)]
                rules = [rule for rule in family.rules if rule.label == label]
                rule = rules[used[label] % len(rules)]
                used[label] += 1
                ident = f"{family.family}-x{number + 1:03}"
                case, note = self._fresh(family, rule, ident)
                rows.append(self._row(ident, "train_extra", case, note))
        return rows

    def challenges(self, families: Sequence[Family], sizes: Sizes) -> list[dict[str, Json]]:
        """Return pairs, invariance pairs, edge cases and unknown cases, all of test families."""
        tests = sorted((family for family in families if family.part == "test"), key=lambda f: f.family)
        return [
            *self._minimal_pairs(),
            *self._invariance(sizes.invariance),
            *self._given(tests, "edge", sizes.edge),
            *self._given(tests, "insufficient", sizes.insufficient),
        ]

    def _minimal_pairs(self) -> Iterator[dict[str, Json]]:
        for ident, pair in self._pairs.items():
            twin = flipped(self._core[ident], pair)
            yield self._row(
                f"{ident}-pair", "pairs", twin, write_note(twin, self._lexicon), pair=ident, change=pair.flip
            )

    def _invariance(self, size: int) -> Iterator[dict[str, Json]]:
        free = [(ident, case) for ident, case in self._core.items() if case.family.part == "test" and not case.pinned]
        for number, (ident, case) in enumerate(_in_turn(_turned(free), size, "invariance pairs")):
            change, twin = retold(case, self._lexicon, number)
            note = write_note(twin, self._lexicon)
            yield self._row(f"{ident}-same", "invariance", twin, note, pair=ident, change=change)

    def _given(self, families: Sequence[Family], kind: str, size: int) -> Iterator[dict[str, Json]]:
        def cases(family: Family) -> Iterator[Case]:
            drawer = Drawer(family, self._lexicon)
            if kind == "edge":
                draws = {edge.id: partial(drawer.of_edge, edge) for edge in family.edges}
            else:
                draws = {one.id: partial(drawer.of_unknown, one) for one in family.unknowns}
            for name, draw in draws.items():
                yield first_sound(draw, f"{family.family}/{kind}/{name}", self._lexicon)

        every = [(f"{family.family}-{kind}", case) for family in families for case in cases(family)]
        taken: Counter[str] = Counter()
        for name, case in _in_turn(every, size, f"{kind} cases"):
            taken[name] += 1
            yield self._row(f"{name}-{taken[name]}", kind, case, write_note(case, self._lexicon))

    def _row(
        self, ident: str, split: str, case: Case, note: Note, *, pair: str | None = None, change: str | None = None
    ) -> dict[str, Json]:
        """Return a case as it stands in the data."""
        rationales = write_rationales(case, self._lexicon)
        advice = self._lexicon.rng(case.key, "safety net").choice(case.family.safety_net)
        return {
            "id": ident,
            "family": case.family.family,
            "split": split,
            "pair_id": pair,
            "pair_kind": {"pairs": "minimal", "invariance": "invariance"}.get(split),
            "change": change,
            "age": case.age,
            "age_unit": case.unit,
            "sex": case.manner.sex,
            "caller": case.manner.caller,
            "chief_complaint": case.complaint,
            "note": note.text,
            "positives": [span.as_json() for span in note.positives],
            "negatives": [span.as_json() for span in note.negatives],
            "label": case.label,
            "acceptable": list(case.acceptable or (case.label,)),
            "rule_id": f"{case.family.family}/{case.rule_id}",
            "decisive": list(case.decisive),
            **{f"rationale_{style}": text for style, text in rationales.items()},
            "rationale_masked": write_masked(case, self._lexicon, MASKED_STYLE),
            "safety_net": advice,
            "difficulty": case.difficulty,
            "reviewed_by": None,
            "version": self._version,
        }


def _choose_pairs(plan: Sequence[tuple[str, Family, Rule]], size: int) -> dict[str, Pair]:
    """Return which core case is the base of which minimal pair, families in turn."""
    open_pairs: list[tuple[str, Pair]] = []
    for family in dict.fromkeys(family.family for _, family, _ in plan):
        bases = {rule.id: ident for ident, owner, rule in reversed(plan) if owner.family == family}
        used: set[str] = set()
        material = next(owner for _, owner, _ in plan if owner.family == family)
        for pair in material.pairs:
            ident = bases.get(pair.rule)
            if ident is not None and ident not in used:
                used.add(ident)
                open_pairs.append((ident, pair))
    return dict(_in_turn(_turned(open_pairs), size, "minimal pairs"))


def _turned(items: Sequence[tuple[str, T]]) -> list[tuple[str, T]]:
    """Return items with each family's turned one further than those of the family before: not all begin alike."""
    families: dict[str, list[tuple[str, T]]] = defaultdict(list)
    for item in items:
        families[item[0].rsplit("-", 1)[0]].append(item)
    parts = []
    for place, members in enumerate(families.values()):
        start = place % len(members)
        parts += members[start:] + members[:start]
    return parts


def _in_turn(items: Sequence[tuple[str, T]], size: int, what: str) -> list[tuple[str, T]]:
    """Return `size` items, one a family before any gives two, in their order.

    Raises:
        ValueError: there are not so many.
    """
    rank: Counter[str] = Counter()
    ranked = []
    for place, (ident, _) in enumerate(items):
        family = ident.rsplit("-", 1)[0]
        ranked.append((rank[family], place))
        rank[family] += 1
    if len(ranked) < size:
        raise ValueError(f"the material gives {len(ranked)} {what}, {size} are wanted")
    return [items[place] for place in sorted(place for _, place in sorted(ranked)[:size])]
