"""Leaving red flags out of the gold rationales of a set of vignettes, whose material says how each finding is put."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from r2d_bench.vignettes import folder as vignettes
from r2d_bench.vignettes import slots

if TYPE_CHECKING:
    from r2d_bench.records import Example
    from r2d_bench.tasks.task import Task
    from r2d_bench.vignettes.folder import Material

_JOINT = re.compile(r"(?:,|,? and)\s+")


class RedFlags:
    """Knows the red flags of a task's examples.

    Args:
        material: what the set was made of.
    """

    def __init__(self, material: Material) -> None:
        self._lexicon = material.lexicon
        self._families = {family.family: family for family in material.families}

    @classmethod
    def of(cls, task: Task) -> RedFlags | None:
        """Return the red flags of a task; None where its red flags are not annotated."""
        if not vignettes.is_made_of_vignettes(task.folder):
            return None
        return cls(vignettes.load_material(task.folder))

    def names(self, example: Example) -> list[str]:
        """Return the red flags that decide an example's label, as annotated."""
        row = example.fields
        findings = self._families[row["family"]].findings
        stated = [span["finding"] for span in row["positives"]]
        return [name for name in stated if name in row["decisive"] and findings[name].red]

    def without(self, example: Example, rationale: str) -> str | None:
        """Return the rationale with the chief complaint in place of its red flags.

        The pertinent negatives and the reason stay: nothing but the red flag is missing, and the text still reads well.

        Returns:
            None where the example has no red flag, or one of them is not found in the rationale.
        """
        names = self.names(example)
        spans = [self._span(example, name, rationale) for name in names]
        found = sorted(span for span in spans if span is not None)
        if not names or len(found) < len(names):
            return None
        joined = [found[0]]
        for start, end in found[1:]:
            if _JOINT.fullmatch(rationale, joined[-1][1], start):
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
        for start, end in reversed(joined):
            complaint = str(example.fields["chief_complaint"])
            at_start = start == 0 or rationale[:start].rstrip().endswith(".")
            words = complaint[:1].upper() + complaint[1:] if at_start else complaint
            rationale = rationale[:start] + words + rationale[end:]
        return rationale

    def _span(self, example: Example, name: str, text: str) -> tuple[int, int] | None:
        """Return where a text states a finding; None where it does not."""
        family = self._families[example.fields["family"]]
        finding = family.findings[name]
        values = {slot: _values(declared) for slot, declared in (family.slots | finding.slots).items()}
        found = re.search(rf"\b{self._lexicon.pattern(finding.term, values)}\b", text, re.IGNORECASE)
        return found.span() if found else None


def _values(slot: str) -> str:
    """Return a regular expression of every value that a slot can take, degrees in both units."""
    values = slots.choices(slot)
    if slots.is_temperature(slot):
        values = (*(f"{slots.fahrenheit(value)}F" for value in values), *values)
    return "(?:" + "|".join(re.escape(value) for value in values) + ")"
