"""Jinja for task and protocol files: sandboxed, strict about names, never given code to run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, UndefinedError, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from r2d_bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from r2d_bench.records import Json

_NAME = re.compile(r"\s*\{\{\s*([A-Za-z_]\w*)\s*\}\}\s*")
_EXPRESSION = re.compile(r"\s*\{\{((?:(?!\}\}|\{\{).)*)\}\}\s*", re.DOTALL)
# What filters, operators and methods raise on values they do not fit.
_FAILURES = (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class MissingValue:
    """A name that the context does not have; `name` is the name (or what Jinja says of it)."""

    def __init__(self, name: str) -> None:
        self.name = name


def environment() -> ImmutableSandboxedEnvironment:
    """Return a fresh sandbox: text out, no escaping (prompts are no HTML), unknown names are errors."""
    return ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)


@dataclass(frozen=True, slots=True)
class Mapped:
    """A template of a field mapping: called with a row it gives the value, or `MissingValue`.

    A template that is one expression (`{{ options }}`) gives the value itself, so that lists stay lists and text
    stays the text it is; anything else gives rendered text. `row` is the whole row, for columns whose names are no
    identifiers: `{{ row['Chief complaint'] }}`.
    """

    source: str
    evaluate: Callable[[Mapping[str, Json]], Json]

    def __call__(self, row: Mapping[str, Json]) -> Json:
        """Return the value of the template for this row."""
        return self.evaluate(row)


def mapped(source: str, where: str) -> Mapped:
    """Compile one template of a field mapping.

    Raises:
        UserError: the template is broken, told with `where`.
    """
    if name := _NAME.fullmatch(source):  # by far the commonest: no Jinja needed
        key = name.group(1)
        return Mapped(source, lambda row: row[key] if key in row else MissingValue(key))
    env = environment()
    try:
        if expression := _EXPRESSION.fullmatch(source):
            compiled = env.compile_expression(expression.group(1), undefined_to_none=False)
            # The row goes in whole: as keywords, a column called `self` would clash.
            return Mapped(source, lambda row: _guarded(lambda: compiled(_names(row)), where))
        template = env.from_string(source)
    except TemplateSyntaxError as error:
        raise UserError(f"{where}: broken template ({error.message})") from None
    return Mapped(source, lambda row: _guarded(lambda: template.render(_names(row)), where))


def _names(row: Mapping[str, Json]) -> dict[str, Json]:
    """Return what a mapping's template knows: the columns, and the whole row unless a column has that name."""
    return {"row": row, **row}


def _guarded(evaluate: Callable[[], Json], where: str) -> Json:
    try:
        value = evaluate()
    except UndefinedError as error:
        return MissingValue(_undefined_name(error.message or ""))
    except _FAILURES as error:
        raise UserError(f"{where}: the template fails ({error})") from None
    if isinstance(value, Undefined):
        if issubclass(getattr(value, "_undefined_exception", UndefinedError), SecurityError):
            raise UserError(f"{where}: the template fails ({getattr(value, '_undefined_message', 'unsafe')})")
        return MissingValue(_undefined_name(getattr(value, "_undefined_message", "")))
    return value


def _undefined_name(message: str) -> str:
    quoted = re.search(r"'([^']+)' is undefined|no attribute '([^']+)'", message)
    return next((g for g in quoted.groups() if g), message) if quoted else message


def reaches_into(source: str, name: str) -> Iterator[tuple[str | None, ...]]:
    """Yield every way in which a template uses `name`: `("a", "b")` for `name.a.b` or `name['a']['b']`.

    A step that only shows when the template is rendered is None; `()` is the name itself.

    Raises:
        TemplateSyntaxError: the template is broken.
    """
    pending: list[nodes.Node] = [environment().parse(source)]
    while pending:
        node = pending.pop()
        path = _path(node, name)
        if path is None:
            pending.extend(node.iter_child_nodes())
        else:
            yield path


def _path(node: nodes.Node, name: str) -> tuple[str | None, ...] | None:
    """Return the steps of `name.a['b']`; None where the node is no such chain."""
    steps: list[str | None] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getattr):
            steps.insert(0, node.attr)
        else:
            steps.insert(0, str(node.arg.value) if isinstance(node.arg, nodes.Const) else None)
        node = node.node
    return tuple(steps) if isinstance(node, nodes.Name) and node.name == name else None


class Prompt:
    """A prompt template of a protocol."""

    def __init__(self, source: str, where: str) -> None:
        self._where = where
        try:
            self._template = environment().from_string(source)
        except TemplateSyntaxError as error:
            raise UserError(f"{where}: broken template ({error.message})") from None

    def render(self, context: Mapping[str, Json]) -> str:
        """Return the prompt's text.

        Raises:
            UserError: the template uses a name that prompts do not have.
        """
        try:
            return self._template.render(context)
        except UndefinedError as error:
            raise UserError(f"{self._where}: {error.message} (prompts know: {', '.join(sorted(context))})") from None
        except _FAILURES as error:
            raise UserError(f"{self._where}: the template fails ({error})") from None
