from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from r2d_bench import doctor
from r2d_bench.cli.main import main
from r2d_bench.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Json


def machine(*, gpus: tuple[str, ...] = (), flags: tuple[str, ...] = (), gpu_bfloat16: bool = True) -> dict[str, Json]:
    return {"gpus": list(gpus), "flags": list(flags), "gpu_bfloat16": bool(gpus) and gpu_bfloat16}


def found(*kinds: str) -> list[doctor.Found]:
    everything = ("hf: transformers", "ct2: CTranslate2", "vllm: vLLM")
    return [doctor.Found(name, {}, None if name.partition(":")[0] in kinds else "pip install …") for name in everything]


@pytest.fixture
def checkpoint(tmp_path: Path):
    def make(**config: Json) -> str:
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "model.safetensors").write_bytes(b"")
        (folder / "tokenizer.json").write_text("{}")
        return str(folder)

    return make


T5 = {"is_encoder_decoder": True, "model_type": "t5"}


@pytest.mark.parametrize(
    ("config", "hardware", "there", "spec"),
    [
        (T5, machine(gpus=("a GPU",)), ("hf", "vllm"), "hf:{},dtype=bfloat16"),
        (T5, machine(gpus=("an old GPU",), gpu_bfloat16=False), ("hf", "vllm"), "hf:{}"),
        (T5, machine(flags=("amx_bf16",)), ("hf",), "hf:{},dtype=bfloat16"),
        (T5, machine(), ("hf", "ct2"), "hf:{}"),
        ({"model_type": "llama"}, machine(gpus=("a GPU",)), ("hf", "vllm"), "vllm:{}"),
        ({"model_type": "llama"}, machine(gpus=("a GPU",)), ("hf",), "hf:{},dtype=bfloat16"),
        ({"model_type": "llama"}, machine(flags=("avx512_bf16",)), ("hf",), "hf:{},dtype=bfloat16"),
        ({"model_type": "llama"}, machine(), ("hf",), "hf:{}"),
    ],
)
def test_advice(checkpoint, config: Json, hardware: dict[str, Json], there: tuple[str, ...], spec: str) -> None:  # noqa: ANN001
    folder = checkpoint(**config)
    advice = doctor.advise(folder, hardware, found(*there))
    assert advice.spec == spec.format(folder)
    assert advice.why


def test_an_engine_that_is_missing_has_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    known = doctor.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "ctranslate2" else known(name))
    by_name = {one.name: one for one in doctor.engines()}
    assert by_name["ct2: CTranslate2"].install == "pip install 'r2d-bench[ct2]'"
    assert by_name["hf: transformers checkpoints"].install is None
    assert "torch" in by_name["hf: transformers checkpoints"].versions


def test_an_adapter_is_read_with_its_base(checkpoint, tmp_path: Path) -> None:  # noqa: ANN001
    base, adapter = checkpoint(model_type="llama"), tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": base}))
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    advice = doctor.advise(str(adapter), machine(), found("hf", "vllm"))
    assert (advice.spec, advice.why.partition(":")[0]) == (f"hf:{adapter}", "a LoRA adapter")


def test_a_broken_installation_is_what_the_self_test_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ImportError("libfoo.so: cannot open shared object file")

    monkeypatch.setattr("r2d_bench.api.run", broken)
    test = doctor.self_test()
    assert (test.works, test.told) == (False, "ImportError: libfoo.so: cannot open shared object file")


def test_no_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        doctor.advise(str(tmp_path / "nothing"), machine(), found())


def test_the_verb_tests_the_whole_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["self_test"]["works"]
    assert told["self_test"]["seconds"] < 60
    assert told["hardware"]["cores"] >= 1
    assert main(["doctor", "--no-test"]) == 0
    assert "hf: transformers checkpoints" in capsys.readouterr().out
