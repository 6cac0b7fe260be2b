"""Every command and Python snippet of README and docs is run, page by page, in a folder of its own, offline.

Each page is a process: its commands run one after the other as a reader would type them, in a world that is small but
real (doc_world.py). What a page shows as a file (a block with a title) is written there first.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from doc_reader import Reader, Runner, environment, on_terminal, spoken
from doc_world import furnish, make_world
from fault_server import FaultServer
from hub_server import HubServer
from pages import PAGES, ROOT, Command, File, Snippet, commands, name, steps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PUBLISHING = "docs/howto/publish.md"
# Loaded once for all pages.
ENGINES = (
    "torch",
    "transformers",
    "sklearn.pipeline",
    "bert_score",
    "pyarrow.parquet",
    "litellm",
    "r2d_bench.cli.main",
)
LOOPBACK = "http://127.0.0.1:8000/v1"  # what the docs write for a server of one's own
INDEX = "needs the package index; tests/acceptance/test_wheel.py installs what is built"
# Not run here: command → why, and what runs it instead.
NOT_RUN = {
    "make bench": "CI runs it as a job of its own",
    "make test": "CI runs it; it runs this test",
    "make format": "rewrites the checkout; CI runs its checking half (make lint)",
    "pip install 'r2d-bench[hf,bertscore]'": INDEX,
    "pip install 'r2d-bench[hf,api,bertscore]'": INDEX,
    "pip install 'r2d-bench[train,bertscore]'": INDEX,
    "pip install 'r2d-bench[ct2]'": INDEX,
}
SET = [f"stages.{stage}.{key}=2" for stage in ("explain", "decide") for key in ("steps", "batch_size")]
ON_SPEC = "".join(f",{one}" for one in SET)
ON_TRAIN = "".join(f" --set {one}" for one in SET)
STEPS, PROMPTS = "the recipe's 80,000 steps take days on one core", "prompts of a chat model on one core"
# Run in a shorter way, in which every word of the docs' stands: command → (instead, why).
SHORTENED = {
    "pip install .": ("pip install . --no-deps --no-build-isolation --target .", "no package index"),
    "r2d-bench train google/flan-t5-base -t pubmedqa --recipe paper/r2d": (
        f"r2d-bench train google/flan-t5-base -t pubmedqa --recipe paper/r2d{ON_TRAIN}",
        STEPS,
    ),
    "r2d-bench run r2d:google/flan-t5-base -t pubmedqa --seeds 1,2,3": (
        f"r2d-bench run r2d:google/flan-t5-base{ON_SPEC} -t pubmedqa --seeds 1,2,3 --limit 12",
        STEPS,
    ),
    "r2d-bench run r2d:./base,sampling.ceiling=0.5 -t triage": (
        f"r2d-bench run r2d:./base,sampling.ceiling=0.5{ON_SPEC} -t triage --limit 12",
        STEPS,
    ),
    "r2d-bench run hf:org/chat-model -t triage --protocol label_first --label-method scored": (
        "r2d-bench run hf:org/chat-model -t triage --protocol label_first --label-method scored --limit 6",
        PROMPTS,
    ),
    "r2d-bench run hf:./my-t5 -t triage --judge label_support --judge-model hf:org/chat-model --judge-sample 100": (
        (
            "r2d-bench run hf:./my-t5 -t triage --judge label_support --judge-model hf:org/chat-model"
            " --judge-sample 100 --judge-sample 4"
        ),
        PROMPTS,
    ),
    "r2d-bench run chat my-t5 baseline:tfidf -t triage --board main": (
        "r2d-bench run chat my-t5 baseline:tfidf -t triage --board main --limit 6",
        PROMPTS,
    ),
}
# Typed at a terminal: command → what is answered.
ANSWERS = {"r2d-bench tasks new --from notes.csv": "\n" * 20}
# Pages that go on from the run folders of the first page.
GO_ON = {"docs/howto/judge.md", "docs/howto/compare.md", "docs/howto/publish.md"}
FIRST_PAGE = "r2d-bench run hf:./my-t5 baseline:majority baseline:tfidf -t triage --limit 24"


@dataclass(frozen=True)
class World:
    """What all pages share: the folder, and the process that has loaded the engines."""

    folder: Path
    runner: Runner


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Build what all pages share, and the runs that the first page leaves behind."""
    folder = make_world(tmp_path_factory.mktemp("world"))
    place = folder / "first" / "reader"
    place.mkdir(parents=True)
    furnish(place, folder)
    env = environment(place, folder, LOOPBACK)
    with Runner(env, ENGINES) as runner:
        run_steps([Command(FIRST_PAGE)], Reader(place, env, LOOPBACK, runner))
        yield World(folder, runner)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """Serve chat completions."""
    with FaultServer(script=spoken) as serving:
        yield serving


