"""A task folder that is made of vignettes: `families/*.yaml` and `lexicon.yaml` in, rows out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.documents import load, write_atomically
from r2d_bench.errors import UserError
from r2d_bench.tasks.spec import TaskSpec
from r2d_bench.vignettes.lexicon import Lexicon
from r2d_bench.vignettes.lint import problems
from r2d_bench.vignettes.material import Family, load_family
from r2d_bench.vignettes.sets import make_sets

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Json

FAMILIES = "families"
LEXICON = "lexicon.yaml"
SUMS = "checksums.txt"


@dataclass(frozen=True)
class Material:
    """Everything that a set is made of."""

    spec: TaskSpec
    lexicon: Lexicon
    families: tuple[Family, ...]


def is_made_of_vignettes(folder: Path) -> bool:
    """Return whether a task folder holds material for vignettes."""
    return (folder / FAMILIES).is_dir() and (folder / LEXICON).is_file()


def load_material(folder: Path) -> Material:
    """Return the material of a task folder.

    Raises:
        UserError: the folder holds none, or a file does not fit its schema.
    """
    if not is_made_of_vignettes(folder):
        raise UserError(f"{folder}: holds no vignettes ({FAMILIES}/*.yaml and {LEXICON})")
    families = tuple(load_family(path) for path in sorted((folder / FAMILIES).glob("*.yaml")))
    return Material(load(TaskSpec, folder / "task.yaml"), load(Lexicon, folder / LEXICON), families)


def build(material: Material) -> dict[str, bytes]:
    """Return the files that the material gives, by name, with their checksums.

    The same material gives the same bytes: every draw depends on the lexicon's seed and on names.

    Raises:
        UserError: a family is unsound, or the material does not suffice.
    """
    labels = material.spec.label.values
    for family in material.families:
        if found := problems(family, material.lexicon, labels):
            raise UserError(f"{FAMILIES}/{family.family}.yaml: {found[0]} ({len(found)} problems)")
    try:
        sets = make_sets(material.families, material.lexicon, labels, material.lexicon.sizes, material.spec.version)
    except ValueError as error:
        raise UserError(str(error)) from None
    files = {f"{name}.jsonl": _lines(rows) for name, rows in sets.items()}
    sums = "".join(f"{hashlib.sha256(raw).hexdigest()}  {name}\n" for name, raw in sorted(files.items()))
    return files | {SUMS: sums.encode()}


def _lines(rows: list[dict[str, Json]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def write(files: dict[str, bytes], folder: Path) -> None:
    """Write built files into a task folder, each at once."""
    for name, raw in files.items():
        write_atomically(folder / name, raw.decode())


def changed(files: dict[str, bytes], folder: Path) -> list[str]:
    """Return the names of files that differ from what lies in the folder."""
    return [name for name, raw in files.items() if not (folder / name).is_file() or (folder / name).read_bytes() != raw]
