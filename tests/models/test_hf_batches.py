"""Batches, and what happens where memory runs out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from tiny import triage_pairs

from r2d_bench.models.hf import HF, HFParams
from r2d_bench.models.hf_batches import in_batches
from r2d_bench.models.hf_prompts import Prompt
from r2d_bench.models.weights import find_weights
from r2d_bench.records import Failure, LabelMethod, Request, Response

if TYPE_CHECKING:
    from pathlib import Path

LABELS = ("emergency", "urgent", "routine")


def items(*lengths: int, budget: int = 0) -> list[Prompt]:
    return [Prompt(Request(str(i), "s", "x", "x", 1), [0] * n, budget) for i, n in enumerate(lengths)]


def plan(prompts: list[Prompt], tokens: int, rows: int | None = None) -> list[list[int]]:
    """Return the lengths of the prompts in each batch."""
    seen: list[list[int]] = []

    def work(batch: list[Prompt]) -> list[Response]:
        seen.append([len(prompt.ids) for prompt in batch])
        return [Response("x") for _ in batch]

    size, group = (lambda p: len(p.ids)), (lambda p: p.budget)
    keys = [key for key, _ in in_batches(prompts, work, size=size, group=group, tokens=tokens, rows=rows)]
    assert sorted(keys) == sorted(prompt.request.key for prompt in prompts)
    return seen


@pytest.mark.parametrize(
    ("lengths", "tokens", "rows", "batches"),
    [
        ((3, 9, 5, 1), 20, None, [[9, 5], [3, 1]]),  # 2 × 9 fit in 20; then 6 × 3
        ((3, 9, 5, 1), 20, 1, [[9], [5], [3], [1]]),
        ((30, 2), 20, None, [[30], [2]]),  # larger than a batch may be: alone
        ((), 20, None, []),
        ((4, 4, 4, 4, 4), 8, None, [[4, 4], [4, 4], [4]]),
    ],
)
def test_batches(lengths: tuple[int, ...], tokens: int, rows: int | None, batches: list[list[int]]):
    assert plan(items(*lengths), tokens, rows) == batches


def test_groups_do_not_mix():
    assert plan([*items(9, 3, budget=1), *items(8, 2, budget=5)], 100) == [[9, 3], [8, 2]]


def hold_memory_short(model: HF, *, rows: int | None = None, tokens: int | None = None) -> list[tuple[int, int]]:
    """Let the real model ask for more memory than there is, beyond some rows or tokens. Returns the shapes seen."""
    seen: list[tuple[int, int]] = []

    def check(_module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if ids is None:
            return
        seen.append(tuple(ids.shape))
        if ids.shape[0] > (rows or 10**9) or ids.shape[1] > (tokens or 10**9):
            torch.empty(1 << 58)  # the allocator's own error

    inner = model._engine().model
    (inner.get_encoder() if model._engine().encoder_decoder else inner).register_forward_pre_hook(
        check, with_kwargs=True
    )
    return seen


@pytest.fixture(params=["t5_folder", "text_folder"])
def model(request: pytest.FixtureRequest) -> HF:
    folder: Path = request.getfixturevalue(request.param)
    return HF(find_weights(str(folder)), HFParams())


def asked(method: LabelMethod = LabelMethod.FREE) -> list[Request]:
    candidates = () if method is LabelMethod.FREE else LABELS
    prompts = [prompt for prompt, _ in triage_pairs(20, seed=3) if prompt.startswith("predict")]
    return [Request(str(i), "p", p, p, 8, None, method, candidates) for i, p in enumerate(prompts)]


def test_batches_are_halved_where_memory_runs_out(model: HF):
    expected = dict(model.generate(asked()))
    seen = hold_memory_short(model, rows=2)
    assert dict(model.generate(asked())) == expected
    assert seen[0][0] == 10  # all at once was tried
    failed = [shape for shape in seen if shape[0] > 2]
    assert len(failed) <= 5  # and not for each batch anew


def test_scoring_backs_off_too(model: HF):
    expected = dict(model.score(asked(LabelMethod.SCORED)))
    # The second pass of a causal model has a row per candidate.
    hold_memory_short(model, rows=len(LABELS))
    found = dict(model.score(asked(LabelMethod.SCORED)))
    assert {k: r.text for k, r in found.items()} == {k: r.text for k, r in expected.items()}  # type: ignore[union-attr]


def test_a_request_that_does_not_fit_alone_is_a_failure_and_no_other(model: HF):
    hold_memory_short(model, tokens=60)
    long = "predict: the patient is old and reports high fever" + " since 9 days" * 30
    requests = [*asked(), Request("long", "p", long, long, 8)]
    found = dict(model.generate(requests))
    assert len(found) == len(requests)
    failures = {key: answer for key, answer in found.items() if isinstance(answer, Failure)}
    assert list(failures) == [requests[-1].key]
    assert failures[requests[-1].key].reason == "out of memory"


def test_other_errors_are_not_swallowed(model: HF):
    def broken(*_: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    inner = model._engine().model
    (inner.get_encoder() if model._engine().encoder_decoder else inner).register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        list(model.generate(asked()))
