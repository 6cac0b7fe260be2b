"""LoRA adapters: answers against a plain peft loop, what their identity covers, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import peft
import pytest
import torch
import transformers
from run_parts import make_task, rows
from safetensors.torch import load_file, save_file
from tiny import CHAT_TEMPLATE, tiny_lora, triage_pairs

from r2d_bench import api
from r2d_bench.errors import MissingDependencyError, UserError
from r2d_bench.models.hf import HF, HFParams
from r2d_bench.models.hf_lora import find_checkpoint
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.records import LabelMethod, Message, Request
from r2d_bench.runs.table import read_examples
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from pathlib import Path

PROMPTS = [prompt for prompt, _ in triage_pairs(12, seed=9)]
# What the base has learnt, said in other words.
PAIRS = [(prompt, f"it is {target}") for prompt, target in triage_pairs(200)]
LABELS = ("emergency", "urgent", "routine")


@pytest.fixture(scope="module")
def t5_lora(t5_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lora(tmp_path_factory.mktemp("lora") / "t5-lora", t5_folder, PAIRS, tokenizer=False)


@pytest.fixture(scope="module")
def chat_lora(chat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lora(tmp_path_factory.mktemp("lora") / "chat-lora", chat_folder, PAIRS)


@pytest.fixture(scope="module")
def text_lora(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lora(tmp_path_factory.mktemp("lora") / "text-lora", text_folder, PAIRS, use_dora=True, steps=30)


def adapter(folder: Path, base: str | None = None, **params: object) -> HF:
    return HF(find_checkpoint(str(folder), base), HFParams(**params))


def ask(prompt: str, *, chat: bool = False, example: str = "1", candidates: tuple[str, ...] = ()) -> Request:
    turns = (Message("user", prompt),)
    method = LabelMethod.SCORED if candidates else LabelMethod.FREE
    return Request(example, "predict", turns if chat else prompt, prompt, 20, method=method, candidates=candidates)


def texts(model: HF, *, chat: bool = False) -> list[str]:
    requests = [ask(prompt, chat=chat, example=str(i)) for i, prompt in enumerate(PROMPTS)]
    found = dict(model.generate(requests))
    return [found[request.key].text for request in requests]


def plain(
    folder: Path, base: Path, *, merge: bool = False
) -> tuple[peft.PeftModel, transformers.PreTrainedTokenizerFast]:
    """Load base and adapter as peft's documentation does."""
    auto = {"T5": transformers.AutoModelForSeq2SeqLM, "Ll": transformers.AutoModelForCausalLM}
    config = json.loads((base / "config.json").read_text())
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    model = peft.PeftModel.from_pretrained(auto[config["architectures"][0][:2]].from_pretrained(base), folder).eval()
    return (model.merge_and_unload() if merge else model), tokenizer


def plain_texts(folder: Path, base: Path, *, chat: bool = False, merge: bool = False) -> list[str]:
    model, tokenizer = plain(folder, base, merge=merge)
    found = []
    for prompt in PROMPTS:
        if chat:
            turns = [{"role": "user", "content": prompt}]
            ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt").input_ids
        else:
            ids = tokenizer(prompt, return_tensors="pt").input_ids
        output = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False)
        begin = 0 if model.config.is_encoder_decoder else ids.shape[1]
        found.append(tokenizer.decode(output[0, begin:], skip_special_tokens=True).strip())
    return found


def test_t5_equals_a_plain_peft_loop(t5_lora: Path, t5_folder: Path):
    found = texts(adapter(t5_lora))
    assert found == plain_texts(t5_lora, t5_folder)
    assert found == plain_texts(t5_lora, t5_folder, merge=True)
    assert all(text.startswith("it is ") for text in found)
    assert not any(text.startswith("it is ") for text in texts(adapter(t5_folder)))


@pytest.mark.parametrize("chat", [True, False])
def test_causal_equals_a_plain_peft_loop(request: pytest.FixtureRequest, chat: bool):
    kind = "chat" if chat else "text"
    folder, base = (request.getfixturevalue(f"{kind}_{what}") for what in ("lora", "folder"))
    found = texts(adapter(folder), chat=chat)
    assert found == plain_texts(folder, base, chat=chat)
    assert found != texts(adapter(base), chat=chat)


