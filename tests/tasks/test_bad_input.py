"""Bad input: each mistake is one line that says where, what and how to mend it; exit code 2, nothing written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from small_task import ROWS, card, write_task

from r2d_bench.cli.main import main

if TYPE_CHECKING:
    from r2d_bench.records import Json


def told(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must fail as bad input; return its one line."""
    before = sorted(Path.cwd().rglob("*"))
    try:
        code = main(argv)
    except SystemExit as ended:  # argparse's own door
        code = ended.code
    out, err = capsys.readouterr()
    assert code == 2, err
    assert out == ""
    assert err.startswith("r2d-bench")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert sorted(Path.cwd().rglob("*")) == before
    return err


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def row(**values: Json) -> str:
    return json.dumps({"id": "1", "note": "n", "label": "yes", "why": "w"} | values) + "\n"


HALF = '{"id": "1", "note": "n \\ud83d", "label": "yes", "why": "w"}\n'
HEAD = "id,note,label,why\n"


@pytest.mark.parametrize(
    ("file", "rows", "message"),
    [
        (
            "rows.csv",
            ROWS.replace("label", "lable"),
            "rows.csv: the column 'label' is missing, needed for gold (did you mean 'lable'?)",
        ),
        ("rows.csv", ROWS.replace("why", "reason"), "rows.csv: the column 'why' is missing, needed for references"),
        (
            "rows.csv",
            ROWS.replace("second note,no", "second note,non"),
            "rows.csv line 3: the label 'non' is not in the label set (did you mean 'no'?)",
        ),
        (
            "rows.csv",
            ROWS.replace("second note,no", "second note,perhaps"),
            "rows.csv line 3: the label 'perhaps' is not in the label set (known: maybe, no, yes)",
        ),
        ("rows.csv", HEAD + '1,n,"a\nb",w\n', "rows.csv line 2: the label 'a b' is not in the label set"),
        ("rows.csv", ROWS.replace("second note,no", "second note,"), "rows.csv line 3: gold is empty"),
        ("rows.csv", ROWS.replace("second note,no", "  ,no"), "rows.csv line 3: input is empty"),
        ("rows.csv", ROWS.replace("2,second", ",second"), "rows.csv line 3: id is empty"),
        (
            "rows.csv",
            ROWS.replace("3,third", "1,third"),
            "rows.csv line 4: the id '1' stands twice in split test (first: rows.csv line 2)",
        ),
        ("rows.csv", "", "rows.csv: the file is empty"),
        ("rows.csv", HEAD, "rows.csv: the file has no rows"),
        ("rows.csv", HEAD + "1,n,yes\n", "rows.csv line 2: 3 cells where the header has 4; quote cells"),
        ("rows.csv", HEAD + "1,n,yes,w,more\n", "rows.csv line 2: 5 cells where the header has 4; quote cells"),
        (
            "rows.csv",
            HEAD.encode() + b"1,caf\xe9,yes,w\n",
            "rows.csv line 2: not UTF-8 (byte 0xe9); save the file as UTF-8",
        ),
        ("rows.csv", None, "rows.csv: no such file"),
        (
            "rows.jsonl",
            row() + '{"id": \n',
            "rows.jsonl line 2: broken JSON (Expecting value); a line holds one object",
        ),
        ("rows.jsonl", row(label=["yes"]), "rows.jsonl line 1: gold: should be text, is list; map it to text"),
        ("rows.jsonl", row(note={"a": 1}), "rows.jsonl line 1: input: should be text, is dict"),
        ("rows.jsonl", row() + row(id="2", label=None), "rows.jsonl line 2: gold is empty"),
        ("rows.jsonl", row(label=float("nan")), "rows.jsonl line 1: gold is empty"),
        ("rows.jsonl", HALF, "rows.jsonl line 1: input: holds half a character (\\ud83d)"),
        (
            "rows.jsonl",
            row() + row(),
            "rows.jsonl line 2: the id '1' stands twice in split test (first: rows.jsonl line 1)",
        ),
        ("rows.xls", b"x", "rows.xls: unknown format '.xls'"),
    ],
)
def test_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, rows: str | bytes | None, message: str):
    write_task(tmp_path / "small", rows, file)
    assert message in told(["tasks", "validate", "./small"], capsys)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"titel": "x"}, "task.yaml: unknown key 'titel' (did you mean 'title'?)"),
        ({"label": {"value": []}}, "unknown key 'label.value' (did you mean 'values'?)"),
        (
            {"source": {"hub": {"repo": "a/b", "splits": {}, "revison": "x"}}},
            "unknown key 'source.hub.revison' (did you mean 'revision'?)",
        ),
        ({"splits": {"test": {"row": "1"}}}, "unknown key 'splits.test.row' (did you mean 'rows'?)"),
        (
            {"annotations": {"human": {"title": "H", "lable": "x"}}},
            "unknown key 'annotations.human.lable' (did you mean 'label'?)",
        ),
        (
            {"metrics": {"bertscore": {"model": "m", "layers": "1"}}},
            "unknown key 'metrics.bertscore.layers' (did you mean 'num_layers'?)",
        ),
        ({"licence": None}, "the key 'licence' is missing"),
        (
            {"fields": {"input": "note"}},
            "key 'fields.input': 'note' names no column: write '{{ column }}', or leave the key out",
        ),
        ({"fields": {"references": "null"}}, "key 'fields.references': 'null' names no column"),
        ({"version": "one"}, "key 'version': Input should be a valid integer"),
        ({"version": "0"}, "key 'version': Input should be greater than or equal to 1"),
        ({"visibility": "secret"}, "key 'visibility': Input should be 'public', 'gated' or 'private'"),
        ({"fields": "note"}, "key 'fields': "),
        ({"label": {"values": "yes, no"}}, "key 'label.values': Input should be a valid tuple"),
        ({"label": {"values": ["yes"]}}, "key 'label': a closed label space needs two values or more"),
        ({"label": {"values": ["yes", "no", "yes"]}}, "key 'label': a value stands twice"),
        ({"label": {"values": ["yes", "Yes"]}}, "key 'label': 'Yes' names two labels, yes and Yes"),
        ({"label": {"values": ["1", "**"]}}, "key 'label': '**' names two labels"),
        ({"label": {"aliases": {"yes": ["NO"]}}}, "key 'label': 'no' names two labels, yes and no"),
        ({"label": {"critical": ["ye"]}}, "key 'label': critical: 'ye' is not among the values (did you mean 'yes'?)"),
        ({"label": {"cost": {"yes": {"nope": "1"}}}}, "key 'label': cost: 'nope' is not among the values"),
        ({"label": {"cost": {"yes": {"no": "nan"}}}}, "key 'label.cost.yes.no': Input should be a finite number"),
        ({"label": {"space": "open"}}, "key 'label': a label space of open has no fixed values"),
        ({"label": {"space": "choices", "values": []}}, "a label space of choices needs fields.options"),
        ({"fields": {"options": "{{ why }}"}}, "fields.options belongs to a label space of choices, not closed"),
        ({"slices": {"two words": "{{ why }}"}}, "names of slices are words"),
        (
            {"source": {"files": {"test": "../rows.csv"}}},
            "key 'source.files': '../rows.csv' must lie in the task's folder",
        ),
        (
            {"source": {"files": {"test": "/etc/passwd"}}},
            "key 'source.files': '/etc/passwd' must lie in the task's folder",
        ),
        ({"source": {"local": "../x.json"}}, "key 'source.local': '../x.json' must lie in the task's folder"),
        ({"source": {"reader": "../task.py:read"}}, "key 'source.reader': String should match pattern"),
        ({"source": {"reader": "task.py:read"}}, "a source has files or a reader, not both"),
        ({"source": {"files": {}}}, "a source needs files, hub or reader"),
        ({"splits": {"test": {"rows": "2"}}}, "split test has 3 rows, should have 2"),
        ({"splits": {"test": {"digest": "0" * 16}}}, "the rows of split test are not the known ones"),
        ({"splits": {"tset": {}}}, "the data have no split 'tset' (did you mean 'test'?)"),
        ({"evaluate": "validation"}, "has no split 'validation' (known: test)"),
        ({"fields": {"input": "{{ note"}}, "task small, fields.input: broken template"),
        ({"fields": {"input": "{% if %}"}}, "task small, fields.input: broken template"),
        (
            {"fields": {"input": "{{ note | shout }}"}},
            "task small, fields.input: broken template (No filter named 'shout'",
        ),
        (
            {"fields": {"input": "{{ ntoe }}"}},
            "rows.csv: the column 'ntoe' is missing, needed for input (did you mean 'note'?)",
        ),
        (
            {"fields": {"input": "Note: {{ ntoe }}"}},
            "the column 'ntoe' is missing, needed for input (did you mean 'note'?)",
        ),
        (
            {"fields": {"input": "{{ ntoe | upper }}"}},
            "the column 'ntoe' is missing, needed for input (did you mean 'note'?)",
        ),
        ({"slices": {"age": "{{ agee }}"}}, "the column 'agee' is missing, needed for age"),
        ({"fields": {"group": "{{ '' }}"}}, "rows.csv line 2: group is empty; intervals need every item's cluster"),
        (
            {"fields": {"input": "{{ note + 1 }}"}},
            "rows.csv line 2: task small, fields.input: the template fails (can only concatenate",
        ),
        (
            {"fields": {"input": "{{ 1 // (id | int - 2) }}"}},
            "rows.csv line 3: task small, fields.input: the template fails (integer division",
        ),
        (
            {"fields": {"input": "{{ note | dictsort }}"}},
            "rows.csv line 2: task small, fields.input: the template fails (",
        ),
    ],
)
def test_task_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], parts: dict[str, Any], message: str):
    write_task(tmp_path / "small", **parts)
    assert message in told(["tasks", "validate", "./small"], capsys)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ ''.__class__ }}",
        "{{ note.__class__.__mro__[1].__subclasses__() }}",
        "x {{ ''.__class__.__mro__ }}",
        "x {{ note.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ '' | attr('__class__') }}",
        "{{ '{0.__class__}'.format(note) }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ range(10**9) | list }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
    ],
)
@pytest.mark.parametrize("key", ["input", "references"])
def test_a_template_stays_in_its_sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, template: str):
    write_task(tmp_path / "small", fields={key: template})
    line = told(["tasks", "validate", "./small"], capsys)
    assert f"fields.{key}: the template fails" in line or f"needed for {key}" in line


