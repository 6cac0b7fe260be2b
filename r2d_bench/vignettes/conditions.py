"""Conditions of rules: `pressure and (sweaty or arm_pain) and not eased`."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MOST_NAMES = 10


@dataclass(frozen=True)
class Condition:
    """A boolean expression over names, with `and`, `or`, `not` and brackets.

    Raises:
        ValueError: anything else stands in the text.
    """

    text: str

    def __post_init__(self) -> None:
        for node in ast.walk(self._tree):
            if not isinstance(
                node, ast.Expression | ast.BoolOp | ast.And | ast.Or | ast.UnaryOp | ast.Not | ast.Name | ast.Load
            ):
                raise ValueError(f"'{self.text}': only names, and, or, not, brackets may stand in it")  # noqa: TRY004
        if len(self.names) > MOST_NAMES:
            raise ValueError(f"'{self.text}': names more than {MOST_NAMES} findings")

    @cached_property
    def _tree(self) -> ast.Expression:
        try:
            return ast.parse(self.text.strip(), mode="eval")
        except SyntaxError:
            raise ValueError(f"'{self.text}': cannot be read as a condition") from None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names in it, in order of their first use."""
        found = [node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name)]
        return tuple(sorted(set(found), key=self.text.find))

    def holds(self, true: Collection[str]) -> bool:
        """Return whether it holds where exactly the names in `true` do."""
        return _holds(self._tree.body, true)

    def ways(self) -> Iterator[frozenset[str]]:
        """Yield the smallest sets of true names that make it hold, none part of another."""
        found: list[frozenset[str]] = []
        every = [
            frozenset(name for name, on in zip(self.names, bits, strict=True) if on)
            for bits in product((False, True), repeat=len(self.names))
        ]
        for true in sorted(every, key=lambda names: (len(names), sorted(names))):
            if self.holds(true) and not any(smaller <= true for smaller in found):
                found.append(true)
                yield true

    @cached_property
    def refused(self) -> tuple[str, ...]:
        """Names that it asks to be absent (`not …`)."""
        return tuple(
            node.operand.id
            for node in ast.walk(self._tree)
            if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Name)
        )


def _holds(node: ast.expr, true: Collection[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in true
    if isinstance(node, ast.UnaryOp):
        return not _holds(node.operand, true)
    if isinstance(node, ast.BoolOp):
        parts = (_holds(value, true) for value in node.values)
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    raise ValueError(ast.dump(node))  # the constructor lets nothing else through
