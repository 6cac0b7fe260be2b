"""From stored answers to `scores.json` and `examples.parquet`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from run_parts import LABELS, Counting, carry_out, make_task, row, rows, said
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, matthews_corrcoef

from r2d_bench.errors import UserError
from r2d_bench.records import Failure
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run
from r2d_bench.runs.table import read_examples
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Json

OPTIONS = ScoreOptions(resamples=200)


def scored(task, model, runs, **how) -> dict[str, Json]:  # noqa: ANN001, ANN003
    store, _ = carry_out(task, model, runs, **how)
    return score_run(store, task, OPTIONS, Scorers())


def no_nan(value: Json) -> bool:
    if isinstance(value, dict | list):
        return all(no_nan(v) for v in (value.values() if isinstance(value, dict) else value))
    return not (isinstance(value, float) and not math.isfinite(value))


@pytest.mark.filterwarnings("ignore:y_pred contains classes")  # a stray string is the point
def test_figures_are_those_of_scikit_learn(tmp_path: Path):
    task = make_task(tmp_path, rows(120))
    model = "mock:random,garbage=0.1,empty=0.05"
    scores = scored(task, model, tmp_path / "runs")
    table = read_examples(next((tmp_path / "runs").glob("*/examples.parquet")))
    gold = [r["gold"] for r in table]
    predicted = [r["label"] or "(none)" for r in table]
    assert "(none)" in predicted
    value = {name: estimate["value"] for name, estimate in scores["metrics"].items()}
    assert value["accuracy"] == pytest.approx(accuracy_score(gold, predicted), abs=1e-12)
    for name in ("macro", "weighted", "micro"):
        expected = f1_score(gold, predicted, labels=LABELS, average=name, zero_division=0)
        assert value[f"{name}_f1"] == pytest.approx(expected, abs=1e-12)
    assert value["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(gold, predicted), abs=1e-12)
    assert value["mcc"] == pytest.approx(matthews_corrcoef(gold, predicted), abs=1e-12)
    assert value["unparsed"] == pytest.approx(predicted.count("(none)") / 120)
    assert sum(map(sum, scores["confusion"]["counts"])) == 120


def test_scoring_again_gives_the_same_bytes_and_another_seed_other_intervals(tmp_path: Path):
    task = make_task(tmp_path, rows(40))
    store, _ = carry_out(task, "mock:random", tmp_path / "runs")

    def files(seed: int) -> dict[str, bytes]:
        score_run(store, task, ScoreOptions(seed=seed, resamples=300), Scorers())
        return {name: (store.folder / name).read_bytes() for name in ("scores.json", "examples.parquet")}

    first = files(0)
    other = files(1)
    assert files(0) == first
    assert other["scores.json"] != first["scores.json"]
    assert {p.name for p in store.folder.iterdir()} - {"lock"} == {
        "run.json", "responses.jsonl", "attempts.jsonl", "scores.json", "examples.parquet",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "version", "message"),
    [
        ({"label": "no"}, 1, "the run was made on other rows of small@1"),
        ({"note": "other"}, 1, "the run was made on other rows of small@1"),
        ({"why": "other"}, 1, "the run was made on other rows of small@1"),
        ({}, 2, "the run was made on small@1, the task at hand is small@2"),
    ],
)
def test_other_data_are_refused(tmp_path: Path, changed: dict[str, str], version: int, message: str):
    content = rows(4)
    store, _ = carry_out(make_task(tmp_path, content), Counting(), tmp_path / "runs")
    other = make_task(tmp_path / "other", [content[0] | changed, *content[1:]], version=version)
    with pytest.raises(UserError) as error:
        score_run(store, other, OPTIONS, Scorers())
    assert message in str(error.value)
    assert not (store.folder / "scores.json").exists()


@pytest.mark.parametrize("visibility", ["private", "gated", "public"])
def test_the_table_holds_inputs_of_public_tasks_only(tmp_path: Path, visibility: str):
    content = [row(f"t{k}", LABELS[k % 4], note=f"secret complaint {k}") for k in range(4)]
    task = make_task(tmp_path, content, visibility=visibility)
    store, _ = carry_out(task, Counting(), tmp_path / "runs")
    score_run(store, task, OPTIONS, Scorers())
    table = pq.read_table(store.folder / "examples.parquet")
    texts = {"input", "reference", "slice.ward"}
    assert texts & set(table.column_names) == (texts if visibility == "public" else set())
    assert ("secret" in str(table.to_pydict())) == (visibility == "public")
    if visibility != "public":
        assert all("secret" not in p.read_text() for p in store.folder.glob("*.json*"))
    assert table["gold"].to_pylist() == list(LABELS)


def test_values_per_example_are_null_where_nothing_was_scored(tmp_path: Path):
    task = make_task(tmp_path, rows(3))
    answers = {"t0": "yes", "t1": "soon", "t2": Failure("timeout")}
    scores = scored(task, Counting(said(answers)), tmp_path / "runs")
    table = read_examples(next((tmp_path / "runs").glob("*/examples.parquet")))
    assert [r["metric.correct"] for r in table] == [1.0, 0.0, None]
    assert [r["label_text"] for r in table] == ["yes", "soon", None]
    assert table[2]["metric.chrf"] is None
    assert no_nan(scores)


def test_there_is_never_a_nan(tmp_path: Path):
    """One item, one class, nothing answered: the corners where a formula divides by nothing."""
    one = make_task(tmp_path / "one", [row("t1", "yes"), row("f1", "no", split="train")])
    none = make_task(tmp_path / "none", rows(3))
    for scores in (
        scored(one, Counting(said({"t1": "yes"})), tmp_path / "a"),
        scored(one, Counting(said({"t1": "never"})), tmp_path / "b"),
        scored(none, Counting(lambda _: Failure("down")), tmp_path / "c"),
    ):
        assert no_nan(scores)
        for estimate in scores["metrics"].values():
            assert estimate["value"] is not None or estimate["reason"]
    for path in tmp_path.rglob("scores.json"):
        assert "NaN" not in path.read_text()


def test_a_selection_is_stamped_and_grows(tmp_path: Path):
    task = make_task(tmp_path, rows(12))
    few = scored(task, Counting(), tmp_path / "runs", limit=4)
    assert (few["selection"]["n"], few["selection"]["of"], few["selection"]["partial"]) == (4, 12, True)
    assert few["metrics"]["accuracy"]["n"] == 4
    whole = scored(task, Counting(), tmp_path / "runs")
    assert (whole["selection"]["how"], whole["selection"]["partial"]) == ("all", False)
    assert whole["metrics"]["accuracy"]["value"] == pytest.approx(0.25)
    again = scored(task, Counting(), tmp_path / "runs", limit=2)  # asks for less than is there
    assert again["selection"] == whole["selection"]


def test_label_only_models_leave_rationale_columns_unscored_with_the_reason(tmp_path: Path):
    task = make_task(tmp_path, rows(8))
    scores = scored(task, "baseline:majority", tmp_path / "runs")
    for name in ("bleu", "chrf", "bertscore_f1"):
        estimate = scores["metrics"][name]
        assert (estimate["value"], estimate["unscored"]) == (None, 8)
        assert estimate["reason"] == "baseline:majority writes no rationale"
    assert scores["rationale_statuses"] == {"absent": 8}


def test_a_protocol_without_a_rationale_says_so(tmp_path: Path):
    from r2d_bench.runs.setup import plan_run

    task, model = make_task(tmp_path, rows(4)), Counting()
    scores = scored(task, model, tmp_path / "runs", setup=plan_run(task, model, protocol="sft"))
    assert scores["metrics"]["chrf"]["reason"] == "protocol sft elicits no rationale"
    assert {request.stage for request in model.asked} == {"predict"}


def test_a_protocol_without_a_label_says_so(tmp_path: Path):
    from r2d_bench.runs.setup import plan_run

    stage = "{name: explain, prompt: '{{ input }}', output: {whole: rationale}, max_new_tokens: 9}"
    (tmp_path / "own.yaml").write_text(f"name: explain_only\nstages:\n  - {stage}\n")
    task, model = make_task(tmp_path, rows(4)), Counting()
    setup = plan_run(task, model, protocol=str(tmp_path / "own.yaml"))
    scores = scored(task, model, tmp_path / "runs", setup=setup)
    assert scores["metrics"]["macro_f1"]["reason"] == "protocol explain_only elicits no label"
    assert scores["metrics"]["chrf"]["n"] == 4


def test_three_stray_strings_in_a_hundred_cost_what_they_are(tmp_path: Path):
    content = rows(100)
    task = make_task(tmp_path, content)
    wrong = {"t3": "maybe soon", "t41": "n.a.!", "t98": "YES and NO"}
    lines = [{"id": r["id"], "label": wrong.get(r["id"], r["label"])} for r in content if r["split"] == "test"]
    (tmp_path / "said.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    scores = scored(task, f"replay:{tmp_path / 'said.jsonl'}", tmp_path / "runs")
    assert scores["metrics"]["accuracy"]["value"] == 0.97
    # One item less in three of four classes of 25: F1 = 2·24 / (25 + 24) three times, and 1.
    assert scores["metrics"]["macro_f1"]["value"] == pytest.approx((3 * 48 / 49 + 1) / 4, abs=1e-12)
    assert scores["metrics"]["macro_f1"]["value"] >= 0.98
    assert sum(scores["statuses"].values()) - scores["statuses"]["parsed"] == 3
    assert len(scores["confusion"]["labels"]) == 4


@pytest.mark.data
def test_known_answers_of_pubmedqa(tmp_path: Path, public_data: Path, capsys: pytest.CaptureFixture[str]):
    from r2d_bench.cli.main import main

    models = ["baseline:tfidf", "baseline:majority", "replay:human"]
    where = ["-t", "pubmedqa", "--data", f"pubmedqa={public_data}/pubmedqa", "--runs", str(tmp_path / "runs")]
    assert main(["run", *models, *where, "--site", str(tmp_path / "site"), "--bertscore", "none", "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    found = {tuple(run["run"].split("--")[1:3]): run["scores"]["metrics"] for run in runs}
    majority, human = found["baseline", "majority"], found["replay", "Single-expert-reasoning-required"]
    assert majority["accuracy"]["value"] == pytest.approx(0.552, abs=1e-9)
    assert majority["macro_f1"]["value"] == pytest.approx(0.237, abs=5e-4)
    assert human["accuracy"]["value"] == pytest.approx(0.780, abs=1e-9)
    assert human["macro_f1"]["value"] == pytest.approx(0.722, abs=5e-4)
    assert found["baseline", "tfidf"]["macro_f1"]["value"] > majority["macro_f1"]["value"]
    task = load_task("pubmedqa", data=public_data / "pubmedqa")
    official = json.loads((public_data / "pubmedqa" / "test_ground_truth.json").read_text())
    assert {example.id: example.gold for example in task.examples()} == official
