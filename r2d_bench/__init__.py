"""Benchmark clinical NLP models that predict a label and write a rationale.

```python
from r2d_bench import run

report = run(["hf:./my-t5", "baseline:majority"], tasks=["triage"])
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from r2d_bench.api import build_leaderboard, compare, judge, load_task, run, score

__version__ = "0.1.0"
__all__ = ["__version__", "build_leaderboard", "compare", "judge", "load_task", "run", "score"]


def __getattr__(name: str) -> object:
    """Import the public functions when they are first used: `--help` must not wait for them."""
    if name in __all__:
        from r2d_bench import api  # noqa: PLC0415

        return getattr(api, name)
    raise AttributeError(f"module 'r2d_bench' has no attribute '{name}'")
