"""The content of the bundled tasks: triage (always) and PubMedQA (where the real set is at hand)."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from r2d_bench.content import find
from r2d_bench.errors import UserError
from r2d_bench.tasks.task import Task, examples_digest, load_task

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Json

LABELS = ("EMS_911", "ED_NOW", "SEE_4H", "SEE_24H", "SEE_3D", "HOME_CARE")
STYLES = ("rationale_nurse", "rationale_edited", "rationale_llm")
# Words that would give the label away: its own parts, places of care and deadlines.
DISPOSITION = re.compile(
    r"\b(911|999|EMS|ambulance|paramedics?|ED|ER|A&E|emergency (?:department|room)|hospital|urgent care|home care"
    r"|self[- ]care|within (?:4|24|four|three|3) (?:hours?|days)|triage|disposition)\b"
)
PARTS = {"train": 24, "train_extra": 24, "validation": 12, "test": 24, "pairs": 24, "invariance": 24, "edge": 24}
SIZES = {"train": 240, "validation": 120, "test": 240, "pairs": 60, "invariance": 40, "edge": 40, "insufficient": 20}


@pytest.fixture(scope="module")
def triage() -> Task:
    return load_task("triage")


@pytest.fixture(scope="module")
def cases(triage: Task) -> list[dict[str, Any]]:
    return [dict(example.fields) for part in triage.splits().values() for example in part]


def test_triage_has_its_sizes_and_is_split_by_family(triage: Task, cases: list[dict[str, Any]]):
    assert len({case["id"] for case in cases}) == len(cases)
    splits = triage.splits()
    assert {name: len(splits[name]) for name in SIZES} == SIZES
    assert len(splits["train_extra"]) >= 3000
    families = {name: {example.group for example in part} for name, part in splits.items()}
    assert {name: len(families[name]) for name in PARTS} == PARTS
    assert families["train_extra"] == families["train"]
    assert families["insufficient"] < families["test"]
    assert len(families["train"] | families["validation"] | families["test"]) == 60  # none stands in two
    for name in ("train", "train_extra", "validation", "test"):
        counts = Counter(example.gold for example in splits[name])
        assert set(counts) == set(LABELS)
        assert len(set(counts.values())) == 1


def test_triage_labels_are_in_order_of_urgency(triage: Task):
    assert triage.labels.values == LABELS
    assert triage.spec.label.critical == LABELS[:2]
    assert sum(triage.spec.label.mix.values()) == pytest.approx(1)


def test_every_finding_stands_in_its_note(cases: list[dict[str, Any]]):
    for case in cases:
        assert case["positives"], case["id"]
        for span in (*case["positives"], *case["negatives"]):
            assert case["note"][span["start"] : span["end"]] == span["text"] != "", case["id"]


def test_notes_and_rationales_have_their_length(cases: list[dict[str, Any]]):
    for case in cases:
        assert 60 <= len(case["note"].split()) <= 160, case["id"]
        for style in STYLES:
            assert 20 <= len(case[style].split()) <= 50, (case["id"], style)


@pytest.mark.parametrize("style", STYLES)
def test_no_rationale_names_the_disposition(cases: list[dict[str, Any]], style: str):
    assert {case["id"]: found.group() for case in cases if (found := DISPOSITION.search(case[style]))} == {}


def test_no_text_holds_a_label(cases: list[dict[str, Any]]):
    names = "|".join(label.replace("_", "[ _-]") for label in LABELS)
    mention = re.compile(rf"\b(?:{names})\b", re.IGNORECASE)
    for case in cases:
        assert not any(mention.search(case[field]) for field in (*STYLES, "note")), case["id"]


def test_acceptable_labels_are_neighbours(cases: list[dict[str, Any]]):
    for case in cases:
        ranks = sorted(LABELS.index(label) for label in case["acceptable"])
        assert case["label"] in case["acceptable"], case["id"]
        assert len(ranks) == (2 if case["split"] == "edge" else 1), case["id"]
        assert ranks == list(range(ranks[0], ranks[-1] + 1)), case["id"]


def test_a_masked_rationale_keeps_findings_and_drops_the_reason(cases: list[dict[str, Any]]):
    for case in cases:
        assert case["rationale_masked"].count("[masked]") >= 1, case["id"]
        assert len(case["rationale_masked"].split()) < len(case["rationale_edited"].split()), case["id"]


def test_triage_slices_and_card(triage: Task):
    slices = {name: {example.slices[name] for example in triage.examples()} for name in triage.spec.slices}
    assert slices["sex"] == {"F", "M"}
    assert slices["age"] == {"under 16", "16 to 64", "65 and over"}
    assert slices["caller"] == {"self", "someone else"}
    assert slices["difficulty"] == {"easy", "medium", "hard"}
    assert triage.public
    assert triage.provenance.kind == "bundled"
    assert "no medical use" in triage.spec.description
    assert set(triage.spec.splits) == set(triage.splits())
    for split, known in triage.spec.splits.items():
        assert triage.digest(split) == known.digest


def test_the_default_splits_are_read_alone(triage: Task, tmp_path: Path):
    """Training on 3,000 further notes must not slow down those who only evaluate."""
    folder = tmp_path / "triage"
    shutil.copytree(triage.folder, folder)
    (folder / "train_extra.jsonl").unlink()
    task = load_task(str(folder))
    assert [len(task.examples(split)) for split in ("train", "validation", "test")] == [240, 120, 240]
    with pytest.raises(UserError, match=r"train_extra\.jsonl: no such file"):
        task.training()


# Known answers of the real set.
OFFICIAL = {"yes": 276, "no": 169, "maybe": 55}


def hub_row(pubid: str, item: dict[str, Any]) -> dict[str, Any]:
    """Return an item in the shape of the hub's copy: numbers for ids, words as lists of their letters."""
    return {
        "pubid": int(pubid),
        "question": item["QUESTION"],
        "context": {
            "contexts": item["CONTEXTS"],
            "labels": item["LABELS"],
            "meshes": item["MESHES"],
            "reasoning_required_pred": list(item["reasoning_required_pred"]),
            "reasoning_free_pred": list(item["reasoning_free_pred"]),
        },
        "long_answer": item["LONG_ANSWER"],
        "final_decision": item["final_decision"],
    }


