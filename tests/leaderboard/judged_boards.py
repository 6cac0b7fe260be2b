"""Runs that judges have judged, of a public task with hostile texts and of a private one; one judge is audited."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml
from boards import HIDDEN_INPUT, HIDDEN_OUTPUT, HOSTILE, board, make_run, write_predictions, write_task
from run_parts import Counting, Quiet

from r2d_bench.judging.ask import JudgeOptions, judge_run, plan_judging
from r2d_bench.judging.audit import AuditOptions, plan_audit, run_audit
from r2d_bench.judging.human_sets import read_human_set
from r2d_bench.judging.rubric import load_rubric
from r2d_bench.leaderboard.build import build
from r2d_bench.models.base import Capabilities, Identity
from r2d_bench.records import Response, digest
from r2d_bench.runs.budget import Budget
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.judging.rubric import LoadedRubric
    from r2d_bench.records import Request
    from r2d_bench.tasks.task import Task

ROWS = 40
PRIVATE_HOST = "10.11.12.13"
OWN_QUESTION = "Would a zanzibar flugelhorn perambulate the quadrangle of whimsy and rhubarb?"
EXPLAINED = "{n} hornswoggle bumbershoot cattywampus gobbledygook codswallop skedaddle whippersnapper nincompoop"
LEVELS = {"Contradiction": 1, "Neutral": 3, "Entailment": 5}


class Judge(Counting):
    """A judge whose scores follow from what is asked; of every eighth case, or so, its replies cannot be read.

    Args:
        name: its name, with the host of its server behind an @.
        endpoint: where texts would go; None for this process.
        explanation: what it says, with the score in place of {n}.
    """

    def __init__(self, name: str, endpoint: str | None = None, explanation: str = "{n} of 5.") -> None:
        super().__init__(self._say)
        self._name, self._endpoint, self._explanation = name, endpoint, explanation

    @property
    def identity(self) -> Identity:
        return Identity("api", self._name, params={"temperature": 0})

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(chat=True, endpoint=self._endpoint, default_protocol="zero_shot")

    def _say(self, request: Request) -> Response:
        draw = int(request.content[:6], 16) + len(self._name)
        if int(digest(request.input, 6), 16) % 8 == 0:
            return Response("I would rather not put a number on it.", input_tokens=9, output_tokens=9)
        parts = json.loads(request.json_schema or "{}")["properties"]
        scores = {name: 1 + (draw // (k + 1)) % 5 for k, name in enumerate(parts["scores"]["properties"])}
        flags = {name: (draw >> k) % 7 == 0 for k, name in enumerate(parts.get("flags", {}).get("properties", {}))}
        reply = {"explanation": self._explanation.format(n=draw % 5 + 1), "scores": scores}
        return Response(json.dumps(reply | ({"flags": flags} if flags else {})), input_tokens=9, output_tokens=9)


@dataclass(frozen=True)
class JudgedBoard:
    """What was made: folders, names of runs, and the rubric that the private task was judged by as well."""

    runs: Path
    tasks: Path
    audits: Path
    site: Path
    open: tuple[str, str]
    closed: str


def make_board(base: Path) -> JudgedBoard:
    """Make runs, let judges judge them, audit one of the judges, and build the site."""
    runs, tasks, audits = base / "runs", base / "tasks", base / "audits"
    tasks.mkdir()
    opened, closed = _open_task(base, tasks), _closed_task(base, tasks)
    open_runs = tuple(make_run(opened, f"replay:{base / f'{name}.jsonl'}", runs) for name in ("qwen-7b", "other"))
    closed_run = make_run(closed, f"replay:{base / 'closed.jsonl'}", runs)
    remote = Judge("acme/qwen-judge@" + PRIVATE_HOST, f"http://{PRIVATE_HOST}:8123/v1/secret-path", HOSTILE[0] + " {n}")
    local, rubric = Judge("house-judge", explanation=EXPLAINED), load_rubric("clinical_rationale")
    for run in open_runs:
        for judge in (remote, local):
            judged(RunStore(runs / run), opened, rubric, judge)
    for own in (rubric, load_rubric(str(own_rubric(base / "own")))):
        judged(RunStore(runs / closed_run), closed, own, local)
    audit(local, rubric, base, audits)
    build(board(), runs, base / "site", [tasks], audits)
    return JudgedBoard(runs, tasks, audits, base / "site", (open_runs[0], open_runs[1]), closed_run)


def _open_task(base: Path, tasks: Path) -> Task:
    texts = [HOSTILE[n % len(HOSTILE)] for n in range(ROWS)]
    rows = [
        {"id": f"o{n}", "text": f"case {n} {text}", "gold": "yes", "why": f"gold {n}"} for n, text in enumerate(texts)
    ]
    write_task(tasks / "open", "public", rows, title="Open <b>task</b>")
    for name, every in (("qwen-7b", 3), ("other", 4)):
        said = [
            {"id": row["id"], "label": "no" if n % every == 0 else "yes", "rationale": f"{name} said {n} {texts[n]}"}
            for n, row in enumerate(rows)
        ]
        write_predictions(base / f"{name}.jsonl", said)
    return load_task(str(tasks / "open"))


def _closed_task(base: Path, tasks: Path) -> Task:
    numbers = [f"{chr(ord('a') + n % 26) * 5}{chr(ord('a') + n // 26)}" for n in range(ROWS)]
    rows = [
        {"id": f"mrn-{n}", "text": HIDDEN_INPUT.format(n=n), "gold": gold, "why": HIDDEN_OUTPUT.format(n=n)}
        for n, gold in zip(numbers, ["yes", "no"] * (ROWS // 2), strict=True)
    ]
    write_task(tasks / "closed", "private", rows)
    said = [{"id": f"mrn-{n}", "label": "yes", "rationale": HIDDEN_OUTPUT.format(n=n + n)} for n in numbers]
    write_predictions(base / "closed.jsonl", said)
    return load_task(str(tasks / "closed"))


def own_rubric(folder: Path) -> Path:
    """Write a rubric of a user's own, whose words may quote examples."""
    folder.mkdir()
    values = {
        "name": "house_rubric",
        "version": "1",
        "title": OWN_QUESTION,
        "description": OWN_QUESTION,
        "system": OWN_QUESTION,
        "criteria": [
            {"name": "tone", "title": "Tone", "question": OWN_QUESTION, "anchors": dict.fromkeys("12345", "So it is.")}
        ],
        "flags": [{"name": "rude", "title": "Rude", "question": OWN_QUESTION, "critical": "true"}],
    }
    (folder / "judge.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    questions = "{% for one in criteria %}{{ one.question }}\n{% endfor %}"
    prompt = questions + "{{ case }}\n{{ answer }}\n{{ format }}\n"
    (folder / "prompt.j2").write_text(prompt, encoding="utf-8")
    return folder


def judged(run: RunStore, task: Task, rubric: LoadedRubric, judge: Judge) -> None:
    """Let a judge judge a run; the first examples are asked about twice."""
    options = JudgeOptions(repeats=2, repeated=12)
    judge_run(plan_judging(run, task, rubric, judge, options), Budget(), Quiet())


def audit(judge: Judge, rubric: LoadedRubric, base: Path, audits: Path) -> None:
    """Audit a judge on a few rated claims and a few cases of the bundled set."""
    words = list(LEVELS)
    lines = [
        {
            "id": n,
            "question": f"Question {n}?",
            "answer": f"This is the answer to question {n}.",
            "claim": f"claim {n}",
            "majority": words[n % 3],
            "labels": [words[n % 3], words[n % 3], words[(n + n % 2) % 3]],
        }
        for n in range(120)
    ]
    path = base / "kqa_nli.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    people, triage = read_human_set("kqa", path), load_task("triage")
    run_audit(plan_audit(triage, rubric, judge, [people], audits, AuditOptions(sample=80)), Budget(), Quiet())
