"""A small set made from some of the bundled families: built, checked, tampered with."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from material import BUNDLED

from r2d_bench.cli.main import main
from r2d_bench.errors import UserError
from r2d_bench.records import Json
from r2d_bench.vignettes.checks import check_set, most_alike
from r2d_bench.vignettes.folder import build, changed, load_material, write

FAMILIES = ("chest_pain", "croup_cough", "sore_throat", "fall_older", "tooth_jaw")
SIZES = "sizes: {core: 6, train_extra: 12, pairs: 3, invariance: 4, edge: 3, insufficient: 2}"
Splits = dict[str, list[dict[str, Json]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "triage"
    (folder / "families").mkdir(parents=True)
    for name in FAMILIES:
        shutil.copy(BUNDLED / "families" / f"{name}.yaml", folder / "families")
    lexicon = (BUNDLED / "lexicon.yaml").read_text(encoding="utf-8").splitlines()
    lines = [SIZES if line.startswith("sizes:") else line for line in lexicon]
    (folder / "lexicon.yaml").write_text("\n".join(lines), encoding="utf-8")
    card = (BUNDLED / "task.yaml").read_text(encoding="utf-8")
    start, end = card.index("splits:"), card.index("prompts:")
    (folder / "task.yaml").write_text(card[:start] + card[end:], encoding="utf-8")
    write(build(load_material(folder)), folder)
    return folder


@pytest.fixture
def splits(folder: Path) -> Splits:
    return {
        path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in folder.glob("*.jsonl")
    }


def test_building_again_gives_the_same_bytes(folder: Path):
    assert changed(build(load_material(folder)), folder) == []


def test_another_seed_gives_other_notes(folder: Path, tmp_path: Path):
    other = shutil.copytree(folder, tmp_path / "triage")
    text = (other / "lexicon.yaml").read_text(encoding="utf-8")
    (other / "lexicon.yaml").write_text(text.replace('seed: "2026-11"', 'seed: "other"'), encoding="utf-8")
    assert "test.jsonl" in changed(build(load_material(other)), other)


def test_a_sound_set_passes_what_its_size_allows(folder: Path, splits: Splits):
    checks = {check.name: check.passed for check in check_set(load_material(folder), folder, splits)}
    too_small = {name for name in checks if name.startswith("balance") or "complaint" in name or "ruled out" in name}
    assert [name for name, passed in checks.items() if not passed and name not in too_small] == []


def _span(splits: Splits) -> None:
    splits["test"][0]["positives"][0]["start"] += 1


def _disposition(splits: Splits) -> None:
    splits["train"][0]["rationale_llm"] += " Call 911."


def _length(splits: Splits) -> None:
    splits["validation"][0]["rationale_nurse"] = "too short"


def _torn(splits: Splits) -> None:
    splits["train"][0]["family"] = "chest_pain"


def _doubled(splits: Splits) -> None:
    splits["train"][0]["note"] = splits["test"][0]["note"]


def _uneven(splits: Splits) -> None:
    splits["test"].pop()


def _label(splits: Splits) -> None:
    for row in splits["test"]:
        row["label"] = "SEE_3D"


def _pair(splits: Splits) -> None:
    bases = {row["id"]: row for row in splits["test"]}
    twin = splits["pairs"][0]
    twin["label"] = bases[twin["pair_id"]]["label"]


@pytest.mark.parametrize(
    ("tamper", "failing"),
    [
        (_span, "every span literal"),
        (_disposition, "no disposition word in a rationale"),
        (_length, "lengths in words"),
        (_torn, "no family in two parts"),
        (_doubled, "no two notes alike"),
        (_uneven, "labels, test"),
        (_label, "rule reader, core"),
        (_pair, "pairs: the label moves, or stays"),
    ],
)
def test_each_check_sees_its_defect(folder: Path, splits: Splits, tamper: Callable[[Splits], None], failing: str):
    tamper(splits)
    failed = [check.name for check in check_set(load_material(folder), folder, splits) if not check.passed]
    assert failing in failed


def test_files_that_were_edited_by_hand_are_seen(folder: Path, splits: Splits, tmp_path: Path):
    other = shutil.copytree(folder, tmp_path / "triage")
    (other / "edge.jsonl").write_text("{}\n", encoding="utf-8")
    rebuilt = check_set(load_material(other), other, splits)[0]
    assert not rebuilt.passed
    assert "edge.jsonl" in rebuilt.detail


def test_the_most_alike_are_found_across_groups_alone():
    texts = ["a b c d", "a b c d", "a b c e", "x y"]
    assert most_alike(texts, ["1", "1", "2", "3"]) == ((0, 2), 3 / 5)


def test_the_verbs(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["tasks", "build", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == []
    code = main(["tasks", "validate", str(folder)])
    said = capsys.readouterr()
    assert "  ok   rebuilt from the seed: " in said.out
    assert code == (2 if "FAIL" in said.out else 0)
    assert main(["tasks", "build", "pubmedqa"]) == 2
    assert "holds no vignettes" in capsys.readouterr().err


def test_an_unsound_family_is_told_with_its_file(folder: Path, tmp_path: Path):
    other = shutil.copytree(folder, tmp_path / "triage")
    path = other / "families" / "chest_pain.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('nurse: ["', 'nurse: ["call the ambulance", "', 1), encoding="utf-8")
    with pytest.raises(UserError, match=r"families/chest_pain.yaml: .*disposition word 'ambulance'"):
        build(load_material(other))
