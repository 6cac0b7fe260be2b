"""From a card and rows to examples."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from small_task import ROWS, write_task

from r2d_bench.content import find
from r2d_bench.errors import UserError
from r2d_bench.records import Example, Json
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from pathlib import Path

AWKWARD = ["yes", "no", "None", "NA", "1", "01", "1e3", "null", "~", "true", "-1", "off"]


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def only(folder: Path) -> Example:
    (example,) = load_task(str(folder)).examples()
    return example


def test_a_csv_and_one_file_are_a_task(tmp_path: Path):
    task = load_task(str(write_task(tmp_path / "small")))
    assert task.examples()[0] == Example(
        id="1",
        split="test",
        input="first note",
        gold="yes",
        references=("because",),
        fields={"id": "1", "note": "first note", "label": "yes", "why": "because"},
    )
    assert [example.gold for example in task.examples()] == ["yes", "no", "maybe"]
    assert not task.public


@pytest.mark.parametrize("quoted", [False, True])
def test_labels_that_yaml_or_pandas_would_convert(tmp_path: Path, quoted: bool):
    folder = write_task(tmp_path / "small", "note,label\n" + "".join(f"n,{label}\n" for label in AWKWARD))
    values = json.dumps(AWKWARD) if quoted else f"[{', '.join(AWKWARD)}]"
    (folder / "task.yaml").write_text(
        f"name: small\nversion: 1\ntitle: no\nvisibility: private\nlicence: none\nlanguage: no\n"
        f"source: {{files: {{test: rows.csv}}}}\nfields: {{input: '{{{{ note }}}}', gold: '{{{{ label }}}}'}}\n"
        f"label:\n  space: closed\n  values: {values}\n  titles: {{yes: on, ~: off}}\n"
        "prompts: {instruction: yes}\n",
        encoding="utf-8",
    )
    task = load_task(str(folder))
    assert task.labels.values == tuple(AWKWARD)
    assert [example.gold for example in task.examples()] == AWKWARD
    assert [example.id for example in task.examples()] == [str(n) for n in range(1, 13)]  # no id: the row's number
    assert task.spec.label.titles == {"yes": "on", "~": "off"}
    assert (task.spec.title, task.spec.language, task.spec.prompts.instruction) == ("no", "no", "yes")
    for label in AWKWARD:
        assert task.labels.vocabulary().parse(label)[0] == label


def test_gold_labels_take_the_spelling_of_the_label_space(tmp_path: Path):
    rows = "id,note,label,why\n1,n,YES,w\n2,n,No.,w\n3,n,perhaps,w\n"
    folder = write_task(tmp_path / "small", rows, label={"aliases": {"maybe": ["perhaps"]}})
    assert [example.gold for example in load_task(str(folder)).examples()] == ["yes", "no", "maybe"]


@pytest.mark.parametrize(
    ("why", "references"),
    [
        ("w", ("w",)),
        (["a", "b"], ("a", "b")),
        (["a", "", None, " ", "b"], ("a", "b")),
        ("", ()),
        (" ", ()),
        (None, ()),
        ([], ()),
        (float("nan"), ()),
        ("nan", ("nan",)),
        ("None", ("None",)),
        (True, ("true",)),
        (1.5, ("1.5",)),
        (0, ("0",)),
        ("a\u2028b", ("a\u2028b",)),
    ],
)
def test_references(tmp_path: Path, why: Json, references: tuple[str, ...]):
    row = {"id": 1, "note": "n", "label": "yes", "why": why}
    assert only(write_task(tmp_path / "small", lines(row), "rows.jsonl")).references == references


def test_a_rationale_that_some_rows_lack_is_absent(tmp_path: Path):
    rows = lines({"id": 1, "note": "n", "label": "yes"}, {"id": 2, "note": "n", "label": "no", "why": "w"})
    folder = write_task(tmp_path / "small", rows, "rows.jsonl")
    assert [example.references for example in load_task(str(folder)).examples()] == [(), ("w",)]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ note }}", "n"),
        ("{{note}}", "n"),
        ("{{ note | upper }}", "N"),
        ("Q: {{ note }}\n", "Q: n"),
        ("{{ parts | join('+') }}", "a+b"),
        ("{{ deep.er.word }}", "w"),
        ("{{ deep['er']['word'] }}", "w"),
        ("{% for part in parts %}<{{ part }}>{% endfor %}", "<a><b>"),
        ("{{ self }}", "column"),
        ("{{ '}}' ~ note }}", "}}n"),
        ("{{ html }}", "<b> & 'x'"),
        ("{{ range }}", "3 to 4"),
        ("{{ missing | default('none') }}", "none"),
    ],
)
def test_templates(tmp_path: Path, template: str, text: str):
    row = {"id": 1, "note": "n", "label": "yes", "parts": ["a", "b"], "deep": {"er": {"word": "w"}}}
    row |= {"self": "column", "html": "<b> & 'x'", "range": "3 to 4"}
    fields = {"input": template, "references": "{{ note }}"}
    assert only(write_task(tmp_path / "small", lines(row), "rows.jsonl", fields=fields)).input == text


def test_groups_slices_acceptable_and_splits(tmp_path: Path):
    rows = "id,note,label,why,part,who,also\n1,n,yes,w,dev,p1,maybe\n2,n,no,w,test,p2,\n1,n,no,w,test,p2,YES\n"
    folder = write_task(
        tmp_path / "small",
        rows,
        source={"files": {"all": "rows.csv"}, "split": "{{ part }}"},
        fields={"group": "{{ who }}", "acceptable": "{{ [label, also] }}"},
        slices={"who": "{{ who }}", "extra": "{{ also }}"},
    )
    splits = load_task(str(folder)).splits()
    assert {name: [example.id for example in part] for name, part in splits.items()} == {
        "dev": ["1"],
        "test": ["2", "1"],
    }
    assert [example.group for example in splits["test"]] == ["p2", "p2"]
    assert [example.acceptable for example in splits["test"]] == [("no",), ("no", "yes")]
    assert splits["test"][0].slices == {"who": "p2", "extra": "(none)"}


CHOICES = {"label": {"space": "choices", "values": []}, "fields": {"options": "{{ options }}"}}


@pytest.mark.parametrize(
    ("options", "label", "gold"),
    [
        (["Aspirin", "Heparin"], "Heparin", "Heparin"),
        (["Aspirin", "Heparin"], "heparin.", "Heparin"),
        (["Aspirin", "Heparin"], "B", "Heparin"),
        (["x", "x", "y"], "x", "x"),
        (["x", "X.", "y"], "X.", "x"),  # two spellings of one option
        (["None", "NA"], "None", "None"),
        ([1, 2], 2, "2"),
        (["a", "b", "", None], "b", "b"),
    ],
)
def test_choices(tmp_path: Path, options: list[Any], label: Json, gold: str):
    row = {"id": 1, "note": "n", "label": label, "why": "w", "options": options}
    assert only(write_task(tmp_path / "small", lines(row), "rows.jsonl", **CHOICES)).gold == gold


@pytest.mark.parametrize(
    ("options", "label", "message"),
    [
        (["a", "b"], "c d", "rows.jsonl line 1: the label 'c d' is not in the label set .known: a, b."),
        ([], "a", "rows.jsonl line 1: the label 'a' is not in the label set"),
        (["a", "", "b"], "b", "rows.jsonl line 1: options: a blank option stands before another"),
        ([["a"]], "a", "rows.jsonl line 1: options: should be text, is list"),
    ],
)
def test_choices_that_do_not_work(tmp_path: Path, options: list[Any], label: str, message: str):
    row = {"id": 1, "note": "n", "label": label, "why": "w", "options": options}
    folder = write_task(tmp_path / "small", lines(row), "rows.jsonl", **CHOICES)
    with pytest.raises(UserError, match=message):
        load_task(str(folder)).examples()


def test_open_labels_are_any_text(tmp_path: Path):
    rows = ROWS.replace("yes,because", '"  otitis media ",because')
    folder = write_task(tmp_path / "small", rows, label={"space": "open", "values": []})
    assert load_task(str(folder)).examples()[0].gold == "otitis media"


def test_the_digest_is_of_everything_that_can_change_a_score(tmp_path: Path):
    def digest(name: str, rows: str = ROWS, **parts: Json) -> str:
        return load_task(str(write_task(tmp_path / name, rows, **parts))).digest()

    first = digest("a")
    assert digest("b") == first
    assert (
        digest(
            "c",
            ROWS.replace("id,note", "id,extra,note")
            .replace("1,f", "1,,f")
            .replace("2,s", "2,,s")
            .replace("3,t", "3,,t"),
        )
        == first
    )
    assert digest("d", ROWS.replace("\n", "\r\n")) == first
    header, *rest = ROWS.splitlines(keepends=True)
    changed = [
        digest("e", ROWS.replace("first", "First")),
        digest("f", ROWS.replace("because", "as")),
        digest("g", ROWS.replace("3,third", "4,third")),
        digest("h", ROWS.replace("note,no", "note,yes")),
        digest("i", header + "".join(reversed(rest))),
        digest("j", fields={"group": "{{ id }}"}),
        digest("k", fields={"acceptable": "{{ ['yes'] }}"}),
    ]
    assert len({first, *changed}) == 8


def test_local_data_stand_in_for_the_task_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_task(tmp_path / "small")
    other = tmp_path / "data" / "small"
    write_task(other, ROWS.replace("first", "other"))
    assert load_task(str(folder)).examples()[0].input == "first note"
    for data in (other, other / "rows.csv"):
        task = load_task(str(folder), data=data)
        assert task.examples()[0].input == "other note"
        assert task.provenance.kind == "local"
    monkeypatch.setenv("R2D_BENCH_DATA", str(tmp_path / "data"))
    assert load_task(str(folder)).examples()[0].input == "other note"


def test_annotations_are_predictions_in_the_rows(tmp_path: Path):
    rows = lines(
        {"id": 1, "note": "n", "label": "yes", "why": "w", "said": "no", "reason": "r"},
        {"id": 2, "note": "n", "label": "no", "why": "w", "said": None},
    )
    human = {"title": "H", "label": "{{ said }}", "rationale": "{{ reason }}"}
    wrong = human | {"label": "{{ siad }}"}
    folder = write_task(tmp_path / "small", rows, "rows.jsonl", annotations={"human": human, "typo": wrong})
    task = load_task(str(folder))
    assert task.annotated("human") == {"1": {"label": "no", "rationale": "r"}, "2": {"label": None, "rationale": None}}
    with pytest.raises(UserError, match=r"annotations.typo: the column 'siad' is missing \(did you mean 'said'\?\)"):
        task.annotated("typo")
    with pytest.raises(UserError, match=r"carries no annotation 'humans' \(did you mean 'human'\?\)"):
        task.annotated("humans")


def test_tasks_are_found_by_name_folder_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_task(tmp_path / "more" / "small")
    for name in (str(folder), str(folder / "task.yaml")):
        assert find("tasks", name) == folder
    assert find("tasks", "small", [tmp_path / "more"]) == folder
    assert find("tasks", "small", [folder]) == folder
    monkeypatch.chdir(tmp_path / "more")
    assert load_task("./small").name == "small"
    with pytest.raises(UserError, match="unknown task 'small'"):
        find("tasks", "small")  # a folder that happens to lie here is given with ./


def test_a_task_of_the_user_stands_before_a_bundled_one(tmp_path: Path):
    write_task(tmp_path / "triage")
    assert find("tasks", "triage", [tmp_path]) == tmp_path / "triage"


def test_a_task_has_its_folder_s_name(tmp_path: Path):
    write_task(tmp_path / "other", name="small")
    with pytest.raises(UserError, match="name: 'small' should be its folder's name, 'other'"):
        load_task(str(tmp_path / "other"))


def test_a_column_whose_name_is_no_identifier_is_reached_through_the_row(tmp_path: Path):
    rows = "id,Chief complaint,label,why\n1,cough,yes,because\n"
    fields = {"input": "{{ row['Chief complaint'] }}"}
    task = load_task(str(write_task(tmp_path / "spaced", rows, fields=fields)))
    assert [example.input for example in task.examples()] == ["cough"]
