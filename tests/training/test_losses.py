"""Losses against hand-computed values and plain PyTorch on a tiny model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from training_parts import keyword_task, new_start

from r2d_bench.training.losses import IGNORED, cycle_loss, joint, soft_embeddings, token_loss
from r2d_bench.training.sampling import label_tensor

if TYPE_CHECKING:
    from r2d_bench.training.stage import Start


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    return new_start(keyword_task(tmp_path_factory.mktemp("losses")))


def test_token_loss_by_hand():
    # P(0) = 1/4, 1/2 and, behind the target, anything.
    logits = torch.tensor([[[0.0, math.log(3)], [0.0, 0.0], [9.0, -9.0]]])
    labels = torch.tensor([[0, 0, IGNORED]])
    assert token_loss(logits, labels).item() == pytest.approx((math.log(4) + math.log(2)) / 2, abs=1e-6)
    assert token_loss(logits, labels, tokens=4).item() == pytest.approx((math.log(4) + math.log(2)) / 4, abs=1e-6)
    assert token_loss(logits, torch.full((1, 3), IGNORED)).item() == 0


def test_token_loss_is_that_of_transformers(start: Start):
    inputs = start.tokenizer(["predict: a note", "predict: another longer note"], padding=True, return_tensors="pt")
    labels = label_tensor([start.tokenizer(text).input_ids for text in ("urgent", "emergency means no pulse")])
    output = start.model(input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, labels=labels)
    assert token_loss(output.logits, labels).item() == pytest.approx(output.loss.item(), abs=1e-5)


def test_joint_weighs_the_label():
    assert joint(torch.tensor(2.0), torch.tensor(10.0), 0.7).item() == pytest.approx(0.7 * 2 + 0.3 * 10)


def test_soft_embeddings_by_hand():
    logits = torch.tensor([[[0.0, math.log(3)]]])
    table = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    torch.manual_seed(5)
    noise = -torch.empty(1, 1, 2).exponential_().log()
    weights = torch.exp((logits + noise) / 0.5)
    weights = weights / weights.sum()
    found = soft_embeddings(logits, table, 0.5, torch.Generator().manual_seed(5))
    torch.testing.assert_close(found[0, 0], weights[0, 0], atol=1e-6, rtol=0)


def cycle_parts(start: Start) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[int]]:
    model, tokenizer = start.model, start.tokenizer
    whys = label_tensor([tokenizer(text).input_ids for text in ("no pulse means emergency", "refill means routine")])
    asked = tokenizer(["explain: a note", "explain: another note"], padding=True, return_tensors="pt")
    logits = model(input_ids=asked.input_ids, attention_mask=asked.attention_mask, labels=whys).logits
    labels = label_tensor([tokenizer(text).input_ids for text in ("emergency", "routine")])
    return logits, whys, labels, tokenizer("predict: ", add_special_tokens=False).input_ids


def test_cycle_loss_is_that_of_plain_pytorch(start: Start):
    model = start.model
    logits, whys, labels, prefix = cycle_parts(start)
    table = model.get_input_embeddings().weight
    torch.manual_seed(3)
    uniform_noise = torch.empty_like(logits).exponential_()
    # Row by row, without padding: a masked position must not count.
    total = tokens = 0.0
    for row in range(2):
        kept = whys[row] != IGNORED
        soft = torch.softmax((logits[row] - uniform_noise[row].log()) / 0.8, dim=-1)[kept] @ table
        inside = torch.cat([table[prefix], soft])[None]
        target = labels[row][labels[row] != IGNORED][None]
        begun = torch.cat([torch.zeros(1, 1, dtype=torch.long), target[:, :-1]], dim=1)
        answer = model(inputs_embeds=inside, decoder_input_ids=begun).logits.log_softmax(-1)
        total += -answer.gather(-1, target[..., None]).sum().item()
        tokens += target.shape[1]
    found = cycle_loss(
        model,
        logits,
        whys != IGNORED,
        labels,
        prefix,
        embedding=table,
        temperature=0.8,
        generator=torch.Generator().manual_seed(3),
    )
    assert found.item() == pytest.approx(total / tokens, abs=1e-5)


def test_gradient_flows_through_the_cycle_into_the_rationale(start: Start):
    logits, whys, labels, prefix = cycle_parts(start)
    logits.retain_grad()
    loss = cycle_loss(
        start.model,
        logits,
        whys != IGNORED,
        labels,
        prefix,
        embedding=start.model.get_input_embeddings().weight,
        temperature=1.0,
    )
    start.model.zero_grad()
    loss.backward()
    assert logits.grad is not None
    written = whys != IGNORED
    assert logits.grad[written].abs().amax(dim=-1).min() > 0, "every token of the rationale has a part in it"
    assert logits.grad[~written].abs().max() == 0, "padding has none"


def test_targets_of_unequal_length():
    assert label_tensor([[5, 6, 1], [7]]).tolist() == [[5, 6, 1], [7, IGNORED, IGNORED]]