def settled(folder: Path, world: World, server: FaultServer, *, goes_on: bool) -> Reader:
    """Return a reader in a folder of their own, with the run folders of the first page if the page goes on."""
    place = folder / "reader"
    place.mkdir()
    furnish(place, world.folder)
    if goes_on:
        shutil.copytree(world.folder / "first" / "reader" / "runs", place / "runs")
    return Reader(place, environment(place, world.folder, server.url), server.url, world.runner)


def as_step(step: Command | Snippet, url: str) -> dict[str, Any]:
    """Return a step for the runner."""
    if isinstance(step, Snippet):
        return {"python": step.text}
    text, _ = SHORTENED.get(step.text, (step.text, ""))
    words = shlex.split(text.replace(LOOPBACK, url))[1:]
    if "pubmedqa" in words:  # made-up rows, which the real task's digests refuse
        words += ["--task-dir", "../stand_ins"]
    return {"argv": words, "code": step.code}


def run_steps(chosen: list[Command | Snippet], reader: Reader) -> None:
    """Run steps in one process; fails with what the first bad one said."""
    results = reader.runner.run([as_step(step, reader.url) for step in chosen], reader.place, reader.env)
    for step, result in zip(chosen, results, strict=False):
        sys.stdout.write(f"{result['seconds']} s: {step.text}\n{result['out'][-3000:]}{result['err'][-2000:]}\n")
        wanted = step.code if isinstance(step, Command) else 0
        assert result["code"] == wanted, f"{step.text}\n{result['out'][-2000:]}\n{result['err'][-3000:]}"
    assert len(results) == len(chosen), f"{chosen[len(results)].text}: the process has died"


def in_shell(command: str, reader: Reader) -> None:
    """Run a command of another program."""
    text, _ = SHORTENED[command]
    program = ["bash", "-c", text]
    done = subprocess.run(program, cwd=reader.place, env=reader.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def typed(command: str, reader: Reader) -> None:
    """Type a command at a terminal, and its answers behind it."""
    code, said = on_terminal(shlex.split(command), ANSWERS[command], reader)
    assert code == 0, f"{command}\n{said}"


def groups(page: Path) -> Iterator[list[Any]]:
    """Yield the steps of a page, those that one process can run together in one list."""
    together: list[Command | Snippet] = []
    for step in steps(page):
        if isinstance(step, Command) and step.text in NOT_RUN:
            continue
        alone = isinstance(step, File) or step.text in ANSWERS or not as_ours(step)
        if not alone:
            together.append(step)
            continue
        if together:
            yield together
        together = []
        yield [step]
    if together:
        yield together


def as_ours(step: Command | Snippet) -> bool:
    """Tell whether the runner can run a step."""
    return isinstance(step, Snippet) or step.text.startswith("r2d-bench ")


def do(group: list[Any], reader: Reader) -> None:
    """Do one group of steps."""
    first = group[0]
    if isinstance(first, File):
        file = reader.place / first.name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(first.text, encoding="utf-8")
    elif first.text in ANSWERS:
        typed(first.text, reader)
    elif as_ours(first):
        run_steps(group, reader)
    else:
        in_shell(first.text, reader)


@pytest.mark.parametrize("page", [page for page in PAGES if name(page) != PUBLISHING], ids=name)
def test_what_a_page_says_works(page: Path, world: World, server: FaultServer, tmp_path: Path) -> None:
    reader = settled(tmp_path, world, server, goes_on=name(page) in GO_ON)
    for group in groups(page):
        do(group, reader)


def test_what_the_page_on_publishing_says_works(world: World, server: FaultServer, tmp_path: Path) -> None:
    """The remote repository is a bare one here, the hub a server on loopback."""
    reader = settled(tmp_path, world, server, goes_on=True)
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "board.git")], check=True)
    with HubServer() as hub:
        online = reader.env | {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_TOKEN": "none"}
        with Runner(online) as fresh:  # the hub's library reads its address when it is imported
            for group in groups(ROOT / PUBLISHING):
                do(group, replace(reader, runner=fresh, env=online))
    pages = {"index.html", "downloads/results.json"}
    assert pages <= set(hub.spaces["me/board"])
    tree = ["git", "-C", str(tmp_path / "board.git"), "ls-tree", "-r", "--name-only", "gh-pages"]
    assert pages <= set(subprocess.run(tree, capture_output=True, text=True, check=True).stdout.split())


def test_the_tables_name_commands_of_the_docs() -> None:
    known = {command.text for _, command in commands()}
    assert set(NOT_RUN) | set(SHORTENED) | set(ANSWERS) <= known
    assert not set(NOT_RUN) & set(SHORTENED)
    assert GO_ON | {PUBLISHING} <= {name(page) for page in PAGES}


@pytest.mark.parametrize("command", SHORTENED)
def test_what_is_run_instead_says_no_less(command: str) -> None:
    instead, _ = SHORTENED[command]
    words = shlex.split(instead)
    assert all(any(word.startswith(asked) for word in words) for asked in shlex.split(command))
