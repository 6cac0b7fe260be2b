"""`r2d:` in a job: checked before anything begins, trained when everything else is ready, then a model like others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from small_task import write_task
from trained_parts import SFT, STYLED, learnt_task, small_base, write_recipe

from r2d_bench.api import _Silent
from r2d_bench.benchmark import benchmark
from r2d_bench.documents import check
from r2d_bench.errors import UserError
from r2d_bench.estimate import estimate
from r2d_bench.job import Job
from r2d_bench.leaderboard.board import Board
from r2d_bench.leaderboard.results import collect
from r2d_bench.models.r2d import R2D
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.planning import plan
from r2d_bench.training.listener import Silent

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.benchmark import Report
    from r2d_bench.leaderboard.document import Row, Table
    from r2d_bench.records import Json
    from r2d_bench.training.listener import Listener
    from r2d_bench.training.planning import Plan

BOARD = Board(name="test", title="A board", columns=("macro_f1", "accuracy"))


class Stages(Silent):
    """Keeps the names of the stages that were trained."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def stage(self, name: str, steps: int) -> None:  # noqa: ARG002
        self.names.append(name)


class Watching(_Silent):
    """Keeps what it was told, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.heard: list[Stages] = []

    def training(self, number: int, of: int, plan: Plan) -> Listener:
        self.told.append(f"training {number}/{of} {plan.lineage.method} seed {plan.seed}")
        self.heard.append(Stages())
        return self.heard[-1]

    def run_started(self, number: int, of: int, setup: Any, selection: object) -> None:  # noqa: ANN401, ARG002
        self.told.append(f"run {number}/{of} {setup.model['kind']}:{setup.model['name']}")

    def left_out(self, spec: str, why: str) -> None:
        self.told.append(f"left out {spec}: {why}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with the task `learnt` and the recipes `r.yaml` and `sft.yaml`."""
    learnt_task(tmp_path)
    write_recipe(tmp_path / "r.yaml")
    write_recipe(tmp_path / "sft.yaml", **SFT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def job_of(*models: str, **more: Json) -> Job:
    task = {"tasks": ["learnt"], "task_dirs": ["."], "site": None, "paper": False, "bertscore": {"model": "none"}}
    return check(Job, {"models": list(models)} | task | more, "test")


def run(*models: str, **more: Json) -> tuple[Report, Watching]:
    watching = Watching()
    return benchmark(job_of(*models, **more), watching), watching


def table(folder: Path, **names: str) -> Table:
    (made,) = collect(BOARD, folder / names.get("runs", "runs"), [folder]).tables
    return made


def rows(folder: Path) -> dict[str, Row]:
    return {f"{row.model.kind} s{row.seed}": row for row in table(folder).rows}


def test_it_is_trained_after_everything_is_checked_and_keeps_its_place(folder: Path):
    report, watching = run("r2d:tiny,recipe=r.yaml", "baseline:majority", "r2d:tiny,recipe=sft.yaml,seed=7")
    assert watching.told == [
        "training 1/2 r2d seed 0",
        "training 2/2 sft seed 7",
        "run 1/3 r2d:tiny r2d",
        "run 2/3 baseline:majority",
        "run 3/3 r2d:tiny r2d",
    ]
    assert [heard.names for heard in watching.heard] == [["explain", "decide"], ["decide"]]
    first, _, last = report.finished
    identity = first.setup.model
    assert (identity["kind"], identity["name"]) == ("r2d", "tiny r2d")
    assert identity["params"] | {"recipe": ""} == {"method": "r2d", "recipe": "", "seed": 0, "dtype": "float32"}
    assert len(identity["digest"]) == 64
    assert (first.setup.protocol.name, last.setup.protocol.name) == ("r2d", "sft")
    assert last.setup.no_rationale == "protocol sft elicits no rationale"
    assert last.setup.model["params"]["seed"] == 7
    assert not report.incomplete
    assert len(list((folder / "checkpoints").iterdir())) == 2


def test_again_it_is_found_and_nothing_is_asked(folder: Path):
    first, _ = run("r2d:tiny,recipe=r.yaml")
    again, watching = run("r2d:tiny,recipe=r.yaml")
    assert watching.told == ["run 1/1 r2d:tiny r2d"]
    assert again.finished[0].folder == first.finished[0].folder
    assert (first.finished[0].outcome.answered, again.finished[0].outcome.answered) == (24, 0)
    assert len(list((folder / "runs").iterdir())) == 1


def test_it_answers_as_hf_does(folder: Path):
    run("r2d:tiny,recipe=r.yaml")
    (checkpoint,) = (folder / "checkpoints").iterdir()
    report, _ = run("r2d:tiny,recipe=r.yaml", f"hf:{checkpoint}")
    one, other = ((run.folder / "responses.jsonl").read_text() for run in report.finished)
    assert sorted(one.splitlines()) == sorted(other.splitlines())
    made = rows(folder)
    assert made["r2d s0"].training == made["hf s0"].training


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (["r2d:tiny,recipe=r.yaml", "hf:./nowhere"], "no such folder"),
        (["r2d:tiny,recipe=r.yaml", "r2d:./nowhere"], "no such folder"),
        (["r2d:tiny,recipe=r.yaml", "r2d:tiny,recipe=r.yaml,stepps=3"], "unknown key 'stepps'"),
        (["r2d:tiny,recipe=r.yaml", "r2d:tiny,recipe=r.yaml,accumulation=5"], "cannot be split into 5"),
        (["r2d:tiny,recipe=r.yaml", "r2d:tiny"], r"batch_size: \d+ is more than the 20"),
        (["r2d:tiny,recipe=r.yaml", "r2d:tiny,recipe=nope"], "recipe 'nope': no such recipe"),
        (["r2d:tiny,recipe=r.yaml", "r2d:tiny,recipe=r.yaml,dtype=int8"], "dtype"),
        (["r2d:tiny,recipe=r.yaml", "r2d:tiny,recipe=r.yaml,device=tpu"], "device"),
        ([{"spec": "r2d:tiny,recipe=r.yaml", "protocol": "zero_shot"}], "needs a chat model"),
    ],
)
def test_nothing_is_trained_where_anything_is_wrong(folder: Path, models: list[Json], message: str):
    learnt_task(folder, train=20)
    watching = Watching()
    with pytest.raises(UserError, match=message):
        benchmark(job_of(*models), watching)
    assert watching.told == []
    assert not (folder / "checkpoints").exists()
    assert not (folder / "runs").exists()


