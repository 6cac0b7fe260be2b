"""The sets of the Reason2Decide papers: files in their format written here, and the real MedReason where at hand."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from r2d_bench.api import run
from r2d_bench.content import find
from r2d_bench.errors import UserError
from r2d_bench.leaderboard.privacy import decide
from r2d_bench.tasks.task import Task, load_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from r2d_bench.records import Json

CLOSED = {"pubmedqa_r2d": ("yes", "no", "maybe"), "bioasq_r2d": ("yes", "no")}
Rows = list[tuple[str, str, str]]


def write_csv(path: Path, rows: Rows, header: Sequence[str] = ("question", "label", "rationale")) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_jsonl(path: Path, rows: Rows) -> None:
    lines = [json.dumps(dict(zip(("question", "label", "rationale"), row, strict=True))) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def papers_folder(folder: Path, labels: Sequence[str]) -> Path:
    """Write the three files: two training items and one test item a label, one for validation."""
    write_jsonl(
        folder / "train.jsonl", [(f"note {label} {n}", label, f"for {label}") for label in labels for n in "ab"]
    )
    write_jsonl(folder / "val.jsonl", [(f"note {labels[0]}", labels[0], "so it is")])
    write_csv(folder / "test.csv", [(f"a note\nof {label}", label, f"for {label}, yes") for label in labels])
    return folder


@pytest.mark.parametrize("name", list(CLOSED))
def test_question_label_rationale(tmp_path: Path, name: str):
    task = load_task(name, data=papers_folder(tmp_path, CLOSED[name]))
    labels = CLOSED[name]
    assert {split: len(part) for split, part in task.splits().items()} == {
        "train": 2 * len(labels),
        "validation": 1,
        "test": len(labels),
    }
    assert [(e.id, e.gold) for e in task.examples()] == [(f"test-{n}", label) for n, label in enumerate(labels, 1)]
    example = task.examples()[0]
    assert (example.input, example.references) == ("a note\nof yes", ("for yes, yes",))
    assert task.examples("train")[0].id == "train-1"


@pytest.mark.parametrize("name", [*CLOSED, "ddxplus"])
@pytest.mark.parametrize("alone", [True, False])
def test_the_test_file_is_enough(tmp_path: Path, name: str, alone: bool):
    write_csv(tmp_path / "test.csv", [("a note", "yes", "because")])
    task = load_task(name, data=tmp_path / "test.csv" if alone else tmp_path)
    assert {split: len(part) for split, part in task.splits().items()} == {"test": 1}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "test.csv: the file has no rows"),
        ([("a note", "perhaps", "w")], "test.csv line 2: the label 'perhaps' is not in the label set"),
        ([(" ", "yes", "w")], "test.csv line 2: input is empty"),
    ],
)
def test_rows_that_do_not_fit_are_told_with_their_line(tmp_path: Path, rows: Rows, message: str):
    write_csv(tmp_path / "test.csv", rows)
    with pytest.raises(UserError, match=message):
        load_task("bioasq_r2d", data=tmp_path).splits()


def test_files_and_columns_that_are_missing_are_told(tmp_path: Path):
    with pytest.raises(UserError, match=r"holds no test.csv \(with the columns question, label, rationale\)"):
        load_task("ddxplus", data=tmp_path).splits()
    write_csv(tmp_path / "test.csv", [("a", "b", "c")], header=("question", "answer", "rationale"))
    with pytest.raises(UserError, match=r"test\.csv line 2: the column 'label' is missing"):
        load_task("ddxplus", data=tmp_path).splits()


@pytest.mark.parametrize("name", ["medreason", *CLOSED, "ddxplus"])
def test_without_data_one_line_says_how_to_get_them(name: str):
    with pytest.raises(
        UserError, match=f"task {name} brings no data: give them with --data {name}=PATH. The "
    ) as error:
        load_task(name).splits()
    assert "\n" not in str(error.value)


def test_what_may_be_published(tmp_path: Path):
    papers_folder(tmp_path, ("yes", "no"))
    visible = {"medreason": "public", "pubmedqa_r2d": "public", "bioasq_r2d": "gated", "ddxplus": "public"}
    for name, visibility in visible.items():
        assert load_task(name).spec.visibility == visibility
    for name in ("pubmedqa_r2d", "bioasq_r2d", "ddxplus"):  # no digest is known: anybody's data may stand in
        task = load_task(name, data=tmp_path)
        decided = decide(task.spec, [], split="test", data_digest=task.digest(), sources=["local"])
        assert not decided.texts


def test_ddxplus_takes_any_diagnosis_and_its_baselines_run(tmp_path: Path):
    names = ("GERD", "Bronchospasm / acute asthma exacerbation", "None")
    folder = papers_folder(tmp_path, names)
    report = run(
        ["baseline:majority", "baseline:stratified", "baseline:tfidf"],
        tasks=["ddxplus"],
        data={"ddxplus": str(folder)},
        runs=str(tmp_path / "runs"),
        site=None,
        bertscore={"model": "none"},
    )
    right = {r.setup.model["name"]: r.scores["metrics"]["accuracy"]["value"] for r in report.finished}
    assert right["majority"] == pytest.approx(1 / 3)
    assert right["tfidf"] == 1.0
    for finished in report.finished:
        assert finished.scores["metrics"]["macro_f1"]["value"] is None


# MedReason


def medreason_reader() -> Any:  # noqa: ANN401
    spec = importlib.util.spec_from_file_location("_medreason_reader", find("tasks", "medreason") / "task.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def parse_question() -> Callable[[str], Json]:
    return medreason_reader().parse_question


@pytest.mark.parametrize(
    ("question", "stem", "options"),
    [
        ("Which?. Answer Choices: A. one B. two C. three D. four", "Which?.", ("one", "two", "three", "four")),
        ("Which?. Answer Choices:\nA. one\nB. two\nC. three\nD. four", "Which?.", ("one", "two", "three", "four")),
        # Letters inside options: the first one behind the letter before it counts, or the one that begins a line.
        ("Q. Answer Choices: A. C. imm B. S. sch C. C. alb D. T. ton", "Q.", ("C. imm", "S. sch", "C. alb", "T. ton")),
        ("Q. Answer Choices:\nA. a B. b\nB. E. coli\nC. x\nD. E. hist", "Q.", ("a B. b", "E. coli", "x", "E. hist")),
        ("Q. Answer Choices: A. type A B. type B C. x D. E. coli", "Q.", ("type A", "type B", "x", "E. coli")),
        # The last header counts; text before it is the stem's.
        ("Answer Choices: A. x. Answer Choices: A. a B. b C. c D. d", "Answer Choices: A. x.", ("a", "b", "c", "d")),
        ("Q Answer Choices: A. None B. 1.5 C. x.y D. all", "Q", ("None", "1.5", "x.y", "all")),
    ],
)  # fmt: skip
def test_options_are_parsed_out_of_the_question(
    parse_question: Callable[[str], Json], question: str, stem: str, options: tuple[str, ...]
):
    assert parse_question(question) == (stem, options)


@pytest.mark.parametrize(
    "question",
    [
        "Which one is it?",
        "Q. Answer Choices:",
        "Q. Answer Choices: A. one B. two C. three",
        "Q. Answer Choices: A. one B. C. three D. four",
        "Q. Answer Choices: B. one A. two C. three D. four",
        "Q. answer choices: A. one B. two C. three D. four",
    ],
)
def test_what_is_no_such_question_is_none(parse_question: Callable[[str], Json], question: str):
    assert parse_question(question) is None


def ask(*options: str, line: bool = False) -> str:
    gap = "\n" if line else " "
    return "Which?. Answer Choices:" + gap + gap.join(f"{k}. {o}" for k, o in zip("ABCD", options, strict=True))


def medreason(folder: Path, test: Rows) -> Task:
    """Load rows of one's own as MedReason: the bundled task without the digests of the real files."""
    write_csv(folder / "test.csv", test)
    write_jsonl(folder / "val.jsonl", [(ask("a", "b", "c", "d", line=True), "b", "it is [LABEL]")])
    task = load_task("medreason", data=folder)
    return Task(spec=task.spec.model_copy(update={"splits": {}}), folder=task.folder, data=folder)


