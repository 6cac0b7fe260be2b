"""`tasks new` as a user types it: with flags, and on a terminal."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import openpyxl
import pytest

from r2d_bench.cli.main import main
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Cli = Callable[..., "Said"]

HEADER = ["Patient", "Chief complaint", "Triage", "Reason"]
LABELS = ("ED now", "See today", "Home care")
WORDS = ("crushing chest pain", "sore throat", "mild sunburn")
SECRET = "Zwetschgenkuchen"  # noqa: S105 - a word of the notes that may stand nowhere else
FULL = ("--input", "Chief complaint", "--label", "Triage")


class Said(NamedTuple):
    code: int
    out: str
    err: str


def notes(n: int = 200) -> list[list[str]]:
    """Rows of a hospital's own table: two calls of each patient."""
    return [
        [
            f"patient-{k // 2:03}",
            f"{WORDS[k % 3]} after {SECRET} {k}",
            LABELS[k % 3],
            f"{SECRET} {WORDS[k % 3]} so it is",
        ]
        for k in range(n)
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with (tmp_path / "own notes.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER, *notes()])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(folder: Path, capsys: pytest.CaptureFixture[str]) -> Cli:  # noqa: ARG001 - run there
    def run(*arguments: str) -> Said:
        capsys.readouterr()
        try:
            code = main(list(arguments))
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Said(code, *capsys.readouterr())

    return run


def test_own_notes_are_benchmarked_with_two_commands(cli: Cli, folder: Path):
    choices = ["--rationale", "Reason", "--group", "Patient", "--ordinal", "--labels", ",".join(LABELS)]
    told = cli("tasks", "new", "--from", "own notes.csv", *FULL, *choices)
    assert (told.code, told.err) == (0, "")
    assert "own-notes: own-notes@1, private" in told.out
    run = "r2d-bench run baseline:majority baseline:tfidf -t ./own-notes --bertscore none"
    assert told.out.splitlines()[-2:] == ["  r2d-bench tasks validate ./own-notes", f"  {run}"]
    assert {path.name for path in folder.iterdir()} == {"own notes.csv", "own-notes"}
    assert cli("tasks", "validate", "./own-notes").code == 0

    told = cli(*run.split()[1:])
    assert told.code == 0
    assert "baseline:tfidf\tdirect\tfree\t40" in told.out
    pages = [path.read_text(encoding="utf-8") for path in (folder / "site").rglob("*") if path.is_file()]
    assert any("baseline:tfidf" in page for page in pages)
    assert not any(SECRET in page or "patient-0" in page for page in pages)

    task = load_task("./own-notes")
    splits = task.splits()
    assert {name: len(part) for name, part in splits.items()} == {"train": 120, "validation": 40, "test": 40}
    patients = [{example.group for example in part} for part in splits.values()]
    assert sum(len(part) for part in patients) == 100, "no patient stands in two splits"
    assert task.spec.label.values == LABELS
    assert splits["test"][0].references[0].startswith(SECRET)


def test_every_row_is_scored_and_the_file_is_copied_as_it_is(cli: Cli, folder: Path):
    out = cli(
        "tasks",
        "new",
        "--from",
        "own notes.csv",
        *FULL,
        "--split",
        "all-test",
        "--name",
        "all",
        "--out",
        "mine",
        "--json",
    )
    told = json.loads(out.out)
    assert (told["task"], told["folder"], told["splits"]["test"]["rows"]) == ("all@1", "mine/all", 200)
    assert told["unused"] == {"rationale": "Reason", "group": "Patient"}
    assert told["next"][1] == "r2d-bench run hf:./my-model -t ./mine/all --bertscore none"
    assert (folder / "mine/all/own notes.csv").read_bytes() == (folder / "own notes.csv").read_bytes()
    assert {path.name for path in (folder / "mine").iterdir()} == {"all"}


@pytest.mark.parametrize("split", ["auto", "all-test"])
def test_a_workbook_becomes_a_task(cli: Cli, folder: Path, split: str):
    book = openpyxl.Workbook()
    for line in (["ID", "Note", "Acuity"], *([k, f"note {k}", k % 5 + 1] for k in range(60))):
        book.worksheets[0].append(line)
    book.save(folder / "calls.xlsx")
    told = cli(
        "tasks", "new", "--from", "calls.xlsx", "--input", "Note", "--label", "Acuity", "--id", "ID", "--split", split
    )
    assert told.code == 0
    task = load_task("./calls")
    assert task.spec.label.values == ("1", "2", "3", "4", "5")
    assert sum(len(part) for part in task.splits().values()) == 60
    assert all(example.input == f"note {example.id}" for example in task.examples())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--input is missing (columns: Patient, Chief complaint, Triage, Reason; --input 'Chief complaint'?)"),
        (["--input", "Chief complaint"], "Triage, Reason; --label 'Triage'?)"),
        (["--input", "Chief complain"], "--input: no column 'Chief complain' (did you mean 'Chief complaint'?)"),
        ([*FULL, "--group", "Patients"], "--group: no column 'Patients' (did you mean 'Patient'?)"),
        ([*FULL, "--rationale", "Triage"], "--label and --rationale are both the column 'Triage'"),
        ([*FULL, "--ordinal"], "--ordinal needs the order, most urgent first (found: ED now, Se"),
        ([*FULL, "--labels", "ED now,See today"], "own notes.csv line 4: the label 'Home care' is not in"),
        ([*FULL, "--labels", "ED now"], "holds 1 label; a task needs two or more"),
        ([*FULL, "--open", "--labels", "a,b"], "--labels belongs to --closed or --ordinal"),
        (["--input", "Triage", "--label", "Chief complaint"], "200 different values are too many for labels"),
        ([*FULL, "--split", "Triag"], "--split: no column 'Triag' (did you mean 'Triage'?)"),
        ([*FULL, "--split", "Triage"], "no row has the value 'test'"),
        ([*FULL, "--name", "My Notes"], "--name: 'My Notes' should be small letters"),
        ([*FULL, "--name", "triage"], "'triage' is a task that r2d-bench brings"),
        ([*FULL, "--ordinal", "--open"], "not allowed with argument"),
        ([*FULL, "--visibility", "secret"], "argument --visibility: invalid choice: 'secret'"),
        ([*FULL, "--seed", "x"], "argument --seed: invalid int value: 'x'"),
        ([*FULL, "--id", "Patient"], "own notes.csv line 3: the id 'patient-000' stands twice"),
        ([*FULL, "--out", "own notes.csv"], "own notes.csv"),
        (["--from", "nothing.csv"], "nothing.csv: no such file"),
        (["--from", "own notes.doc"], "unknown format '.doc'"),
    ],
)
def test_a_wrong_choice_is_one_line_and_nothing_is_written(
    cli: Cli, folder: Path, arguments: list[str], message: str | None
):
    before = sorted(folder.rglob("*"))
    told = cli("tasks", "new", "--from", "own notes.csv", *arguments)
    assert (told.code, told.out) == (2, "")
    assert message in told.err
    assert told.err.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


