"""From a run folder to a pack, onto another board, and every way in which that is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from boards import HIDDEN_INPUT, HIDDEN_OUTPUT, Made, board

from r2d_bench.cli.main import main
from r2d_bench.errors import UserError
from r2d_bench.leaderboard.acceptance import accept
from r2d_bench.leaderboard.origin import SUBMISSION, VERIFICATION, mark, origin_of
from r2d_bench.leaderboard.results import collect
from r2d_bench.leaderboard.submission import pack, write_pack
from r2d_bench.leaderboard.verify import verify
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from r2d_bench.records import Json


@pytest.fixture
def submitted(made: Made, tmp_path: Path) -> Path:
    """A submission as a folder, of a run on the bundled task."""
    return write_pack(pack(RunStore(made.runs / made.tfidf)), tmp_path / "pack")


def sealed(folder: Path) -> Path:
    """Write the digests of a changed pack anew, as somebody who wants to cheat would."""
    path = folder / SUBMISSION
    told = json.loads(path.read_text())
    for name in told["files"]:
        told["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(told))
    return folder


def lines_of(path: Path, change: Callable[[list[Json]], list[Json]]) -> None:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in change(lines)), encoding="utf-8")


def rows_of(path: Path, change: Callable[[list[Json]], list[Json]]) -> None:
    table = pq.read_table(path)
    pq.write_table(pa.Table.from_pylist(change(table.to_pylist()), schema=table.schema), path)


# verify


def test_every_number_of_honest_runs_is_had_again(made: Made) -> None:
    for name in (made.tfidf, made.partial, made.mock):
        found = verify(RunStore(made.runs / name), load_task("triage"))
        assert list(found.lines()) == []
        assert found.equal > 1000
        assert found.not_recomputed == {}


def test_verifying_changes_nothing_unless_asked(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / made.tfidf
    shutil.copytree(made.runs / made.tfidf, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(["leaderboard", "verify", str(folder)]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert origin_of(RunStore(folder)) == "own"
    assert main(["leaderboard", "verify", str(folder), "--mark", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out.split("equal\n", 1)[1])
    assert one["holds"]
    assert origin_of(RunStore(folder)) == "verified"
    scores = json.loads((folder / "scores.json").read_text())
    (folder / "scores.json").write_text(json.dumps(scores))
    assert origin_of(RunStore(folder)) == "own"  # other bytes than those that were verified


def test_one_altered_figure_is_named(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / made.tfidf
    shutil.copytree(made.runs / made.tfidf, folder)
    scores = json.loads((folder / "scores.json").read_text())
    known = scores["metrics"]["macro_f1"]["value"]
    scores["metrics"]["macro_f1"]["value"] = known + 0.001
    (folder / "scores.json").write_text(json.dumps(scores))
    assert main(["leaderboard", "verify", str(folder)]) == 1
    told = capsys.readouterr().out
    assert f"macro_f1.value: stored {known + 0.001}, recomputed {known}" in told
    assert "DIFFERS" in told


def test_an_encoder_that_is_not_at_hand_is_not_recomputed(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / made.tfidf
    shutil.copytree(made.runs / made.tfidf, folder)
    scores = json.loads((folder / "scores.json").read_text())
    scores["metrics"]["bertscore_f1"] |= {"value": 0.4, "reason": None, "n": 240, "unscored": 0}
    scores["signatures"]["bertscore_f1"] = "acme/absent-encoder_L9_no-idf_version=0.3.12"
    (folder / "scores.json").write_text(json.dumps(scores))
    found = verify(RunStore(folder), load_task("triage"))
    assert "absent-encoder" in found.not_recomputed["bertscore_f1"]
    assert not any("bertscore_f1" in line for line in found.lines())


# submit


def test_a_pack_is_the_same_bytes_and_is_accepted(made: Made, tmp_path: Path) -> None:
    found = pack(RunStore(made.runs / made.tfidf))
    first = write_pack(found, tmp_path / "one.zip")
    second = write_pack(pack(RunStore(made.runs / made.tfidf)), tmp_path / "two.zip")
    assert first.read_bytes() == second.read_bytes()
    assert accept(first, tmp_path / "runs").holds
    store = RunStore(tmp_path / "runs" / made.tfidf)
    assert origin_of(store) == "verified"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [made.tfidf]
    (table,) = collect(board(), tmp_path / "runs").tables
    assert table.rows[0].origin == "verified"
    (store.folder / VERIFICATION).unlink()
    assert origin_of(store) == "community"
    with pytest.raises(UserError, match="among the runs already"):
        accept(first, tmp_path / "runs")


def test_a_card_can_be_given(made: Made, tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text("title: Our T5\nparameters: 60506624\nlicence: Apache-2.0\n")
    found = pack(RunStore(made.runs / made.tfidf), tmp_path / "card.yaml")
    accept(write_pack(found, tmp_path / "one.zip"), tmp_path / "runs")
    (table,) = collect(board(), tmp_path / "runs").tables
    assert table.rows[0].sittings.card.title == "Our T5"


def test_a_private_task_packs_aggregates_alone_and_is_not_taken(made: Made, tmp_path: Path) -> None:
    found = pack(RunStore(made.runs / made.secret), task_dirs=[made.tasks])
    assert sorted(found.files) == ["results.json", SUBMISSION]
    words = " ".join(content.decode() for content in found.files.values())
    for word in {*HIDDEN_INPUT.split(), *HIDDEN_OUTPUT.split(), "mrnx"} - {"{n}"}:
        assert word not in words
    with pytest.raises(UserError, match="not public"):
        accept(write_pack(found, tmp_path / "secret.zip"), tmp_path / "runs", task_dirs=[made.tasks])
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_path_of_this_machine_is_not_packed(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / made.tfidf
    shutil.copytree(made.runs / made.tfidf, folder)
    manifest = json.loads((folder / "run.json").read_text())
    manifest["sittings"][-1]["card"] = {"note": f"trained in {tmp_path}/checkpoints"}
    (folder / "run.json").write_text(json.dumps(manifest, indent=1))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"run\.json line \d+: names the working folder") as told:
        pack(RunStore(folder))
    assert str(tmp_path) not in str(told.value)


# accept


def altered_label(lines: list[Json]) -> list[Json]:
    line = next(line for line in lines if line["stage"] == "label")
    line["text"] = "EMS_911" if line["text"] != "EMS_911" else "HOME_CARE"
    return lines


def without(ident: str) -> Callable[[list[Json]], list[Json]]:
    return lambda lines: [line for line in lines if line["id"] != ident]


def with_other_digest(folder: Path) -> None:
    manifest = json.loads((folder / "run.json").read_text())
    manifest["setup"]["data_digest"] = "0" * 16
    (folder / "run.json").write_text(json.dumps(manifest))


def first_id(folder: Path) -> str:
    return str(json.loads((folder / "run.json").read_text())["sittings"][0]["selection"]["ids"][0])


CHEATS: dict[str, tuple[Callable[[Path], None], str]] = {
    "an altered prediction": (lambda f: lines_of(f / "responses.jsonl", altered_label), "stored .*, recomputed "),
    "an altered row": (
        lambda f: rows_of(
            f / "examples.parquet",
            lambda rows: [rows[0] | {"label": "HOME_CARE" if rows[0]["label"] != "HOME_CARE" else "SEE_3D"}, *rows[1:]],
        ),
        r"id .*, label: stored",
    ),
    "a missing answer": (
        lambda f: lines_of(f / "responses.jsonl", without(first_id(f))),
        "asked, but without an answer in responses.jsonl",
    ),
    "a missing row": (
        lambda f: rows_of(f / "examples.parquet", without(first_id(f))),
        r"id .*: missing in examples\.parquet",
    ),
    "a doubled answer": (
        lambda f: lines_of(f / "responses.jsonl", lambda lines: [*lines, lines[0]]),
        r"id .*: answered twice in stage label of responses\.jsonl",
    ),
    "a doubled row": (
        lambda f: rows_of(f / "examples.parquet", lambda rows: [*rows, rows[0]]),
        r"id .*: stands twice in examples\.parquet",
    ),
    "other data": (with_other_digest, "describes the run|data digest"),
    "a torn log": (
        lambda f: (f / "responses.jsonl").write_text("nonsense\n" + (f / "responses.jsonl").read_text()) and None,
        "line 1: not a stored answer",
    ),
}


@pytest.mark.parametrize("kind", CHEATS)
def test_a_run_that_does_not_hold_is_refused_with_one_line(submitted: Path, tmp_path: Path, kind: str) -> None:
    change, words = CHEATS[kind]
    change(submitted)
    with pytest.raises(UserError, match=words) as told:
        accept(sealed(submitted), tmp_path / "runs")
    assert "\n" not in str(told.value)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_wrong_data_digest_is_refused_also_under_the_right_name(submitted: Path, tmp_path: Path) -> None:
    with_other_digest(submitted)
    setup = RunStore(submitted).setup()
    told = json.loads((submitted / SUBMISSION).read_text())
    (submitted / SUBMISSION).write_text(json.dumps(told | {"run": setup.folder}))
    with pytest.raises(UserError, match="made on other rows of triage@"):
        accept(sealed(submitted), tmp_path / "runs")


def test_a_file_that_was_changed_after_packing_is_refused(submitted: Path, tmp_path: Path) -> None:
    lines_of(submitted / "responses.jsonl", altered_label)
    with pytest.raises(UserError, match="SHA-256 differs"):
        accept(submitted, tmp_path / "runs")
    (submitted / "scores.json").unlink()
    with pytest.raises(UserError, match=r"scores\.json is missing, though listed"):
        accept(submitted, tmp_path / "runs")


@pytest.mark.parametrize("name", ["../outside.json", "/etc/outside.json", "a\\..\\b.json", "C:outside.json"])
def test_a_zip_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(name, "{}")
    with pytest.raises(UserError, match="leads outside"):
        accept(tmp_path / "bad.zip", tmp_path / "runs")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        link = zipfile.ZipInfo("run.json")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="is a link"):
        accept(tmp_path / "bad.zip", tmp_path / "runs")


def test_the_verb_goes_on_after_a_refusal(
    made: Made, submitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nothing.zip").write_text("no zip")
    folders = [str(tmp_path / "nothing.zip"), str(submitted)]
    assert main(["leaderboard", "accept", *folders, "--runs", str(tmp_path / "runs")]) == 2
    told = capsys.readouterr().out
    assert "refused: " in told
    assert f"accepted: {made.tfidf}" in told
    assert (tmp_path / "runs" / made.tfidf / VERIFICATION).is_file()


def test_marking_names_the_files_as_they_are(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / made.tfidf
    shutil.copytree(made.runs / made.tfidf, folder)
    mark(folder, verify(RunStore(folder), load_task("triage")))
    told = json.loads((folder / VERIFICATION).read_text())
    assert told["files"]["responses.jsonl"] == hashlib.sha256((folder / "responses.jsonl").read_bytes()).hexdigest()


def test_a_row_that_was_recomputed_in_part_says_so(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / made.tfidf
    shutil.copytree(made.runs / made.tfidf, folder)
    found = verify(RunStore(folder), load_task("triage"))
    found.not_recomputed["bertscore_f1"] = "its encoder is not at hand"
    mark(folder, found)
    assert origin_of(RunStore(folder)) == "part"
    (table,) = collect(board(), tmp_path).tables
    assert table.rows[0].origin == "part"