def test_a_member_of_the_panel_that_does_not_fit_is_left_out(folder: Path):
    board = folder / "board"
    board.mkdir()
    (board / "board.yaml").write_text('{"name": "board", "title": "B", "panel": ["r2d:tiny,recipe=sft.yaml,stepps=1"]}')
    _, watching = run("baseline:majority", board="./board", panel=True)
    assert watching.told[0].startswith("left out r2d:tiny,recipe=sft.yaml,stepps=1: recipe sft.yaml: unknown key")


def test_a_dry_run_trains_nothing(folder: Path):
    job = job_of("r2d:tiny,recipe=r.yaml", "baseline:majority")
    planned = plan(job, Watching(), train=False)
    told = [(one.training, one.requests, one.stored) for one in estimate(planned, folder / "runs")]
    assert told == [({"explain": 6, "decide": 6}, {"predict": 12, "explain": 12}, 0), ({}, {"label": 12}, 0)]
    assert not (folder / "checkpoints").exists()
    benchmark(job, Watching())
    (again,) = estimate(plan(job_of("r2d:tiny,recipe=r.yaml"), Watching(), train=False), folder / "runs")
    assert (again.training, again.stored) == ({}, 24)


def test_before_training_there_is_no_answer(folder: Path, tmp_path: Path):
    task = learnt_task(tmp_path)
    model = make_model(parse_spec(f"r2d:tiny,recipe=r.yaml,checkpoints={folder}/c"), task=task, seed=1)
    assert isinstance(model, R2D)
    assert not model.ready
    assert model.identity.digest is None
    with pytest.raises(UserError, match="has not been trained yet"):
        list(model.generate([]))


def test_a_page_says_what_it_was_trained_on(folder: Path):
    run("r2d:tiny,recipe=r.yaml", "baseline:majority")
    row = rows(folder)["r2d s0"]
    assert row.training is not None
    assert row.training.marks == ("trained on this task's training split",)
    assert row.training.loud == ()
    assert (row.training.method, row.training.scratch, row.training.base) == ("r2d", True, "tiny")
    assert row.sittings.card.training_data == "learnt@1: train (40 examples)"
    assert row.sittings.card.parameters is not None
    assert row.sittings.card.note == "A tiny model made from nothing: it shows the way, not the quality of the method."
    assert rows(folder)["baseline s0"].training is None


def test_the_jobs_own_note_stands_before_that_of_the_lineage(folder: Path):
    benchmark(job_of(models=[{"spec": "r2d:tiny,recipe=r.yaml", "note": "mine"}]), Watching())
    card = rows(folder)["r2d s0"].sittings.card
    assert (card.note, card.training_data) == ("mine", "learnt@1: train (40 examples)")


