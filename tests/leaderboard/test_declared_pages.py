"""Challenge sets, slices, mix and costs on pages, and what of them a private task publishes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from boards import Quiet, board, text_of
from full_task import KINDS, LABELS, make_full_task, row, rows

from r2d_bench.leaderboard.build import build
from r2d_bench.leaderboard.document import Gap, Part, Slice
from r2d_bench.leaderboard.parts import Figure
from r2d_bench.leaderboard.results import collect
from r2d_bench.leaderboard.slice_cells import without_small_parts
from r2d_bench.leaderboard.suppression import WITHHELD
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.runs.execute import Sitting, execute
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run
from r2d_bench.runs.selection import select
from r2d_bench.runs.setup import plan_run
from r2d_bench.runs.store import RunStore

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.records import Json


def site(folder: Path, visibility: str, *, challenges: tuple[str, ...] = tuple(KINDS)) -> tuple[dict[str, Json], str]:
    """Run a mock on thirty test items, build the site; returns the document and the run's page."""
    more = [row(f"u{k}", LABELS[k % 3], note=f"quillfeather {k}", ward="C" if k < 15 else "D") for k in range(24)]
    task = make_full_task(folder / "small", [*rows(), *more], visibility=visibility)
    model = make_model(parse_spec("mock:random"), task=task, seed=0)
    setup = plan_run(task, model)
    store = RunStore(folder / "runs" / setup.folder)
    execute(task, model, setup, Sitting(select(task.examples()), challenges=challenges), store, Quiet())
    score_run(store, task, ScoreOptions(resamples=50, paper=False), Scorers())
    shown = board(columns=("accuracy", "accuracy_mix", "expected_cost", "pair_accuracy", "invariance_flips", "chrf"))
    build(shown, folder / "runs", folder / "site", [folder / "small"])
    document = json.loads((folder / "site" / "downloads" / "results.json").read_text())
    return document, (folder / "site" / "run" / f"{store.name}.html").read_text()


@pytest.mark.parametrize("visibility", ["public", "private"])
def test_pages_show_what_the_task_declares(tmp_path: Path, visibility: str):
    document, page = site(tmp_path, visibility)
    (table,) = document["tables"]
    (found,) = table["rows"]
    assert table["card"]["mix"] == {"NOW": 0.2, "TODAY": 0.3, "HOME": 0.5}
    assert table["card"]["cost"] == [[0, 4, 10], [1, 0, 2], [2, 1, 0]]
    assert [one["kind"] for one in table["card"]["challenges"]] == list(KINDS.values())
    assert set(found["challenges"]) == set(KINDS)
    # Two pairs, and a confusion matrix of thirty items, are small cells.
    assert found["metrics"]["pair_accuracy"]["n"] == (2 if visibility == "public" else 0)
    assert (found["metrics"]["expected_cost"]["value"] is None) == (visibility == "private")
    assert found["rationale_style"] == "edited"
    headings = ("Challenge sets", "Slices", "Mix of calls, and costs")
    for text in (*headings, "Invariance flips, %", "NOW 20.0 %", "minimal pair"):
        assert text in page
    index = (tmp_path / "site" / "task" / table["id"] / "index.html").read_text()
    assert "Styles of gold rationales" in index
    assert "Accuracy on the call mix, %" in index
    ward = {part["value"]: part for part in found["slices"]["ward"]["values"]}
    assert (ward["C"]["n"], ward["A"]["n"]) == (15, 1 if visibility == "public" else None)
    assert ward["A"]["accuracy"]["value"] is None
    assert "quillfeather" not in json.dumps(document) + page
    texts = "".join(text_of(path) for path in (tmp_path / "site").rglob("*") if path.is_file())
    assert ("quillfeather" in texts) == (visibility == "public")


def test_small_parts_of_a_private_task_are_withheld(tmp_path: Path):
    document, page = site(tmp_path, "private")
    ward = {part["value"]: part for part in document["tables"][0]["rows"][0]["slices"]["ward"]["values"]}
    # A has 1, B 5, D 9: together 15, so that C with 15 may stay.
    assert {name: part["n"] for name, part in ward.items()} == {"A": None, "B": None, "C": 15, "D": None}
    assert ward["D"]["accuracy"]["reason"] == WITHHELD
    assert WITHHELD in page


