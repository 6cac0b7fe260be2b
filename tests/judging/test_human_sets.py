from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from r2d_bench.errors import UserError
from r2d_bench.judging.human_sets import FOLDER, human_paths, read_human_set

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CLAIM: dict[str, Any] = {
    "id": 0,
    "question": "What is it for?",
    "model": "a",
    "answer": "It lowers blood pressure.",
    "claim": "It treats hypertension",
    "majority": "Entailment",
    "labels": ["Entailment", "Neutral", "Entailment"],
}
EXPLANATION: dict[str, Any] = {
    "set": "snli_test",
    "id": "one",
    "sample": "greedy",
    "input": {"premise": "A dog runs.", "hypothesis": "An animal moves.", "gold_label": "TRUE"},
    "explanation": "A dog is an animal.",
    "votes": [1, 0, 1],
}


def write(path: Path, lines: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_a_claim_is_a_label_and_the_answer_its_rationale(tmp_path: Path) -> None:
    item = read_human_set("kqa", write(tmp_path / "kqa.jsonl", [CLAIM])).items[0]
    assert (item.label, item.rationale) == ("It treats hypertension", "It lowers blood pressure.")
    assert "What is it for?" in item.input
    assert item.ratings == (5, 3, 5)
    assert item.majority == item.consensus == 5


def test_votes_become_a_share_on_the_scale(tmp_path: Path) -> None:
    item = read_human_set("acceptability", write(tmp_path / "e.jsonl", [EXPLANATION])).items[0]
    assert (item.label, item.rationale) == ("TRUE", "A dog is an animal.")
    assert item.ratings == (5, 1, 5)
    assert item.majority == 5
    assert item.consensus == pytest.approx(1 + 4 * 2 / 3)


@pytest.mark.parametrize(
    ("name", "line", "levels"),
    [
        ("kqa", CLAIM, {1: 1, 2: 1, 2.4: 1, 2.6: 3, 3: 3, 4: 5, 5: 5}),
        ("acceptability", EXPLANATION, {1: 1, 2: 1, 3: 1, 3.4: 1, 3.6: 5, 4: 5, 5: 5}),
    ],
)
def test_scores_of_a_judge_as_levels(
    tmp_path: Path, name: str, line: dict[str, Any], levels: dict[float, float]
) -> None:
    found = read_human_set(name, write(tmp_path / "set.jsonl", [line]))
    assert {score: found.level(score) for score in levels} == levels


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": ["Entailment", "Maybe"]}, "line 2"),
        ({"claim": None}, "claim"),
        ({"id": 0}, "stands twice"),
    ],
)
def test_a_line_that_does_not_fit_is_told_with_its_place(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = write(tmp_path / "kqa.jsonl", [CLAIM, CLAIM | {"id": 1} | change])
    with pytest.raises(UserError, match=said):
        read_human_set("kqa", path)


def test_paths_by_name_by_folder_and_by_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    file = write(folder / "kqa_nli.jsonl", [CLAIM])
    assert human_paths([]) == {}
    assert human_paths([f"kqa={file}"]) == human_paths([str(folder)]) == {"kqa": file}
    assert human_paths([f"kqa={folder}"]) == {"kqa": folder}
    assert len(read_human_set("kqa", folder).items) == 1
    monkeypatch.setenv("R2D_BENCH_DATA", str(tmp_path))
    assert human_paths([]) == {"kqa": file}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("kqq=x", "did you mean 'kqa'"),
        ("kqa=nowhere.jsonl", "no such file"),
        ("nowhere", "NAME=PATH"),
        (".", "holds neither kqa_nli.jsonl"),
    ],
)
def test_a_wrong_path_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        human_paths([given])


def test_a_sample_depends_on_its_seed_and_keeps_the_shares(tmp_path: Path) -> None:
    words = ["Entailment", "Neutral"]
    lines = [CLAIM | {"id": k, "majority": words[k % 2], "labels": [words[k % 2]] * 3} for k in range(40)]
    whole = read_human_set("kqa", write(tmp_path / "kqa.jsonl", lines))
    part = whole.sample(10, seed=1)
    assert part == whole.sample(10, seed=1)
    assert part.items != whole.sample(10, seed=2).items
    assert Counter(item.majority for item in part.items) == {5: 5, 3: 5}
    assert (len(part.whole), whole.sample(None, 0), whole.sample(99, 0)) == (40, whole, whole)


@pytest.mark.data
def test_the_real_sets(public_data: Path) -> None:
    folder = public_data / FOLDER
    if not folder.is_dir():
        pytest.skip(f"no {FOLDER} in the folder with the real sets")
    kqa = read_human_set("kqa", folder)
    assert Counter(item.majority for item in kqa.items) == {1: 12, 3: 234, 5: 153}
    assert len({item.cluster for item in kqa.items}) == 50
    explanations = read_human_set("acceptability", folder)
    assert len(explanations.items) == 1250
    assert len({item.cluster for item in explanations.items}) == 250
    assert {len(item.ratings) for item in (*kqa.items, *explanations.items)} == {3}
