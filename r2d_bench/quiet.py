"""Silence while transformers loads."""

from __future__ import annotations

import io
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' progress bars and advice, and restore both.

    The bar of GGUF files asks no setting, so that the standard error stream is set aside meanwhile.
    """
    from transformers.utils import logging  # noqa: PLC0415 - an engine, imported where it is used

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
