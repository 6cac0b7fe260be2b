"""`tasks` and `protocols` on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from small_task import ROWS, write_task

from r2d_bench import content
from r2d_bench.cli.main import main
from r2d_bench.cli.options import bertscore_of, data_pairs
from r2d_bench.documents import read_text
from r2d_bench.errors import UserError
from r2d_bench.protocols.registry import builtin

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-c", "from r2d_bench.cli.main import entry; entry()"]


def say(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_list(capsys: pytest.CaptureFixture[str]):
    lines = say(["tasks", "list"], capsys).splitlines()
    assert lines[0].split("\t") == ["task", "labels", "how many", "visibility", "licence", "title"]
    assert [line.split("\t")[:5] for line in lines[1:]] == [
        ["bioasq@1", "closed", "2", "gated", "terms of the BioASQ organisers"],
        ["bioasq_r2d@1", "closed", "2", "gated", "terms of the BioASQ organisers"],
        ["ddxplus@1", "open", "–", "public", "CC-BY-4.0"],
        ["medreason@1", "choices", "–", "public", "MIT"],
        ["pubmedqa@1", "closed", "3", "public", "MIT"],
        ["pubmedqa_r2d@1", "closed", "3", "public", "MIT"],
        ["triage@2", "ordinal", "6", "public", "CC-BY-4.0"],
    ]
    assert say(["tasks"], capsys).splitlines() == lines


def test_list_as_json_with_another_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_task(tmp_path / "small", label={"space": "open", "values": []})
    listed = json.loads(say(["tasks", "list", "--json", "--task-dir", str(tmp_path)], capsys))
    assert listed[0]["full_name"] == "small@1"
    values = {card["full_name"]: card["label"]["values"] for card in listed}
    assert values["pubmedqa@1"] == ["yes", "no", "maybe"]
    assert "triage@2" in values
    assert "small@1\topen\t–\tprivate" in say(["tasks", "list", "--task-dir", str(tmp_path)], capsys)


def test_validate(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = str(write_task(tmp_path / "small", ROWS.replace("because", "")))
    text = say(["tasks", "validate", folder], capsys)
    assert text.splitlines()[0] == "small@1: valid (bundled data)"
    assert "labels: yes 1, no 1, maybe 1" in text
    assert "input: 2 to 2 words, median 2" in text
    assert "without a gold rationale: 1" in text
    found = json.loads(say(["tasks", "validate", folder, "--json"], capsys))
    assert found["task"] == "small@1"
    assert found["splits"]["test"].pop("digest") in text
    assert found["splits"] == {
        "test": {
            "rows": 3,
            "labels": {"yes": 1, "no": 1, "maybe": 1},
            "input_words": {"min": 2, "median": 2, "max": 2},
            "rationale_words": {"min": 1, "median": 3, "max": 3},
            "without_rationale": 1,
            "groups": None,
        }
    }


def test_validate_tells_the_digest_that_a_card_can_assert(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = str(write_task(tmp_path / "small"))
    digest = json.loads(say(["tasks", "validate", folder, "--json"], capsys))["splits"]["test"]["digest"]
    write_task(tmp_path / "small", splits={"test": {"rows": "3", "digest": digest}})
    assert digest in say(["tasks", "validate", folder], capsys)


def test_data_reach_a_task_that_is_given_as_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    folder = write_task(tmp_path / "small")
    (tmp_path / "mine.csv").write_text(ROWS.replace("3,third note,maybe,unclear\n", ""), encoding="utf-8")
    monkeypatch.chdir(folder)
    for name, key in ((".", "small"), ("../small", "../small"), (str(folder), "small")):
        said = say(["tasks", "validate", name, "--data", f"{key}={tmp_path / 'mine.csv'}"], capsys)
        assert said.startswith("small@1: valid (local data)\n  test: 2 rows")


def test_show(capsys: pytest.CaptureFixture[str]):
    text = say(["tasks", "show", "triage"], capsys)
    first = json.loads((content.find("tasks", "triage") / "test.jsonl").read_text(encoding="utf-8").splitlines()[0])
    note, label = first["note"], first["label"]
    assert text.startswith("triage@2: Nurse telephone triage (synthetic)\n")
    assert "labels (most urgent first):\n  EMS_911: call 911 for an ambulance\n  ED_NOW: " in text
    assert "test: 240 rows, 24 groups, digest " in text
    assert f"── prompt of protocol r2d, stage predict, example {first['id']} (gold {label})\npredict: {note}" in text
    assert f"given label: {label}, explain: {note}" in text
    assert "[system] You are a telephone triage nurse." in text


def test_show_as_json(capsys: pytest.CaptureFixture[str]):
    argv = ["tasks", "show", "triage", "--json", "--protocol", "label_first", "--example", "chest_pain-01"]
    shown = json.loads(say(argv, capsys))
    assert shown["task"]["full_name"] == "triage@2"
    assert shown["example"] == "chest_pain-01"
    assert shown["gold"] == "EMS_911"
    assert list(shown["prompts"]) == ["label_first"]
    assert "[assistant] EMS_911\n[user] Why?" in shown["prompts"]["label_first"]["explain"]


@pytest.mark.parametrize("protocol", ["direct", "dss", "label_first", "r2d", "reason_first", "sft", "zero_shot"])
@pytest.mark.parametrize("space", ["choices", "open"])
def test_show_any_protocol_on_any_label_space(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], space: str, protocol: str
):
    row = json.dumps({"id": 1, "note": "What helps?", "label": "rest", "why": "w", "o": ["rest", "tea"]})
    fields = {"options": "{{ o }}"} if space == "choices" else {}
    write_task(tmp_path / "small", row, "rows.jsonl", label={"space": space, "values": []}, fields=fields)
    assert "What helps?" in say(["tasks", "show", str(tmp_path / "small"), "--protocol", protocol], capsys)


def test_protocols_list(capsys: pytest.CaptureFixture[str]):
    lines = [line.split("\t") for line in say(["protocols", "list"], capsys).splitlines()]
    assert [line[:3] for line in lines[1:]] == [
        ["direct", "2", "text"],
        ["dss", "2", "text"],
        ["label_first", "2", "chat"],
        ["r2d", "2", "text"],
        ["reason_first", "2", "chat"],
        ["sft", "1", "text"],
        ["zero_shot", "1", "chat"],
    ]
    listed = json.loads(say(["protocols", "list", "--json"], capsys))
    assert [protocol["name"] for protocol in listed] == list(builtin())
    assert listed[-1]["stages"][0]["output"] == {"json": {"label": "label", "rationale": "rationale"}}


def test_protocols_show_is_a_start_for_an_own_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    text = say(["protocols", "show", "r2d"], capsys)
    assert text == read_text(builtin()["r2d"])
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    assert say(["protocols", "show", str(tmp_path / "own.yaml")], capsys) == text


@pytest.mark.parametrize("argv", [["tasks", "list"], ["protocols", "list"], ["--help"], ["tasks", "show", "triage"]])
def test_looking_around_imports_no_engine(argv: list[str]):
    code = (
        "import sys\nfrom r2d_bench.cli.main import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = 'torch transformers sklearn scipy pyarrow datasets sacrebleu bert_score numpy'.split()\n"
        "sys.exit(', '.join(name for name in heavy if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("argv", [["tasks", "list"], ["tasks", "list", "--json"], ["tasks", "show", "triage"]])
def test_a_reader_that_goes_away_is_no_error(argv: list[str]):
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*COMMAND, *argv], env=buffered, **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_an_unexpected_error_is_one_line_and_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write_task(tmp_path / "small", None)
    card = json.loads((folder / "task.yaml").read_text(encoding="utf-8"))
    card["source"] = {"reader": "task.py:read"}
    (folder / "task.yaml").write_text(json.dumps(card), encoding="utf-8")
    (folder / "task.py").write_text("def read(source):\n    raise RuntimeError('one\\ntwo')\n", encoding="utf-8")
    argv = ["tasks", "validate", str(folder), "--data", f"small={folder}"]
    assert main(argv) == 1
    assert capsys.readouterr().err == "r2d-bench: unexpected RuntimeError: one two (run again with --debug)\n"
    assert main(["--debug", *argv]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_options(tmp_path: Path):
    assert data_pairs([f"a={tmp_path}", f"b={tmp_path}/"]) == {"a": str(tmp_path), "b": f"{tmp_path}/"}
    assert bertscore_of(None) is None
    small = bertscore_of("pkg:x@6")
    assert small is not None
    assert (small.model, small.num_layers) == ("pkg:x", 6)
    large = bertscore_of("roberta-large")
    assert large is not None
    assert (large.model, large.num_layers) == ("roberta-large", None)
    for text in ("x@six", "x@²"):
        with pytest.raises(UserError, match="the layer should be a number"):
            bertscore_of(text)
