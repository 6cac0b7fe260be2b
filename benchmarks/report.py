"""Write docs/performance.md from the figures that the benchmark scripts have left in docs/performance/*.json.

    python benchmarks/report.py
    python benchmarks/report.py --check      # says whether the page is what the files make

The page is a pure function of those files and of what the scripts' docstrings say is compared; tests/docs asserts it.
"""

from __future__ import annotations

import argparse
import ast
import json
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).parent
DOCS = BENCHMARKS.parent / "docs"
HEAD = """\
# Performance

Every claim about speed, size, or correctness over many simulations has a script in `benchmarks/` that measures both
sides in one go. This page is made by `benchmarks/report.py` from the files in `docs/performance/`, which the scripts
write:

```
python benchmarks/startup.py --json docs/performance/startup.json
python benchmarks/report.py
```

A figure without a target is there for orientation. *Load* is what all processes together asked of a core in the last
minute: above 1, others took their share, and times are too long rather than too short; ratios suffer less.
"""


def documents(folder: Path) -> list[dict[str, Any]]:
    """Return the figures of all files, by the scripts' and the files' names."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return sorted(found, key=lambda document: document["name"])


def compared(name: str) -> str:
    """Return the first sentence of the script's docstring: what is compared.

    Raises:
        FileNotFoundError: there is no such script.
    """
    text = ast.get_docstring(ast.parse((BENCHMARKS / f"{name}.py").read_text(encoding="utf-8")))
    return (text or "").partition("\n\n")[0].replace("\n", " ")


def page(found: list[dict[str, Any]]) -> str:
    """Return docs/performance.md."""
    return "\n".join([HEAD, *(section(document) for document in found)])


def section(document: dict[str, Any]) -> str:
    """Return what one file says: what is compared, the machine, a table of figures."""
    name = document["name"]
    rows = [
        "| figure | value | spread | target |",
        "|---|---:|---|---|",
        *(_row(figure) for figure in document["figures"]),
    ]
    about = f"`benchmarks/{name}.py`, {document['date']}. {described(document['machine'])}"
    return "\n".join([f"## {name}", "", compared(name), "", *rows, "", about, ""])


def described(machine: dict[str, Any]) -> str:
    """Return the machine in a line."""
    versions = ", ".join(f"{package} {version}" for package, version in machine["versions"].items())
    flags = f" ({', '.join(machine['flags'])})" if machine["flags"] else ""
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    size = f"{machine['cores']} cores{flags}, {machine['ram_gib']} GiB{gpu}, load {machine['load_per_core']} a core"
    return f"{machine['system']}, {size}; {versions}."


def _row(figure: dict[str, Any]) -> str:
    """Return a line of the table."""
    unit = figure["unit"]
    spread = ""
    if "spread" in figure:
        low, high = (_number(value, unit) for value in figure["spread"])
        spread = f"{low} to {high}" + (f" ({figure['of']})" if "of" in figure else "")
    shown = f"{_number(figure['value'], unit)} {unit}".strip()
    cells = [figure["what"], shown, spread, figure.get("target", "")]
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _number(value: float, unit: str) -> str:
    """Write a share as per cent; everything else with the digits that it was recorded with."""
    return f"{100 * value:.1f}" if unit == "%" else f"{value:,}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page is out of date")
    args = parser.parse_args()
    target, text = DOCS / "performance.md", page(documents(DOCS / "performance"))
    if not args.check:
        target.write_text(text, encoding="utf-8")
    elif not target.is_file() or target.read_text(encoding="utf-8") != text:
        raise SystemExit(f"{target.name} is not what docs/performance/*.json make: python benchmarks/report.py")


if __name__ == "__main__":
    main()
