"""Reading a note back: annotated spans → findings → the rule → the label.

It gives the ceiling of a set: if a reader that knows the rules recovers the label from the text at the annotated spans
alone, the information is in the note.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from r2d_bench.vignettes import slots

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from r2d_bench.records import Json
    from r2d_bench.vignettes.lexicon import Lexicon
    from r2d_bench.vignettes.material import Family, Finding

_NUMBER = r"\d+(?:\.\d+)?"


class RuleReader:
    """Reads cases of some families."""

    def __init__(self, families: Iterable[Family], lexicon: Lexicon) -> None:
        self._families = {family.family: family for family in families}
        self._lexicon = lexicon
        self._patterns: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def label(self, row: Mapping[str, Json]) -> str | None:
        """Return the label that the rules give to the findings read at a row's positive spans; None where none holds.

        Args:
            row: a case as it stands in the data (family, age, note, positives with start and end).
        """
        family = self._families[row["family"]]
        read = {self.finding(family, row["note"][span["start"] : span["end"]]) for span in row["positives"]}
        for who, kind in family.who.items():
            low, high, unit = kind.ages
            if unit == row["age_unit"] and low <= row["age"] <= high and kind.sex in {"any", row["sex"]}:
                rule = family.rule_for({name for name in read if name} | {who})
                if rule is not None:
                    return rule.label
        return None

    def finding(self, family: Family, text: str, *, present: bool = True) -> str | None:
        """Return the finding that a text states (or rules out); None where it fits none, or several."""
        wanted = f"{family.family}/{present}"
        if wanted not in self._patterns:
            self._patterns[wanted] = [
                (name, self._pattern(family, finding, present=present)) for name, finding in family.findings.items()
            ]
        fits = [name for name, pattern in self._patterns[wanted] if pattern.fullmatch(text.strip('"'))]
        return fits[0] if len(fits) == 1 else None

    def _pattern(self, family: Family, finding: Finding, *, present: bool) -> re.Pattern[str]:
        texts = finding.wordings if present else (*finding.absent, *finding.none)
        values = {name: _values(slot) for name, slot in (family.slots | finding.slots).items()}
        return re.compile("|".join(self._lexicon.pattern(text, values) for text in texts), re.IGNORECASE)


def _values(slot: str) -> str:
    """Return a regular expression of a slot's values."""
    if slots.is_temperature(slot):
        return f"{_NUMBER}F?"
    return "(?:" + "|".join(re.escape(value) for value in slots.choices(slot)) + ")"
