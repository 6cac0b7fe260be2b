"""litellm, loaded without a word and without a request of its own."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from r2d_bench.errors import MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Read by litellm while it is imported: else it fetches its tables from the network and loads a `.env` file.
_OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",
}
_LOGGERS = ("LiteLLM", "LiteLLM Proxy", "LiteLLM Proxy.stdout", "LiteLLM Router", "openai", "httpx", "httpcore")


def check_installed() -> None:
    """Refuse early where litellm is absent.

    Raises:
        MissingDependencyError: with the command that installs it.
    """
    if importlib.util.find_spec("litellm") is None:
        raise MissingDependencyError("an API model", "api")


def load_litellm() -> Any:  # noqa: ANN401 - an untyped package
    """Return litellm; the first call takes about two seconds.

    Its loggers are silenced: their records hold prompts, and headers with keys.
    """
    if "litellm" not in sys.modules:
        with _environment(_OFFLINE):
            import litellm
            from litellm import anthropic_beta_headers_manager

            anthropic_beta_headers_manager.get_provider_name("anthropic")  # reads its table now, from the package
    import litellm

    litellm.suppress_debug_info = True
    for name in _LOGGERS:
        logging.getLogger(name).disabled = True
    return litellm


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables and put back what was there."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
