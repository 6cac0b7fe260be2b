"""A stage as a whole: dropout, accumulation, precision, quirks, starts, processes, and what is told to people."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from training_parts import (
    SCRATCH,
    Heard,
    keyword_task,
    new_start,
    same_start,
    tiny_recipe,
    train,
    weights,
)

from r2d_bench.errors import UserError
from r2d_bench.training.data import StageData
from r2d_bench.training.objective import Objective
from r2d_bench.training.recipe import Scratch
from r2d_bench.training.stage import Start, run_stage

if TYPE_CHECKING:
    from r2d_bench.tasks.task import Task

HERE = Path(__file__).parent
SAMPLED: dict[str, Any] = {"warmup": 0.1, "span": 0.0, "ceiling": 0.9}


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return keyword_task(tmp_path_factory.mktemp("stage"))


@pytest.fixture(scope="module")
def start(task: Task) -> Start:
    return new_start(task)


def test_both_stages_learn(tmp_path: Path):
    task = keyword_task(tmp_path, train=240, validation=60)
    scratch = Scratch(d_model=64, d_ff=128, heads=4, layers=2, vocabulary=300)
    settings = {"batch_size": 32, "schedule": "one_cycle", "learning_rate": 4e-3}
    recipe = tiny_recipe(
        "r2d",
        stages={
            "explain": settings | {"steps": 60, "evaluate_every": 30},
            "decide": settings | {"steps": 150, "evaluate_every": 50},
        },
    )
    first, heard = train(recipe, new_start(task, scratch=scratch), task, tmp_path / "explain", stage="explain")
    assert first.best is not None
    assert first.best.value < 0.8 * heard.losses[1]
    second, _ = train(recipe, Start(first.model, first.tokenizer), task, tmp_path / "decide")
    assert second.best is not None
    assert second.best.metric == "macro_f1"
    assert second.best.value > 0.9
    note = "predict: the patient is calm and reports no pulse"
    read = second.tokenizer(note, return_tensors="pt")
    written = second.model.generate(**read, max_new_tokens=8)
    assert second.tokenizer.decode(written[0], skip_special_tokens=True) == "emergency"


def test_dropout_is_on_in_training_and_off_in_label_prediction(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Seen at the model itself: in which mode its decoder runs, with and without gradient."""
    modes: set[tuple[bool, bool]] = set()
    begun = new_start(task, dropout=0.3)
    forward = begun.model.decoder.forward

    def watched(*args: object, **kwargs: object) -> object:
        modes.add((torch.is_grad_enabled(), begun.model.decoder.training))
        return forward(*args, **kwargs)

    monkeypatch.setattr(begun.model.decoder, "forward", watched)
    recipe = tiny_recipe("r2d", sampling=SAMPLED | {"kind": "scheduled"})
    with_dropout, heard = train(recipe, begun, task, tmp_path / "dropout")
    assert modes == {(True, True), (False, False)}
    assert with_dropout.examples == 60
    _, without = train(recipe, new_start(task), task, tmp_path / "none")
    assert heard.losses[1] != pytest.approx(without.losses[1], abs=1e-3)
    modes.clear()
    quirk = recipe.model_copy(update={"quirks": recipe.quirks.model_copy(update={"dropout_in_sampling": True})})
    train(quirk, begun, task, tmp_path / "quirk")
    assert (False, True) in modes, "the quirk predicts labels with dropout on"


def test_the_recipe_sets_dropout(task: Task, tmp_path: Path):
    noisy = new_start(task, dropout=0.3)
    _, heard = train(tiny_recipe("sft", dropout=0.0), noisy, task, tmp_path / "off")
    _, plain = train(tiny_recipe("sft"), new_start(task), task, tmp_path / "none")
    assert heard.losses == plain.losses


@pytest.mark.parametrize("method", ["dss", "r2d"])
def test_accumulation_changes_nothing(task: Task, start: Start, tmp_path: Path, method: str):
    more: dict[str, Any] = {"sampling": SAMPLED | {"kind": "scheduled"}} if method == "r2d" else {}
    runs = {}
    for accumulation in (1, 4):
        recipe = tiny_recipe(method, stages={"decide": {"accumulation": accumulation}}, **more)
        runs[accumulation] = train(recipe, same_start(start), task, tmp_path / str(accumulation))
    assert list(runs[4][1].losses.values()) == pytest.approx(list(runs[1][1].losses.values()), abs=1e-4)
    one, four = (weights(runs[n][0].model) for n in (1, 4))
    for name, value in one.items():
        torch.testing.assert_close(four[name], value, atol=2e-4, rtol=0)