def test_a_row_s_text_is_no_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_task(tmp_path / "small", HEAD + "1,{{ 6 * 7 }} {% raw %},yes,w\n")
    assert main(["tasks", "show", "./small", "--json", "--protocol", "r2d"]) == 0
    prompts = json.loads(capsys.readouterr().out)["prompts"]
    assert prompts["r2d"]["predict"] == "predict: {{ 6 * 7 }} {% raw %}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "task.yaml: should hold keys and values, not nothing"),
        ("- a\n- b\n", "task.yaml: should hold keys and values, not a list or text"),
        ("name: a\nname: b\n", "task.yaml line 2: the key 'name' stands twice"),
        ("label:\n  space: open\n  space: closed\n", "task.yaml line 3: the key 'space' stands twice"),
        ("name: [a\n", "task.yaml line 2: "),
        ("name: Große Aufgabe\n", "task.yaml: key 'name': String should match pattern"),
    ],
)
def test_yaml(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str):
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "task.yaml").write_text(text, encoding="utf-8")
    assert message in told(["tasks", "validate", "./small"], capsys)


STAGE = {"name": "a", "prompt": "{{ input }}", "output": {"whole": "label"}, "max_new_tokens": "5"}


def stage(**parts: Json) -> dict[str, Any]:
    return STAGE | parts


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ({"stages": [STAGE], "stage": []}, "own.yaml: unknown key 'stage' (did you mean 'stages'?)"),
        ({"stages": [stage(promt="x")]}, "unknown key 'stages.0.promt' (did you mean 'prompt'?)"),
        (
            {"stages": [stage(output={"json": {"lable": "x"}})]},
            "unknown key 'stages.0.output.json.lable' (did you mean 'label'?)",
        ),
        (
            {"stages": [stage(output={"jsn": {"label": "x"}})]},
            "unknown key 'stages.0.output.jsn' (did you mean 'json'?)",
        ),
        (
            {"stages": [stage(prompt=None, messages=[{"rol": "user", "content": "x"}])]},
            "unknown key 'stages.0.messages.0.rol' (did you mean 'role'?)",
        ),
        (
            {"stages": [stage(messages=[{"role": "user", "content": "x"}])]},
            "key 'stages.0': a stage needs either prompt (text) or messages (chat)",
        ),
        ({"stages": [STAGE, stage(name="b")]}, "own.yaml: two stages give a label"),
        ({"stages": [STAGE, stage(output={"whole": "rationale"})]}, "two stages have the same name"),
        ({"stages": []}, "key 'stages': Tuple should have at least 1 item"),
        ({"stages": [stage(output={"regex": "a(b)"})]}, "the regex needs a group (?P<label>…) or (?P<rationale>…)"),
        ({"stages": [stage(output={"regex": "(?P<label>"})]}, "broken regex (missing ), unterminated subpattern"),
        ({"stages": [stage(output={})]}, "needs exactly one of whole, json, tags, regex"),
        (
            {"stages": [stage(output={"whole": "label", "regex": "(?P<label>x)"})]},
            "needs exactly one of whole, json, tags, regex",
        ),
        ({"stages": [stage(output={"tags": {}})]}, "names neither label nor rationale"),
        ({"stages": [stage(max_new_tokens="0")]}, "key 'stages.0.max_new_tokens': Input should be greater than 0"),
        ({"stages": [stage(prompt="{{ input ")]}, "key 'stages.0': broken template"),
        ({"stages": [stage(prompt="{{ note }}")]}, "protocol own, stage a: 'note' is undefined (prompts know: "),
        (
            {"stages": [stage(prompt="{{ fields.ntoe }}")]},
            "protocol own, stage a: 'dict object' has no attribute 'ntoe'",
        ),
        (
            {"stages": [stage(prompt="{{ input.__class__.__mro__ }}")]},
            "protocol own, stage a: the template fails (access to attribute",
        ),
        (
            {"stages": [stage(prompt="{{ outputs.b.text }}"), stage(name="b", output={"whole": "rationale"})]},
            "stage a uses outputs.b, which is no earlier stage",
        ),
    ],
)
def test_protocol_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], protocol: dict[str, Any], message: str):
    write_task(tmp_path / "small")
    clean = [{k: v for k, v in one.items() if v is not None} for one in protocol["stages"]]
    text = json.dumps({"name": "own"} | protocol | {"stages": clean})
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    assert message in told(["tasks", "show", "./small", "--protocol", "own.yaml"], capsys)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["tasks", "show", "traige"], "unknown task 'traige' (did you mean 'triage'?)"),
        (["tasks", "validate", "./empty"], "empty: holds no task.yaml"),
        (["tasks", "validate", "./nowhere"], "unknown task './nowhere'"),
        (["tasks", "list", "--task-dir", "nowhere"], "nowhere: no such folder (given to look for tasks)"),
        (
            ["tasks", "show", "triage", "--protocol", "zeroshot"],
            "unknown protocol 'zeroshot' (did you mean 'zero_shot'?); an own one is given as FILE.yaml",
        ),
        (["tasks", "show", "triage", "--protocol", "own.yaml"], "own.yaml: no such file"),
        (
            ["tasks", "show", "triage", "--example", "chest_pain-011"],
            "task triage has no example 'chest_pain-011' (did you mean 'chest_pain-01'?)",
        ),
        (["tasks", "show", "./small", "--data", "small"], "--data: 'small' should be TASK=PATH"),
        (["tasks", "show", "./small", "--data", "=rows.csv"], "--data: '=rows.csv' should be TASK=PATH"),
        (
            ["tasks", "show", "./small", "--data", "small=nowhere.csv"],
            "--data: nowhere.csv: no such file or folder (data for task small)",
        ),
        (
            ["tasks", "show", "./small", "--data", "smal=small/rows.csv"],
            "--data: task 'smal' is not looked at (did you mean",
        ),
        (["tasks", "show", "./small", "--data", "small=empty"], "empty/rows.csv: no such file"),
        (["protocols", "show", "rd2"], "unknown protocol 'rd2' (did you mean 'r2d'?)"),
        (["protocols", "show", "own.yaml"], "own.yaml: no such file"),
        (["taks", "list"], "unknown verb 'taks' (did you mean 'tasks'?)"),
        (["tasks", "lst"], "unknown verb 'lst' (did you mean 'list'?)"),
        (["tasks", "show"], "the following arguments are required: TASK"),
        (["tasks", "list", "--jsn"], "unrecognized arguments: --jsn"),
        ([], "the following arguments are required: VERB"),
    ],
)
def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str):
    write_task(tmp_path / "small")
    (tmp_path / "empty").mkdir()
    assert message in told(argv, capsys)


def test_a_task_without_data_says_how_to_get_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = {"reader": "task.py:read", "obtain": "Ask the authors."}
    folder = write_task(tmp_path / "small", None)
    (folder / "task.yaml").write_text(json.dumps(card() | {"source": source}), encoding="utf-8")
    (folder / "task.py").write_text("def read(source):\n    return {'test': []}\n", encoding="utf-8")
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    asked = ["tasks", "validate", "./small"]
    assert "task small brings no data: give them with --data small=PATH. Ask the authors." in told(asked, capsys)
    assert "task small: the data have no rows for split test" in told([*asked, "--data", "small=x.json"], capsys)
    (folder / "task.py").write_text("", encoding="utf-8")
    assert "task.py: has no function 'read'" in told([*asked, "--data", "small=x.json"], capsys)
    (folder / "task.py").unlink()
    assert "source.reader: task.py is not in the task's folder" in told([*asked, "--data", "small=x.json"], capsys)


def test_several_files_need_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_task(tmp_path / "small", source={"files": {"train": "train.csv", "test": "rows.csv"}})
    asked = ["tasks", "validate", "./small", "--data", "small=small/rows.csv"]
    assert "task small has several files; give the folder that holds them" in told(asked, capsys)
