"""Runs whose every answer is written down, made and scored with the real parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from run_parts import Counting, carry_out
from small_task import write_task

from r2d_bench.documents import to_json
from r2d_bench.judging.rubric import load_rubric
from r2d_bench.judging.setup import JudgeSetup
from r2d_bench.judging.store import JudgmentStore
from r2d_bench.judging.verdict import Verdict
from r2d_bench.models.base import Identity
from r2d_bench.records import Failure, Response
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run
from r2d_bench.runs.setup import plan_run
from r2d_bench.tasks.spec import BertScore
from r2d_bench.tasks.task import Task, load_task

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from r2d_bench.records import Json, Request
    from r2d_bench.runs.store import RunStore

GOLDS = ("yes", "no", "maybe")
LOST = None  # an answer that never came


def golds(n: int) -> dict[str, str]:
    """Return ids and gold labels of n items, labels in turn."""
    return {f"t{k:03d}": GOLDS[k % 3] for k in range(n)}


def make_task(folder: Path, n: int, *, groups: int | None = None, **parts: Json) -> Task:
    """Write a task of n items, in so many groups where wanted."""
    lines = ["id,note,label,why,family"]
    for k, (ident, label) in enumerate(golds(n).items()):
        family = "" if groups is None else f"g{k % groups}"
        lines.append(f"{ident},note of {ident},{label},the heart of case {ident} was found to be weak,{family}")
    if groups is not None:
        parts["fields"] = {"group": "{{ family }}"}
    parts.setdefault("visibility", "public")
    write_task(folder / "small", "\n".join(lines) + "\n", name="small", **parts)
    return load_task(str(folder / "small"))


def wrong(label: str) -> str:
    """Return a label that is not the given one."""
    return GOLDS[(GOLDS.index(label) + 1) % 3]


def right_on(n: int, which: Callable[[int], bool]) -> dict[str, str | None]:
    """Return answers that are right on some of n items and wrong on the others."""
    return {ident: gold if which(k) else wrong(gold) for k, (ident, gold) in enumerate(golds(n).items())}


class Scripted(Counting):
    """A model that says what was written down for it."""

    def __init__(self, name: str, said: Mapping[str, str | None], rationale: str) -> None:
        super().__init__(self._said)
        self._name, self._labels, self._rationale = name, said, rationale

    def _said(self, request: Request) -> Response | Failure:
        label = self._labels[request.example_id]
        if label is LOST:
            return Failure("connection")
        return Response(label if request.stage == "predict" else self._rationale.format(id=request.example_id))

    @property
    def identity(self) -> Identity:
        return Identity("scripted", self._name)


def make_run(
    task: Task,
    name: str,
    said: Mapping[str, str | None],
    runs: Path,
    *,
    rationale: str = "the heart of case {id} was weak",
    seed: int = 0,
    limit: int | None = None,
) -> RunStore:
    """Ask and score one scripted model."""
    model = Scripted(name, said, rationale)
    store, _ = carry_out(task, model, runs, setup=plan_run(task, model, seed=seed), limit=limit)
    score_run(
        store, task, ScoreOptions(bertscore=BertScore(model="none"), resamples=200, paper=False, seed=0), Scorers()
    )
    return store


def judge(
    store: RunStore,
    scores: Mapping[str, Sequence[float | None]],
    *,
    critical: Collection[str] = (),
    name: str = "m",
) -> str:
    """Write verdicts by the bundled rubric; an item with no scores is unscored. Returns the judging's folder."""
    rubric = load_rubric("clinical_rationale")
    setup = JudgeSetup(rubric, Identity("mock", name).as_json(), None, chat=True)
    path = store.folder / "judgments" / setup.folder
    path.mkdir(parents=True)
    manifest = {"schema": 1, "setup": setup.as_json(), "sittings": []}
    (path / "judge.json").write_text(to_json(manifest), encoding="utf-8")
    names = [criterion.name for criterion in rubric.spec.criteria]
    verdicts = [
        Verdict(
            ident,
            scores=dict(zip(names, values, strict=False)),
            flags={rubric.spec.critical[0]: ident in critical} if values else {},
            unscored=None if values else "parse",
        )
        for ident, values in scores.items()
    ]
    JudgmentStore(path).write_verdicts(verdicts)
    return setup.folder
