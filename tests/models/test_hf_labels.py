"""Labels by constrained decoding and by scoring, against forward passes by hand."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING

import pytest
import torch
import transformers
from tiny import END_ID, PAD_ID, triage_pairs

from r2d_bench.errors import UserError
from r2d_bench.models.hf import HF, HFParams
from r2d_bench.models.hf_decoding import prefix_tree
from r2d_bench.models.weights import find_weights
from r2d_bench.records import LabelMethod, Message, Request, Response

if TYPE_CHECKING:
    from pathlib import Path

LABELS = ("emergency", "urgent", "routine")
# One candidate is the beginning of another; some the models have never seen.
ODD = ("urgent", "urgent means", "Self care", "within 3 days", "the case is urgent")
NOTES = [pair for pair in triage_pairs(40, seed=5) if pair[0].startswith("predict")]
KINDS = ("t5_folder", "chat_folder", "text_folder")


def model_of(folder: Path, **params: object) -> HF:
    return HF(find_weights(str(folder)), HFParams(**params))


def requests(kind: str, method: LabelMethod, labels: tuple[str, ...] = LABELS, end: str = "") -> list[Request]:
    made = []
    for i, (prompt, _) in enumerate(NOTES):
        asked = prompt + end
        text = (Message("user", asked),) if kind == "chat_folder" else asked
        made.append(Request(str(i), "predict", text, prompt, 4, None, method, labels))
    return made


def by_hand(kind: str, folder: Path, prompt: str, label: str) -> float:
    """ln P(label, end | prompt) from one forward pass over one row."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    if kind == "t5_folder":
        model = transformers.T5ForConditionalGeneration.from_pretrained(folder)
        target = tokenizer(label).input_ids
        ids, start = torch.tensor([tokenizer(prompt).input_ids]), torch.tensor([[PAD_ID, *target[:-1]]])
        logits = model(input_ids=ids, decoder_input_ids=start).logits[0]
    else:
        model = transformers.AutoModelForCausalLM.from_pretrained(folder)
        if kind == "chat_folder":
            turn = [{"role": "user", "content": prompt}]
            asked = tokenizer.apply_chat_template(turn, add_generation_prompt=True).input_ids
        else:
            asked = tokenizer(prompt).input_ids
        # Metaspace puts the space in front of a word by itself.
        target = [*tokenizer(label, add_special_tokens=False).input_ids, END_ID]
        logits = model(torch.tensor([asked + target])).logits[0, len(asked) - 1 : -1]
    steps = torch.log_softmax(logits.float(), dim=-1)
    return sum(steps[i, token].item() for i, token in enumerate(target))


@pytest.mark.parametrize("labels", [LABELS, ODD])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_equal_forward_passes_by_hand(kind: str, labels: tuple[str, ...], request: pytest.FixtureRequest):
    folder = request.getfixturevalue(kind)
    asked = requests(kind, LabelMethod.SCORED, labels)
    found = dict(model_of(folder, batch_size=7).score(asked))
    for i in (0, 4, 11):
        response = found[asked[i].key]
        assert isinstance(response, Response)
        assert response.scores is not None
        expected = {label: by_hand(kind, folder, NOTES[i][0], label) for label in labels}
        assert dict(response.scores) == pytest.approx(expected, abs=1e-4)
        assert response.text == max(expected, key=expected.__getitem__)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_probabilities_and_right(kind: str, request: pytest.FixtureRequest):
    asked = requests(kind, LabelMethod.SCORED)
    found = dict(model_of(request.getfixturevalue(kind)).score(asked))
    for item, (_, gold) in zip(asked, NOTES, strict=True):
        response = found[item.key]
        assert isinstance(response, Response)
        assert response.scores is not None
        assert 0.9 < sum(math.exp(value) for value in response.scores.values()) <= 1 + 1e-6
        assert response.text == gold


@pytest.mark.parametrize("kind", KINDS)
def test_scores_do_not_depend_on_the_batch(kind: str, request: pytest.FixtureRequest):
    folder = request.getfixturevalue(kind)
    asked = requests(kind, LabelMethod.SCORED, ODD)
    alone, together = (dict(model_of(folder, batch_size=n).score(asked)) for n in (1, None))
    for key, response in alone.items():
        assert response.scores == pytest.approx(together[key].scores, abs=1e-4)  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", KINDS)
