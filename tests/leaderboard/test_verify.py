"""What of a run folder follows from its answers, what does not, and what cannot be told here."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from boards import make_run
from judged_boards import Judge, judged

from r2d_bench.cli.main import main
from r2d_bench.errors import UserError
from r2d_bench.judging.rubric import load_rubric
from r2d_bench.leaderboard.differences import Verification
from r2d_bench.leaderboard.origin import VERIFICATION, mark, origin_of
from r2d_bench.leaderboard.verify import MOST_RESAMPLES, verify
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from r2d_bench.records import Json
    from r2d_bench.tasks.task import Task

LIMIT = 24


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task("triage")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, task: Task) -> Path:
    """A run that two judges have judged."""
    runs = tmp_path_factory.mktemp("verify")
    folder = runs / make_run(task, "baseline:tfidf", runs, limit=LIMIT)
    for name in ("one-judge", "another-judge"):
        judged(RunStore(folder), task, load_rubric("clinical_rationale"), Judge(name))
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    copied = tmp_path / original.name
    shutil.copytree(original, copied)
    return copied


def change(path: Path, how: Callable[[Json], object]) -> None:
    """Change a JSON file in place."""
    document = json.loads(path.read_text(encoding="utf-8"))
    how(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def lines_of(folder: Path, task: Task) -> list[str]:
    return list(verify(RunStore(folder), task).lines())


def test_a_judged_run_holds_with_its_verdicts_and_its_jury(original: Path, task: Task) -> None:
    assert len(list((original / "judgments").glob("*--jury--*.json"))) == 1
    found = verify(RunStore(original), task)
    assert list(found.lines()) == []
    assert found.not_recomputed == {}


def test_a_run_folder_may_be_renamed(folder: Path, task: Task) -> None:
    assert lines_of(folder.rename(folder.with_name("renamed")), task) == []


FORGED: dict[str, tuple[Callable[[Json], object], str]] = {
    "an unwelcome figure is left out": (lambda s: s["metrics"].pop("macro_f1"), "macro_f1: stored None, recomputed"),
    "a table is left out": (lambda s: s.pop("confusion"), "confusion: stored None, recomputed"),
    "a figure is invented": (lambda s: s["metrics"].update(best={"value": 1.0}), "best: stored .* recomputed None"),
    "an end of an interval": (lambda s: s["metrics"]["accuracy"].update(low=0.99), "accuracy.low: stored 0.99"),
    "a count": (lambda s: s["metrics"]["accuracy"].update(n=LIMIT + 1), f"accuracy.n: stored {LIMIT + 1}"),
    "a count that is nearly right": (lambda s: s.update(answered=LIMIT + 1e-10), "answered: stored"),
    "a cell of the confusion matrix": (
        lambda s: s["confusion"]["counts"][0].__setitem__(0, 99),
        r"confusion\.counts\[1\]\[1\]: stored 99",
    ),
    "the level of the intervals": (lambda s: s["resampling"].update(level=0.5), "resampling.level: stored 0.5"),
    "the seed of the intervals": (lambda s: s["resampling"].update(seed=4), r"(low|high): stored"),
    "a signature": (lambda s: s["signatures"].update(bleu="mine"), "signature of bleu: stored mine"),
    "a BERTScore without a signature": (
        lambda s: s["metrics"]["bertscore_f1"].update(value=0.99, reason=None),
        "bertscore_f1.*: stored .*, recomputed",
    ),
    "a figure of the paper's that is none": (
        lambda s: s["metrics"].update(paper_best={"value": 1.0}),
        "paper_best: stored .* recomputed None",
    ),
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_figure_that_does_not_follow_is_a_difference(folder: Path, task: Task, kind: str) -> None:
    forge, line = FORGED[kind]
    change(folder / "scores.json", forge)
    found = verify(RunStore(folder), task)
    assert any(re.search(line, str(one)) for one in found.differences), [str(one) for one in found.differences]
    assert not found.holds


def test_a_figure_of_the_outside_reader_needs_the_training_split(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: Task) -> list[Json]:
        raise UserError("training split: no such file")

    fresh = load_task("triage")
    monkeypatch.setattr(type(fresh), "training", absent)
    found = verify(RunStore(folder), fresh)
    assert {"reader_gold", "reader_sufficiency"} <= set(found.not_recomputed)
    assert "training split cannot be read" in found.not_recomputed["reader_gold"]
    assert list(found.lines()) == []


def test_a_challenge_set_on_other_rows_is_not_recomputed_and_the_rest_is(folder: Path, task: Task) -> None:
    change(folder / "run.json", lambda m: m["sittings"][0].update(challenges={"edge": "0" * 16}))
    found = verify(RunStore(folder), task)
    assert "edge was asked on other rows" in found.not_recomputed["challenges"]
    assert list(found.lines()) == []
    change(folder / "scores.json", lambda s: s["metrics"]["accuracy"].update(value=0.99))
    assert "accuracy.value: stored 0.99" in lines_of(folder, task)[0]


@pytest.mark.parametrize(
    "how",
    [{"resamples": MOST_RESAMPLES + 1}, {"resamples": 0}, {"resamples": "many"}, {"seed": -1}],
    ids=str,
)
def test_what_a_file_asks_for_is_bounded(folder: Path, task: Task, how: dict[str, Json]) -> None:
    change(folder / "scores.json", lambda s: s["resampling"].update(how))
    with pytest.raises(UserError, match=r"scores\.json: key 'resampling\."):
        verify(RunStore(folder), task)


def test_a_column_that_was_dropped_is_a_difference(folder: Path, task: Task) -> None:
    path = folder / "examples.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["label"]), path)
    assert ", label: stored None, recomputed " in lines_of(folder, task)[0]


@pytest.mark.parametrize(("content", "words"), [(b"PAR1", "cannot be read as Parquet"), (None, "has no column 'id'")])
def test_a_broken_table_is_told_in_one_line(folder: Path, task: Task, content: bytes | None, words: str) -> None:
    path = folder / "examples.parquet"
    if content is None:
        pq.write_table(pq.read_table(path).drop_columns(["id"]), path)
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        verify(RunStore(folder), task)


def test_a_second_answer_under_a_key_of_its_own_is_a_doubled_one(folder: Path, task: Task) -> None:
    path = folder / "responses.jsonl"
    first = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(first | {"key": "f" * 16}) + "\n")
    assert lines_of(folder, task) == [f"id {first['id']}: answered twice in stage {first['stage']} of responses.jsonl"]


# Judges


def one_judging(folder: Path) -> Path:
    return next(path.parent for path in sorted(folder.glob("judgments/*/judge.json")))


def test_an_altered_verdict_figure_or_jury_is_a_difference(folder: Path, task: Task) -> None:
    judging = one_judging(folder)
    log = judging / "verdicts.jsonl"
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    place = next(n for n, line in enumerate(lines) if line.get("scores"))
    lines[place]["explanation"] = "Quite perfect."
    log.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert f"{judging.name}: verdicts[{place + 1}].explanation: stored Quite perfect." in lines_of(folder, task)[0]

    (jury,) = folder.glob("judgments/*--jury--*.json")
    change(jury, lambda document: document.update(invented=1.0))
    change(judging / "scores.json", lambda document: document.update(invented=1.0))
    lines_found = lines_of(folder, task)
    assert f"{judging.name}: invented: stored 1.0, recomputed None" in lines_found
    assert f"judgments/{jury.name}: invented: stored 1.0, recomputed None" in lines_found


def test_a_jury_that_never_sat_is_a_difference(folder: Path, task: Task) -> None:
    (folder / "judgments" / "other--jury--00000000.json").write_text('{"alpha": 1.0}', encoding="utf-8")
    assert "judgments/other--jury--00000000.json: alpha: stored 1.0, recomputed None" in lines_of(folder, task)


def test_a_judging_without_a_judge_is_a_fault(folder: Path, task: Task) -> None:
    (folder / "judgments" / "nobody").mkdir()
    (folder / "judgments" / "nobody" / "scores.json").write_text("{}", encoding="utf-8")
    assert lines_of(folder, task) == ["judgments/nobody: holds no judge.json"]


# Telling


def test_at_most_twenty_lines_are_told_and_the_rest_is_counted() -> None:
    found = Verification("run", faults=[f"id {n}: missing" for n in range(23)])
    assert list(found.lines())[-2:] == ["id 19: missing", "and 3 more"]


def test_a_run_is_named_by_its_path_or_below_the_folder_of_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leaderboard", "verify", folder.name, "--runs", str(folder.parent)]) == 0
    assert main(["leaderboard", "verify", str(folder)]) == 0
    assert capsys.readouterr().out.count(f"{folder.name}: holds") == 2
    assert main(["leaderboard", "verify", "no-such-run", "--runs", str(folder.parent)]) == 2


def test_a_broken_verification_vouches_for_nothing(folder: Path, task: Task) -> None:
    mark(folder, verify(RunStore(folder), task))
    assert origin_of(RunStore(folder)) == "verified"
    for text in ("[]", "{", '{"files": null}'):
        (folder / VERIFICATION).write_text(text, encoding="utf-8")
        assert origin_of(RunStore(folder)) == "own"
