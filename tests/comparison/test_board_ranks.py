"""Ranks, tie groups and differences to the leader in `results.json`, and the column that shows them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from compare_parts import LOST, golds, make_run, make_task, right_on

from r2d_bench.leaderboard.board import Board
from r2d_bench.leaderboard.build import build
from r2d_bench.leaderboard.results import collect
from r2d_bench.statistics.paired import mcnemar_exact

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.leaderboard.document import Table

N = 60


def board(columns: tuple[str, ...] = ("accuracy", "macro_f1")) -> Board:
    return Board(name="own", title="Own", columns=columns)


def only_table(tmp_path: Path) -> Table:
    (table,) = collect(board(), tmp_path / "runs", [tmp_path]).tables
    return table


def test_ranks_are_intervals_and_ties_have_a_leader(tmp_path: Path) -> None:
    task = make_task(tmp_path, N, metrics={"primary": "accuracy"})
    reach = {"a": 55, "b": 52, "c": 20}
    names = {
        name: make_run(task, name, right_on(N, lambda k, r=r: k < r), tmp_path / "runs").name
        for name, r in reach.items()
    }
    table = only_table(tmp_path)
    found = {one.runs[0]: one for one in table.ranking.standings}
    a, b, c = (found[names[name]] for name in "abc")
    assert [one.rank for one in (a, b, c)] == [(1, 2), (1, 2), (3, 3)]
    assert [(one.group, one.tied, one.leads) for one in (a, b, c)] == [
        (0, True, True),
        (0, True, False),
        (1, False, False),
    ]
    assert a.to_leader is None
    assert b.to_leader is not None
    assert b.to_leader.value == pytest.approx(-3 / N)
    assert b.to_leader.p == pytest.approx(mcnemar_exact(3, 0))
    assert b.to_leader.low is not None
    assert b.to_leader.high is not None
    assert b.to_leader.low <= -3 / N <= b.to_leader.high <= 0
    assert (table.ranking.items, table.ranking.pairs, table.ranking.clusters) == (N, 3, None)
    accuracy, macro = (column for column in table.columns if column.first)
    assert set(accuracy.best) == {names["a"], names["b"]}  # tied with the best
    assert macro.best == (names["a"],)


def test_partial_rows_take_no_part(tmp_path: Path) -> None:
    task = make_task(tmp_path, N)
    silent = {ident: LOST if k == 0 else gold for k, (ident, gold) in enumerate(golds(N).items())}
    stores = {name: make_run(task, name, golds(N), tmp_path / "runs") for name in "ab"}
    stores["c"] = make_run(task, "c", silent, tmp_path / "runs")
    stores["d"] = make_run(task, "d", golds(N), tmp_path / "runs", limit=10)
    table = only_table(tmp_path)
    assert {run for one in table.ranking.standings for run in one.runs} == {stores["a"].name, stores["b"].name}
    assert table.ranking.items == N


def test_one_row_has_no_rank_and_the_page_says_why(tmp_path: Path) -> None:
    task = make_task(tmp_path, 6)
    make_run(task, "a", golds(6), tmp_path / "runs")
    assert only_table(tmp_path).ranking.reason == "fewer than two rows can be compared"
    page = build(board(), tmp_path / "runs", tmp_path / "site", [tmp_path]).read_text(encoding="utf-8")
    assert "No ranks: fewer than two rows can be compared." in page


def test_seeds_have_one_rank_together(tmp_path: Path) -> None:
    task = make_task(tmp_path, N)
    seeded = {
        make_run(task, "a", right_on(N, lambda k, s=s: k < 30 + s), tmp_path / "runs", seed=s).name for s in (1, 2)
    }
    make_run(task, "b", golds(N), tmp_path / "runs")
    first, second = only_table(tmp_path).ranking.standings
    assert (len(first.runs), first.rank) == (1, (1, 1))
    assert (set(second.runs), second.rank) == (seeded, (2, 2))


def test_the_page_shows_what_the_document_holds(tmp_path: Path) -> None:
    task = make_task(tmp_path, 48, groups=12)
    for name, reach in (("a", 11), ("b", 10), ("c", 2)):
        make_run(task, name, right_on(48, lambda k, r=reach: k % 12 < r), tmp_path / "runs")
    index = build(board(), tmp_path / "runs", tmp_path / "site", [tmp_path])
    page = " ".join(index.read_text(encoding="utf-8").split())
    document = json.loads((tmp_path / "site" / "downloads" / "results.json").read_text())
    ranking = document["tables"][0]["ranking"]
    assert ranking["clusters"] == 12
    assert [one["rank"] for one in ranking["standings"]] == [[1, 2], [1, 2], [3, 3]]
    assert "1-2 <small>tie group 1</small>" in page
    assert "on 48 items in 12 groups" in page
    again = build(board(), tmp_path / "runs", tmp_path / "again", [tmp_path])
    assert again.read_bytes() == index.read_bytes()


def test_ranks_need_the_run_folders_alone(tmp_path: Path) -> None:
    task = make_task(tmp_path, 12, groups=4)
    for name in "ab":
        make_run(task, name, golds(12), tmp_path / "runs")
    before = only_table(tmp_path).ranking
    (tmp_path / "small" / "rows.csv").unlink()
    assert before.reason is None
    assert only_table(tmp_path).ranking == before