def test_trained_on_the_evaluated_rows_is_marked_loudly(folder: Path):
    run("r2d:tiny,recipe=r.yaml")
    (checkpoint,) = (folder / "checkpoints").iterdir()
    card = json.loads((folder / "learnt" / "task.yaml").read_text())
    # Another task, in whose test split the same rows stand.
    other = write_task(folder / "stolen", (folder / "learnt" / "rows.csv").read_bytes(), **card | {"name": "stolen"})
    text = json.loads((other / "task.yaml").read_text()) | {"evaluate": "train", "training": ["validation"]}
    (other / "task.yaml").write_text(json.dumps(text))
    run(f"hf:{checkpoint}", "baseline:majority", "baseline:stratified", tasks=["stolen"], runs="others")
    made = table(folder, runs="others")
    (row,) = (row for row in made.rows if row.training)
    assert not any(row.run in column.best for column in made.columns), "it is nobody's competitor"
    assert all(column.best for column in made.columns if column.first)
    assert row.training is not None
    assert row.training.marks == ()
    assert row.training.loud == ("trained on the very rows that it is evaluated on (learnt@1, split train)",)


def test_rows_that_differ_in_the_seed_are_gathered(folder: Path):
    run("r2d:tiny,recipe=r.yaml", "baseline:stratified", "baseline:majority", seeds=[1, 2, 3])
    run("r2d:tiny,recipe=sft.yaml", seed=1)
    made = table(folder)
    groups = {group.title.partition(" (")[0]: group for group in made.seeds}
    assert set(groups) == {"r2d:tiny r2d", "baseline:stratified", "baseline:majority"}
    group = groups["r2d:tiny r2d"]
    assert group.seeds == (1, 2, 3)
    by_run = {row.run: row for row in made.rows}
    values = [by_run[run].metrics["macro_f1"].value for run in group.runs]
    mean = sum(v for v in values if v is not None) / 3
    spread = group.metrics["macro_f1"]
    assert spread.mean == pytest.approx(mean)
    assert spread.sd == pytest.approx((sum((v - mean) ** 2 for v in values if v is not None) / 2) ** 0.5)
    assert group.metrics["bertscore_f1"].reason == "not every seed has a figure"
    order = [row.run for row in made.rows]
    for one in made.seeds:
        at = order.index(one.runs[0])
        assert tuple(order[at : at + 3]) == one.runs, "they stand together, in the order of seeds"


def test_the_page_shows_every_seed_and_the_mean(folder: Path):
    run("r2d:tiny,recipe=r.yaml", seeds=[1, 2], site="site")
    run("r2d:tiny,recipe=sft.yaml", site="site")
    html = (folder / "site" / "index.html").read_text()
    assert "mean ± standard deviation over 2 seeds (1, 2), which stand below" in html
    assert html.count("trained on this task&#39;s training split") == 3
    assert html.count("one training seed") == 1
    (single,) = [path for path in (folder / "site" / "run").iterdir() if "--sft--" in path.name]
    assert "method sft, from nothing, seed 0, on learnt@1: train (40 examples)" in single.read_text()


def test_sources_of_rationales_tell_rows_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    learnt_task(tmp_path, **STYLED)
    write_recipe(tmp_path / "r.yaml")
    spec = "r2d:tiny,recipe=r.yaml,stages.explain.rationale_style={},stages.decide.rationale_style={}"
    pairs = [("short", "long"), ("short", "short")]
    report, watching = run(*(spec.format(*pair) for pair in pairs))
    assert [run.setup.model["params"]["rationales"] for run in report.finished] == ["short → long", "short → short"]
    assert [len(heard.names) for heard in watching.heard] == [2, 1], "the first stage is trained once"
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_adapters_on_a_base(folder: Path):
    small_base(folder / "base")
    report, _ = run("r2d:./base,recipe=r.yaml,lora.r=2", limit=4)
    (checkpoint,) = (folder / "checkpoints").iterdir()
    assert (checkpoint / "adapter_model.safetensors").is_file()
    assert not (checkpoint / "model.safetensors").exists()
    assert report.finished[0].setup.model["name"] == "base r2d"
    assert report.finished[0].outcome.answered == 8
    again, _ = run(f"hf:{checkpoint},base=./base", limit=4)
    assert again.finished[0].scores["metrics"]["chrf"]["value"] == report.finished[0].scores["metrics"]["chrf"]["value"]


def test_the_bundled_grid_of_sources_is_planned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from pathlib import Path as AnyPath

    from r2d_bench.documents import load

    job = load(Job, AnyPath(__file__).parents[2] / "leaderboards" / "rationale_sources" / "bench.yaml")
    monkeypatch.chdir(tmp_path)
    planned = plan(job, Watching(), train=False)
    params = [run.setup.model["params"]["rationales"] for run in planned]
    styles = ("nurse", "edited", "llm")
    assert params == [f"{first} → {second}" for first in styles for second in styles]
    trainees = [run.model for run in planned if isinstance(run.model, R2D)]
    assert len({model.plan.parent for model in trainees}) == 3
