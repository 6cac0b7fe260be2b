"""Our own greedy loop for T5s says what transformers' generate says, whatever the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tiny import tiny_lora, triage_pairs

from r2d_bench.models import hf, hf_greedy
from r2d_bench.models.hf import HF, HFParams
from r2d_bench.models.hf_decoding import generate_batch
from r2d_bench.models.hf_greedy import answer_greedily
from r2d_bench.models.hf_lora import find_checkpoint
from r2d_bench.models.hf_prompts import Limits, Prompt, prepare
from r2d_bench.models.hf_t5 import T5Decoder, is_t5
from r2d_bench.models.weights import find_weights
from r2d_bench.records import Finish, LabelMethod, Request, Response

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.models.hf_loading import Engine

LABELS = ("emergency", "urgent", "routine", "urgent routine")
NOTES = [prompt + " and has nothing else to say" * (i % 7) for i, (prompt, _) in enumerate(triage_pairs(24, seed=4))]


@pytest.fixture(scope="module", params=["learnt", "gated", "lora"])
def engine(request: pytest.FixtureRequest, t5_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Answers that end early and at varied lengths, that never end, and layers of other kinds."""
    folder = tmp_path_factory.mktemp("greedy")
    if request.param == "gated":
        return loaded(gated(folder / "gated", t5_folder))
    if request.param == "lora":
        return loaded(tiny_lora(folder / "lora", t5_folder, triage_pairs(100, seed=1), steps=4))
    return loaded(t5_folder)


def loaded(folder: Path, **params: object) -> Engine:
    return HF(find_checkpoint(str(folder), None), HFParams(device="cpu", **params))._engine()


def gated(folder: Path, words: Path) -> Path:
    """Save a T5 of version 1.1 with random weights: gated layers, an output head of its own, logits not divided."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(words)
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=3,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False, scale_decoder_outputs=False,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(1)
        transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def prompts_of(engine: Engine, asked: list[tuple[str, int, LabelMethod]]) -> list[Prompt]:
    requests = [
        Request(str(i), "s", note, note, budget, None, method, () if method is LabelMethod.FREE else LABELS)
        for i, (note, budget, method) in enumerate(asked)
    ]
    made = list(prepare(engine, requests, Limits()))
    assert all(isinstance(prompt, Prompt) for prompt in made)
    return made  # type: ignore[return-value]


def by_generate(engine: Engine, prompts: list[Prompt]) -> dict[str, Response]:
    """Ask transformers' generate, each prompt alone."""
    return {prompt.request.key: generate_batch(engine, [prompt])[0] for prompt in prompts}


METHODS = st.sampled_from([LabelMethod.FREE, LabelMethod.FREE, LabelMethod.CONSTRAINED])


@settings(max_examples=12, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
@given(
    asked=st.lists(st.tuples(st.sampled_from(NOTES), st.integers(1, 30), METHODS), min_size=1, max_size=20),
    tokens=st.integers(1, 2000),
    rows=st.one_of(st.none(), st.integers(1, 9)),
)
def test_answers_are_those_of_generate(
    engine: Engine, asked: list[tuple[str, int, LabelMethod]], tokens: int, rows: int | None
):
    prompts = prompts_of(engine, asked)
    found = list(answer_greedily(engine, prompts, tokens=tokens, rows=rows))
    assert len(found) == len(prompts)
    assert dict(found) == by_generate(engine, prompts)


def test_answers_end_at_varied_lengths_and_at_the_budget(t5_folder: Path):
    engine = loaded(t5_folder)
    prompts = prompts_of(engine, [(note, 8, LabelMethod.FREE) for note in NOTES])
    found = dict(answer_greedily(engine, prompts, tokens=1000, rows=None))
    assert {Finish.STOP, Finish.LENGTH} == {answer.finish for answer in found.values()}  # type: ignore[union-attr]
    assert len({answer.output_tokens for answer in found.values()}) > 1  # type: ignore[union-attr]


def test_answers_longer_than_the_first_caches(t5_folder: Path, tmp_path: Path):
    engine = loaded(gated(tmp_path / "gated", t5_folder))
    budget = 2 * hf_greedy.STEPS + 5
    prompts = prompts_of(engine, [(note, budget - i, LabelMethod.FREE) for i, note in enumerate(NOTES[:5])])
    found = dict(answer_greedily(engine, prompts, tokens=500, rows=None))
    assert found == by_generate(engine, prompts)
    assert max(answer.output_tokens or 0 for answer in found.values()) == budget  # type: ignore[union-attr]


def test_a_row_that_has_ended_makes_room(t5_folder: Path, monkeypatch: pytest.MonkeyPatch):
    engine = loaded(t5_folder)
    asked = [(note, 30, LabelMethod.FREE) for note in NOTES]
    prompts = prompts_of(engine, asked)
    sizes: list[int] = []
    step = T5Decoder.step

    def counted(self: T5Decoder, *given: list[int]) -> torch.Tensor:
        sizes.append(len(self))
        return step(self, *given)

    monkeypatch.setattr(T5Decoder, "step", counted)
    found = dict(answer_greedily(engine, prompts, tokens=10**6, rows=6))
    written = sum((answer.output_tokens or 0) + 1 for answer in found.values())  # type: ignore[union-attr]
    assert sum(sizes) == written  # not one step for a row that has ended
    assert max(sizes) == 6
    assert len(sizes) < written / 4  # and the batch is kept full


def test_the_adapter_takes_the_loop_for_t5_and_leaves_others_alone(
    t5_folder: Path, text_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[str] = []
    for module, name in ((hf_greedy, "answer_greedily"), (hf, "generate_batch")):
        known = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, _n=name, _k=known, **kw: (seen.append(_n), _k(*a, **kw))[1])
    request = Request("1", "s", NOTES[0], NOTES[0], 5)
    for folder, params in ((t5_folder, {}), (text_folder, {}), (t5_folder, {"dtype": "float16"})):
        assert len(list(HF(find_weights(str(folder)), HFParams(device="cpu", **params)).generate([request]))) == 1
    assert seen == ["answer_greedily", "generate_batch", "generate_batch"]


def test_a_forced_first_token_is_left_to_generate(t5_folder: Path):
    engine = loaded(t5_folder)
    assert is_t5(engine.model)
    engine.model.generation_config.forced_bos_token_id = 3
    assert not is_t5(engine.model)


@pytest.mark.parametrize("method", [LabelMethod.FREE, LabelMethod.CONSTRAINED])
def test_windows_do_not_change_answers(t5_folder: Path, monkeypatch: pytest.MonkeyPatch, method: LabelMethod):
    candidates = () if method is LabelMethod.FREE else LABELS
    requests = [Request(str(i), "s", note, note, 20, None, method, candidates) for i, note in enumerate(NOTES)]
    model = HF(find_weights(str(t5_folder)), HFParams(device="cpu"))
    whole = dict(model.generate(requests))
    monkeypatch.setattr(hf, "WINDOW", 5)
    assert dict(model.generate(requests)) == whole
    assert len(whole) == len(requests)


def test_bfloat16_answers_in_this_loop_too(t5_folder: Path):
    engine = loaded(t5_folder, dtype="bfloat16")
    assert is_t5(engine.model)
    prompts = prompts_of(engine, [(note, 20, LabelMethod.FREE) for note in NOTES])
    found = dict(answer_greedily(engine, prompts, tokens=2000, rows=None))
    expected = by_generate(engine, prompts)
    assert sum(found[key] == expected[key] for key in expected) >= 0.9 * len(expected)
