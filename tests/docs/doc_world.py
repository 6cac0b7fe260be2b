"""The world that the docs speak of, made small and real: checkpoints, a hub's cache, data sets, tables of a team.

Checkpoints really learn (tests/tiny.py), the hub's names lie in a cache as the hub's own library lays them out, data
sets have their authors' format and made-up rows.
"""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
from typing import TYPE_CHECKING, Any

from pages import ROOT
from tiny import tiny_causal, tiny_t5

from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LABELS = {"NOW": "chest pain", "TODAY": "high fever", "HOME": "mild rash"}
PUBMEDQA = {"yes": 552, "no": 338, "maybe": 110}  # of the whole set; the reader asserts the official split


def make_world(folder: Path) -> Path:
    """Build what all pages share; returns the folder."""
    pairs = triage_pairs()
    tiny_t5(folder / "my-t5", pairs, steps=40)
    shutil.copytree(folder / "my-t5", folder / "base")
    tiny_causal(folder / "chat", [(text, answer) for text, answer in pairs[:40]], steps=10, positions=8192)
    hub = folder / "hf_home" / "hub"
    in_cache(hub, "google/flan-t5-base", folder / "my-t5")
    in_cache(hub, "org/chat-model", folder / "chat")
    in_cache(hub, "roberta-large", encoder(folder / "encoder"))
    pubmedqa(folder / "data" / "pubmedqa")
    stand_in(folder / "tasks")
    return folder


def triage_pairs() -> list[tuple[str, str]]:
    """Return prompts of `r2d` on notes, with short answers: a tiny model learns to end them, which saves time."""
    texts = [(" ".join(e.input.split()[:20]), str(e.gold)) for e in load_task("triage").examples("train")[:200]]
    texts += [(row["note"], row["disposition"]) for row in notes()]
    asked = [(f"predict: {note}", label) for note, label in texts]
    return asked + [(f"given label: {label}, explain: {note}", "because the note says so") for note, label in texts]


def in_cache(hub: Path, repo: str, files: Path) -> None:
    """Lay a checkpoint into a hub cache, as `huggingface_hub` does."""
    place = hub / f"models--{repo.replace('/', '--')}"
    shutil.copytree(files, place / "snapshots" / COMMIT)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT, encoding="utf-8")


def encoder(folder: Path) -> Path:
    """Save a BERTScore encoder of roberta-large's depth, a few numbers wide."""
    import torch
    import transformers
    from tokenizers import ByteLevelBPETokenizer

    made = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    texts = [text for pair in triage_pairs() for text in pair]
    made.train_from_iterator(texts, vocab_size=400, special_tokens=special, show_progress=False)
    folder.mkdir()
    made.save_model(str(folder))
    tokenizer = transformers.RobertaTokenizerFast.from_pretrained(folder, model_max_length=512)
    tokenizer.save_pretrained(folder)
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_attention_heads=2,
        num_hidden_layers=24,
        max_position_embeddings=514,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.RobertaModel(config).save_pretrained(folder)
    return folder


def pubmedqa(folder: Path) -> None:
    """Write 1,000 made-up items in the authors' format, labels as often as in the real set."""
    folder.mkdir(parents=True)
    rng = random.Random(0)
    said = [label for label, count in PUBMEDQA.items() for _ in range(count)]
    words = {"yes": "improved clearly", "no": "did not change", "maybe": "was not conclusive"}
    items: dict[str, Any] = {}
    for number, label in enumerate(rng.sample(said, len(said))):
        items[str(10_000 + number)] = {
            "QUESTION": f"Does treatment {number} help?",
            "CONTEXTS": [f"In {rng.randint(20, 90)} patients the outcome {words[label]}."],
            "LONG_ANSWER": f"The outcome {words[label]}.",
            "final_decision": label,
            "reasoning_required_pred": label,
            "reasoning_free_pred": label,
        }
    (folder / "ori_pqal.json").write_text(json.dumps(items), encoding="utf-8")


def stand_in(folder: Path) -> None:
    """Write the task pubmedqa without the digests of its rows: made-up rows are refused under the real ones."""
    shutil.copytree(ROOT / "tasks" / "pubmedqa", folder / "pubmedqa")
    file = folder / "pubmedqa" / "task.yaml"
    text = re.sub(r", digest: \w+", "", file.read_text(encoding="utf-8"))
    file.write_text(text, encoding="utf-8")


def notes(rows: int = 40) -> list[dict[str, str]]:
    """Return a team's own notes: patient, note, disposition, reason."""
    rng = random.Random(0)
    found = []
    for number in range(rows):
        label = rng.choice(list(LABELS))
        note = f"Caller {number} of {rng.randint(20, 90)} years tells of {LABELS[label]} since {number % 9} days."
        found.append(
            {"id": f"n{number}", "patient": f"p{number // 2}", "note": note, "disposition": label}
            | {"reason": f"{LABELS[label]} decides"}
        )
    return found


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    """Write rows of equal columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def human_ratings(folder: Path) -> None:
    """Write K-QA's file of rated claims, made up."""
    folder.mkdir(parents=True)
    votes = ("Entailment", "Contradiction", "Neutral")
    lines = [
        {
            "id": number,
            "question": f"Is remedy {number // 2} safe?",
            "answer": f"Remedy {number // 2} is safe for adults.",
            "claim": f"Claim {number}.",
            "majority": votes[number % 3],
            "labels": [votes[number % 3]] * 2 + [votes[(number + 1) % 3]],
        }
        for number in range(12)
    ]
    (folder / "kqa_nli.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def furnish(place: Path, world: Path) -> None:
    """Put into a page's folder what a reader is assumed to have: checkpoints and tables."""
    for checkpoint in ("my-t5", "base"):
        (place / checkpoint).symlink_to(world / checkpoint, target_is_directory=True)
    (place.parent / "stand_ins").symlink_to(world / "tasks", target_is_directory=True)
    write_csv(place / "notes.csv", notes())
    human_ratings(place / "judge_validation")
