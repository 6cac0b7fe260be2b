"""What strangers may send to a board: nothing of it is run, followed, believed, or lets the program fall over."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import zipfile
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from boards import TASK_YAML, make_run

from r2d_bench.cli.main import main
from r2d_bench.errors import UserError
from r2d_bench.leaderboard import acceptance
from r2d_bench.leaderboard.acceptance import accept, task_of
from r2d_bench.leaderboard.origin import SUBMISSION
from r2d_bench.leaderboard.submission import pack, write_pack
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from r2d_bench.records import Json


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("acceptance")
    name = make_run(load_task("triage"), "mock:random,seed=7", base / "runs", limit=12)
    return write_pack(pack(RunStore(base / "runs" / name)), base / "pack")


@pytest.fixture
def sent(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "sent")


def change(path: Path, how: Callable[[Json], object]) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    how(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def sealed(folder: Path) -> Path:
    """List every file with its digest, as somebody who wants to cheat would."""
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != SUBMISSION
    }
    change(folder / SUBMISSION, lambda told: told.update(files=files))
    return folder


def refusal(source: Path, runs: Path) -> str:
    """Return the one line that a submission is refused with; nothing may be left among the runs."""
    with pytest.raises(UserError) as told:
        accept(source, runs)
    assert "\n" not in str(told.value)
    assert not runs.exists() or list(runs.iterdir()) == []
    return str(told.value)


def test_no_code_of_a_submission_is_run(sent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    evil, witness = tmp_path / "submissions" / "evil", tmp_path / "witness"
    evil.mkdir(parents=True)
    text = TASK_YAML.format(name="evil", title="Evil", visibility="public")
    text = text.replace("{files: {test: rows.csv}}", "{reader: 'task.py:read'}")
    (evil / "task.yaml").write_text(text, encoding="utf-8")
    code = f"from pathlib import Path\nPath({str(witness)!r}).write_text('run')\ndef read(path): return {{}}\n"
    (evil / "task.py").write_text(code, encoding="utf-8")
    (evil / "rows.csv").write_text("id,text,gold,why\n1,a,yes,b\n", encoding="utf-8")
    for name in ("submissions/evil", str(evil), "./submissions/evil", "submissions/evil/task.yaml"):
        change(sent / SUBMISSION, lambda told, name=name: told.update(task=f"{name}@1"))
        with pytest.raises(UserError) as told:
            accept(sent, tmp_path / "runs", data=evil / "rows.csv")
        assert not witness.exists()
        assert "unknown task" in str(told.value)


def with_setup(how: Callable[[Json], object]) -> Callable[[Path], None]:
    return lambda folder: change(folder / "run.json", how)


def with_file(name: str, text: str = "{}") -> Callable[[Path], None]:
    def add(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")

    return add


STRANGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a page": (with_file("index.html", "<script>"), "index.html is no file of a submission"),
    "its own verification": (with_file("verification.json"), "verification.json is no file of a submission"),
    "a file deep below": (with_file("judgments/a/b/c.json"), "is no file of a submission"),
    "a hidden file": (with_file("judgments/.hidden.json"), "is no file of a submission"),
    "a lock": (with_file("lock/held", ""), "lock/held is no file of a submission"),
    "a setup without its protocol": (with_setup(lambda m: m["setup"].pop("protocol")), "holds what no run folder"),
    "sittings that are a text": (with_setup(lambda m: m.update(sittings="abc")), "holds what no run folder"),
    "a list in place of figures": (with_file("scores.json", "[]"), "of another version"),
    "a deep document": (with_file("scores.json", "[" * 100_000), "broken JSON"),
    "a judging without a setup": (
        with_file("judgments/x/judge.json", '{"schema": 1, "setup": {}, "sittings": []}'),
        "holds what no run folder",
    ),
    "an unknown id": (
        with_setup(lambda m: m["sittings"][0]["selection"]["ids"].append("zzz")),
        "id zzz: asked, but no example of triage@",
    ),
    "a doubled id": (
        with_setup(lambda m: (ids := m["sittings"][0]["selection"]["ids"]).append(ids[0])),
        r"stands twice in run.json",
    ),
    "a challenge set on other rows": (
        with_setup(lambda m: m["sittings"][0].update(challenges={"edge": "0" * 16})),
        "challenge set edge was asked on other rows",
    ),
    "a challenge set that is none": (
        with_setup(lambda m: m["sittings"][0].update(challenges={"zzz": "0" * 16})),
        "no challenge set 'zzz'",
    ),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_no_run_holds_is_refused_with_one_line(sent: Path, tmp_path: Path, kind: str) -> None:
    spoil, words = STRANGE[kind]
    spoil(sent)
    assert words in refusal(sealed(sent), tmp_path / "runs")


def test_a_figure_that_only_a_strangers_encoder_gives_is_named_and_can_be_refused(
    sent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def forge(scores: Json) -> None:
        scores["metrics"]["bertscore_f1"] |= {"value": 0.99, "reason": None, "n": 12, "unscored": 0}
        scores["signatures"]["bertscore_f1"] = "stranger/flattering-encoder_L9_no-idf_version=0.3.12"

    change(sent / "scores.json", forge)
    how = ["leaderboard", "accept", str(sealed(sent)), "--runs", str(tmp_path / "runs"), "--bertscore", "none"]
    assert main([*how, "--all"]) == 2
    assert "bertscore_f1 cannot be recomputed here" in capsys.readouterr().out
    assert list((tmp_path / "runs").iterdir()) == []
    assert main(how) == 0
    assert "not recomputed: bertscore_f1" in capsys.readouterr().out
    (verified,) = (tmp_path / "runs").glob("*/verification.json")
    assert list(json.loads(verified.read_text(encoding="utf-8"))["not_recomputed"]) == ["bertscore_f1"]


# Zip files


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())
    return path


def with_header(path: Path, offset: int, value: int) -> Path:
    """Set two bytes behind the signature of every local header, and the same field of the central directory."""
    content = bytearray(path.read_bytes())
    for signature, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        at = content.find(signature)
        while at >= 0:
            struct.pack_into("<H", content, at + offset + shift, value)
            at = content.find(signature, at + 4)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("offset", "value"), [(6, 1), (8, 99)], ids=["encrypted", "unknown compression"])
def test_a_zip_that_cannot_be_unpacked_is_refused(sent: Path, tmp_path: Path, offset: int, value: int) -> None:
    source = with_header(zipped(sent, tmp_path / "bad.zip"), offset, value)
    assert "neither a zip file nor a folder" in refusal(source, tmp_path / "runs")
    with pytest.raises(UserError, match=f"holds no {SUBMISSION}"):
        task_of(source)


def test_a_torn_zip_is_refused(sent: Path, tmp_path: Path) -> None:
    source = zipped(sent, tmp_path / "bad.zip")
    content = bytearray(source.read_bytes())
    content[200:260] = bytes(byte ^ 0xFF for byte in content[200:260])
    source.write_bytes(content)
    assert "neither a zip file nor a folder" in refusal(source, tmp_path / "runs")


def test_sizes_are_bounded_before_anything_is_read(sent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = zipped(sent, tmp_path / "one.zip")
    monkeypatch.setattr(acceptance, "LARGEST_DOCUMENT", 100)
    with pytest.raises(UserError, match=f"holds no {SUBMISSION}"):
        task_of(source)
    assert "is larger than" in refusal(source, tmp_path / "runs")
    monkeypatch.setattr(acceptance, "LARGEST", 1000)
    for pack_ in (source, sent):
        assert "not unpacked" in refusal(pack_, tmp_path / "runs")
    monkeypatch.undo()
    monkeypatch.setattr(acceptance, "MOST_FILES", 2)
    assert "more than 2 files" in refusal(source, tmp_path / "runs")


def test_a_link_in_a_folder_is_refused(sent: Path, tmp_path: Path) -> None:
    (sent / "scores.json").unlink()
    (sent / "scores.json").symlink_to("/etc/hostname")
    assert "holds a link" in refusal(sent, tmp_path / "runs")


# Packing


def test_a_folder_of_a_person_is_found_inside_parquet_too(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "runs" / original.name
    shutil.copytree(original, run)
    (run / SUBMISSION).unlink()
    monkeypatch.chdir(tmp_path)
    table = pq.read_table(run / "examples.parquet")
    rows = table.to_pylist()
    rows[3]["rationale"] = f"as read in {tmp_path}/notes.txt"
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), run / "examples.parquet", compression="zstd")
    assert str(tmp_path).encode() not in (run / "examples.parquet").read_bytes()  # compressed: bytes tell nothing
    with pytest.raises(UserError, match=r"examples\.parquet line 5: names the working folder") as told:
        pack(RunStore(run))
    assert str(tmp_path) not in str(told.value)


@pytest.mark.parametrize("path", ["/home/anna/models/t5", "/Users/anna/t5", "C:\\Users\\anna\\t5", "file:///srv/t5"])
def test_a_home_folder_of_any_machine_is_not_packed(original: Path, tmp_path: Path, path: str) -> None:
    run = shutil.copytree(original, tmp_path / original.name)
    change(run / "run.json", lambda m: m["sittings"][0].update(card={"note": f"trained from {path}"}))
    with pytest.raises(UserError, match=r"run\.json line 1: names a folder of this machine") as told:
        pack(RunStore(run))
    assert "anna" not in str(told.value)
