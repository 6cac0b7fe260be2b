"""The adapter from outside: identity, capabilities, and answers against a plain transformers loop."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch
import transformers
from pydantic import ValidationError
from tiny import triage_pairs

from r2d_bench.errors import UserError
from r2d_bench.models.hf import HF, HFParams
from r2d_bench.models.weights import find_weights
from r2d_bench.records import Finish, LabelMethod, Message, Request, Response

if TYPE_CHECKING:
    from pathlib import Path

PAIRS = triage_pairs(60, seed=9)


def adapter(folder: Path, **params: object) -> HF:
    return HF(find_weights(str(folder)), HFParams(**params))


def ask(prompt: str, *, chat: bool = False, budget: int = 20, example: str = "1") -> Request:
    turns = (Message("user", prompt),)
    return Request(example, "predict", turns if chat else prompt, prompt, budget)


def answers(model: HF, requests: list[Request]) -> list[Response]:
    found = dict(model.generate(requests))
    assert len(found) == len(requests)
    return [found[request.key] for request in requests]


def plain_t5(folder: Path, prompts: list[str], batch: int = 8) -> list[str]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.T5ForConditionalGeneration.from_pretrained(folder).eval()
    texts = []
    for i in range(0, len(prompts), batch):
        inputs = tokenizer(prompts[i : i + batch], padding=True, return_tensors="pt")
        output = model.generate(
            input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, max_new_tokens=20, do_sample=False
        )
        texts += tokenizer.batch_decode(output, skip_special_tokens=True)
    return texts


def plain_causal(folder: Path, prompts: list[str], *, chat: bool) -> list[str]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    texts = []
    for prompt in prompts:
        if chat:
            turns = [{"role": "user", "content": prompt}]
            ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt").input_ids
        else:
            ids = tokenizer(prompt, return_tensors="pt").input_ids
        output = model.generate(ids, max_new_tokens=20, do_sample=False, attention_mask=torch.ones_like(ids))
        texts.append(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True).strip())
    return texts


def test_t5_equals_a_plain_loop_and_has_learnt(t5_folder: Path):
    prompts = [prompt for prompt, _ in PAIRS]
    found = answers(adapter(t5_folder), [ask(p, example=str(i)) for i, p in enumerate(prompts)])
    texts = [response.text for response in found]
    assert texts == plain_t5(t5_folder, prompts)
    assert sum(text == target for text, (_, target) in zip(texts, PAIRS, strict=True)) >= 57


@pytest.mark.parametrize("chat", [False, True])
def test_causal_equals_a_plain_loop_and_has_learnt(chat_folder: Path, text_folder: Path, chat: bool):
    folder = chat_folder if chat else text_folder
    prompts = [prompt for prompt, _ in PAIRS]
    found = answers(adapter(folder), [ask(p, chat=chat, example=str(i)) for i, p in enumerate(prompts)])
    texts = [response.text for response in found]
    assert texts == plain_causal(folder, prompts, chat=chat)
    assert sum(text == target for text, (_, target) in zip(texts, PAIRS, strict=True)) >= 57


@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_batches_do_not_change_texts_in_float32(text_folder: Path, batch_size: int | None):
    requests = [ask(p, example=str(i)) for i, (p, _) in enumerate(PAIRS[:10])]
    alone = answers(adapter(text_folder, batch_size=1), requests)
    assert answers(adapter(text_folder, batch_size=batch_size), requests) == alone


def test_a_budget_that_ends_before_the_answer_is_a_cut_answer(t5_folder: Path):
    prompt = next(p for p, _ in PAIRS if p.startswith("explain"))
    short, long = answers(adapter(t5_folder), [ask(prompt, budget=2), ask(prompt, budget=20)])
    assert (short.finish, short.output_tokens) == (Finish.LENGTH, 2)
    assert (long.finish, long.text.startswith(short.text)) == (Finish.STOP, True)
    exact = answers(adapter(t5_folder), [ask(prompt, budget=(long.output_tokens or 0) + 1)])[0]
    assert exact == long  # the end counts in the budget


def test_the_checkpoints_own_generation_settings_do_not_leak(t5_folder: Path, tmp_path: Path):
    folder = tmp_path / "sampling"
    shutil.copytree(t5_folder, folder)
    file = folder / "generation_config.json"
    config = json.loads(file.read_text())
    config |= {"do_sample": True, "temperature": 9.0, "top_k": 0, "repetition_penalty": 5.0, "max_length": 3}
    config |= {"num_beams": 3, "no_repeat_ngram_size": 1, "forced_eos_token_id": 1, "min_new_tokens": 15}
    file.write_text(json.dumps(config))
    requests = [ask(p, example=str(i)) for i, (p, _) in enumerate(PAIRS[:10])]
    assert answers(adapter(folder), requests) == answers(adapter(t5_folder), requests)


def test_answers_come_as_batches_are_done_the_longest_first(t5_folder: Path):
    requests = [ask("predict: the patient" + " has high fever" * n, example=str(n)) for n in (1, 9, 5)]
    stream = adapter(t5_folder, batch_size=1).generate(requests)
    assert next(stream)[0] == requests[1].key
    stream.close()


def test_identity_names_what_changes_the_output(t5_folder: Path):
    model = adapter(t5_folder, device="cpu", batch_size=4)
    assert model.identity.as_json() == {
        "kind": "hf",
        "name": "tiny-triage",
        "digest": find_weights(str(t5_folder)).digest(),
        "params": {"dtype": "float32"},
        "row": "model",
    }
    other = adapter(t5_folder, dtype="bfloat16", thinking_tokens=5, max_input_tokens=9, trust_remote_code=True)
    assert other.identity.params == {
        "dtype": "bfloat16",
        "thinking_tokens": 5,
        "max_input_tokens": 9,
        "trust_remote_code": True,
    }


def test_parameters_are_checked():
    assert HFParams().trust_remote_code is False
    for wrong in ({"dtype": "int8"}, {"device": "tpu"}, {"batch_size": 0}, {"temperature": 1}):
        with pytest.raises(ValidationError):
            HFParams(**wrong)


def test_capabilities(t5_folder: Path, chat_folder: Path, text_folder: Path):
    found = {f.name: adapter(f).capabilities for f in (t5_folder, chat_folder, text_folder)}
    assert [(c.text, c.chat, c.default_protocol) for c in found.values()] == [
        (True, False, "r2d"),
        (True, True, "zero_shot"),
        (True, False, "r2d"),
    ]
    assert all(c.methods == frozenset(LabelMethod) for c in found.values())


def test_a_protocol_that_lies_with_the_checkpoint(t5_folder: Path, tmp_path: Path):
    assert adapter(t5_folder).protocol_file is None
    folder = tmp_path / "own"
    shutil.copytree(t5_folder, folder)
    (folder / "protocol.yaml").write_text("name: own\n")
    assert adapter(folder).protocol_file == folder / "protocol.yaml"


@pytest.mark.parametrize("architecture", ["BertModel", "BertForMaskedLM", "T5ForSequenceClassification"])
def test_models_that_write_nothing_are_refused(tmp_path: Path, architecture: str):
    config = {"architectures": [architecture], "is_encoder_decoder": architecture.startswith("T5")}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=f"{architecture} writes no text"):
        adapter(tmp_path)


def test_a_chat_prompt_needs_a_template(text_folder: Path):
    with pytest.raises(UserError, match="no chat template"):
        answers(adapter(text_folder), [ask("hello", chat=True)])


def test_missing_weights_are_no_random_numbers(t5_folder: Path, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "torn"
    shutil.copytree(t5_folder, folder)
    state = load_file(folder / "model.safetensors")
    state.pop("encoder.block.1.layer.1.DenseReluDense.wo.weight")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"1 weights are missing, the first is encoder\.block\.1"):
        answers(adapter(folder), [ask("predict: x")])


def test_weights_that_cannot_be_read_are_told_in_one_line(t5_folder: Path, tmp_path: Path):
    folder = tmp_path / "damaged"
    shutil.copytree(t5_folder, folder)
    (folder / "model.safetensors").write_bytes(b"no tensors here")
    with pytest.raises(UserError, match="cannot load it") as caught:
        answers(adapter(folder), [ask("predict: x")])
    assert "\n" not in str(caught.value)


def test_the_constructor_loads_no_engine(t5_folder: Path):
    code = (
        "import sys; from r2d_bench.models.hf import HF, HFParams; from r2d_bench.models.weights import find_weights\n"
        f"model = HF(find_weights({str(t5_folder)!r}), HFParams()); model.identity; model.capabilities\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bfloat16_on_a_cpu(t5_folder: Path):
    found = answers(adapter(t5_folder, dtype="bfloat16", device="cpu"), [ask(p) for p, _ in PAIRS[:4]])
    assert [response.text for response in found] == [target for _, target in PAIRS[:4]]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_torch_was_not_built_for_is_one_line(t5_folder: Path):
    with pytest.raises(UserError, match=r"^hf:.*: Torch not compiled with CUDA enabled$"):
        list(HF(find_weights(str(t5_folder)), HFParams(device="cuda")).generate([Request("1", "predict", "x", "x", 4)]))


def test_a_sitting_keeps_device_and_batch(t5_folder: Path):
    model = HF(find_weights(str(t5_folder)), HFParams(device="cpu", batch_size=3))
    assert model.ran_on() == {}
    list(model.generate([Request("1", "predict", "x", "x", 4)]))
    assert model.ran_on() == {"device": "cpu", "batch_tokens": 8192, "batch_size": 3}
    model.close()
    assert model.ran_on() == {}
