"""Tiny checkpoints, trained once per session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tiny import tiny_causal, tiny_t5, triage_pairs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def t5_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_t5(tmp_path_factory.mktemp("t5") / "tiny-triage", triage_pairs(400))


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_causal(tmp_path_factory.mktemp("chat") / "tiny-chat", triage_pairs(400))


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_causal(tmp_path_factory.mktemp("text") / "tiny-text", triage_pairs(400), chat=False)
