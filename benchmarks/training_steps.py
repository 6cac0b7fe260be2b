"""Time of a training step of stage 2: before labels are sampled, while they are, and while they are the plain way.

    python benchmarks/training_steps.py --json docs/performance/training_steps.json

One batch after the other is trained on three times, in turns of changing order:

- before: no label is sampled yet;
- sampling: the share of the ceiling of `recipe default` is sampled, as the training room does it;
- plain: `generate` with up to 50 new tokens on the whole batch in train mode, then the step with the same draws.

The model has the shape of t5-small in fp32 (on a GPU of t5-base in bf16) and random weights, the texts are the bundled
triage task, the tokenizer is made of them. What a label costs depends on what the model writes, so all is measured
twice: of a model that has learnt labels (some steps on labels alone: it writes label texts, mostly wrong ones), and
of one that has learnt nothing and writes as much as it may. The target is meant for the former: sampling begins after a
warm-up. The learning rate of the timed steps is 0, so that all three see the same weights.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from record import figure, record

from r2d_bench.tasks.task import Task, load_task
from r2d_bench.training.data import Batches, Collator, Encoder, Part, Rows, encode_rows, label_candidates
from r2d_bench.training.losses import token_loss
from r2d_bench.training.methods import METHODS
from r2d_bench.training.objective import Objective
from r2d_bench.training.recipe import Recipe, Scratch, load_recipe
from r2d_bench.training.sampling import Greedy, GreedyLabels
from r2d_bench.training.schedules import full_sampling_step, warmup_steps
from r2d_bench.training.scratch import make_greedy, tiny_start
from r2d_bench.training.texts import StageTexts

TARGET = 1.4
STAGE = "decide"
WAYS = ("before", "sampling", "plain")
SMALL = {"d_model": 512, "d_ff": 2048, "d_kv": 64, "num_heads": 8, "num_layers": 6}
BASE = {"d_model": 768, "d_ff": 3072, "d_kv": 64, "num_heads": 12, "num_layers": 12}
VOCABULARY = 32128
WORDS = 1500  # of the tokenizer: texts and labels are then about as many tokens as T5's own make of them
LEARNING_RATE, MOST_LEARNING = 1e-3, 150


class Heard(GreedyLabels):
    """Keeps what the model wrote."""

    def __init__(self, model: Any, tokenizer: Any, most: int) -> None:  # noqa: ANN401 - transformers is untyped
        super().__init__(model, tokenizer, most)
        self.written: list[Greedy] = []

    def __call__(self, *given: Any) -> list[Greedy]:  # noqa: ANN401
        """Write labels as the training room does."""
        found = super().__call__(*given)
        self.written += found
        return found


class Plain(Heard):
    """Writes labels as the papers' code does: by `generate`, the model in train mode."""

    def __call__(self, inputs: torch.Tensor, mask: torch.Tensor, candidates: Any) -> list[Greedy]:  # noqa: ANN401, ARG002
        """Write labels for the whole batch."""
        with torch.no_grad():
            written = self._model.generate(input_ids=inputs, attention_mask=mask, max_new_tokens=self._most)
        texts = self._tokenizer.batch_decode(written, skip_special_tokens=True)
        found = [
            Greedy(text, self._to_the_end(ids), ended=False, confidence=1.0)
            for text, ids in zip(texts, written[:, 1:], strict=True)
        ]
        self.written += found
        return found

    def _to_the_end(self, ids: torch.Tensor) -> tuple[int, ...]:
        tokens = ids.tolist()
        return tuple(tokens[: next((n for n, token in enumerate(tokens, 1) if token in self._ends), None)])


