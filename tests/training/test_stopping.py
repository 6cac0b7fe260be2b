"""Early stopping and the best checkpoint: pure functions, and in a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from sklearn.metrics import f1_score
from tiny import COMPLAINTS
from training_parts import LABELS, Heard, keyword_task, new_start, same_start, stage_data, tiny_recipe, train, weights

from r2d_bench.training.data import Collator, Encoder, encode_rows
from r2d_bench.training.evaluation import Evaluation, selecting_metric
from r2d_bench.training.methods import METHODS
from r2d_bench.training.sampling import Greedy
from r2d_bench.training.stage import run_stage
from r2d_bench.training.stopping import Evaluated, best, should_stop
from r2d_bench.training.texts import StageTexts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from r2d_bench.tasks.task import Task
    from r2d_bench.training.stage import Start


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return keyword_task(tmp_path_factory.mktemp("stopping"))


@pytest.fixture(scope="module")
def start(task: Task) -> Start:
    return new_start(task)


def at(*values: float) -> list[Evaluated]:
    return [Evaluated(10 * n, value) for n, value in enumerate(values, 1)]


@pytest.mark.parametrize(
    ("values", "since", "greater", "stops"),
    [
        ((0.5, 0.4, 0.5), 0, True, True),  # an equal one is no better
        ((0.5, 0.4, 0.6), 0, True, False),
        ((0.5, 0.4, 0.6, 0.6, 0.1), 0, True, True),
        ((0.5, 0.4, 0.4, 0.4), 40, True, False),  # only the last one counts
        ((0.5, 0.4, 0.4, 0.4), 30, True, True),
        ((0.5, 0.4, 0.4, 0.45), 30, True, True),  # better than the last is not better than the best
        ((0.5, 0.6, 0.7), 0, False, True),  # a loss that rises
        ((0.5, 0.4, 0.3), 0, False, False),
        ((), 0, True, False),
    ],
)
def test_patience_of_two(values: tuple[float, ...], since: int, greater: bool, stops: bool):
    assert should_stop(at(*values), greater=greater, patience=2, since=since) is stops
    assert not should_stop(at(*values), greater=greater, patience=None, since=since)


def test_the_best_is_the_earliest_of_equals():
    assert best(at(0.2, 0.7, 0.7, 0.1), greater=True) == Evaluated(20, 0.7)
    assert best(at(0.2, 0.7, 0.1, 0.1), greater=False) == Evaluated(30, 0.1)
    assert best([], greater=True) is None


class Scripted:
    """Stands for evaluation: gives the values that a test has written."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values = iter(values)

    def __call__(self, _model: object) -> dict[str, float]:
        value = next(self.values)
        return {"macro_f1": value, "accuracy": value, "loss": value}


