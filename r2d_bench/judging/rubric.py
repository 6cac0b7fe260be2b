"""The contract of a judge: `judge.yaml` and `prompt.j2` in a folder of `judges/`.

A rubric is analytic and anchored: every criterion has a question and a described level for each number of the scale.
All criteria are judged in one call. Whether the judge sees the gold label and rationale is a matter of the whole
rubric (`reference`), so that one call never has two views.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from r2d_bench import content
from r2d_bench.documents import load, read_text
from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.records import digest
from r2d_bench.templates import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

    from r2d_bench.records import Json

CANNOT_ASSESS = "cannot_assess"
Mode = Literal["pointwise", "pairwise"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scale(_Part):
    """Whole numbers from `low` (worst) to `high` (best)."""

    low: int = 1
    high: int = 5

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high <= self.low:
            raise ValueError("scale: high should be above low")
        return self

    @property
    def numbers(self) -> tuple[int, ...]:
        """Every number of the scale, worst first."""
        return tuple(range(self.low, self.high + 1))


class Criterion(_Part):
    """One thing that is judged.

    Attributes:
        name: key in verdicts.
        title: heading.
        question: what the judge answers.
        anchors: number → what a rationale of that level is like; every number of the scale has one.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    question: str
    anchors: dict[int, str]


class Flag(_Part):
    """A fault that is there or not.

    Attributes:
        name: key in verdicts.
        title: heading.
        question: answered with true where the fault is there.
        critical: counts towards `critical_fail_rate`: no good score elsewhere buys it back.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    question: str
    critical: bool = False


class Empty(_Part):
    """What an empty or refused rationale gets by rule, besides the lowest score of every criterion."""

    flags: tuple[str, ...] = ()


class Limits(_Part):
    """How much the judge reads and writes.

    Attributes:
        rationale: words of a rationale; longer ones are cut and marked.
        input: words of the case.
        explanation: characters of the judge's explanation.
    """

    rationale: PositiveInt = 300
    input: PositiveInt = 600
    explanation: PositiveInt = 300


class Rubric(_Part):
    """A whole `judge.yaml`.

    Attributes:
        name: the judge's name; that of its folder.
        version: raised by every edit that can change a verdict.
        title: one line.
        description: what it is for.
        mode: `pointwise` (one rationale at a time) or `pairwise` (two, in both orders).
        reference: the judge sees gold label and gold rationale, as a reference that may be incomplete.
        scale: of every criterion.
        criteria: what is judged; none in a pairwise rubric.
        flags: faults.
        empty: what an empty rationale gets by rule.
        limits: how much is read and written.
        max_new_tokens: budget of a reply.
        system: the system turn.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    version: PositiveInt
    title: str
    description: str = ""
    mode: Mode = "pointwise"
    reference: bool = False
    scale: Scale = Scale()
    criteria: tuple[Criterion, ...] = ()
    flags: tuple[Flag, ...] = ()
    empty: Empty = Empty()
    limits: Limits = Limits()
    max_new_tokens: PositiveInt = 400
    system: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.mode == "pointwise") != bool(self.criteria):
            raise ValueError("criteria: a pointwise rubric has at least one, a pairwise one has none")
        names = [*(criterion.name for criterion in self.criteria), *(flag.name for flag in self.flags)]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"'{name}' stands twice among criteria and flags")
        for criterion in self.criteria:
            lacking = [str(number) for number in self.scale.numbers if number not in criterion.anchors]
            if lacking or len(criterion.anchors) > len(self.scale.numbers):
                wanted = f"{self.scale.low} to {self.scale.high}"
                raise ValueError(f"criteria: '{criterion.name}' should describe each level from {wanted} and no other")
        flags = [flag.name for flag in self.flags]
        for name in self.empty.flags:
            if name not in flags:
                raise ValueError(f"empty: unknown flag '{name}'{did_you_mean(name, flags)}")
        return self

    @property
    def full_name(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def critical(self) -> tuple[str, ...]:
        """Names of the critical flags."""
        return tuple(flag.name for flag in self.flags if flag.critical)


@dataclass(frozen=True)
class LoadedRubric:
    """A rubric with its prompt.

    Attributes:
        spec: the rubric.
        source: the template's text.
        card: text of `card.md`; None without one.
    """

    spec: Rubric
    source: str
    card: str | None = None

    @cached_property
    def template(self) -> Prompt:
        """The compiled user turn (sandboxed)."""
        return Prompt(self.source, f"judge {self.spec.name}, prompt.j2")

    @cached_property
    def digest(self) -> str:
        """Covers all that can change a verdict; not the card, titles of the whole, or descriptions."""
        return digest(self.as_json(), 32)

    def words(self) -> dict[str, Json]:
        """Return what the rubric itself puts into a prompt."""
        return {
            "criteria": [criterion.model_dump() for criterion in self.spec.criteria],
            "flags": [flag.model_dump() for flag in self.spec.flags],
            "numbers": list(self.spec.scale.numbers),
        }

    def as_json(self) -> dict[str, Json]:
        """Return rubric and prompt as they stand in `judge.json`, without what changes no verdict."""
        kept = self.spec.model_dump(mode="json", exclude={"title", "description"})
        return {"rubric": kept, "prompt": self.source}


def load_rubric(name: str, dirs: Sequence[Path] = ()) -> LoadedRubric:
    """Return the judge called `name`, or the one in a folder.

    Args:
        name: a judge's name, its folder, or its `judge.yaml`.
        dirs: further folders to look for judges in.

    Raises:
        UserError: unknown judge, a file that does not fit the schema, or a broken prompt.
    """
    folder = content.find("judges", name, dirs)
    spec = load(Rubric, folder / "judge.yaml")
    prompt = folder / "prompt.j2"
    if not prompt.is_file():
        raise UserError(f"{prompt}: no such file; a judge needs its prompt beside judge.yaml")
    card = folder / "card.md"
    loaded = LoadedRubric(spec, read_text(prompt), read_text(card) if card.is_file() else None)
    _check_prompt(loaded, prompt)
    return loaded


def _check_prompt(loaded: LoadedRubric, path: Path) -> None:
    """Refuse a prompt that is broken, or that does not show once each of what must be seen."""
    spec = loaded.spec
    needed = ["case", *(("first", "second") if spec.mode == "pairwise" else ("answer",)), "format"]
    needed += ["reference"] if spec.reference else []
    known = {name: f"\0{name}\0" for name in ("labels", "reference", *needed)}
    shown = loaded.template.render(known | loaded.words())
    for name in needed:
        if (times := shown.count(known[name])) != 1:
            raise UserError(f"{path}: shows {name} {times} times; write {{{{ {name} }}}} once")
    for criterion in spec.criteria:
        if criterion.question not in shown:
            raise UserError(f"{path}: does not ask '{criterion.question}' (criterion {criterion.name})")
    if not spec.reference and known["reference"] in shown:
        raise UserError(f"{path}: shows the reference, but judge.yaml says reference: false")