@dataclass
class Times:
    """What one way took, per step: seconds, processor seconds, those of the optimiser, peak memory."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    optimizer: list[float] = field(default_factory=list)
    peak_gib: float = 0.0

    def as_json(self) -> dict[str, object]:
        """Return median and spread."""
        return {
            "wall_s": _spread(self.wall),
            "cpu_s": _spread(self.cpu),
            "optimizer_s": round(statistics.median(self.optimizer), 3),
            "peak_gib": round(self.peak_gib, 2),
        }


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }


def _tokenizer(task: Task) -> Any:  # noqa: ANN401
    """Return a tokenizer of notes and rationales, to which labels are strange words: each is several tokens."""
    texts = [text for example in task.training() for text in (example.input, *example.references)]
    scratch = Scratch(d_model=8, heads=1, layers=1, vocabulary=WORDS)
    return tiny_start(scratch, [*texts, *task.labels.values, "predict: given label: , explain:"], 0)[1]


class Room:
    """A model, its data, and the three ways to make a step."""

    def __init__(self, task: Task, shape: dict[str, int], device: torch.device, batch: int, *, bf16: bool) -> None:
        self.task, self.device, self.batch, self.bf16 = task, device, batch, bf16
        self.recipe = load_recipe("default", {"stages.decide.batch_size": str(batch)})
        examples = task.training()
        self.tokenizer = _tokenizer(task)
        torch.manual_seed(0)
        config = transformers.T5Config(vocab_size=VOCABULARY, decoder_start_token_id=0, **shape)
        self.model = transformers.T5ForConditionalGeneration(config).to(device).train()
        make_greedy(self.model, self.tokenizer)
        self.texts = StageTexts(task, METHODS["r2d"].stages[STAGE])
        self.encoder = Encoder(self.tokenizer)
        self.rows = encode_rows(self.texts, examples, self.encoder, self.recipe)
        self.candidates = label_candidates(self.rows, task, self.encoder, self.recipe.max_label_tokens)
        self.collate = Collator(0, 0, device)
        self.batches = Batches(self.rows.lengths, batch, 0, STAGE)
        self.fast = Heard(self.model, self.tokenizer, self.recipe.max_label_tokens)
        self.slow = Plain(self.model, self.tokenizer, self.recipe.max_label_tokens)
        # By this quirk labels are asked for the whole batch, drawn or not, as the papers' code does.
        quirks = self.recipe.quirks.model_copy(update={"confidence_padding": True})
        whole = self.recipe.model_copy(update={"quirks": quirks})
        fast, slow = self._objective(self.recipe, self.fast), self._objective(whole, self.slow)
        self._objectives = {"before": fast, "sampling": fast, "plain": slow}
        self._optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.0)

    def autocast(self) -> AbstractContextManager[None]:
        """Return the precision that steps are made in."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def _objective(self, recipe: Recipe, greedy: GreedyLabels) -> Objective:
        return Objective(
            STAGE,
            recipe,
            texts=self.texts,
            rows=self.rows,
            encoder=self.encoder,
            collate=self.collate,
            greedy=greedy,
            candidates=self.candidates,
            seed=0,
            parts=1,
            autocast=self.autocast,
        )

    def part(self, way: str, turn: int) -> Part:
        """Return the batch of a turn, at a step before sampling or in its phase at the ceiling."""
        steps, sampling = self.recipe.stages[STAGE].steps, self.recipe.sampling
        before = warmup_steps(sampling.warmup, steps) - 1
        step = before if way == "before" else full_sampling_step(steps, sampling) + turn
        return Part(step, 0, self.batches.batch(turn), range(self.batch))

    def step(self, way: str, turn: int, times: Times) -> None:
        """Make one step, and note what it took."""
        part = self.part(way, turn)
        reset_peak(self.device)
        self._wait()
        start, cpu = time.perf_counter(), time.process_time()
        with self.autocast():
            loss = self._objectives[way](self.model, part)
        loss.backward()
        self._wait()
        update = time.perf_counter()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._wait()
        end = time.perf_counter()
        times.cpu.append(time.process_time() - cpu)
        times.wall.append(end - start)
        times.optimizer.append(end - update)
        times.peak_gib = max(times.peak_gib, peak_gib(self.device))

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def learn_labels(self, turns: int) -> int:
        """Train on labels alone until the model writes label texts on the batches to come; return the steps."""
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=LEARNING_RATE)
        for step in range(MOST_LEARNING):
            if step and step % 10 == 0 and all(self._writes_labels(turn) for turn in range(turns)):
                return step
            chosen = self.batches.batch(turns + step)
            labels, shifted = self.collate.targets([self.rows.labels[i] for i in chosen])
            inputs = self.collate.inputs([self.rows.predict[i] for i in chosen])
            with self.autocast():
                logits = self.model(**inputs, decoder_input_ids=shifted, use_cache=False).logits
            token_loss(logits, labels).backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        raise SystemExit(f"the model has not learnt to write labels in {MOST_LEARNING} steps")

    def _writes_labels(self, turn: int) -> bool:
        chosen = self.batches.batch(turn)
        inputs = self.collate.inputs([self.rows.predict[i] for i in chosen])
        with self.autocast():
            said = self.fast(inputs["input_ids"], inputs["attention_mask"], [self.candidates[i] for i in chosen])
        return all(greedy.text in self.task.labels.values for greedy in said)


def reset_peak(device: torch.device) -> None:
    """Let the peak of memory begin anew, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_gib(device: torch.device) -> float:
    """Return the peak: on a GPU of tensors, otherwise of the process (since it began, where nothing resets it)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30


def measure(room: Room, turns: int) -> dict[str, object]:
    """Time the three ways in turns; the first turn warms up and is not counted."""
    for way in WAYS:
        room.step(way, turns, Times())
    times = {way: Times() for way in WAYS}
    room.fast.written.clear()
    room.slow.written.clear()
    for turn in range(turns):
        sys.stderr.write(f"turn {turn + 1} of {turns}\n")
        for place in range(len(WAYS)):
            way = WAYS[(turn + place) % len(WAYS)]
            room.step(way, turn, times[way])
    before = times["before"]
    return {
        **{way: times[way].as_json() for way in WAYS},
        "sampling_to_before": _ratios(times["sampling"], before),
        "plain_to_before": _ratios(times["plain"], before),
        "sampled_rows_of_all": round(len(room.fast.written) / (turns * room.batch), 3),
        "written_sampling": _written(room.fast.written, room.task),
        "written_plain": _written(room.slow.written, room.task),
    }