def test_gold_is_the_option_that_it_spells(tmp_path: Path):
    rows = [
        (ask("one", "two", "three", "four"), "two", "it is [LABEL]"),
        (ask("It rises.", "It falls.", "Both.", "None."), "It rises", "it rises"),
        (ask("Iron", "zinc", "Copper", "lead"), "ZINC ", "why"),
        (ask("Simvastatin", "x", "Simvastatin", "None"), "None", "why"),
    ]
    task = medreason(tmp_path, rows)
    assert [e.gold for e in task.examples()] == ["two", "It rises.", "zinc", "None"]
    assert [e.id for e in task.examples()] == ["test-1", "test-2", "test-3", "test-4"]
    assert task.examples()[0].input == rows[0][0]  # options included
    assert task.examples()[3].options == ("Simvastatin", "x", "Simvastatin", "None")
    assert [e.slices["masked"] for e in task.examples()] == ["yes", "no", "no", "no"]
    assert [(e.id, e.gold) for e in task.examples("train")] == [("val-1", "b")]
    assert task.provenance.notes == (
        "train: gold labels that are one of the options: 1 of 1, to the letter 1; items with an option twice: 0",
        "test: gold labels that are one of the options: 4 of 4, to the letter 2; items with an option twice: 1",
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((ask("a", "b", "c", "d"), "e", "w"), "test.csv line 2: the label 'e' is not in the label set"),
        (("Which?", "a", "w"), "test.csv line 2: should end with 'Answer Choices: A. … B. … C. … D. …'"),
    ],
)
def test_a_row_that_is_no_such_item_is_refused(tmp_path: Path, row: tuple[str, str, str], message: str):
    with pytest.raises(UserError, match=message):
        medreason(tmp_path, [row]).splits()


