"""Few-shot examples, probes, seeds, budgets, dry runs, panels and named models, as a user asks for them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from run_parts import Counting, Quiet, carry_out, make_task, row, rows

from r2d_bench.errors import UserError
from r2d_bench.records import Failure, LabelMethod, Response
from r2d_bench.runs.budget import Budget
from r2d_bench.runs.execute import Sitting, execute
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run
from r2d_bench.runs.selection import select
from r2d_bench.runs.setup import RunSetup, plan_run
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.privacy import check_endpoint, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from run_parts import Said

    from r2d_bench.models.base import Capabilities
    from r2d_bench.records import Request

    Cli = Callable[..., Said]

TASK = ("-t", "small", "--task-dir", ".", "--no-page", "--bertscore", "none")
NO_BERT = {"bertscore": None, "resamples": 50}


def prompts_of(model: Counting, stage: str) -> list[str]:
    return [str(request.prompt) for request in model.asked if request.stage == stage]


# Few-shot examples


def test_shots_stand_in_front_are_drawn_once_and_never_from_the_test_split(tmp_path: Path):
    task = make_task(tmp_path, rows(6))
    model = Counting()
    setup = plan_run(task, model, shots=2, seed=5)
    carry_out(task, model, tmp_path / "runs", setup=setup)
    train = {example.id: example for example in task.examples("train")}
    assert len(setup.shots) == 2
    assert set(setup.shots) <= set(train)
    front = "".join(f"predict: {train[i].input}\n{train[i].gold}\n\n" for i in setup.shots)
    assert all(prompt.startswith(front + "predict: note of t") for prompt in prompts_of(model, "predict"))
    first = train[setup.shots[0]]
    shown = f"given label: {first.gold}, explain: {first.input}\n{first.references[0]}\n\n"
    assert all(prompt.startswith(shown) for prompt in prompts_of(model, "explain"))


def test_shots_belong_to_the_run_s_name_and_hang_on_the_seed(tmp_path: Path):
    task = make_task(tmp_path, rows(6))
    setups = [plan_run(task, Counting(), shots=k, seed=seed) for k, seed in ((0, 5), (2, 5), (2, 5), (2, 6), (3, 5))]
    folders = [setup.folder for setup in setups]
    assert folders[1] == folders[2]
    assert len(set(folders)) == 4
    assert RunSetup.from_json(json.loads(json.dumps(setups[1].as_json())), "run.json") == setups[1]


def test_shots_of_a_chat_are_turns_behind_the_system_s(tmp_path: Path):
    task = make_task(tmp_path, rows(2))
    model = Counting(lambda _: Response('{"rationale": "r", "label": "yes"}'), chat=True)
    setup = plan_run(task, model, protocol="zero_shot", shots=1)
    carry_out(task, model, tmp_path / "runs", setup=setup)
    turns = model.asked[0].prompt
    shot = {example.id: example for example in task.examples("train")}[setup.shots[0]]
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user"]
    assert json.loads(turns[2].content) == {"rationale": shot.references[0], "label": shot.gold}
    assert shot.input in turns[1].content


@pytest.mark.parametrize(("k", "what"), [(9, "has 8 training examples with a rationale")])
def test_too_many_shots_are_refused(tmp_path: Path, k: int, what: str):
    with pytest.raises(UserError, match=what):
        plan_run(make_task(tmp_path, rows(4)), Counting(), shots=k)


def test_a_baseline_is_shown_nothing(cli: Cli):
    told = cli("run", "baseline:majority", *TASK, "--shots", "3")
    assert told.code == 0


def test_a_changed_training_example_is_noticed_when_the_run_is_scored(tmp_path: Path):
    task = make_task(tmp_path, rows(4))
    setup = plan_run(task, Counting(), shots=8)
    store, _ = carry_out(task, Counting(), tmp_path / "runs", setup=setup)
    changed = [row | ({"note": "other"} if row["id"] == "f3" else {}) for row in rows(4)]
    with pytest.raises(UserError, match="training examples are not those"):
        score_run(store, make_task(tmp_path, changed), ScoreOptions(**NO_BERT), Scorers())


# Probes


def answers_of_probes(request: Request) -> Response:
    """P1 is always yes; the own rationale leads to yes for t0 and t1 only, the gold one to the gold label for t0."""
    if request.stage == "predict":
        return Response("yes")
    if request.stage == "explain":
        return Response(f"words on {request.example_id}")
    if request.stage == "label_from_rationale":
        return Response("yes" if request.example_id in {"t0", "t1"} else "gibberish")
    return Response("yes" if request.example_id == "t0" else "maybe so")


def test_probes_extend_a_finished_run_and_are_scored(tmp_path: Path):
    task = make_task(tmp_path, rows(4))  # gold: yes, no, None, NA
    model = Counting(answers_of_probes)
    setup = plan_run(task, model)
    store, _ = carry_out(task, model, tmp_path / "runs", setup=setup)
    before = score_run(store, task, ScoreOptions(**NO_BERT), Scorers())
    assert "not asked" in before["metrics"]["consistency"]["reason"]
    asked = len(model.asked)
    chosen = Sitting(select(task.examples()), probes=["label_from_rationale", "label_from_gold_rationale"])
    execute(task, model, setup, chosen, store, Quiet())
    later = model.asked[asked:]
    assert {request.stage for request in later} == {"label_from_rationale", "label_from_gold_rationale"}
    assert "predict: words on t0" in [str(request.prompt) for request in later]
    assert "predict: because of t0 it is so" in [str(request.prompt) for request in later]
    metrics = score_run(store, task, ScoreOptions(**NO_BERT), Scorers())["metrics"]
    assert metrics["consistency"]["value"] == 0.5  # P1 is yes for all four, P2 for two of them
    assert metrics["sufficiency"]["value"] == 0.25  # gold is yes for t0 alone
    assert metrics["gold_robustness"]["value"] == 0.25
    assert metrics["accuracy"] == before["metrics"]["accuracy"]
    assert setup.folder == store.name


def test_two_answers_without_a_label_do_not_agree(tmp_path: Path):
    task = make_task(tmp_path, rows(4))
    model = Counting(lambda _: Response("gibberish"))
    setup = plan_run(task, model)
    store = RunStore(tmp_path / "runs" / setup.folder)
    execute(task, model, setup, Sitting(select(task.examples()), probes=["label_from_rationale"]), store, Quiet())
    metrics = score_run(store, task, ScoreOptions(**NO_BERT), Scorers())["metrics"]
    assert (metrics["consistency"]["value"], metrics["consistency"]["n"]) == (0.0, 4)
    assert "not asked" in metrics["gold_robustness"]["reason"]


def test_a_probe_that_the_protocol_has_not_is_told(cli: Cli):
    told = cli("run", "mock:random", *TASK, "--probes", "label_from_rational")
    assert told.code == 2
    assert "no probe 'label_from_rational' (did you mean 'label_from_rationale'?)" in told.err


def test_all_probes_by_name(cli: Cli):
    told = cli("run", "mock:random", *TASK, "--probes", "all", "--json")
    metrics = told.json["runs"][0]["scores"]["metrics"]
    assert {metrics[name]["n"] for name in ("consistency", "sufficiency", "gold_robustness")} == {12}


# Seeds, budgets, dry runs


def test_seeds_make_a_run_each(cli: Cli):
    told = cli("run", "mock:random", "baseline:stratified", *TASK, "--seeds", "1,2,3", "--json")
    assert told.code == 0
    assert len({run["run"] for run in told.json["runs"]}) == 6


def test_a_job_stops_at_so_many_requests_and_goes_on(cli: Cli, tmp_path: Path):
    told = cli("run", "mock:random", *TASK, "--max-requests", "7")
    assert told.code == 3
    assert "stopped at --max-requests 7, 12 examples wait; go on with: r2d-bench run mock:random" in told.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert len((folder / "responses.jsonl").read_text().splitlines()) == 7
    assert cli("run", "mock:random", *TASK).code == 0
    keys = [json.loads(line)["key"] for line in (folder / "responses.jsonl").read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 24


def test_a_job_stops_at_a_cost(tmp_path: Path):
    task = make_task(tmp_path, rows(10))
    model = Counting(lambda _: Response("yes", cost=0.25))
    setup = plan_run(task, model)
    store = RunStore(tmp_path / "runs" / setup.folder)
    budget = Budget(max_cost=1.0)
    outcome = execute(task, model, setup, Sitting(select(task.examples()), budget=budget), store, Quiet())
    assert (outcome.answered, budget.cost, outcome.stopped) == (4, 1.0, "--max-cost 1")
    assert store.manifest()["sittings"][0]["cost"] == 1.0


def test_an_answer_to_several_requests_is_paid_once_and_stored_for_all(tmp_path: Path):
    task = make_task(tmp_path, [row(f"t{k}", "yes", note="the same note") for k in range(4)])
    model = Counting(lambda _: Response("yes", cost=0.25, input_tokens=10, output_tokens=1))
    setup = plan_run(task, model, protocol="sft")
    store = RunStore(tmp_path / "runs" / setup.folder)
    budget = Budget(max_cost=0.25)
    outcome = execute(task, model, setup, Sitting(select(task.examples()), budget=budget), store, Quiet())
    assert (len(model.asked), budget.requests, budget.cost) == (1, 1, 0.25)
    assert (outcome.answered, outcome.incomplete, outcome.stopped) == (4, 0, None)
    sitting = store.manifest()["sittings"][0]
    assert (sitting["cost"], sitting["tokens"]) == (0.25, {"input": 10, "output": 1})


def test_failures_count_as_requests():
    budget = Budget(max_requests=2)
    budget.add(Failure("connection"))
    assert (budget.left(), budget.met()) == (1, None)
    budget.add(Response("x"))
    assert (budget.left(), budget.met()) == (0, "--max-requests 2")


def test_a_dry_run_asks_nothing_and_tells_what_is_left(cli: Cli, tmp_path: Path):
    told = cli("run", "mock:random", *TASK, "--dry-run", "--json")
    assert told.code == 0
    assert not (tmp_path / "runs").exists()
    (estimate,) = told.json
    assert estimate["requests"] == {"predict": 12, "explain": 12}
    assert estimate["output_tokens"] == 12 * (50 + 256)
    assert estimate["input_tokens"] > 12 * 2 * 4
    assert (estimate["cost"], estimate["seconds"]) == (None, None)
    cli("run", "mock:random", *TASK, "--limit", "5")
    (estimate,) = cli("run", "mock:random", *TASK, "--dry-run", "--json").json
    assert (estimate["requests"], estimate["stored"]) == ({"predict": 7, "explain": 7}, 10)
    assert estimate["seconds"] > 0
    assert "nothing was asked" in cli("run", "mock:random", *TASK, "--dry-run").out


# Panels and named models


def test_a_board_s_panel_is_run_beside_one_s_own(cli: Cli):
    told = cli("run", "mock:random", *TASK, "--board", "main", "--limit", "8", "--json")
    names = {run["run"].split("--")[2]: run["scores"]["selection"]["n"] for run in told.json["runs"]}
    assert names == {"random": 8, "majority": 8, "stratified": 8, "tfidf": 8}


def test_a_panel_s_model_that_does_not_fit_is_left_out_with_a_reason(cli: Cli, tmp_path: Path):
    (tmp_path / "board").mkdir()
    board = "name: board\ntitle: B\npanel: ['baseline:majority', 'replay:nobody']\n"
    (tmp_path / "board" / "board.yaml").write_text(board)
    told = cli("run", "mock:random", *TASK, "--board", "./board", "--json")
    assert told.code == 0
    assert "left out of the panel: replay:nobody: replay:nobody: no such file" in told.err
    assert len(told.json["runs"]) == 2


MODELS = """
models:
  pretender:
    spec: mock:random,seed=4
    title: The pretender
    parameters: 7
    licence: none
    note: Answers at random.
