"""Small runs for boards, made with the real parts: tasks, models, runs, scoring."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.leaderboard.board import Board
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.runs.execute import Sitting, execute
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run
from r2d_bench.runs.selection import select
from r2d_bench.runs.setup import plan_run
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.spec import BertScore

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.tasks.task import Task

HOSTILE = (
    "</script><script>window.hacked=1</script>",
    '<img src=x onerror="window.hacked=1">',
    "line\u2028separator\u2029here",
    "{{ 7 * 7 }} {% raw %} ${1+1} `",
    '=HYPERLINK("http://x.invalid")',
)
# Made of words that stand nowhere else, so that a leak cannot hide.
HIDDEN_INPUT = "quillfeather {n} bramblewick ostler vanderhoek mulberry croquet zephyrine pockmark thimblerig"
HIDDEN_OUTPUT = "gallimaufry {n} snickersnee pettifog borborygmus wainscot kerfuffle taradiddle lollygag widdershins"
WIDE_ROWS = 620  # three shards


class Quiet:
    """Nobody watches."""

    def stage(self, name: str, *, total: int, stored: int) -> None: ...

    def advance(self, *, failed: bool) -> None: ...


def make_run(task: Task, spec: str, runs: Path, *, limit: int | None = None, score: bool = True) -> str:
    model = make_model(parse_spec(spec), task=task, seed=0)
    if spec.startswith("baseline"):
        model.fit(task.examples("train"), task.examples("validation"))
    setup = plan_run(task, model)
    store = RunStore(runs / setup.folder)
    execute(task, model, setup, Sitting(select(task.examples(), limit=limit)), store, Quiet())
    if score:
        options = ScoreOptions(bertscore=BertScore(model="none"), resamples=50, paper=False)
        score_run(store, task, options, Scorers())
    return store.name


TASK_YAML = """\
name: {name}
version: 1
title: {title}
visibility: {visibility}
licence: CC0-1.0
source: {{files: {{test: rows.csv}}}}
fields: {{id: "{{{{ id }}}}", input: "{{{{ text }}}}", gold: "{{{{ gold }}}}", references: "{{{{ why }}}}"}}
label: {{space: closed, values: [yes, no]}}
prompts: {{instruction: Answer.}}
"""


def write_task(folder: Path, visibility: str, rows: list[dict[str, str]], title: str = "A task of our own") -> None:
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text(TASK_YAML.format(name=folder.name, title=title, visibility=visibility))
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["id", "text", "gold", "why"])
        writer.writeheader()
        writer.writerows(rows)


def write_predictions(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@dataclass(frozen=True)
class Made:
    """What the fixture made: where runs and tasks lie, the site, and the names of run folders."""

    runs: Path
    tasks: Path
    site: Path
    tfidf: str
    majority: str
    mock: str
    partial: str
    unscored: str
    wide: str
    secret: str


def wide_task(folder: Path) -> Path:
    """Every third label is wrong, every tenth is no label; the texts are hostile."""
    rows, said = [], []
    for n in range(WIDE_ROWS):
        text = HOSTILE[n % len(HOSTILE)]
        rows.append({"id": f"w{n}", "text": f"input {n} {text}", "gold": "yes", "why": f"gold {text}"})
        label = text if n % 10 == 0 else "no" if n % 3 == 0 else "yes"
        said.append({"id": f"w{n}", "label": label, "rationale": f"said {n} {text}"})
    write_task(folder / "wide", "public", rows, title="Wide <b>task</b>")
    write_predictions(folder / "=cmd.jsonl", said)
    return folder / "=cmd.jsonl"


def secret_task(folder: Path) -> Path:
    numbers = [chr(ord("a") + n) * 5 for n in range(20)]
    golds = ["yes", "no"] * 10
    rows = [
        {"id": f"mrnx-{n}", "text": HIDDEN_INPUT.format(n=n), "gold": gold, "why": HIDDEN_OUTPUT.format(n=n)}
        for n, gold in zip(numbers, golds, strict=True)
    ]
    said = [{"id": f"mrnx-{n}", "label": "yes", "rationale": HIDDEN_OUTPUT.format(n=n + n)} for n in numbers]
    write_task(folder / "secret", "private", rows)
    write_predictions(folder / "secret.jsonl", said)
    return folder / "secret.jsonl"


def board(**settings: object) -> Board:
    return Board.model_validate({"name": "test", "title": "A board"} | settings)


def text_of(path: Path) -> str:
    """The text of a file of a site, packed or not."""
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
