"""Batches by size, longest first, with back-off where memory runs out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.records import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from r2d_bench.models.base import Answer
    from r2d_bench.models.hf_prompts import Prompt
    from r2d_bench.records import Response

OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


def in_batches(
    prompts: Sequence[Prompt],
    work: Callable[[list[Prompt]], list[Response]],
    *,
    size: Callable[[Prompt], int],
    group: Callable[[Prompt], Hashable],
    tokens: int,
    rows: int | None = None,
) -> Iterator[Answer]:
    """Answer `prompts` batch by batch, the longest first, so that memory trouble shows at once.

    Where a batch runs out of memory it is asked again with half of its tokens, and later batches keep to
    that; a request that does not fit alone is a failure.

    Args:
        prompts: all prompts of a stage.
        work: answers one batch, in order.
        size: tokens that a prompt takes; the longest of a batch counts for each of its rows.
        group: only prompts of equal group share a batch.
        tokens: the most tokens of a batch, padding included.
        rows: the most prompts of a batch; None leaves it to `tokens`.
    """
    queue = sorted(prompts, key=size, reverse=True)
    while queue:
        batch = _next(queue, size, group, tokens, rows)
        answers = _try(work, batch)
        if answers is not None:
            yield from zip((prompt.request.key for prompt in batch), answers, strict=True)
        elif len(batch) == 1:
            detail = f"a prompt of {len(batch[0].ids)} tokens does not fit alone"
            yield batch[0].request.key, Failure("out of memory", detail)
        else:
            tokens = size(batch[0]) * len(batch) // 2
            continue
        done = {id(prompt) for prompt in batch}
        queue = [prompt for prompt in queue if id(prompt) not in done]


def _next(
    queue: list[Prompt],
    size: Callable[[Prompt], int],
    group: Callable[[Prompt], Hashable],
    tokens: int,
    rows: int | None,
) -> list[Prompt]:
    """Return the longest prompt and those of its group that fit beside it."""
    most = max(1, tokens // max(1, size(queue[0])))
    most = most if rows is None else min(most, rows)
    own = group(queue[0])
    batch: list[Prompt] = []
    for prompt in queue:
        if len(batch) == most:
            break
        if group(prompt) == own:
            batch.append(prompt)
    return batch


def _try(work: Callable[[list[Prompt]], list[Response]], batch: list[Prompt]) -> list[Response] | None:
    """Run `work`; None where memory ran out."""
    try:
        return work(batch)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    free_memory()  # outside of `except`: there the traceback still holds the batch's tensors
    return None


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether it is Python's, torch's or the driver's word for that."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY)


def free_memory() -> None:
    """Give memory that torch holds in reserve back to the accelerator."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