def test_an_existing_folder_is_left_alone(cli: Cli, folder: Path):
    (folder / "own-notes").mkdir()
    told = cli("tasks", "new", "--from", "own notes.csv", *FULL)
    assert (told.code, told.err) == (2, "r2d-bench: own-notes: exists already; choose another --name or --out\n")
    assert list((folder / "own-notes").iterdir()) == []


def on_terminal(folder: Path, arguments: list[str], answers: str) -> tuple[int, str]:
    """Run the command with a terminal of its own, and type the answers."""
    controller, terminal = os.openpty()
    command = [sys.executable, "-c", "from r2d_bench.cli.main import entry; entry()", *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, cwd=folder, env=environment, start_new_session=True
    ) as process:
        os.close(terminal)
        os.write(controller, answers.encode())
        shown = b""
        while True:
            try:
                part = os.read(controller, 4096)
            except OSError:  # Linux tells the end of a terminal so
                break
            if not part:
                break
            shown += part
        code = process.wait(timeout=60)
    os.close(controller)
    return code, shown.decode()


def test_on_a_terminal_it_asks_and_proposes_what_the_columns_suggest(folder: Path):
    answers = ["", "Triag", "", "", "-", "", "yes", "See today,ED now", "ED now,See today,Home care", "", "asked", ""]
    code, shown = on_terminal(folder, ["tasks", "new", "--from", "own notes.csv"], "\n".join(answers) + "\n")
    assert code == 0, shown
    assert "Which column holds the text to read? [Chief complaint]" in shown
    assert "no column 'Triag' (did you mean 'Triage'?)" in shown
    assert "name each label once" in shown
    spec = load_task(str(folder / "asked")).spec
    assert spec.fields.model_dump(exclude_none=True) == {
        "input": "{{ row['Chief complaint'] }}",
        "gold": "{{ Triage }}",
        "references": "{{ Reason }}",
        "group": "{{ Patient }}",
    }
    assert (spec.label.space, spec.label.values) == ("ordinal", LABELS)
    assert (spec.title, spec.visibility) == ("Asked", "private")


def test_no_more_answers_is_one_line_and_nothing_is_written(folder: Path):
    code, shown = on_terminal(folder, ["tasks", "new", "--from", "own notes.csv"], "\n\x04")
    assert code == 2
    assert shown.rstrip().endswith("no answer; nothing was written")
    assert {path.name for path in folder.iterdir()} == {"own notes.csv"}