"""


def test_named_models_carry_their_card_to_the_page(cli: Cli, tmp_path: Path):
    (tmp_path / "models.yaml").write_text(MODELS)
    told = cli("run", "pretender", "-t", "small", "--task-dir", ".", "--bertscore", "none", "--json")
    assert told.code == 0
    manifest = json.loads((Path(told.json["runs"][0]["folder"]) / "run.json").read_text())
    assert manifest["setup"]["model"]["params"] == {"seed": 4}
    assert manifest["sittings"][0]["card"]["parameters"] == 7
    assert "Answers at random." in (tmp_path / "site" / "index.html").read_text()
    wrong = cli("run", "pretendre", *TASK)
    assert (wrong.code, "did you mean 'pretender'?" in wrong.err) == (2, True)


# The privacy gate


@pytest.mark.parametrize(
    ("visibility", "endpoints", "endpoint", "allowed"),
    [
        ("public", (), "https://api.example.org/v1", True),
        ("private", (), None, True),
        ("private", (), "http://127.0.0.1:8000/v1", True),
        ("private", (), "http://[::1]:8000/v1", True),
        ("private", (), "http://localhost/v1", True),
        ("private", (), "https://api.example.org/v1", False),
        ("gated", (), "https://api.example.org/v1", False),
        ("private", ("https://api.example.org",), "https://api.example.org/v1", True),
        ("private", ("https://api.example.org/v1",), "https://api.example.org/v1/", True),
        ("private", ("https://api.example.org/v1",), "https://api.example.org/v10", False),
        ("private", ("https://api.example.org",), "http://api.example.org/v1", False),
        ("private", ("https://api.example.org",), "https://api.example.org:8443/v1", False),
        ("private", ("https://api.example.org",), "https://api.example.org.evil.net/v1", False),
        ("private", (), "http://localhost.evil.net/v1", False),
        ("private", (), "http://127.0.0.1.evil.net/v1", False),
        ("private", (), "http://user:pass@evil.net/127.0.0.1", False),
    ],
)
def test_the_gate(tmp_path: Path, visibility: str, endpoints: tuple[str, ...], endpoint: str | None, *, allowed: bool):
    spec = make_task(tmp_path, rows(2)).spec.model_copy(update={"visibility": visibility, "endpoints": endpoints})
    if allowed:
        check_endpoint(spec, endpoint, "m")
    else:
        with pytest.raises(UserError, match=f"task small is {visibility}: m would send its texts to"):
            check_endpoint(spec, endpoint, "m")


def test_the_gate_stands_before_planning_and_before_asking(tmp_path: Path):
    class Remote(Counting):
        @property
        def capabilities(self) -> Capabilities:
            return replace(super().capabilities, endpoint="https://api.example.org/v1")

    task = make_task(tmp_path, rows(3))
    model = Remote()
    with pytest.raises(UserError, match="which its card does not name"):
        plan_run(task, model)
    setup = plan_run(task, Counting(), label_method=LabelMethod.FREE)
    with pytest.raises(UserError, match="which its card does not name"):
        execute(task, model, setup, Sitting(select(task.examples())), RunStore(tmp_path / "runs"), Quiet())
    assert model.asked == []
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("url", ["127.0.0.1:80", "http://127.9.9.9", "https://localhost:1"])
def test_loopback(url: str):
    assert is_loopback(url)