@pytest.mark.parametrize(
    ("trained", "values", "steps", "chosen"),
    [
        (("sft", "decide"), [0.9, 0.1, 0.2, 0.3], 6, 2),
        # M = 20: W + T = 1 + 12, so that only evaluations from step 14 on count.
        (("r2d", "decide"), [0.9, *[0.1] * 9], 16, 2),
        (("r2d", "decide"), [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.1, 0.1], 20, 16),
        (("r2d", "explain"), [5.0, 4.0, 4.5, 4.2, 1.0], 8, 4),
    ],
)
def test_a_training_stops_and_gives_the_best(
    task: Task,
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trained: tuple[str, str],
    values: list[float],
    steps: int,
    chosen: int,
):
    settings = {"steps": 20, "evaluate_every": 2, "patience": 2, "batch_size": 4}
    method, stage = trained
    recipe = tiny_recipe(method, stages={stage: settings})
    seen: dict[int, Any] = {}
    scripted = Scripted(values)

    class Watching(Heard):
        def evaluated(self, n: int, metric: str, value: float) -> None:
            super().evaluated(n, metric, value)
            seen[n] = weights(model.model)

    model = same_start(start)
    monkeypatch.setattr(Evaluation, "__call__", lambda _self, model: scripted(model))
    name: Any = stage
    result = run_stage(name, recipe, model, stage_data(task), tmp_path / "state", Watching(), 0)
    assert result.steps == steps
    assert result.best is not None
    assert result.best.step == chosen
    assert result.best.value == values[chosen // 2 - 1]
    found = weights(result.model)
    assert all(torch.equal(found[key], value) for key, value in seen[chosen].items())


def test_the_last_step_is_evaluated_too(task: Task, start: Start, tmp_path: Path):
    recipe = tiny_recipe("sft", stages={"decide": {"steps": 5, "evaluate_every": 3}})
    result, heard = train(recipe, same_start(start), task, tmp_path / "state")
    assert sorted(heard.values) == [3, 5]
    assert heard.stages == [("decide", 5)]
    assert sorted(heard.losses) == [1, 2, 3, 4, 5]
    assert [entry["step"] for entry in result.history if "macro_f1" in entry] == [3, 5]
    assert [entry["loss"] for entry in result.history if "loss" in entry] == pytest.approx(list(heard.losses.values()))


def evaluation(task: Task, start: Start, said: Sequence[str], metric: Any) -> Evaluation:  # noqa: ANN401
    """Return an evaluation in which the model says what a test has written, in the order of the split."""
    stage = METHODS["sft"].stages["decide"]
    encoder = Encoder(start.tokenizer)
    rows = encode_rows(StageTexts(task, stage), task.examples("validation"), encoder, tiny_recipe("sft"))
    answers = {tuple(row.tolist()): text for row, text in zip(rows.predict, said, strict=True)}

    def greedy(inputs: torch.Tensor, mask: torch.Tensor, _candidates: object) -> list[Greedy]:
        asked = [tuple(row[kept.bool()].tolist()) for row, kept in zip(inputs, mask, strict=True)]
        return [Greedy(answers[ids], (), True, 1.0) for ids in asked]

    model: Any = greedy
    collate = Collator(0, 0, torch.device("cpu"))
    candidates = [()] * len(rows)
    return Evaluation(
        task,
        rows,
        metric,
        collate,
        model,
        candidates,
        size=5,
        process=0,
        processes=1,
        total=lambda values: values,
        autocast=lambda: torch.autocast("cpu", enabled=False),
    )


def test_stray_strings_are_wrong_and_no_class(task: Task, start: Start):
    examples = task.examples("validation")
    gold = [str(example.gold) for example in examples]
    strays = {0: "emergncy", 1: "", 2: "emergency or urgent", 3: "the note says so"}
    said = [strays.get(i, label) for i, label in enumerate(gold)]
    said[4] = next(label for label in LABELS if label != gold[4])
    figures = evaluation(task, start, said, "macro_f1")(start.model)
    valid = [label if label in COMPLAINTS else "none" for label in said]
    expected = f1_score(gold, valid, labels=list(LABELS), average="macro", zero_division=0)
    assert figures["macro_f1"] == pytest.approx(expected)
    assert figures["accuracy"] == pytest.approx((len(gold) - 5) / len(gold))
    assert figures["macro_f1"] > 1.2 * f1_score(gold, said, average="macro", zero_division=0)


def test_labels_are_read_as_the_benchmark_reads_them(task: Task, start: Start):
    gold = [str(example.gold) for example in task.examples("validation")]
    figures = evaluation(task, start, [f"{label.upper()}." for label in gold], "macro_f1")(start.model)
    assert figures["macro_f1"] == 1.0


def test_labels_without_a_fixed_set_are_selected_by_accuracy(tmp_path: Path, task: Task):
    open_task = keyword_task(tmp_path, label={"space": "open", "values": []})
    assert selecting_metric("macro_f1", open_task) == "accuracy"
    assert selecting_metric("macro_f1", task) == "macro_f1"
    assert selecting_metric("loss", open_task) == "loss"
    recipe = tiny_recipe("r2d", stages={"decide": {"steps": 3}})
    result, heard = train(recipe, new_start(open_task), open_task, tmp_path / "state")
    assert heard.values[3][0] == "accuracy"
    assert result.best is not None