def _ratios(way: Times, before: Times) -> dict[str, object]:
    """Return the ratio of the medians, its spread over the turns, and the ratio without the optimiser's share."""

    def bare(times: Times) -> float:
        return statistics.median(w - o for w, o in zip(times.wall, times.optimizer, strict=True))

    return {
        "wall": round(statistics.median(way.wall) / statistics.median(before.wall), 3),
        "cpu": round(statistics.median(way.cpu) / statistics.median(before.cpu), 3),
        "wall_without_optimizer": round(bare(way) / bare(before), 3),
        "wall_of_each_turn": _spread([a / b for a, b in zip(way.wall, before.wall, strict=True)]),
    }


def _written(written: list[Greedy], task: Task) -> dict[str, float]:
    return {
        "label_texts": round(statistics.mean(one.text in task.labels.values for one in written), 3),
        "mean_tokens": round(statistics.mean(len(one.tokens) for one in written), 1),
    }


def lengths(rows: Rows) -> dict[str, float]:
    """Return the mean tokens of each kind of text."""
    kinds = {"predict": rows.predict, "label": rows.labels, "explain": rows.explain, "rationale": rows.rationales}
    return {name: round(statistics.mean(len(row) for row in ids), 1) for name, ids in kinds.items()}


def show(found: dict[str, Any], name: str) -> None:
    print(f"{name}:")
    for way in WAYS:
        one = found[way]
        wall, cpu = one["wall_s"], one["cpu_s"]
        print(
            f"  {way:9} {wall['median']:.3f} s ({wall['least']:.3f} to {wall['most']:.3f}),"
            f" processor {cpu['median']:.3f} s ({cpu['least']:.3f} to {cpu['most']:.3f}), peak {one['peak_gib']} GiB"
        )
    for way in WAYS[1:]:
        ratio, said = found[f"{way}_to_before"], found[f"written_{way}"]
        each = ratio["wall_of_each_turn"]
        print(
            f"  {way}/before {ratio['wall']} (turns {each['least']} to {each['most']}; of processor time"
            f" {ratio['cpu']}; without the optimiser {ratio['wall_without_optimizer']});"
            f" {said['label_texts']:.0%} of what it wrote are label texts, {said['mean_tokens']} tokens on average"
        )


def figures_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the ratios of a step's time, with their spread over the turns."""
    figures = []
    size = f"{found['parameters'] / 1e6:.0f} M parameters, {found['precision']}, batch {found['batch']}"
    for state, words in (("labels_learnt", "labels learnt"), ("nothing_learnt", "nothing learnt")):
        for way in WAYS[1:]:
            ratio = found[state][f"{way}_to_before"]
            each = ratio["wall_of_each_turn"]
            target = f"at most {TARGET}" if (state, way) == ("labels_learnt", "sampling") else ""
            what, spread = f"{way} / before, {words} ({size})", (each["least"], each["most"])
            figures.append(figure(what, ratio["wall"], spread=spread, of=f"{found['turns']} turns", target=target))
    return figures


def main() -> None:
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="triage", help="name or folder of a task with a fixed set of labels")
    parser.add_argument("--batch", type=int, default=64 if on_gpu else 4)
    parser.add_argument("--turns", type=int, default=20 if on_gpu else 5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="1 where other work takes a core")
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    shape, device = (BASE, torch.device("cuda")) if on_gpu else (SMALL, torch.device("cpu"))
    transformers.logging.set_verbosity_error()
    room = Room(load_task(args.task), shape, device, args.batch, bf16=on_gpu)
    untrained = measure(room, args.turns)
    steps = room.learn_labels(args.turns)
    found: dict[str, Any] = {
        "task": args.task,
        "batch": args.batch,
        "turns": args.turns,
        "tokens": lengths(room.rows),
        "shape": shape | {"vocabulary": VOCABULARY},
        "parameters": room.model.num_parameters(),
        "precision": "bf16" if on_gpu else "fp32",
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "target": TARGET,
        "labels_learnt_in_steps": steps,
        "labels_learnt": measure(room, args.turns),
        "nothing_learnt": untrained,
    }
    print(
        f"{found['parameters'] / 1e6:.0f} M parameters, {found['precision']}, {found['device']}, {found['threads']}"
        f" threads; batch {args.batch} of {args.task}, tokens on average {found['tokens']}; {args.turns} turns"
    )
    show(found["labels_learnt"], f"labels learnt (in {steps} steps on labels alone), target {TARGET}")
    show(found["nothing_learnt"], "nothing learnt: the worst case")
    if args.json:
        record("training_steps", figures_of(found), args.json, details=found)


if __name__ == "__main__":
    main()
