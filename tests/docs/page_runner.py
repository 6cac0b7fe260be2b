"""Runs commands and snippets of the docs, those of a page one after the other in one process, as they are typed.

As a program it loads the engines once and then forks for each job, a line of JSON on standard input: `place` (the
folder to stand in), `env`, `steps` ({"argv": […]} or {"python": "…"}, each with the wanted `code`) and `told`, the file
that gets a line for each step: exit code, seconds, and what was said. A job ends with the first step whose code is not
the wanted one; `done` on standard output says that it has ended.
"""

from __future__ import annotations

import contextlib
import glob
import importlib
import io
import json
import os
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any


def expanded(words: list[str]) -> list[str]:
    """Expand `*` as a shell does; a word without a match stays as it is."""
    return [path for word in words for path in (sorted(glob.glob(word)) if "*" in word else []) or [word]]  # noqa: PTH207


def done(step: dict[str, Any]) -> dict[str, Any]:
    """Run a step as if it were typed; returns code, out and err."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = snippet(step["python"]) if "python" in step else command(expanded(step["argv"]))
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 2
        except Exception:  # noqa: BLE001 - told to whoever reads the test's message
            traceback.print_exc()
            code = 1
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def command(argv: list[str]) -> int:
    """Run r2d-bench as its entry point does."""
    from r2d_bench.cli.main import main

    sys.argv = ["r2d-bench", *argv]
    return main(argv)


def snippet(text: str) -> int:
    """Run Python; snippets of one page go on from each other, as in one session."""
    page = sys.modules.setdefault("page", ModuleType("page"))
    exec(compile(text, "page.py", "exec"), vars(page))  # noqa: S102 - that is what is tested
    return 0


def work(job: dict[str, Any]) -> None:
    """Do one job."""
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["place"])
    sys.path.insert(0, job["place"])  # where `pip install --target` of a page puts a package
    with Path(job["told"]).open("w", encoding="utf-8") as told:
        for step in job["steps"]:
            start = time.perf_counter()
            result = done(step)
            told.write(json.dumps(result | {"seconds": round(time.perf_counter() - start, 1)}) + "\n")
            told.flush()
            if result["code"] != step.get("code", 0):
                break


def main() -> None:
    """Serve jobs until standard input is closed."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what programs within a job print is no answer
    for module in sys.argv[1:]:
        importlib.import_module(module)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                work(json.loads(line))
            except BaseException:  # noqa: BLE001 - a fork must not go on as a second server
                traceback.print_exc()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        answers.write("done\n")
        answers.flush()


if __name__ == "__main__":
    main()
