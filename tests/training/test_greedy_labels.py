"""GreedyLabels writes what `model.generate` writes, for every kind of model and label set."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
import torch
from tiny import COMPLAINTS, tiny_t5, triage_pairs
from training_parts import same_start

from r2d_bench.training.recipe import Scratch
from r2d_bench.training.sampling import Greedy, GreedyLabels, continuations
from r2d_bench.training.scratch import make_greedy, set_dropout, tiny_start
from r2d_bench.training.stage import Start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers.generation.utils import GenerateEncoderDecoderOutput

BUDGET = 12
# Labels that begin alike, and one that is the beginning of another.
ALIKE = ("urgent", "urgent care", "urgent care now", "urgently routine", "emergency", "routine", "")
NOTES = [prompt for prompt, _ in triage_pairs(40, seed=7)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Start:
    import transformers

    folder = tiny_t5(tmp_path_factory.mktemp("greedy") / "tiny", triage_pairs(400), steps=120)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    make_greedy(model, tokenizer)
    return Start(model, tokenizer)


def random_model(seed: int, *, scale: float = 1.0) -> Start:
    scratch = Scratch(d_model=32, d_ff=64, heads=2, layers=1, vocabulary=200)
    model, tokenizer = tiny_start(scratch, [*NOTES, *ALIKE], seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    make_greedy(model, tokenizer)
    return Start(model, tokenizer)


def candidates(start: Start, labels: Sequence[str], first: int) -> tuple[tuple[int, ...], ...]:
    found = [tuple(start.tokenizer(label).input_ids) for label in labels]
    return tuple(found[first:] + found[:first])


def predict(
    start: Start, notes: Sequence[str], labels: Sequence[str], **settings: bool
) -> tuple[list[Greedy], GenerateEncoderDecoderOutput]:
    """Return what GreedyLabels writes, and generate's own output."""
    model, tokenizer = start.model, start.tokenizer
    inputs = tokenizer(list(notes), padding=True, return_tensors="pt")
    rng = random.Random(0)
    texts = [candidates(start, labels, rng.randrange(max(1, len(labels)))) for _ in notes]
    greedy = GreedyLabels(model, tokenizer, BUDGET, **settings)
    found = greedy(inputs.input_ids, inputs.attention_mask, texts)
    model.eval()
    output = model.generate(
        input_ids=inputs.input_ids,
        attention_mask=inputs.attention_mask,
        num_beams=1,
        do_sample=False,
        max_new_tokens=BUDGET,
        output_scores=True,
        return_dict_in_generate=True,
    )
    return found, output


def assert_equal(start: Start, notes: Sequence[str], labels: Sequence[str]) -> list[Greedy]:
    found, output = predict(start, notes, labels)
    assert [g.text for g in found] == start.tokenizer.batch_decode(output.sequences, skip_special_tokens=True)
    scores = torch.stack(output.scores, dim=1).log_softmax(-1)
    for row, greedy in enumerate(found):
        ids = output.sequences[row, 1:].tolist()
        length = ids.index(1) + 1 if 1 in ids else len(ids)
        assert list(greedy.tokens) == ids[:length]
        assert greedy.ended == (1 in ids)
        mean = sum(scores[row, i, ids[i]].item() for i in range(length)) / length
        assert greedy.confidence == pytest.approx(math.exp(mean), rel=1e-4)
    return found


@pytest.mark.parametrize("seed", range(12))
def test_random_models(seed: int):
    assert_equal(random_model(seed, scale=random.Random(seed).choice((0.3, 1.0, 3.0))), NOTES[:7], ALIKE)


@pytest.mark.parametrize("labels", [tuple(COMPLAINTS), ALIKE, (), ("urgent",)])
def test_a_trained_model_whatever_the_candidates(trained: Start, labels: tuple[str, ...]):
    found = assert_equal(trained, NOTES, labels)
    assert {"urgent", "emergency", "routine"} <= {greedy.text for greedy in found}
    off = [greedy for greedy in found if greedy.text not in COMPLAINTS]
    assert off, "the explain prompts are answered by texts that are no labels"


@pytest.mark.parametrize("seed", range(6))
def test_a_trained_model_led_astray(trained: Start, seed: int):
    """Noise in the weights makes it branch off within, behind and before the labels."""
    start = same_start(trained)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in start.model.parameters():
            parameter.add_(0.15 * parameter.std() * torch.randn_like(parameter))
    assert_equal(start, NOTES[:16], ALIKE)