def test_seeds_differ_and_repeat(task: Task, start: Start, tmp_path: Path):
    recipe = tiny_recipe("r2d_c", sampling=SAMPLED | {"kind": "confident"})
    losses = [
        train(recipe, same_start(start), task, tmp_path / f"{n}", seed=seed)[1].losses
        for n, seed in enumerate((1, 1, 2))
    ]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_bfloat16_trains_in_autocast(task: Task, start: Start, tmp_path: Path):
    settings = {"decide": {"steps": 30, "evaluate_every": 30}}
    recipe = tiny_recipe("r2d_c", precision="bf16", stages=settings, sampling=SAMPLED | {"kind": "confident"})
    exact = recipe.model_copy(update={"precision": "fp32"})
    result, half = train(recipe, same_start(start), task, tmp_path / "bf16")
    _, full = train(exact, same_start(start), task, tmp_path / "fp32")
    assert {value.dtype for value in weights(result.model).values()} == {torch.float32}
    assert half.losses[1] != full.losses[1]
    assert half.losses[1] == pytest.approx(full.losses[1], rel=0.02)
    assert half.losses[30] < half.losses[1] - 1
    read = result.tokenizer("predict: a note", return_tensors="pt")
    assert result.model(**read, labels=read.input_ids).logits.dtype == torch.float32
    first = result.model(**read, labels=read.input_ids).logits
    plain = same_start(start).model
    plain.load_state_dict(result.model.state_dict())
    torch.testing.assert_close(first, plain.eval()(**read, labels=read.input_ids).logits, atol=1e-6, rtol=0)


@pytest.mark.parametrize("quirks", [{"explain_cut": 16}, {"confidence_padding": True, "window_per_micro_batch": True}])
def test_quirks_change_the_sampling_phase_alone(task: Task, start: Start, tmp_path: Path, quirks: dict[str, Any]):
    more: dict[str, Any] = {"sampling": SAMPLED | {"kind": "confident", "warmup": 0.5, "threshold_window": 2}}
    settings = {"decide": {"steps": 10, "accumulation": 2}}
    _, plain = train(tiny_recipe("r2d_c", stages=settings, **more), same_start(start), task, tmp_path / "plain")
    recipe = tiny_recipe("r2d_c", stages=settings, quirks=quirks, **more)
    _, quirky = train(recipe, same_start(start), task, tmp_path / "quirk")
    same = [n for n in plain.losses if plain.losses[n] == quirky.losses[n]]
    assert same[:5] == [1, 2, 3, 4, 5]
    assert len(same) < 10


def test_gradient_checkpointing_gives_the_same_losses(task: Task, start: Start, tmp_path: Path):
    _, plain = train(tiny_recipe("r2d"), same_start(start), task, tmp_path / "plain")
    _, saving = train(tiny_recipe("r2d", gradient_checkpointing=True), same_start(start), task, tmp_path / "saving")
    assert list(saving.losses.values()) == pytest.approx(list(plain.losses.values()), abs=1e-5)


def test_an_output_head_of_its_own_survives(task: Task, tmp_path: Path):
    """T5 v1.1 and Flan have one, although transformers' configuration always says that it is tied."""
    import transformers

    base = new_start(task)
    config = transformers.T5Config(
        **{**base.model.config.to_dict(), "scale_decoder_outputs": False, "feed_forward_proj": "gated-gelu"}
    )
    model = transformers.T5ForConditionalGeneration(config)
    model.lm_head.weight = torch.nn.Parameter(0.1 * torch.randn_like(model.lm_head.weight))
    result, _ = train(tiny_recipe("r2d_c"), Start(model, base.tokenizer), task, tmp_path / "state")
    assert result.model.lm_head.weight.data_ptr() != result.model.shared.weight.data_ptr()
    result.model.save_pretrained(tmp_path / "saved")
    loaded = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "saved")
    read = result.tokenizer("predict: a note", return_tensors="pt")
    torch.testing.assert_close(
        loaded(**read, labels=read.input_ids).logits, result.model(**read, labels=read.input_ids).logits
    )
    assert loaded.config.scale_decoder_outputs is False


def test_lora_trains_the_adapter_alone(task: Task, start: Start, tmp_path: Path):
    pytest.importorskip("peft")
    recipe = tiny_recipe("r2d_c", lora={"r": 4, "alpha": 8}, sampling=SAMPLED | {"kind": "confident"})
    result, heard = train(recipe, same_start(start), task, tmp_path / "state")
    before = weights(start.model)
    base = weights(result.model.get_base_model())
    assert torch.equal(base["shared.weight"], before["shared.weight"])
    moved = [name for name, value in base.items() if "lora_B" in name and value.abs().max() > 0]
    assert moved
    again, later = train(recipe, same_start(start), task, tmp_path / "state")
    assert not later.losses
    for name, value in weights(again.model).items():
        assert torch.equal(value, weights(result.model)[name]), name
    assert heard.losses


