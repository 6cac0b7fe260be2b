"""The errors that a person is meant to read."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class UserError(Exception):
    """Bad input, told in one line: where it is, what is wrong, how to mend it.

    The command line prints the message without a traceback and exits with `exit_code`.
    """

    exit_code = 2


class MissingDependencyError(UserError):
    """An optional engine that is not installed; the message holds the install command.

    `other` is an extra for machines without an accelerator, which excludes `extra`.
    """

    def __init__(self, what: str, extra: str, other: str | None = None) -> None:
        instead = f" (without an accelerator: 'r2d-bench[{other}]')" if other else ""
        super().__init__(f"{what} needs an optional engine: pip install 'r2d-bench[{extra}]'{instead}")


class IncompleteRunError(UserError):
    """Some requests have no answer after the last retry; the same command continues."""

    exit_code = 3


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `" (did you mean 'x'?)"` for the nearest known word, else the known words in short."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f" (did you mean '{close[0]}'?)"
    return f" (known: {', '.join(names[:20])})" if names else ""