def test_constrained_answers_are_candidates(kind: str, request: pytest.FixtureRequest):
    model = model_of(request.getfixturevalue(kind))
    foreign = ("Self care", "within 3 days", "days", "within 30 days and more than that")
    for labels in (foreign, ODD, LABELS):
        found = [response for _, response in model.generate(requests(kind, LabelMethod.CONSTRAINED, labels))]
        assert len(found) == len(NOTES)
        assert {response.text for response in found} <= set(labels)  # type: ignore[union-attr]
    asked = requests(kind, LabelMethod.CONSTRAINED)
    texts = {key: response.text for key, response in model.generate(asked)}  # type: ignore[union-attr]
    assert [texts[item.key] for item in asked] == [gold for _, gold in NOTES]


def test_candidates_of_each_request_are_its_own(t5_folder: Path):
    model = model_of(t5_folder)
    asked = [
        Request("1", "predict", NOTES[0][0], NOTES[0][0], 4, None, LabelMethod.CONSTRAINED, labels)
        for labels in (("cat",), ("dog", "horse and rider"), ("days since fever", "days"))
    ]
    found = dict(model.generate(asked))
    assert all(found[item.key].text in item.candidates for item in asked)  # type: ignore[union-attr]


@pytest.mark.parametrize("end", [" ", "\n"])
def test_white_space_at_the_end_of_a_prompt_belongs_to_the_candidate(text_folder: Path, end: str):
    model = model_of(text_folder)
    asked = requests("text_folder", LabelMethod.SCORED, end=end)
    plain = dict(model.score(requests("text_folder", LabelMethod.SCORED)))
    spaced = dict(model.score(asked))
    if end == " ":
        first = [response.scores for response in plain.values()]  # type: ignore[union-attr]
        assert [response.scores for response in spaced.values()] == first  # type: ignore[union-attr]
    else:  # a line break is not what the model was trained on: still a distribution over candidates
        for response in spaced.values():
            assert sum(math.exp(v) for v in response.scores.values()) <= 1  # type: ignore[union-attr]


def test_equal_candidates_count_once_and_the_first_wins_a_tie(t5_folder: Path):
    request = Request("1", "p", NOTES[0][0], "", 4, None, LabelMethod.SCORED, ("dog ", "dog", "dog "))
    ((_, response),) = model_of(t5_folder).score([request])
    assert isinstance(response, Response)
    assert response.scores is not None
    assert list(response.scores) == ["dog ", "dog"]
    assert response.text == max(response.scores, key=response.scores.__getitem__)


def test_several_ends_are_one_ending(chat_folder: Path, tmp_path: Path):
    """A model with two end tokens ends an answer with either: their probabilities add up."""
    folder = tmp_path / "two-ends"
    shutil.copytree(chat_folder, folder)
    file = folder / "generation_config.json"
    file.write_text(file.read_text().replace('"eos_token_id": 1', '"eos_token_id": [1, 4]'))
    asked = requests("chat_folder", LabelMethod.SCORED)[:3]
    one, two = (dict(model_of(f).score(asked)) for f in (chat_folder, folder))
    for key, response in one.items():
        for label, value in response.scores.items():  # type: ignore[union-attr]
            assert two[key].scores[label] > value  # type: ignore[union-attr,index]


def test_labels_need_candidates(t5_folder: Path):
    request = Request("7", "p", "x", "x", 4, None, LabelMethod.CONSTRAINED)
    with pytest.raises(UserError, match="7: label method constrained needs candidate labels"):
        list(model_of(t5_folder).generate([request]))


def test_prefix_tree():
    # "a" = 5, "a b" = 5 6, "c" = 7; 1 and 2 end an answer.
    assert prefix_tree([(5,), (5, 6), (7,)], (1, 2)) == {
        (): [5, 7],
        (5,): [1, 2, 6],
        (5, 6): [1, 2],
        (7,): [1, 2],
    }
