"""Texts, tokens and batches of training."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from training_parts import keyword_task, new_start, tiny_recipe

from r2d_bench.errors import UserError
from r2d_bench.protocols.outputs import read_output
from r2d_bench.protocols.prompts import StagePrompts
from r2d_bench.protocols.registry import load_protocol
from r2d_bench.records import LabelMethod, Response
from r2d_bench.training.data import (
    Batches,
    Collator,
    Encoder,
    Parts,
    check_trainable,
    encode_rows,
    label_candidates,
)
from r2d_bench.training.losses import IGNORED
from r2d_bench.training.methods import METHODS
from r2d_bench.training.texts import StageTexts

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.tasks.task import Task
    from r2d_bench.training.recipe import MethodName
    from r2d_bench.training.stage import Start


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return keyword_task(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def start(task: Task) -> Start:
    return new_start(task)


@pytest.mark.parametrize("method", ["sft", "dss", "r2d", "r2d_c"])
def test_prompts_are_those_of_inference(task: Task, method: MethodName):
    declared = METHODS[method]
    protocol = load_protocol(declared.protocol)
    texts = StageTexts(task, declared.stages["decide"])
    for example in task.examples("train")[:5]:
        outputs = {}
        for stage in protocol.stages:
            prompts = StagePrompts(task, protocol, stage, method=LabelMethod.FREE, max_new_tokens=stage.max_new_tokens)
            asked = prompts.request(example, outputs).prompt
            made = texts.predict(example) if stage.name == "predict" else texts.explain(example, "an odd label")
            assert made == asked
            outputs[stage.name] = read_output(stage.output, Response("an odd label"), task.labels.vocabulary())


def test_stage_1_asks_without_a_label(task: Task):
    example = task.examples("train")[0]
    texts = StageTexts(task, METHODS["r2d"].stages["explain"])
    assert texts.explain(example, "urgent") == f"explain: {example.input}"
    assert texts.prefix == "predict: "


def test_inputs_are_cut_on_the_right_and_counted(task: Task, start: Start):
    examples = task.examples("train")
    texts = StageTexts(task, METHODS["r2d"].stages["decide"])
    recipe = tiny_recipe("r2d", max_input_tokens=12, max_rationale_tokens=4)
    rows = encode_rows(texts, examples, Encoder(start.tokenizer), recipe)
    whole = encode_rows(texts, examples, Encoder(start.tokenizer), tiny_recipe("r2d"))
    assert max(len(row) for row in rows.predict) == 12
    for cut, full in zip(rows.predict, whole.predict, strict=True):
        if len(full) > 12:
            assert cut.tolist() == [*full[:11].tolist(), 1], "the instruction stays, and so does the end"
    assert rows.truncated == {
        "predict": sum(len(row) > 12 for row in whole.predict),
        "explain": sum(len(row) > 12 for row in whole.explain),
        "rationales": sum(len(row) > 4 for row in whole.rationales),
    }
    assert not whole.truncated


def test_examples_that_teach_nothing(tmp_path: Path):
    task = keyword_task(tmp_path)
    examples = task.examples("train")
    from dataclasses import replace

    mixed = [replace(examples[0], gold=None), replace(examples[1], references=()), *examples[2:5]]
    encoder = Encoder(new_start(task).tokenizer)
    stages = METHODS["r2d"].stages
    decide = encode_rows(StageTexts(task, stages["decide"]), mixed, encoder, tiny_recipe("r2d"))
    assert [e.id for e in decide.examples] == [e.id for e in mixed[1:]]
    assert len(decide.rationales[0]) == 0
    explain = encode_rows(StageTexts(task, stages["explain"]), mixed, encoder, tiny_recipe("r2d"))
    assert [e.id for e in explain.examples] == [e.id for e in mixed[2:]]
    bare = [replace(example, references=()) for example in examples]
    for name in ("explain", "decide"):
        texts = StageTexts(task, stages[name])  # type: ignore[index]
        with pytest.raises(UserError, match="no training example has a gold rationale"):
            check_trainable(encode_rows(texts, bare, encoder, tiny_recipe("r2d")), texts.stage, task.name)
    sft = StageTexts(task, METHODS["sft"].stages["decide"])
    check_trainable(encode_rows(sft, bare, encoder, tiny_recipe("sft")), sft.stage, task.name)
    with pytest.raises(UserError, match="no training example has a gold label"):
        check_trainable(encode_rows(sft, mixed[:1], encoder, tiny_recipe("sft")), sft.stage, task.name)


@pytest.mark.parametrize(("n", "size"), [(100, 8), (7, 8), (64, 8), (1000, 4)])
@pytest.mark.parametrize("grouped", [True, False])
def test_every_example_is_seen_evenly(n: int, size: int, grouped: bool):
    lengths = [1 + (7 * i) % 50 for i in range(n)]
    batches = Batches(lengths, size, 3, "decide", grouped=grouped)
    steps = 4 * n // size
    seen = Counter(i for step in range(steps) for i in batches.batch(step))
    assert all(len(batches.batch(step)) == size for step in range(steps))
    assert max(seen.values()) - min(seen.values()) <= 2
    assert len(seen) == n


def test_batches_depend_on_seed_and_step_alone():
    lengths = list(range(100))
    batches = Batches(lengths, 8, 3, "decide")
    in_order = [batches.batch(step) for step in range(60)]
    assert [Batches(lengths, 8, 3, "decide").batch(step) for step in reversed(range(60))] == in_order[::-1]
    assert [Batches(lengths, 8, 4, "decide").batch(step) for step in range(60)] != in_order
    assert [Batches(lengths, 8, 3, "explain").batch(step) for step in range(60)] != in_order


def test_batches_hold_examples_of_like_length():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 1000, size=2000).tolist()

    def padding(grouped: bool) -> int:
        batches = Batches(lengths, 8, 0, "decide", grouped=grouped)
        rows = [batches.batch(step) for step in range(200)]
        return sum(max(lengths[i] for i in row) * len(row) - sum(lengths[i] for i in row) for row in rows)

    assert padding(True) < padding(False) / 10


def test_parts_make_up_their_batch():
    batches = Batches(list(range(100)), 12, 0, "decide")
    parts = Parts(batches, steps=5, parts=3)
    assert len(parts) == 15
    for step in range(5):
        mine = [parts[3 * step + number] for number in range(3)]
        assert [part.step for part in mine] == [step] * 3
        assert [row for part in mine for row in part.rows] == batches.batch(step)


def test_the_collator_pads_on_the_right():
    collate = Collator(pad=0, start=9, device=torch.device("cpu"))
    rows = [np.array([5, 6, 1], dtype=np.int32), np.array([7], dtype=np.int32)]
    inputs = collate.inputs(rows)
    assert inputs["input_ids"].tolist() == [[5, 6, 1], [7, 0, 0]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    labels, shifted = collate.targets(rows)
    assert labels.tolist() == [[5, 6, 1], [7, IGNORED, IGNORED]]
    assert shifted.tolist() == [[9, 5, 6], [9, 7, 0]]
    labels, shifted = collate.targets([rows[0][:0], rows[0][:0]])
    assert (labels.tolist(), shifted.tolist()) == ([[IGNORED], [IGNORED]], [[9], [9]])


def test_candidates_begin_with_the_gold_label(task: Task, start: Start):
    encoder = Encoder(start.tokenizer)
    texts = StageTexts(task, METHODS["sft"].stages["decide"])
    rows = encode_rows(texts, task.examples("train"), encoder, tiny_recipe("sft"))
    for example, found in zip(rows.examples, label_candidates(rows, task, encoder, 8), strict=True):
        said = [start.tokenizer.decode(ids, skip_special_tokens=True) for ids in found]
        assert said[0] == example.gold
        assert sorted(said) == sorted(task.labels.values)
        assert all(ids[-1] == 1 for ids in found)
