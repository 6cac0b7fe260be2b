from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import torch
import transformers

from r2d_bench.errors import UserError
from r2d_bench.models.convert import convert
from r2d_bench.models.weights import find_weights

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pickled(t5_folder: Path, tmp_path: Path) -> Path:
    """The tiny T5 as an old trainer left it: pickled, with its tied embeddings sharing memory."""
    folder = tmp_path / "old-t5"
    shutil.copytree(t5_folder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    state = transformers.T5ForConditionalGeneration.from_pretrained(t5_folder).state_dict()
    assert state["shared.weight"].data_ptr() == state["encoder.embed_tokens.weight"].data_ptr()
    torch.save(state, folder / "pytorch_model.bin")
    torch.save({"lr": 1.0}, folder / "training_args.bin")
    (folder / "trainer_state.json").write_text("{}")
    (folder / "protocol.yaml").write_text("name: own\n")
    return folder


def same_weights(one: Path, other: Path) -> bool:
    a, b = (transformers.T5ForConditionalGeneration.from_pretrained(f).state_dict() for f in (one, other))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_round_trip(pickled: Path, t5_folder: Path, tmp_path: Path):
    with pytest.raises(UserError, match="only pickled weights"):
        find_weights(str(pickled))
    out = convert(pickled, tmp_path / "new" / "t5")
    assert same_weights(out, t5_folder)
    assert find_weights(str(out)).name == "t5"
    expected = {p.name for p in t5_folder.iterdir()} | {"protocol.yaml"}
    assert {p.name for p in out.iterdir()} == expected
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    assert (
        tokenizer("chest pain").input_ids
        == transformers.AutoTokenizer.from_pretrained(t5_folder)("chest pain").input_ids
    )


def test_shards(pickled: Path, t5_folder: Path, tmp_path: Path):
    state = torch.load(pickled / "pytorch_model.bin", weights_only=True)
    (pickled / "pytorch_model.bin").unlink()
    names = sorted(state)
    for i, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), start=1):
        torch.save({n: state[n] for n in part}, pickled / f"pytorch_model-0000{i}-of-00002.bin")
    (pickled / "pytorch_model.bin.index.json").write_text("{}")
    out = convert(pickled, tmp_path / "out")
    assert same_weights(out, t5_folder)
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(names)
    assert not (out / "pytorch_model.bin.index.json").exists()


def test_an_empty_target_is_taken_and_a_full_one_is_not(pickled: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert (convert(pickled, tmp_path / "empty") / "model.safetensors").is_file()
    with pytest.raises(UserError, match="already there and not empty"):
        convert(pickled, tmp_path / "empty")


class Trap:
    """An object whose pickle would make a file when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (type(self.mark).touch, (self.mark,))


def test_a_pickle_with_code_is_refused_and_does_not_run(pickled: Path, tmp_path: Path):
    mark = tmp_path / "ran"
    torch.save({"shared.weight": Trap(mark)}, pickled / "pytorch_model.bin")
    with pytest.raises(UserError, match="holds more than tensors"):
        convert(pickled, tmp_path / "out")
    assert not mark.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old-t5"]  # nothing half made is left


@pytest.mark.parametrize("content", [b"", b"not a pickle at all"])
def test_damaged_weights(pickled: Path, tmp_path: Path, content: bytes):
    (pickled / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        convert(pickled, tmp_path / "out")


def test_values_that_are_no_tensors(pickled: Path, tmp_path: Path):
    torch.save({"model": {"shared.weight": torch.zeros(2)}}, pickled / "pytorch_model.bin")
    with pytest.raises(UserError, match="state_dict"):
        convert(pickled, tmp_path / "out")


def test_nothing_to_convert(t5_folder: Path, tmp_path: Path):
    with pytest.raises(UserError, match="nothing to convert"):
        convert(t5_folder, tmp_path / "out")