def part(name: str, n: int) -> Part:
    figure = Figure(value=0.5, n=n, warnings=("fewer than 10 gold items: NOW (3)",))
    return Part(value=name, n=n, unscored=0, accuracy=figure, macro_f1=figure)


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        ([20, 30], [20, 30]),
        ([3, 20, 30], [None, None, 30]),  # alone, 3 would be the difference to the whole
        ([3, 8, 20], [None, None, 20]),
        ([0, 20, 30], [None, None, 30]),
        ([30, 9], [None, None]),
    ],
)
def test_what_is_withheld_holds_ten_items_together(sizes: list[int], kept: list[int | None]):
    parts = tuple(part(f"v{k}", n) for k, n in enumerate(sizes))
    gap = Gap(value=0.1, best="v0", worst="v1", n=sum(sizes[:2]))
    found = without_small_parts(Slice(values=parts, gap=gap))
    assert [p.n for p in found.values] == kept
    assert [p.value for p in found.values] == [p.value for p in parts]
    assert (found.gap.value is None) == (None in kept[:2])
    for shown in found.values:
        assert shown.accuracy.warnings == (() if shown.n is None else ("fewer than 10 gold items",))


def test_sets_that_were_not_asked_are_told(tmp_path: Path):
    document, page = site(tmp_path, "public", challenges=())
    (found,) = document["tables"][0]["rows"]
    assert found["challenges"] == {}
    assert "Not asked in this run: pairs, same, edge, thin." in page
    assert found["metrics"]["edge_acceptable"]["reason"].startswith("not asked")


def test_rows_of_challenge_sets_stand_apart_from_the_evaluated_ones(tmp_path: Path):
    document, page = site(tmp_path, "public")
    (table,) = document["tables"]
    (found,) = table["rows"]
    assert found["examples"]["n"] == 30
    assert found["examples"]["challenges"] == dict.fromkeys(KINDS, 2)
    assert page.count("Challenge: ") == len(KINDS)
    shards = (tmp_path / "site" / "data" / table["id"]).rglob("*.js")
    data = {path.parent.name + "/" + path.stem: json.loads(path.read_text().partition(", ")[2][:-3]) for path in shards}
    items, mine = data["items/index"], data[f"{found['run']}/index"]
    assert items["sets"] == list(KINDS)
    assert items["member"] == [0] * 30 + [1, 1, 2, 2, 3, 3, 4, 4]
    assert items["ids"][30:] == ["p1", "p2", "s1", "s2", "e1", "e2", "i1", "i2"]
    assert data["items/000"][30]["input"] == "note of p1"
    assert data[f"{found['run']}/000"][30]["outputs"] != []
    for gold, said, state in zip(items["gold"], mine["labels"], mine["states"], strict=True):
        assert state == ("u" if said < 0 else "r" if said == gold else "w")


def test_a_task_without_declarations_has_no_such_sections(tmp_path: Path):
    site(tmp_path, "public")
    none = dict.fromkeys(KINDS)
    plain = make_full_task(
        tmp_path / "plain" / "small",
        challenges=none, slices={"ward": None}, label={"mix": None, "cost": None}, version="2",
    )  # fmt: skip
    model = make_model(parse_spec("mock:random"), task=plain, seed=0)
    setup = plan_run(plain, model)
    store = RunStore(tmp_path / "plain" / "runs" / setup.folder)
    execute(plain, model, setup, Sitting(select(plain.examples())), store, Quiet())
    score_run(store, plain, ScoreOptions(resamples=50, paper=False), Scorers())
    build(board(), tmp_path / "plain" / "runs", tmp_path / "plain" / "site", [tmp_path / "plain" / "small"])
    page = (tmp_path / "plain" / "site" / "run" / f"{store.name}.html").read_text()
    for text in ("Challenge sets", "<h2>Slices", "Mix of calls", "call mix", "Expected cost"):
        assert text not in page
    assert collect(board(), tmp_path / "plain" / "runs", [tmp_path / "plain" / "small"]).tables[0].card.mix == {}
