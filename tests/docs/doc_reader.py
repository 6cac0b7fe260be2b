"""Someone who reads the docs and types what they say: their folder, environment, terminal, chat model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fault_server import completion

if TYPE_CHECKING:
    from collections.abc import Sequence

RUNNER = Path(__file__).with_name("page_runner.py")


class Runner:
    """A process that has loaded engines and runs the steps of pages in children of its own (page_runner.py)."""

    def __init__(self, env: dict[str, str], engines: Sequence[str] = ()) -> None:
        command = [sys.executable, str(RUNNER), *engines]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, env=env, text=True, **pipes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)

    def run(self, steps: list[dict[str, Any]], place: Path, env: dict[str, str]) -> list[dict[str, Any]]:
        """Run steps one after the other; returns what came of each, up to the first that did not end as wanted."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        told = place.with_name("told.jsonl")
        job = {"steps": steps, "place": str(place), "env": env, "told": str(told)}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"
        return [json.loads(line) for line in told.read_text(encoding="utf-8").splitlines()]


@dataclass(frozen=True)
class Reader:
    """Who types: the folder they stand in, their environment, the chat server's address, the process that runs."""

    place: Path
    env: dict[str, str]
    url: str
    runner: Runner


def spoken(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Answer as a chat model does: a judge's form where one is asked for, else a label and a rationale."""
    form = body.get("response_format", {}).get("json_schema", {}).get("schema")
    if form is not None:
        return 200, completion(json.dumps(filled(form)))
    return 200, completion(json.dumps({"rationale": "The note says so.", "label": "HOME_CARE"}))


def filled(schema: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    """Return the first value that fits a schema."""
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    if "anyOf" in schema:
        return filled(schema["anyOf"][0])
    if schema["type"] == "object":
        return {name: filled(part) for name, part in schema["properties"].items()}
    return {"boolean": False, "integer": 3, "string": "short"}[schema["type"]]


def environment(place: Path, world: Path, url: str) -> dict[str, str]:
    """Return a reader's environment: no network but loopback, a key that is none, git's own test remote."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "R2D_", "OPENAI_", "GIT_"))}
    return kept | {
        "HOME": str(place),
        "HF_HOME": str(world / "hf_home"),
        "HF_HUB_OFFLINE": "1",
        "R2D_BENCH_DATA": str(world / "data"),
        "OPENAI_BASE_URL": url,
        "OPENAI_API_KEY": "none",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(place),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{place.parent}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "git@github.com:me/",
    }


def on_terminal(words: list[str], answers: str, reader: Reader) -> tuple[int, str]:
    """Type a command at a terminal and its answers behind it; returns exit code and what was said."""
    import pty

    ours, theirs = pty.openpty()
    program = [sys.executable, "-m", "r2d_bench.cli.main", *words[1:]]
    with subprocess.Popen(
        program, cwd=reader.place, env=reader.env, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE
    ) as process:
        os.close(theirs)
        os.write(ours, answers.encode())
        said = b""
        try:
            while part := os.read(ours, 4096):
                said += part
        except OSError:  # the other end is closed
            pass
        _, err = process.communicate(timeout=60)
        os.close(ours)
    return process.returncode, said.decode() + err.decode()