def test_the_last_token_may_be_cut(trained: Start):
    start, model, tokenizer = trained, trained.model, trained.tokenizer
    inputs = tokenizer([note for note in NOTES if note.startswith("predict")], padding=True, return_tensors="pt")
    texts = [candidates(start, tuple(COMPLAINTS), 0)] * len(inputs.input_ids)
    for budget in (1, 2, 3):
        found = GreedyLabels(model, tokenizer, budget)(inputs.input_ids, inputs.attention_mask, texts)
        whole = model.generate(**inputs, max_new_tokens=budget)
        assert [g.text for g in found] == tokenizer.batch_decode(whole, skip_special_tokens=True)


def test_an_empty_output():
    """A model that ends at once, and one that never ends: the padding token is no end."""
    for always in (1, 0):
        start = random_model(1)
        model = start.model
        model.lm_head.weight = torch.nn.Parameter(torch.zeros_like(model.lm_head.weight))
        hooked = model.lm_head.register_forward_hook(
            lambda _module, _inputs, output, always=always: output.index_fill(-1, torch.tensor([always]), 5.0)
        )
        found = assert_equal(start, NOTES[:3], ALIKE)
        hooked.remove()
        assert {greedy.text for greedy in found} == {""}
        assert {greedy.ended for greedy in found} == {always == 1}


def test_exact_ties_fall_as_in_generate(trained: Start):
    """Two tokens with equal weights tie wherever one of them is likeliest; all tie in a model of zeros."""
    start = same_start(trained)
    model, tokenizer = start.model, start.tokenizer
    first = tokenizer("urgent").input_ids[0]
    twin = tokenizer("emergency").input_ids[0]
    with torch.no_grad():
        model.shared.weight[twin] = model.shared.weight[first]
    assert_equal(start, NOTES, tuple(COMPLAINTS))
    with torch.no_grad():
        model.shared.weight.zero_()
    assert_equal(start, NOTES[:4], tuple(COMPLAINTS))


def test_the_mode_is_left_as_it_was_and_dropout_is_off(trained: Start):
    start = same_start(trained)
    model, tokenizer = start.model, start.tokenizer
    set_dropout(model, 0.5)
    inputs = tokenizer(NOTES[:8], padding=True, return_tensors="pt")
    texts = [candidates(start, tuple(COMPLAINTS), 0)] * 8
    model.train()
    first, second = (GreedyLabels(model, tokenizer, BUDGET)(*inputs.values(), texts) for _ in range(2))
    assert model.training
    assert first == second
    noisy = [GreedyLabels(model, tokenizer, BUDGET, dropout=True)(*inputs.values(), texts) for _ in range(2)]
    assert model.training
    assert noisy[0] != noisy[1], "the quirk decodes with dropout on"


def test_padding_counts_in_the_confidence_by_the_quirk(trained: Start):
    found, output = predict(trained, NOTES[:10], tuple(COMPLAINTS), padding=True)
    scores = torch.stack(output.scores, dim=1).log_softmax(-1)
    chosen = scores.gather(-1, output.sequences[:, 1:, None])[..., 0]
    assert [g.confidence for g in found] == pytest.approx(chosen.mean(dim=1).exp().tolist(), rel=1e-4)


def test_the_trie_leads_to_the_first_candidate():
    trie = continuations(((4, 5, 1), (4, 6, 1), (4, 6, 7, 1)))
    assert trie[()] == (4, 5, 1)
    assert trie[4,] == (4, 5, 1)
    assert trie[4, 6] == (4, 6, 1)
    assert trie[4, 6, 7] == (4, 6, 7, 1)
    assert (4, 5, 1) not in trie


def test_few_passes_for_labels_that_are_known(trained: Start, monkeypatch: pytest.MonkeyPatch):
    """One pass of the decoder where the first candidate is right; the encoder runs once in any case."""
    start, model, tokenizer = trained, trained.model, trained.tokenizer
    notes = [note for note in NOTES if note.startswith("predict")]
    inputs = tokenizer(notes, padding=True, return_tensors="pt")
    labels = tuple(COMPLAINTS)
    right = [g.text for g in GreedyLabels(model, tokenizer, BUDGET)(*inputs.values(), [()] * len(notes))]
    calls: list[str] = []

    def counted(name: str, forward: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            calls.append(name)
            return forward(*args, **kwargs)

        return call

    for name in ("encoder", "decoder"):
        module = getattr(model, name)
        monkeypatch.setattr(module, "forward", counted(name, module.forward))
    texts = [candidates(start, labels, labels.index(label)) for label in right]
    GreedyLabels(model, tokenizer, BUDGET)(*inputs.values(), texts)
    assert calls == ["encoder", "decoder"]