def test_configurations_are_left_as_they_were(task: Task, start: Start, tmp_path: Path):
    begun = same_start(start)
    config = begun.model.config.to_dict()
    result, _ = train(tiny_recipe("sft"), begun, task, tmp_path / "state")
    written_by_saving = {"architectures", "dtype"}
    assert {k: v for k, v in result.model.config.to_dict().items() if k not in written_by_saving} == {
        k: v for k, v in config.items() if k not in written_by_saving
    }
    assert result.model.generation_config.eos_token_id == [1]
    assert not result.model.training


def test_without_a_validation_split_the_last_weights_are_the_result(task: Task, start: Start, tmp_path: Path):
    data = StageData(task, task.examples("train"), [])
    result = run_stage("decide", tiny_recipe("sft"), same_start(start), data, tmp_path / "state", Heard(), 0)
    assert (result.best, result.steps) == (None, 6)


def test_a_batch_that_does_not_fit_suggests_accumulation(
    task: Task, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Objective, "__call__", full)
    with pytest.raises(UserError, match=r"batch of 8 in 1 parts does not fit .* raise stages.decide.accumulation to 2"):
        train(tiny_recipe("sft"), same_start(start), task, tmp_path / "state")


def test_a_loss_that_is_no_number_is_told(task: Task, start: Start, tmp_path: Path):
    begun = same_start(start)
    with torch.no_grad():
        begun.model.shared.weight[:] = float("nan")
    with pytest.raises(UserError, match="stage decide, step 1: the loss is nan"):
        train(tiny_recipe("sft"), begun, task, tmp_path / "state")


def test_a_model_without_a_decoder_is_refused(task: Task, start: Start, tmp_path: Path):
    import transformers

    config = transformers.BertConfig(
        vocab_size=100, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    begun = Start(transformers.BertForMaskedLM(config), start.tokenizer)
    with pytest.raises(UserError, match="type bert: it has no decoder"):
        train(tiny_recipe("sft"), begun, task, tmp_path / "state")
    assert not (tmp_path / "state").exists()


SCRIPT = """
import json, os, sys
from pathlib import Path
import training_parts as parts
import test_run_stage

folder, method = Path(sys.argv[1]), sys.argv[2]
task = parts.load_task(str(folder / "keywords"))
recipe = test_run_stage.shared_recipe(method)
result, heard = parts.train(recipe, parts.new_start(task), task, folder / "state")
if os.environ["RANK"] == "0":
    result.model.save_pretrained(folder / "result")
else:
    assert not heard.losses, "only the first process is listened to"
(folder / f"heard{os.environ['RANK']}.json").write_text(json.dumps([heard.losses, heard.values, result.best.value]))
"""


def shared_recipe(method: str) -> Any:  # noqa: ANN401
    more: dict[str, Any] = {}
    if method != "sft":
        kind = "scheduled" if method == "r2d" else "confident"
        more["sampling"] = SAMPLED | {"kind": kind, "threshold_window": 2}
    # Gumbel noise is drawn per part: without it one process draws what two draw.
    if method == "r2d_c":
        more["cycle"] = {"weight": 0.0}
    return tiny_recipe(method, stages={"decide": {"steps": 8, "evaluate_every": 4, "accumulation": 2}}, **more)


@pytest.mark.parametrize("method", ["r2d_c"])
def test_two_processes_train_what_one_trains(tmp_path: Path, method: str):
    from safetensors.torch import load_file

    task = keyword_task(tmp_path)
    whole, heard = train(shared_recipe(method), new_start(task), task, tmp_path / "whole")
    (tmp_path / "script.py").write_text(SCRIPT)
    path = os.pathsep.join([str(HERE), str(HERE.parent)])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(tmp_path / "script.py"), str(tmp_path), method],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    losses, values, found = json.loads((tmp_path / "heard0.json").read_text())
    assert list(losses.values()) == pytest.approx(list(heard.losses.values()), abs=1e-4)
    assert [value for _, value in values.values()] == pytest.approx([value for _, value in heard.values.values()])
    assert json.loads((tmp_path / "heard1.json").read_text())[2] == found
    whole.model.save_pretrained(tmp_path / "one")
    two = load_file(tmp_path / "result" / "model.safetensors")
    for name, value in load_file(tmp_path / "one" / "model.safetensors").items():
        torch.testing.assert_close(two[name], value, atol=2e-4, rtol=0)


def test_a_scratch_model_is_the_same_for_the_same_seed(task: Task):
    first, second, other = (new_start(task, seed=seed) for seed in (3, 3, 4))
    for name, value in weights(first.model).items():
        assert torch.equal(value, weights(second.model)[name])
    assert not torch.equal(weights(first.model)["shared.weight"], weights(other.model)["shared.weight"])
    text = "given label: emergency, explain: the patient is calm and reports no pulse"
    assert first.tokenizer.decode(first.tokenizer(text).input_ids, skip_special_tokens=True) == text
    with pytest.raises(UserError, match="cannot be split over 3 heads"):
        new_start(task, scratch=SCRATCH.model_copy(update={"heads": 3}))
