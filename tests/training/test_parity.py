"""Training losses against plain PyTorch loops that are written from the paper's formulas alone.

The loops share with the package the order of examples and, where labels are sampled, its random draws; prompts,
targets, losses, weights, sampling, optimiser and learning rate are their own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from training_parts import Heard, keyword_task, new_start, same_start, stage_data, tiny_recipe

from r2d_bench.training.data import Batches
from r2d_bench.training.recipe import load_recipe
from r2d_bench.training.seeds import generator, uniform
from r2d_bench.training.stage import Start, run_stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from r2d_bench.records import Example
    from r2d_bench.tasks.task import Task
    from r2d_bench.training.recipe import Recipe, StageName

    Loss = Callable[[int, list[Example]], torch.Tensor]

SEED, BATCH, RATE = 11, 8, 1e-3


class EnoughError(Exception):
    """The steps that are compared are done."""


class Until(Heard):
    """Stops a training after so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.until = steps

    def step(self, n: int, loss: float) -> None:
        super().step(n, loss)
        if n == self.until:
            raise EnoughError


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return keyword_task(tmp_path_factory.mktemp("parity"))


@pytest.fixture(scope="module")
def start(task: Task) -> Start:
    return new_start(task)


def paper(name: str, steps: int) -> Recipe:
    """Return a preset of the paper for a short training of a tiny model in fp32."""
    changes = {"steps": steps, "batch_size": BATCH, "learning_rate": RATE, "precision": "fp32", "dropout": "0"}
    return load_recipe(f"paper/{name}", {key: str(value) for key, value in changes.items()})


def ours(stage: StageName, recipe: Recipe, start: Start, task: Task, folder: Path, until: int) -> list[float]:
    heard = Until(until)
    with pytest.raises(EnoughError):
        run_stage(stage, recipe, same_start(start), stage_data(task), folder, heard, SEED)
    return [heard.losses[n] for n in sorted(heard.losses)]


def batches(task: Task, start: Start, prompts: Sequence[Callable[[Example], str]], stage: str) -> Iterator[list]:
    """Yield the examples of each step, in the package's order, for which it wants to know lengths."""
    examples = task.examples("train")
    lengths = [sum(len(start.tokenizer(prompt(e)).input_ids) for prompt in prompts) for e in examples]
    order = Batches(lengths, BATCH, SEED, stage)
    step = 0
    while True:
        yield [examples[i] for i in order.batch(step)]
        step += 1