def pubmedqa_reader() -> Any:  # noqa: ANN401
    path = find("tasks", "pubmedqa") / "task.py"
    spec = importlib.util.spec_from_file_location("_pubmedqa_reader", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.read


@pytest.mark.data
@pytest.mark.parametrize("where", ["folder", "file"])
def test_pubmedqa_is_the_official_split(public_data: Path, where: str):
    folder = public_data / "pubmedqa"
    task = load_task("pubmedqa", data=folder if where == "folder" else folder / "ori_pqal.json")
    test = task.examples()
    truth = json.loads((folder / "test_ground_truth.json").read_text(encoding="utf-8"))
    assert Counter(example.gold for example in test) == OFFICIAL
    assert {example.id: example.gold for example in test} == truth
    assert {name: len(part) for name, part in task.splits().items()} == {"train": 452, "validation": 48, "test": 500}
    assert len({example.id for part in task.splits().values() for example in part}) == 1000
    assert task.provenance.kind == "local"
    example = next(example for example in test if example.id == "12377809")
    assert example.input.startswith("Is anorectal endosonography valuable in dyschesia?\n\n")
    assert example.references[0].startswith("Linear anorectal endosonography demonstrated")


@pytest.mark.data
def test_pubmedqa_from_the_hub_s_rows_is_the_same(public_data: Path, monkeypatch: pytest.MonkeyPatch):
    from r2d_bench.tasks import task as task_module
    from r2d_bench.tasks.sources import Row

    items = json.loads((public_data / "pubmedqa" / "ori_pqal.json").read_text(encoding="utf-8"))
    rows = [Row(hub_row(pubid, item), "hub", f"row {n}") for n, (pubid, item) in enumerate(items.items(), 1)]
    # The network is the one part that is stood in for: rows as the hub gives them.
    monkeypatch.setattr(task_module, "read_hub", lambda _: ({"all": rows}, "c" * 40))
    local, hub = load_task("pubmedqa", data=public_data / "pubmedqa"), load_task("pubmedqa")
    assert {name: examples_digest(part) for name, part in hub.splits().items()} == {
        name: known.digest for name, known in local.spec.splits.items()
    }
    assert hub.annotated("human") == local.annotated("human")
    assert hub.provenance == task_module.Provenance("hub", "c" * 40)


@pytest.mark.data
def test_pubmedqa_s_single_human(public_data: Path):
    task = load_task("pubmedqa", data=public_data / "pubmedqa")
    said = task.annotated("human")
    right = sum(said[example.id]["label"] == example.gold for example in task.examples())
    assert right / len(said) == 0.78  # the authors' figure: 78.0 % accuracy


@pytest.mark.data
def test_pubmedqa_is_found_through_the_variable(public_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("R2D_BENCH_DATA", str(public_data))
    assert load_task("pubmedqa").data == public_data / "pubmedqa"
    assert load_task("triage").provenance.kind == "bundled"


def item(**parts: Json) -> dict[str, Any]:
    words = {"final_decision": "yes", "reasoning_required_pred": "no", "reasoning_free_pred": "yes"}
    return {"QUESTION": "q", "CONTEXTS": ["c"], "LABELS": ["L"], "MESHES": [], "LONG_ANSWER": "a"} | words | parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "ori_pqal.json: should be the authors' object of items by PubMed id"),
        ('{"1": 5}', "ori_pqal.json item 1: the column 'QUESTION' is missing"),
        ('{"1": {"QUESTION": "q"}}', "ori_pqal.json item 1: the column 'CONTEXTS' is missing"),
        (json.dumps({"1": item()}), "the test split has .*'yes': 0.* officially .* is the file complete"),
        ("{", "ori_pqal.json line 1: broken JSON"),
        ("", "ori_pqal.json line 1: broken JSON"),
    ],
)
def test_a_file_that_is_not_pubmedqa_is_refused(tmp_path: Path, text: str, message: str):
    (tmp_path / "ori_pqal.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        load_task("pubmedqa", data=tmp_path).splits()


def test_a_folder_without_the_file_is_told(tmp_path: Path):
    with pytest.raises(UserError, match=r"ori_pqal.json: no such file \(data for task pubmedqa\)"):
        load_task("pubmedqa", data=tmp_path).splits()


def test_hub_rows_of_another_shape_are_refused():
    with pytest.raises(UserError, match="pubmedqa: the hub's rows have no column 'context'; give the authors' file"):
        pubmedqa_reader()([{"pubid": 1, "question": "q", "long_answer": "a", "final_decision": "yes"}])
