"""Writing a new task's folder, whole or not at all."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench import content
from r2d_bench.errors import UserError
from r2d_bench.tasks.new import DIVIDED_FILE
from r2d_bench.tasks.task import Task, load_task

if TYPE_CHECKING:
    from r2d_bench.tasks.new import Choices, NewTask

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")  # as in `TaskSpec`


def check_name(name: str, out: Path) -> str:
    """Return the name of a new task in `out`.

    Raises:
        UserError: it is no name, belongs to a bundled task (figures of two tasks must not share a name), or its
            folder exists.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"--name: '{name}' should be small letters, digits, - and _, such as my-notes")
    if name in content.found("tasks"):
        raise UserError(f"--name: '{name}' is a task that r2d-bench brings; choose another name")
    if (out / name).exists():
        raise UserError(f"{out / name}: exists already; choose another --name or --out")
    return name


def write_task(out: Path, choices: Choices, new: NewTask, file: Path) -> Task:
    """Write the task's folder into `out` and return the task, loaded and checked.

    Args:
        out: made where it does not exist.
        choices: the name, and what the task was made of.
        new: its files.
        file: the user's own file, copied byte for byte unless the rows were divided.

    Raises:
        UserError: the folder cannot be written; then nothing is left of it.
    """
    final = out / choices.name
    try:
        out.mkdir(parents=True, exist_ok=True)
        # Beside its place, so that the last step is a rename; the folder inside has the task's name, which is checked.
        with tempfile.TemporaryDirectory(prefix=".new-task-", dir=out) as temporary:
            folder = Path(temporary) / choices.name
            folder.mkdir()
            (folder / "task.yaml").write_text(new.card, encoding="utf-8")
            if new.rows is None:
                shutil.copyfile(file, folder / choices.file)
            else:
                lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in new.rows)
                (folder / DIVIDED_FILE).write_text("".join(lines), encoding="utf-8")
            _load(folder).splits()
            folder.rename(final)
    except OSError as error:
        raise UserError(f"{final}: cannot be written ({error.strerror})") from None
    return _load(final)


def _load(folder: Path) -> Task:
    # $R2D_BENCH_DATA may hold data of that name: a new task is its own data.
    path = str(folder) if folder.is_absolute() else f"./{folder}"
    return replace(load_task(path), data=None)