class Plain:
    """A model with its tokenizer, asked in the plainest way."""

    def __init__(self, start: Start) -> None:
        copied = same_start(start)
        self.model, self.tokenizer = copied.model, copied.tokenizer

    def ids(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        read = self.tokenizer(texts, padding=True, return_tensors="pt")
        return read.input_ids, read.attention_mask

    def nll(self, prompts: list[str], targets: list[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return −log P of the targets, mean over tokens; their logits and mask."""
        ids, mask = self.ids(prompts)
        wanted, kept = self.ids(targets)
        begun = torch.cat([torch.zeros(len(wanted), 1, dtype=torch.long), wanted[:, :-1]], dim=1)
        logits = self.model(input_ids=ids, attention_mask=mask, decoder_input_ids=begun).logits
        chosen = logits.log_softmax(-1).gather(-1, wanted[..., None])[..., 0]
        return -(chosen * kept).sum() / kept.sum(), logits, kept

    def train(self, loss: Loss, data: Iterator[list[Example]], steps: int, most: int) -> list[float]:
        """AdamW, learning rate falling evenly to 0 over `most` steps, gradients clipped at 1."""
        self.model.train()
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=RATE, weight_decay=0.0)
        losses = []
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = RATE * (1 - step / most)
            value = loss(step, next(data))
            optimiser.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimiser.step()
            losses.append(value.item())
        return losses


def predict(example: Example) -> str:
    return f"predict: {example.input}"


def explain(example: Example) -> str:
    return f"explain: {example.input}"


def given(example: Example, label: str | None = None) -> str:
    return f"given label: {label if label is not None else example.gold}, explain: {example.input}"


def why(example: Example) -> str:
    return example.references[0]


def gold(example: Example) -> str:
    return str(example.gold)


def close(found: list[float], expected: list[float]) -> None:
    assert found[0] - found[-1] > 0.3, "it learns"
    assert found == pytest.approx(expected, abs=1e-4)


def test_the_presets_have_the_papers_constants():
    for name, stage, steps, every, patience in (
        ("sft", "decide", 30_000, 200, 5),
        ("dss", "decide", 10_000, 500, None),
        ("r2d", "explain", 50_000, 1_000, 3),
        ("r2d", "decide", 30_000, 500, 5),
        ("r2d_c", "decide", 30_000, 500, 5),
    ):
        found = load_recipe(f"paper/{name}").stages[stage]  # type: ignore[index]
        assert (found.steps, found.evaluate_every, found.patience) == (steps, every, patience)
        assert (found.learning_rate, found.batch_size) == (5e-5, 64)


def test_sft(task: Task, start: Start, tmp_path: Path):
    plain = Plain(start)

    def loss(_step: int, batch: list[Example]) -> torch.Tensor:
        return plain.nll([predict(e) for e in batch], [gold(e) for e in batch])[0]

    expected = plain.train(loss, batches(task, start, [predict], "decide"), 25, 100)
    close(ours("decide", paper("sft", 100), start, task, tmp_path / "sft", 25), expected)


def test_dss(task: Task, start: Start, tmp_path: Path):
    plain = Plain(start)

    def loss(_step: int, batch: list[Example]) -> torch.Tensor:
        label = plain.nll([predict(e) for e in batch], [gold(e) for e in batch])[0]
        return 0.5 * label + 0.5 * plain.nll([explain(e) for e in batch], [why(e) for e in batch])[0]

    expected = plain.train(loss, batches(task, start, [predict, explain, why], "decide"), 25, 100)
    close(ours("decide", paper("dss", 100), start, task, tmp_path / "dss", 25), expected)


@pytest.mark.parametrize("name", ["r2d", "r2d_c"])
def test_stage_1(task: Task, start: Start, tmp_path: Path, name: str):
    plain = Plain(start)

    def loss(_step: int, batch: list[Example]) -> torch.Tensor:
        return plain.nll([explain(e) for e in batch], [why(e) for e in batch])[0]

    expected = plain.train(loss, batches(task, start, [explain, why], "explain"), 25, 100)
    close(ours("explain", paper(name, 100), start, task, tmp_path / name, 25), expected)


@pytest.mark.parametrize("name", ["r2d", "r2d_c"])
def test_stage_2_before_sampling_begins(task: Task, start: Start, tmp_path: Path, name: str):
    plain, most, warmup = Plain(start), 600, 30

    def loss(step: int, batch: list[Example]) -> torch.Tensor:
        alpha = 0.7 * min(1.0, step / warmup)
        label = plain.nll([predict(e) for e in batch], [gold(e) for e in batch])[0]
        rationale = plain.nll([given(e) for e in batch], [why(e) for e in batch])[0]
        return alpha * label + (1 - alpha) * rationale

    data = batches(task, start, [predict, given, why], "decide")
    expected = plain.train(loss, data, warmup + 1, most)
    close(ours("decide", paper(name, most), start, task, tmp_path / name, warmup + 1), expected)


def sampled_stage_2(plain: Plain, most: int, *, confident: bool) -> Loss:
    """Return the loss of stage 2 with sampling, labels from `model.generate`."""
    warmup, span = math.floor(0.05 * most), math.floor(0.6 * most)
    model, tokenizer = plain.model, plain.tokenizer
    confidences: list[float] = []
    threshold = [0.75]

    def greedy(batch: list[Example]) -> list[tuple[str, float]]:
        model.eval()
        ids, mask = plain.ids([predict(e) for e in batch])
        with torch.no_grad():
            output = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=8,
                output_scores=True,
                return_dict_in_generate=True,
            )
        model.train()
        found = []
        scores = torch.stack(output.scores, dim=1).log_softmax(-1)
        for row, sequence in enumerate(output.sequences[:, 1:].tolist()):
            length = sequence.index(1) + 1 if 1 in sequence else len(sequence)
            mean = sum(scores[row, i, sequence[i]].item() for i in range(length)) / length
            found.append((tokenizer.decode(sequence, skip_special_tokens=True), math.exp(mean)))
        return found

    def labels(step: int, batch: list[Example]) -> list[str]:
        pi = 0.0 if step < warmup else min(0.9, (step - warmup) / span)
        draws = list(uniform(len(batch), SEED, "decide", "sample", step))
        said = greedy(batch)
        if not confident:
            return [s if u < pi else gold(e) for (s, _), u, e in zip(said, draws, batch, strict=True)]
        if step == warmup:
            threshold[0] = sum(confidences) / len(confidences)
        # After the warm-up confidences are known of the rows that were drawn.
        confidences.extend(c for (_, c), u in zip(said, draws, strict=True) if step < warmup or u < pi)
        trusted = [1 / (1 + math.exp(-10 * (c - threshold[0]))) for _, c in said]
        return [s if u < pi * t else gold(e) for (s, _), u, t, e in zip(said, draws, trusted, batch, strict=True)]

    def loss(step: int, batch: list[Example]) -> torch.Tensor:
        alpha = 0.7 * min(1.0, step / warmup)
        stood = labels(step, batch)
        prompts = [given(e, label) for e, label in zip(batch, stood, strict=True)]
        rationale, logits, kept = plain.nll(prompts, [why(e) for e in batch])
        label = plain.nll([predict(e) for e in batch], [gold(e) for e in batch])[0]
        total = alpha * label + (1 - alpha) * rationale
        if not confident or step <= warmup:
            return total
        noise = torch.empty_like(logits).exponential_(generator=generator(SEED, "decide", "gumbel", step, 0))
        soft = ((logits - noise.log()) / max(0.5, math.exp(-0.6931 * step / most))).softmax(-1)
        table = model.get_input_embeddings().weight
        prefix = table[tokenizer("predict: ", add_special_tokens=False).input_ids].expand(len(batch), -1, -1)
        wanted, there = plain.ids(stood)
        answer = model(
            inputs_embeds=torch.cat([prefix, soft @ table], dim=1),
            attention_mask=torch.cat([torch.ones(prefix.shape[:2], dtype=torch.long), kept], dim=1),
            labels=wanted.masked_fill(there == 0, -100),
        )
        return total + 0.1 * answer.loss

    return loss


@pytest.mark.parametrize("method", ["r2d", "r2d_c"])
def test_stage_2_while_sampling(task: Task, start: Start, tmp_path: Path, method: str):
    """Without the quirks of the paper's code, since its dropout and padding cannot be foretold."""
    most = 60
    settings = {"steps": most, "batch_size": BATCH, "learning_rate": RATE, "evaluate_every": most}
    recipe = tiny_recipe(method, stages={"decide": settings})
    plain = Plain(start)
    data = batches(task, start, [predict, given, why], "decide")
    expected = plain.train(sampled_stage_2(plain, most, confident=method == "r2d_c"), data, 45, most)
    close(ours("decide", recipe, start, task, tmp_path / method, 45), expected)
