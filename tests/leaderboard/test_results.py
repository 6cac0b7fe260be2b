from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from boards import WIDE_ROWS, Made, board

from r2d_bench.errors import UserError
from r2d_bench.leaderboard.results import collect
from r2d_bench.leaderboard.whiskers import Axis, axis
from r2d_bench.metrics.display import between, shown
from r2d_bench.metrics.registry import METRICS
from r2d_bench.runs.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from r2d_bench.leaderboard.document import Table
    from r2d_bench.records import Json

    Change = Callable[[dict[str, Json]], None]


def tables(made: Made, **settings: object) -> dict[str, Table]:
    return {table.task: table for table in collect(board(**settings), made.runs, [made.tasks]).tables}


def copied(made: Made, tmp_path: Path, *names: str) -> Path:
    for name in names:
        shutil.copytree(made.runs / name, tmp_path / name)
    return tmp_path


def edit(path: Path, change: Change) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_every_figure_is_the_one_in_scores_json(made: Made):
    for table in tables(made).values():
        for row in table.rows:
            scores = RunStore(made.runs / row.run).scores()
            assert scores is not None
            assert list(row.metrics) == list(METRICS)
            if not table.texts:  # see test_suppression
                continue
            for name, data in scores["metrics"].items():
                figure = row.metrics[name]
                assert (figure.value, figure.low, figure.high, figure.n) == (
                    data["value"], data["low"], data["high"], data["n"],
                )  # fmt: skip


def test_rows_fall_from_the_best_and_partial_runs_are_stamped(made: Made):
    rows = tables(made)["triage@2"].rows
    values = [row.metrics["macro_f1"].value for row in rows]
    assert values == sorted(values, reverse=True)
    assert {row.run for row in rows} == {made.tfidf, made.majority, made.mock, made.partial}
    stamps = {row.run: row.selection for row in rows}
    assert (stamps[made.partial].n, stamps[made.partial].of, stamps[made.partial].partial) == (60, 240, True)
    assert not stamps[made.tfidf].partial


def test_rows_without_the_primary_figure_stand_last(made: Made, tmp_path: Path):
    runs = copied(made, tmp_path, made.tfidf, made.majority)

    def blank(scores: dict[str, Json]) -> None:
        scores["metrics"]["macro_f1"] = {"value": None, "low": None, "high": None, "n": 0, "reason": "a test"}

    edit(runs / made.tfidf / "scores.json", blank)
    rows = collect(board(), runs).tables[0].rows
    assert [row.run for row in rows] == [made.majority, made.tfidf]
    assert rows[1].metrics["macro_f1"].reason == "a test"


def test_the_best_is_a_model_that_answered_everything(made: Made, tmp_path: Path):
    runs = copied(made, tmp_path, made.tfidf, made.majority, made.partial)

    def lift(scores: dict[str, Json]) -> None:
        scores["metrics"]["accuracy"]["value"] = 0.99

    edit(runs / made.partial / "scores.json", lift)
    table = collect(board(), runs).tables[0]
    best = {column.metric: column.best for column in table.columns}
    assert best["accuracy"] == (made.tfidf,)
    # Both leave nothing unparsed, and lower is better: they share it; the partial run leaves some.
    assert set(best["unparsed"]) == {made.tfidf, made.majority}
    assert best["chrf"] == ()  # the majority writes no rationale, and one figure alone is nobody's best


def test_figures_under_different_signatures_stand_in_different_columns(made: Made, tmp_path: Path):
    runs = copied(made, tmp_path, made.tfidf, made.mock)

    def other(scores: dict[str, Json]) -> None:
        scores["signatures"]["bleu"] = "tok:other"

    edit(runs / made.mock / "scores.json", other)
    columns = [c for c in collect(board(), runs).tables[0].columns if c.metric == "bleu"]
    assert [column.split for column in columns] == [True, True]
    assert "tok:other" in {column.signature for column in columns}
    assert [column.best for column in columns] == [(), ()]  # nothing to compare with in either