def test_scores_equal_those_of_the_plain_peft_model(t5_lora: Path, t5_folder: Path):
    model, tokenizer = plain(t5_lora, t5_folder)
    ((_, answer),) = adapter(t5_lora).score([ask(PROMPTS[0], candidates=LABELS)])
    ((_, before),) = adapter(t5_folder).score([ask(PROMPTS[0], candidates=LABELS)])
    for label in LABELS:
        read, target = (tokenizer(text, return_tensors="pt") for text in (PROMPTS[0], label))
        with torch.no_grad():
            logits = model(input_ids=read.input_ids, labels=target.input_ids).logits[0]
        expected = logits.log_softmax(-1).gather(-1, target.input_ids[0].unsqueeze(-1)).sum().item()
        assert answer.scores[label] == pytest.approx(expected, abs=1e-4)
        assert abs(before.scores[label] - expected) > 0.1


def test_causal_scores_equal_those_of_the_plain_peft_model(text_lora: Path, text_folder: Path):
    model, tokenizer = plain(text_lora, text_folder)
    ((_, answer),) = adapter(text_lora).score([ask(PROMPTS[0], candidates=LABELS)])
    asked = len(tokenizer(PROMPTS[0]).input_ids)
    for label in LABELS:
        ids = torch.tensor([[*tokenizer(f"{PROMPTS[0]} {label}").input_ids, tokenizer.eos_token_id]])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, asked - 1 : -1].log_softmax(-1)
        expected = logits.gather(-1, ids[0, asked:].unsqueeze(-1)).sum().item()
        assert answer.scores[label] == pytest.approx(expected, abs=1e-4)


def test_bfloat16_is_that_of_peft(t5_lora: Path, t5_folder: Path):
    base = transformers.AutoModelForSeq2SeqLM.from_pretrained(t5_folder, dtype=torch.bfloat16)
    model = peft.PeftModel.from_pretrained(base, t5_lora).eval()
    ours = adapter(t5_lora, dtype="bfloat16", device="cpu")._engine().model
    ids = torch.tensor([[7, 8, 9, 1]])
    with torch.no_grad():
        pair = [m(input_ids=ids, decoder_input_ids=ids).logits for m in (ours, model)]
    assert torch.equal(*pair)


def test_identity_covers_adapter_and_base(t5_lora: Path, t5_folder: Path, tmp_path: Path):
    model = adapter(t5_lora)
    assert (model.identity.name, model.identity.params) == ("t5-lora", {"dtype": "float32"})
    digest = model.identity.digest
    assert digest not in (None, adapter(t5_folder).identity.digest)

    moved_base, moved = tmp_path / "elsewhere", tmp_path / "t5-lora"
    shutil.copytree(t5_folder, moved_base)
    shutil.copytree(t5_lora, moved)
    name_base(moved, str(moved_base))  # another place is no other model
    assert adapter(moved).identity == model.identity
    assert adapter(t5_lora, str(moved_base)).identity == model.identity

    with (moved_base / "generation_config.json").open("a") as file:
        file.write("\n")
    assert adapter(moved).identity.digest != digest
    set_config(moved, lora_alpha=16, base_model_name_or_path=str(t5_folder))
    assert adapter(moved).identity.digest != digest
    set_config(moved, lora_alpha=32)
    assert adapter(moved).identity.digest == digest
    weights = load_file(moved / "adapter_model.safetensors")
    save_file({key: value * 2 for key, value in weights.items()}, moved / "adapter_model.safetensors")
    assert adapter(moved).identity.digest != digest


def set_config(folder: Path, **keys: object) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))


def name_base(folder: Path, base: str) -> None:
    set_config(folder, base_model_name_or_path=base)


