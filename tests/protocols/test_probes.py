"""Further questions to a run: what they know, what they show, and which label counts as wrong."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from small_task import write_task

from r2d_bench.errors import UserError
from r2d_bench.protocols.outputs import StageOutput
from r2d_bench.protocols.prompts import StagePrompts, wrong_label
from r2d_bench.protocols.registry import load_protocol
from r2d_bench.protocols.spec import Protocol
from r2d_bench.records import LabelMethod
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.tasks.task import Task

ROWS = "id,note,label,why\n1,first note,positive,It is positive\n2,second note,negative,so\n"
LABELS = {"values": ["positive", "negative", "open"]}
OUTPUTS = {
    "predict": StageOutput("Negative!", "negative", "Negative!"),
    "explain": StageOutput("Negative, since it is so.", rationale="Negative, since it is so."),
}


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return load_task(str(write_task(tmp_path / "small", ROWS, label=LABELS)))


def asked(task: Task, protocol: Protocol) -> dict[str, str]:
    """Return probe → prompt for the first example."""
    return {
        probe.name: str(
            StagePrompts(task, protocol, probe, method=LabelMethod.FREE, max_new_tokens=5)
            .request(task.examples()[0], OUTPUTS)
            .prompt
        )
        for probe in protocol.probes
    }


def test_the_probes_of_r2d(task: Task):
    wrong = wrong_label(task, task.examples()[0])
    assert asked(task, load_protocol("r2d")) == {
        "label_from_rationale": "predict: Negative, since it is so.",
        "label_from_gold_rationale": "predict: It is positive",
        "label_from_rationale_masked": "predict: [masked], since it is so.",
        "label_from_gold_rationale_masked": "predict: It is [masked]",
        "rationale_for_wrong_label": f"given label: {wrong}, explain: first note",
    }


def test_dss_takes_no_label_so_it_is_asked_for_none(task: Task):
    assert list(asked(task, load_protocol("dss"))) == [
        name for name in asked(task, load_protocol("r2d")) if name != "rationale_for_wrong_label"
    ]


def test_a_checkpoint_s_own_words_are_masked_and_asked_for(task: Task):
    own = load_protocol("r2d").model_copy(update={"label_map": {"since": "negative", "p": "positive", "o": "open"}})
    prompts = asked(task, own)
    assert prompts["label_from_rationale_masked"] == "predict: [masked], [masked] it is so."
    word = {"negative": "since", "open": "o"}[wrong_label(task, task.examples()[0]) or ""]
    assert prompts["rationale_for_wrong_label"] == f"given label: {word}, explain: first note"


@pytest.mark.parametrize("name", ["gold.rationale", "outputs.explain.masked", "wrong.word"])
def test_main_stages_see_neither_gold_nor_masked_nor_wrong(task: Task, name: str):
    first = {"name": "explain", "prompt": "x", "output": {"whole": "rationale"}, "max_new_tokens": 5}
    second = {"name": "late", "prompt": f"{{{{ {name} }}}}", "output": {"whole": "label"}, "max_new_tokens": 5}
    own = Protocol.model_validate({"name": "own", "stages": [first, second]})
    prompts = StagePrompts(task, own, own.stages[1], method=LabelMethod.FREE, max_new_tokens=5)
    with pytest.raises(UserError, match=r"is undefined|has no attribute"):
        prompts.request(task.examples()[0], OUTPUTS)


def test_a_probe_gives_one_thing():
    probe = {"name": "both", "prompt": "x", "output": {"json": {"label": "l", "rationale": "r"}}, "max_new_tokens": 5}
    stage = {"name": "a", "prompt": "x", "output": {"whole": "label"}, "max_new_tokens": 5}
    with pytest.raises(ValueError, match="probe both should give the label or the rationale alone"):
        Protocol.model_validate({"name": "own", "stages": [stage], "probes": [probe]})


def test_the_wrong_label_is_fixed_by_the_id_and_spread_over_the_others():
    task = load_task("triage")
    drawn = [(example.gold, wrong_label(task, example)) for example in task.examples()]
    assert drawn == [(example.gold, wrong_label(task, example)) for example in load_task("triage").examples()]
    assert all(gold != wrong for gold, wrong in drawn)
    counts = Counter(wrong for _, wrong in drawn)
    assert set(counts) == set(task.labels.values)
    assert min(counts.values()) > 20  # 40 each on average


def test_where_there_is_no_label_to_draw(tmp_path: Path):
    row = {"id": "1", "note": "n", "label": "Heparin", "why": "w", "options": ["Aspirin", "Heparin"]}
    rows = json.dumps(row) + "\n"
    space = {"label": {"space": "choices", "values": []}, "fields": {"options": "{{ options }}"}}
    choices = load_task(str(write_task(tmp_path / "choices", rows, "rows.jsonl", **space)))
    opened = load_task(str(write_task(tmp_path / "open", rows, "rows.jsonl", label={"space": "open", "values": []})))
    assert wrong_label(choices, choices.examples()[0]) == "Aspirin"
    assert wrong_label(opened, opened.examples()[0]) is None