def test_versions_and_other_rows_get_tables_of_their_own(made: Made, tmp_path: Path):
    runs = copied(made, tmp_path, made.tfidf, made.majority, made.mock)

    def version_three(manifest: dict[str, Json]) -> None:
        manifest["setup"]["task"] = "triage@3"

    edit(runs / made.majority / "run.json", version_three)
    edit(runs / made.majority / "scores.json", lambda scores: scores.update(task="triage@3"))
    edit(runs / made.mock / "run.json", lambda m: m["setup"].update(data_digest="0123456789abcdef"))
    found = collect(board(), runs).tables
    assert [(t.task, len(t.rows)) for t in found] == [("triage@3", 1), ("triage@2", 1), ("triage@2", 1)]
    assert len({t.id for t in found}) == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda run: (run / "scores.json").unlink(), "not scored"),
        (lambda run: (run / "examples.parquet").unlink(), "no examples.parquet"),
        (lambda run: edit(run / "scores.json", lambda s: s.update(schema=99)), "another version"),
        (lambda run: edit(run / "run.json", lambda m: m["setup"].update(task="nope@1")), "unknown task 'nope'"),
        (lambda run: edit(run / "run.json", lambda m: m.update(schema=99)), "not a manifest of schema"),
        (lambda run: (run / "scores.json").write_text("{"), "broken JSON"),
    ],
)
def test_runs_without_a_row_are_listed_with_the_reason(
    made: Made, tmp_path: Path, change: Callable[[Path], None], reason: str
):
    runs = copied(made, tmp_path, made.tfidf, made.mock)
    change(runs / made.mock)
    results = collect(board(), runs)
    assert [row.run for row in results.tables[0].rows] == [made.tfidf]
    assert [entry.run for entry in results.skipped] == [made.mock]
    assert reason in results.skipped[0].reason
    assert str(tmp_path) not in results.skipped[0].reason


def test_a_task_that_is_not_on_the_board_is_said_to_be_so(made: Made):
    results = collect(board(tasks=["wide"]), made.runs, [made.tasks])
    assert [table.task for table in results.tables] == ["wide@1"]
    assert {entry.reason for entry in results.skipped} == {
        "task triage is not on this board", "task secret is not on this board",
    }  # fmt: skip


def test_examples_are_counted_by_outcome(made: Made):
    counts = tables(made)["wide@1"].rows[0].examples
    assert counts is not None
    unparsed = sum(n % 10 == 0 for n in range(WIDE_ROWS))
    wrong = sum(n % 10 != 0 and n % 3 == 0 for n in range(WIDE_ROWS))
    assert (counts.n, counts.under, counts.differ, counts.challenges) == (WIDE_ROWS, None, None, {})
    assert (counts.unparsed, counts.wrong, counts.unscored) == (unparsed, unparsed + wrong, 0)
    assert counts.right == WIDE_ROWS - counts.wrong


def test_under_and_over_triage_are_counted_as_in_the_confusion(made: Made):
    table = tables(made)["triage@2"]
    for row in table.rows:
        assert row.confusion is not None
        assert row.examples is not None
        matrix = [line[:-1] for line in row.confusion["counts"]]  # the last column is no valid label
        above = sum(count for place, line in enumerate(matrix) for count in line[place + 1 :])
        below = sum(count for place, line in enumerate(matrix) for count in line[:place])
        assert (row.examples.under, row.examples.over) == (above, below)
        assert above + below + row.examples.unparsed == row.examples.wrong


def test_no_runs_is_an_error(tmp_path: Path):
    with pytest.raises(UserError, match="holds no run folder"):
        collect(board(), tmp_path)


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [("accuracy", 0.7219, "72.2"), ("mcc", -0.0514, "-0.051"), ("mcc", -0.0001, "0.000"), ("bleu", 12.34, "12.3")],
)
def test_digits(metric: str, value: float, text: str):
    assert shown(metric, value) == text


def test_interval_is_bracketed():
    assert between("mcc", -0.1, 0.25) == "[-0.100, 0.250]"


def test_axis_is_rounded_outwards_and_never_empty():
    figure = {"value": 0.5, "low": 0.41, "high": 0.62}
    assert axis("accuracy", [figure]) == Axis(0.4, 0.7)
    assert axis("accuracy", [{"value": 0.3, "low": 0.3, "high": 0.3}]) == Axis(0.3, 0.4)
    assert axis("accuracy", [{"value": None, "low": None, "high": None}]) == Axis(0.0, 1.0)
    assert Axis(0.0, 1.0).x(0.0) < Axis(0.0, 1.0).x(0.5) < Axis(0.0, 1.0).x(1.0)