def test_a_base_relative_to_the_adapter_and_to_here(
    t5_lora: Path, t5_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "lora"
    shutil.copytree(t5_lora, folder)
    shutil.copytree(t5_folder, tmp_path / "base")
    name_base(folder, "../base")
    assert find_checkpoint(str(folder)).base.folder == tmp_path / "base"
    monkeypatch.chdir(tmp_path)
    name_base(folder, "base")
    set_config(folder, revision="abc")  # speaks of a hub's base, not of a folder
    assert find_checkpoint("lora").base.folder.resolve() == tmp_path / "base"
    assert find_checkpoint("lora", str(t5_folder)).base.name == t5_folder.name
    assert texts(adapter(folder)) == plain_texts(t5_lora, t5_folder)


def test_capabilities_come_from_base_and_tokenizer(
    t5_lora: Path, chat_lora: Path, text_lora: Path, text_folder: Path, tmp_path: Path
):
    found = [adapter(f).capabilities for f in (t5_lora, chat_lora, text_lora)]
    assert [(c.chat, c.default_protocol) for c in found] == [(False, "r2d"), (True, "zero_shot"), (False, "r2d")]
    # A chat template that was trained with the adapter makes a chat model of a base without one.
    folder = tmp_path / "own-template"
    shutil.copytree(text_lora, folder)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    model = adapter(folder)
    assert model.capabilities.chat
    assert model._engine().tokenizer.chat_template == CHAT_TEMPLATE
    assert model.identity.digest != adapter(text_lora).identity.digest
    # An adapter's tokenizer without a template stands before a base's with one.
    base = tmp_path / "chatting-base"
    shutil.copytree(text_folder, base)
    (base / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    assert adapter(base).capabilities.chat
    assert not adapter(text_lora, str(base)).capabilities.chat


def test_a_protocol_file_of_the_adapter_stands_first(t5_lora: Path, t5_folder: Path, tmp_path: Path):
    folder, base = tmp_path / "lora", tmp_path / "base"
    shutil.copytree(t5_lora, folder)
    shutil.copytree(t5_folder, base)
    assert adapter(folder, str(base)).protocol_file is None
    (base / "protocol.yaml").write_text("name: base\n")
    assert adapter(folder, str(base)).protocol_file == base / "protocol.yaml"
    (folder / "protocol.yaml").write_text("name: own\n")
    assert adapter(folder, str(base)).protocol_file == folder / "protocol.yaml"


def test_the_constructor_loads_no_engine(t5_lora: Path):
    code = (
        "import sys; from r2d_bench.models.hf import HF, HFParams\n"
        f"model = HF.create({str(t5_lora)!r}, HFParams(), task=None, seed=0); model.identity; model.capabilities\n"
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def grown(
    base: Path, folder: Path, *, auto: type, embeddings: bool | str = "auto", tie: bool = True, n: int = 3
) -> Path:
    """Save a random adapter that was made after `n` tokens were added to its base."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens([f"<new{i}>" for i in range(n)])
    torch.manual_seed(1)
    model = auto.from_pretrained(base, tie_word_embeddings=tie)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    targets = ["q", "v"] if model.config.is_encoder_decoder else ["q_proj", "v_proj"]
    config = peft.LoraConfig(target_modules=targets, init_lora_weights=False)
    adapted = peft.get_peft_model(model, config)
    adapted.save_pretrained(folder, save_embedding_layers=embeddings)
    tokenizer.save_pretrained(folder)
    with torch.no_grad():
        logits = adapted.eval()(torch.tensor([[3, 7, len(tokenizer) - 1]])).logits if targets[0] == "q_proj" else None
    if logits is not None:
        save_file({"logits": logits}, folder.with_suffix(".expected"))
    return folder


@pytest.mark.parametrize("tie", [True, False])
def test_tokens_that_were_added_in_training(text_folder: Path, tmp_path: Path, tie: bool):
    base = tmp_path / "base"
    model = transformers.AutoModelForCausalLM.from_pretrained(text_folder, tie_word_embeddings=tie)
    model.save_pretrained(base)
    transformers.AutoTokenizer.from_pretrained(text_folder).save_pretrained(base)
    folder = grown(base, tmp_path / "grown", auto=transformers.AutoModelForCausalLM, tie=tie)
    engine = adapter(folder)._engine()
    tokens = len(engine.tokenizer)
    assert engine.tokenizer("<new2>", add_special_tokens=False).input_ids == [tokens - 1]
    with torch.no_grad():
        logits = engine.model(torch.tensor([[3, 7, tokens - 1]])).logits
    expected = load_file(tmp_path / "grown.expected")["logits"]
    assert expected.shape[-1] == tokens
    assert torch.allclose(logits, expected, atol=1e-5)


def test_tokens_without_embeddings_and_encoder_decoders_that_grew(text_folder: Path, t5_folder: Path, tmp_path: Path):
    causal = grown(text_folder, tmp_path / "a", auto=transformers.AutoModelForCausalLM, embeddings=False)
    assert "tokens in its tokenizer, embeddings for" in refusal(causal, load=True)
    t5 = grown(t5_folder, tmp_path / "b", auto=transformers.AutoModelForSeq2SeqLM)
    assert "encoder-decoders are not resized: merge it" in refusal(t5, load=True)


def refusal(folder: Path, base: str | None = None, *, load: bool = False) -> str:
    if load:
        model = adapter(folder, base)
        with pytest.raises(UserError) as caught:
            model._engine()
    else:
        with pytest.raises(UserError) as caught:
            adapter(folder, base)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def lora(t5_lora: Path, tmp_path: Path) -> Path:
    return shutil.copytree(t5_lora, tmp_path / "my-lora")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"peft_type": "IA3"}, "peft_type IA3 is not read, only LORA: merge it"),
        ({"peft_type": None}, "adapter_config.json is broken: peft_type"),
        ({"r": "eight"}, "adapter_config.json is broken: r: "),
        ({"task_type": "SEQ_CLS"}, "task_type SEQ_CLS writes no text"),
        ({"task_type": "CAUSAL_LM"}, "an adapter for CAUSAL_LM, but its base tiny-triage is an encoder-decoder"),
        ({"megatron_config": {"a": 1}, "megatron_core": "os"}, "megatron_config is not read"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens is not read"),
        ({"base_model_name_or_path": None}, "names no base model: give it as base=FOLDER"),
        ({"base_model_name_or_path": ""}, "names no base model: give it as base=FOLDER"),
        ({"base_model_name_or_path": "./gone"}, "its base model: ./gone: no such folder"),
        ({"base_model_name_or_path": "."}, "its base model: my-lora: a LoRA adapter, where a whole model is needed"),
    ],
)
def test_adapters_that_are_refused_before_anything_is_loaded(lora: Path, keys: dict[str, object], told: str):
    set_config(lora, **keys)
    message = refusal(lora)
    assert message.startswith("my-lora: ")
    assert told in message


def test_a_config_that_is_no_json(lora: Path):
    (lora / "adapter_config.json").write_text("{,")
    assert "broken JSON" in refusal(lora)
    (lora / "adapter_config.json").write_text("[]")
    assert "adapter_config.json is broken" in refusal(lora)


def test_a_hub_base_that_cannot_be_reached_names_its_revision(
    lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    set_config(lora, base_model_name_or_path="nobody/no-such-model", revision="abc")
    message = refusal(lora)
    assert "its base model: nobody/no-such-model@abc: no folder of that name, and the hub does not give it" in message
    assert "base=FOLDER names another place" in message


def in_hub_cache(cache: Path, repo: str, branch: str, commit: str, folder: Path) -> None:
    """Lay a folder into the hub's cache as its client does."""
    place = cache / f"models--{repo.replace('/', '--')}"
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / branch).write_text(commit)
    shutil.copytree(folder, place / "snapshots" / commit)


def test_adapter_and_base_from_the_hub_in_their_revisions(
    lora: Path, t5_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cache, old, new = tmp_path / "cache", "a" * 40, "b" * 40
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    in_hub_cache(cache, "nobody/base", "v1", old, t5_folder)
    in_hub_cache(cache, "nobody/base", "main", new, t5_folder)
    set_config(lora, base_model_name_or_path="nobody/base", revision="v1")
    shutil.copy(t5_folder / "config.json", lora)  # some save it beside the adapter; it makes no whole model
    in_hub_cache(cache, "nobody/lora", "main", new, lora)
    found = find_checkpoint("nobody/lora")
    assert (found.name, found.revision) == ("nobody/lora", new)
    assert (found.base.name, found.base.revision) == ("nobody/base@v1", old)
    assert find_checkpoint("nobody/lora", "nobody/base").base.revision == new


def test_a_lone_chat_template(lora: Path):
    (lora / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    assert "a chat template without a tokenizer" in refusal(lora)


def test_a_base_for_a_whole_model(t5_folder: Path):
    assert "is for LoRA adapters" in refusal(t5_folder, "elsewhere")


def test_pickles_are_never_read(lora: Path):
    (lora / "adapter_model.safetensors").rename(lora / "adapter_model.bin")
    assert "only adapter_model.bin, a pickle" in refusal(lora)


def test_an_adapter_that_does_not_fit_its_base_wholly_and_exactly(lora: Path):
    where = "hf:my-lora: the adapter does not fit its base tiny-triage: "
    file = lora / "adapter_model.safetensors"
    whole = load_file(file)
    first = min(whole)
    save_file({key: value for key, value in whole.items() if key != first}, file)
    assert refusal(lora, load=True).startswith(f"{where}1 weights are missing from it, the first is ")
    save_file(whole | {"base_model.model.encoder.block.7.x.lora_A.weight": whole[first].clone()}, file)
    assert refusal(lora, load=True).startswith(f"{where}1 weights have no place, the first is ")
    file.write_bytes(b"no tensors here")
    assert refusal(lora, load=True).startswith(where)
    save_file(whole, file)
    set_config(lora, target_modules=["q_proj"])
    assert refusal(lora, load=True).startswith(f"{where}Target modules")


def test_a_base_of_another_size(lora: Path, t5_folder: Path, tmp_path: Path):
    config = transformers.T5Config.from_pretrained(t5_folder)
    config.d_model = 64
    small = shutil.copytree(t5_folder, tmp_path / "small")
    transformers.T5ForConditionalGeneration(config).save_pretrained(small)
    told = refusal(lora, str(small), load=True)
    assert told.startswith("hf:my-lora: the adapter does not fit its base small: size mismatch for base_model.model.")


def test_peft_is_asked_for_where_it_is_absent(
    t5_lora: Path, t5_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    task, real = make_task(tmp_path, rows(4)), importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "peft" else real(name))
    with pytest.raises(MissingDependencyError, match=r"hf:t5-lora: a LoRA adapter needs .*r2d-bench\[lora\]"):
        make_model(parse_spec(f"hf:{t5_lora}"), task=task, seed=0)
    assert make_model(parse_spec(f"hf:{t5_folder}"), task=task, seed=0).identity.name == "tiny-triage"


def test_a_run_from_the_spec_to_the_scores(t5_lora: Path, t5_folder: Path, tmp_path: Path):
    spec = f"hf:{t5_lora},base={t5_folder}"
    report = api.run(
        [spec], tasks=["triage"], limit=4, runs=str(tmp_path / "runs"), site="none", bertscore={"model": "none"}
    )
    (done,) = report.finished
    found = {row["id"]: row["label_text"] for row in read_examples(done.folder / "examples.parquet")}
    examples = [example for example in load_task("triage").examples() if example.id in found]
    model, tokenizer = plain(t5_lora, t5_folder)
    for example in examples:
        read = tokenizer(f"predict: {example.input}", truncation=True, max_length=1024, return_tensors="pt")
        output = model.generate(**read, max_new_tokens=50, do_sample=False)
        assert found[example.id] == tokenizer.decode(output[0], skip_special_tokens=True).strip()
    assert len(examples) == 4
    assert str(t5_lora) not in (done.folder / "run.json").read_text()
    assert str(t5_folder) not in (done.folder / "run.json").read_text()
