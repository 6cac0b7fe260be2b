"""BioASQ Task B: golden files in the organisers' format, written here (the real ones need a registration)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from r2d_bench.cli.main import main
from r2d_bench.errors import UserError
from r2d_bench.tasks.task import Task, load_task

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Json


def question(ident: str, **parts: Json) -> dict[str, Any]:
    made = {
        "id": ident,
        "type": "yesno",
        "body": f"Is protein {ident} secreted?",
        "documents": ["http://www.ncbi.nlm.nih.gov/pubmed/1"],
        "exact_answer": "yes",
        "ideal_answer": ["Yes, it is secreted.", "It is found outside cells."],
        "snippets": [{"text": "First snippet.", "beginSection": "abstract"}, {"text": "Second snippet."}],
    } | parts
    return {key: value for key, value in made.items() if value is not None}


def golden(path: Path, *questions: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"questions": list(questions)}), encoding="utf-8")
    return path


def task(path: Path) -> Task:
    return load_task("bioasq", data=path)


def test_a_question_becomes_an_example(tmp_path: Path):
    (example,) = task(golden(tmp_path / "8B1_golden.json", question("q1"))).examples()
    assert example.id == "q1"
    assert example.input == "Is protein q1 secreted?\n\nFirst snippet.\nSecond snippet."
    assert example.gold == "yes"
    assert example.references == ("it is secreted.", "It is found outside cells.")
    assert example.fields["ideal_answer_full"] == ["Yes, it is secreted.", "It is found outside cells."]
    assert example.slices == {"batch": "8B1_golden", "context": "snippets"}


@pytest.mark.parametrize(
    ("answer", "label"), [("yes", "yes"), ("No", "no"), (["no"], "no"), ("Yes.", "yes"), (["yes", "Yes"], "yes")]
)
def test_exact_answers(tmp_path: Path, answer: Json, label: str):
    (example,) = task(golden(tmp_path / "a.json", question("q1", exact_answer=answer))).examples()
    assert example.gold == label


@pytest.mark.parametrize("snippets", [None, [], [{"text": " "}], [{"document": "x"}]])
def test_without_snippets_the_question_stands_alone(tmp_path: Path, snippets: Json):
    (example,) = task(golden(tmp_path / "a.json", question("q1", snippets=snippets))).examples()
    assert example.input == "Is protein q1 secreted?"
    assert example.slices["context"] == "none"


@pytest.mark.parametrize(
    ("ideal", "references"),
    [
        ("Yes, it is.", ("it is.",)),
        ("No. It is not.", ("It is not.",)),
        ("no: it is not", ("it is not",)),
        ("Yes – it is.", ("it is.",)),
        ("Yes.It is.", ("It is.",)),
        ("Yes,it is.", ("it is.",)),
        ("Yes. Yes, it is.", ("it is.",)),
        ("No evidence supports it.", ("No evidence supports it.",)),
        ("No-reflow is a finding.", ("No-reflow is a finding.",)),
        ("No.1 cause of death.", ("No.1 cause of death.",)),
        ("Notably, it is.", ("Notably, it is.",)),
        ("It is, yes.", ("It is, yes.",)),
        ("Yes.", ()),
        (["Yes", "Yes!", "It is."], ("It is.",)),
        ([], ()),
        (None, ()),
    ],
)
def test_the_leading_label_leaves_the_rationale(tmp_path: Path, ideal: Json, references: tuple[str, ...]):
    (example,) = task(golden(tmp_path / "a.json", question("q1", ideal_answer=ideal))).examples()
    assert example.references == references


def test_a_folder_of_batches_is_read_in_name_order_and_what_is_skipped_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    golden(tmp_path / "8B2_golden.json", question("q3"), question("q1", exact_answer="no"))
    golden(
        tmp_path / "8B1_golden.json",
        question("q1"),
        question("f1", type="factoid", exact_answer=[["x"]]),
        question("l1", type="list", exact_answer=[["x"], ["y"]]),
        question("f2", type="factoid", exact_answer=[["x"]]),
        question("s1", type="summary", exact_answer=None),
    )
    (tmp_path / "readme.txt").write_text("no data", encoding="utf-8")
    loaded = task(tmp_path)
    assert [(e.id, e.gold, e.slices["batch"]) for e in loaded.examples()] == [
        ("q1", "yes", "8B1_golden"),
        ("q3", "yes", "8B2_golden"),
    ]
    assert loaded.provenance.notes == (
        "skipped questions of other types: 4 (factoid 2, list 1, summary 1)",
        "skipped questions that stood there before: 1 (the first one counts)",
    )
    for verb in ("validate", "show"):
        assert main(["tasks", verb, "bioasq", "--data", f"bioasq={tmp_path}"]) == 0
        said = capsys.readouterr().out
        assert "  note: skipped questions of other types: 4 (factoid 2, list 1, summary 1)\n  note: skipped" in said
    assert main(["tasks", "validate", "bioasq", "--json", "--data", f"bioasq={tmp_path}"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == list(loaded.provenance.notes)


def test_no_test_question_is_trained_on(tmp_path: Path):
    golden(tmp_path / "train" / "training.json", question("q1"), question("q2"))
    golden(tmp_path / "test" / "8B1_golden.json", question("q2"), question("q3"))
    splits = task(tmp_path).splits()
    assert {name: [e.id for e in part] for name, part in splits.items()} == {"test": ["q2", "q3"], "train": ["q1"]}


def test_the_data_are_gated():
    assert load_task("bioasq").spec.visibility == "gated"


def test_without_data_one_line_says_how_to_get_them():
    with pytest.raises(UserError, match=r"bioasq brings no data: give them with --data bioasq=PATH\. Register at") as e:
        load_task("bioasq").splits()
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "a.json: should be an object with a list of 'questions'"),
        ('{"questions": {}}', "a.json: should be an object with a list of 'questions'"),
        ('{"questions": [1]}', "a.json: should be an object with a list of 'questions'"),
        ("{", "a.json line 1: broken JSON"),
        ([question("q1", type=None)], "a.json question q1: 'type' is missing or no text"),
        ([question("q1", id=None)], r"a.json question \?: 'id' is missing or no text"),
        ([question("q1", body=" ")], "a.json question q1: 'body' is missing or no text"),
        ([question("q1", exact_answer=None)], "a.json question q1: has no exact_answer: only golden files have it"),
        ([question("q1", exact_answer=["yes", "no"])], "a.json question q1: has several exact answers"),
        ([question("q1", exact_answer="maybe")], "a.json question q1: the label 'maybe' is not in the label set"),
        ([question("q1", exact_answer=[["yes"]])], "'exact_answer' should be a text or a list of texts"),
        ([question("q1", ideal_answer=3)], "'ideal_answer' should be a text or a list of texts"),
        ([question("q1", snippets=["text"])], "'snippets' should be a list of objects with a 'text'"),
        ([question("q1", type="factoid")], "holds no yes/no question to test on"),
    ],
)
def test_a_file_that_is_not_golden_is_refused(tmp_path: Path, content: str | list[Json], message: str):
    if isinstance(content, str):
        (tmp_path / "a.json").write_text(content, encoding="utf-8")
    else:
        golden(tmp_path / "a.json", *content)
    with pytest.raises(UserError, match=message):
        task(tmp_path).splits()


def test_folders_without_golden_files_are_told(tmp_path: Path):
    with pytest.raises(UserError, match=r"holds no \.json file"):
        task(tmp_path).splits()
    golden(tmp_path / "train" / "a.json", question("q1"))
    with pytest.raises(UserError, match="holds no yes/no question to test on"):
        task(tmp_path).splits()
