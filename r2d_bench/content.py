"""Finding content folders: tasks, judges, leaderboards.

They are looked for, first hit wins, in folders the user names, in the checkout, in the installed wheel, and in
other packages that announce a folder under the entry-point group `r2d_bench.content`.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from r2d_bench.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Kind = Literal["tasks", "judges", "leaderboards"]
MAIN_FILE: dict[Kind, str] = {"tasks": "task.yaml", "judges": "judge.yaml", "leaderboards": "board.yaml"}


def roots(kind: Kind, extra: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield the folders that hold content of this kind, in order of precedence."""
    for folder in extra:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder (given to look for {kind})")
        yield folder
    package = Path(__file__).parent
    checkout = package.parent / kind
    if (package.parent / "pyproject.toml").is_file() and checkout.is_dir():
        yield checkout
    if (bundled := package / "_content" / kind).is_dir():
        yield bundled
    for point in entry_points(group="r2d_bench.content"):
        folder = Path(str(point.load()())) / kind
        if folder.is_dir():
            yield folder


def found(kind: Kind, extra: Sequence[Path] = ()) -> dict[str, Path]:
    """Return every content folder of this kind by its name. The folder itself may be given as well."""
    folders: dict[str, Path] = {}
    for root in roots(kind, extra):
        inside = [root] if (root / MAIN_FILE[kind]).is_file() else sorted(root.iterdir())
        for folder in inside:
            if (folder / MAIN_FILE[kind]).is_file():
                folders.setdefault(folder.resolve().name, folder)
    return folders


def find(kind: Kind, name: str, extra: Sequence[Path] = ()) -> Path:
    """Return the folder called `name`; a path to a folder or to its main file works as well.

    Raises:
        UserError: there is none (with the nearest known name).
    """
    main = MAIN_FILE[kind]
    path = Path(name)
    if path.name == main and path.is_file():
        return path.parent
    if (path / main).is_file() and ("/" in name or path.is_absolute() or name.startswith(".")):
        return path
    folders = found(kind, extra)
    if name in folders:
        return folders[name]
    if "/" in name and path.exists():
        raise UserError(f"{path}: holds no {main}")
    singular = kind.removesuffix("s")
    raise UserError(f"unknown {singular} '{name}'{did_you_mean(name, folders)}")