def test_other_rows_are_not_medreason(tmp_path: Path):
    medreason(tmp_path, [(ask("a", "b", "c", "d"), "a", "w")])
    with pytest.raises(UserError, match="medreason@1: split train has 1 rows, should have 1504"):
        load_task("medreason", data=tmp_path).splits()


@pytest.mark.data
def test_the_real_medreason(public_data: Path):
    task = load_task("medreason", data=public_data / "medreason")
    test = task.examples()
    assert {name: len(part) for name, part in task.splits().items()} == {"train": 1504, "test": 1504}
    raw = {e.id: str(e.fields["label"]) for e in test}
    assert all(e.gold in e.options and len(e.options) == 4 for e in test)
    assert sum(e.gold != raw[e.id] for e in test) == 44  # case, spaces and the final dot
    assert sum(len(task.labels.labels(e.options)) < 4 for e in test) == 5
    assert [e.options for e in test if e.gold == "None"] == [("Cysteine", "Proline", "Threonine", "None")]
    assert Counter(e.slices["masked"] for e in test) == {"yes": 1031, "no": 473}
    assert task.provenance.notes[1] == (
        "test: gold labels that are one of the options: 1504 of 1504, to the letter 1460; items with an option twice: 5"
    )
    assert not {e.input for e in test} & {e.input for e in task.examples("train")}
    decided = decide(task.spec, [], split="test", data_digest=task.digest(), sources=["local"])
    assert decided.texts  # the digest is the known one


@pytest.mark.data
def test_baselines_run_on_the_real_medreason(public_data: Path, tmp_path: Path):
    report = run(
        ["baseline:majority", "baseline:stratified", "baseline:tfidf"],
        tasks=["medreason"],
        data={"medreason": str(public_data / "medreason")},
        runs=str(tmp_path / "runs"),
        site=None,
        bertscore={"model": "none"},
        paper=False,
    )
    metrics = {r.setup.model["name"]: r.scores["metrics"] for r in report.finished}
    for figures in metrics.values():
        assert figures["accuracy"]["n"] == 1504
        assert figures["unparsed"]["value"] == 0
        assert figures["macro_f1"]["reason"] == "n/a: options differ per example"
    assert metrics["majority"]["accuracy"]["value"] == 418 / 1504  # A is right so often, counted by hand
    assert 0.2 < metrics["stratified"]["accuracy"]["value"] < 0.3
    assert 0.27 < metrics["tfidf"]["accuracy"]["value"] < 0.31
    assert metrics["tfidf"]["chrf"]["value"] > 15
