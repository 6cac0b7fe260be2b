from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from compare_parts import GOLDS, LOST, golds, judge, make_run, make_task, right_on

from r2d_bench import api
from r2d_bench.comparison.compare import CompareOptions
from r2d_bench.comparison.contest import Settings
from r2d_bench.errors import UserError
from r2d_bench.statistics.intervals import wilson
from r2d_bench.statistics.paired import mcnemar_exact
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.comparison.document import Compared, Comparison
    from r2d_bench.records import Json
    from r2d_bench.runs.store import RunStore

FEW = Settings(resamples=400)


def compare(*stores: RunStore, metrics: tuple[str, ...] = (), tmp: Path | None = None, **more: Json) -> Comparison:
    dirs = [stores[0].folder.parents[1] if tmp is None else tmp]
    return api.compare(
        [store.folder for store in stores],
        task_dirs=dirs,
        options=CompareOptions(metrics=metrics, settings=FEW, **more),
    )


def table(comparison: Comparison, metric: str) -> Compared:
    return next(one for one in comparison.metrics if one.metric == metric)


def change(store: RunStore, **parts: Json) -> None:
    store.write_scores({**(store.scores() or {}), **parts})


def test_figures_are_those_of_the_runs_and_tests_those_of_the_table_of_four(tmp_path: Path) -> None:
    task = make_task(tmp_path, 60)
    a = make_run(task, "a", right_on(60, lambda k: k < 50), tmp_path / "runs")
    b = make_run(task, "b", right_on(60, lambda k: 20 <= k < 58), tmp_path / "runs")
    found = compare(a, b)
    for name in ("accuracy", "macro_f1", "bleu", "chrf"):
        for value, store in zip(table(found, name).values, (a, b), strict=True):
            own = (store.scores() or {})["metrics"][name]
            assert value.value == pytest.approx(own["value"])
            assert (value.low, value.high) == (own["low"], own["high"])  # the very interval of the run's page
    accuracy = table(found, "accuracy")
    assert accuracy.test == "mcnemar"
    difference = accuracy.differences[0]
    assert difference.value == pytest.approx(12 / 60)
    assert difference.p == pytest.approx(mcnemar_exact(20, 8))  # a alone: 0-19, b alone: 50-57
    assert difference.winner == "A"
    macro = table(found, "macro_f1")
    assert macro.test == "randomisation"
    assert found.metrics[0].metric == "macro_f1"  # the primary one leads


def test_the_items_that_two_sides_differ_on_are_listed_by_id(tmp_path: Path) -> None:
    task = make_task(tmp_path, 12)
    a = make_run(task, "a", right_on(12, lambda k: k < 9), tmp_path / "runs")
    b = make_run(task, "b", right_on(12, lambda k: k in {0, 1, 10}), tmp_path / "runs")
    (changes,) = compare(a, b).changes
    assert [item.id for item in changes.only_first] == [f"t{k:03d}" for k in range(2, 9)]
    assert [item.id for item in changes.only_second] == ["t010"]
    assert (changes.both, changes.neither) == (2, 2)
    item = changes.only_second[0]
    assert (item.gold, item.first, item.second) == ("no", ("maybe",), ("no",))


def test_nothing_but_ids_of_a_task_that_is_not_public(tmp_path: Path) -> None:
    task = make_task(tmp_path, 12, visibility="private")
    a = make_run(task, "a", right_on(12, lambda k: k < 9), tmp_path / "runs")
    b = make_run(task, "b", right_on(12, lambda k: k > 2), tmp_path / "runs")
    found = compare(a, b)
    assert not found.public
    text = json.dumps(found.as_json()["changes"])
    assert "t001" in text
    assert not any(f'"{label}"' in text for label in GOLDS)
    whole = json.dumps(found.as_json())
    assert "heart of case" not in whole
    assert "note of" not in whole


def test_local_rows_in_the_place_of_a_public_task_count_as_private(tmp_path: Path) -> None:
    own = make_task(tmp_path, 6)
    task = load_task(str(tmp_path / "small"), data=tmp_path / "small")
    a = make_run(task, "a", golds(6), tmp_path / "runs")
    b = make_run(own, "b", dict.fromkeys(golds(6), "yes"), tmp_path / "runs")
    found = compare(a, b)
    assert not found.public
    assert {item.gold for item in found.changes[0].only_first} == {None}


def test_gold_rationales_of_a_private_task_come_from_its_data(tmp_path: Path) -> None:
    task = make_task(tmp_path, 12, visibility="private")
    a = make_run(task, "a", golds(12), tmp_path / "runs")
    b = make_run(task, "b", golds(12), tmp_path / "runs", rationale="something else was said of it")
    bleu = table(compare(a, b, metrics=("bleu",)), "bleu")
    assert bleu.values[0].value == pytest.approx((a.scores() or {})["metrics"]["bleu"]["value"])
    assert bleu.differences[0].winner == "A"
    (tmp_path / "small" / "rows.csv").write_text("id,note,label,why,family\nx,other,yes,why,\n", encoding="utf-8")
    (left,) = compare(a, b, metrics=("bleu",)).left_out
    assert "gold rationales" in left.reason


def test_lower_is_better_where_the_metric_says_so(tmp_path: Path) -> None:
    task = make_task(tmp_path, 40)
    mumbling = {ident: "well now" if k < 20 else gold for k, (ident, gold) in enumerate(golds(40).items())}
    a = make_run(task, "a", mumbling, tmp_path / "runs")
    b = make_run(task, "b", golds(40), tmp_path / "runs")
    unparsed = table(compare(a, b, metrics=("unparsed",)), "unparsed")
    assert unparsed.differences[0].value == pytest.approx(0.5)
    assert unparsed.differences[0].winner == "B"
    assert unparsed.differences[0].words.startswith(
        "B is better than A by 50.0 points of no valid label (lower is better), 95 % interval "
    )
    assert [value.rank for value in unparsed.values] == [(2, 2), (1, 1)]
    assert [value.top for value in unparsed.values] == [False, True]


def test_missing_items_are_left_out_and_bounded(tmp_path: Path) -> None:
    task = make_task(tmp_path, 20)
    silent = {ident: LOST if k < 5 else gold for k, (ident, gold) in enumerate(golds(20).items())}
    a = make_run(task, "a", silent, tmp_path / "runs")
    b = make_run(task, "b", right_on(20, lambda k: k < 15), tmp_path / "runs")
    accuracy = table(compare(a, b), "accuracy")
    first, second = accuracy.values
    assert accuracy.items == 15
    assert (first.value, second.value) == (1.0, pytest.approx(10 / 15))
    interval = wilson(10, 15)
    assert (second.low, second.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert (first.missing, second.missing) == (5, 0)
    assert first.bounds == (15 / 20, 1.0)
    assert second.bounds == (15 / 20, 15 / 20)
    assert accuracy.differences[0].bounds == (0.0, 0.25)
    assert "5 of 20 items" in " ".join(accuracy.notes)
    macro = table(compare(a, b), "macro_f1").values[0]
    assert macro.bounds is not None
    assert macro.bounds[1] == 1.0
    # The first five golds: two yes, two no, one maybe; each class has 7, 7 and 6 items.
    assert macro.bounds[0] == pytest.approx((2 * (10 / 12) + 10 / 11) / 3)


def test_items_that_one_was_never_asked_are_told_and_not_counted_against_it(tmp_path: Path) -> None:
    task = make_task(tmp_path, 20)
    a = make_run(task, "a", golds(20), tmp_path / "runs", limit=8)
    b = make_run(task, "b", golds(20), tmp_path / "runs")
    found = compare(a, b)
    accuracy = table(found, "accuracy")
    assert accuracy.items == 8
    assert accuracy.values[0].bounds is None
    assert "12 items are left out: not all runs were asked them." in accuracy.notes
    assert found.sides[0].flags == ("partial: asked 8 of 20 items",)


def test_equal_answers_are_no_difference(tmp_path: Path) -> None:
    task = make_task(tmp_path, 30)
    said = right_on(30, lambda k: k % 4 > 0)
    found = compare(*(make_run(task, name, said, tmp_path / "runs") for name in "ab"))
    for one in found.metrics:
        (difference,) = one.differences
        assert (difference.value, difference.winner, difference.p) == (0.0, None, 1.0)
        assert difference.words == "A and B have the same score on each of the 30 items"
        assert [value.rank for value in one.values] == [(1, 2), (1, 2)]
        assert [value.tied for value in one.values] == [("B",), ("A",)]
    json.dumps(found.as_json(), allow_nan=False)


def test_no_common_item(tmp_path: Path) -> None:
    task = make_task(tmp_path, 10)
    halves = [
        {ident: LOST if (k < 5) == first else gold for k, (ident, gold) in enumerate(golds(10).items())}
        for first in (True, False)
    ]
    found = compare(*(make_run(task, name, said, tmp_path / "runs") for name, said in zip("ab", halves, strict=True)))
    assert not found.metrics
    assert "no item was scored for all of them" in {one.reason for one in found.left_out}
    assert not found.changes


def test_one_item(tmp_path: Path) -> None:
    task = make_task(tmp_path, 1)
    a = make_run(task, "a", {"t000": "yes"}, tmp_path / "runs")
    b = make_run(task, "b", {"t000": "no"}, tmp_path / "runs")
    found = compare(a, b)
    accuracy = table(found, "accuracy")
    assert [value.value for value in accuracy.values] == [1.0, 0.0]
    assert accuracy.differences[0].p is None
    assert accuracy.differences[0].words == "A and B: not compared (fewer than two independent units)"
    json.dumps(found.as_json(), allow_nan=False)


def test_dependent_items_move_as_clusters(tmp_path: Path) -> None:
    task = make_task(tmp_path, 48, groups=12)
    a = make_run(task, "a", right_on(48, lambda k: k % 12 < 9), tmp_path / "runs")
    b = make_run(task, "b", right_on(48, lambda k: k % 12 < 6), tmp_path / "runs")
    accuracy = table(compare(a, b), "accuracy")
    assert (accuracy.clusters, accuracy.test, accuracy.differences[0].interval) == (12, "permutation", "clusters")
    # Three families of four: two-sided, 2 of the 8 ways to flip them are as extreme.
    assert accuracy.differences[0].p == pytest.approx(2 / 8, abs=0.06)
    assert mcnemar_exact(12, 0) < 0.001  # what independent items would have said
    assert "48 items in 12 groups" in accuracy.differences[0].words


def test_the_task_must_be_at_hand(tmp_path: Path) -> None:
    task = make_task(tmp_path, 6, groups=3)
    stores = [make_run(task, name, golds(6), tmp_path / "runs") for name in "ab"]
    (tmp_path / "small" / "task.yaml").unlink()
    with pytest.raises(UserError, match="small"):
        compare(*stores)


def test_runs_that_differ_in_their_seed_are_one_side(tmp_path: Path) -> None:
    task = make_task(tmp_path, 30)
    runs = tmp_path / "runs"
    a = [make_run(task, "a", right_on(30, lambda k, s=s: k < 20 + s), runs, seed=s) for s in (2, 1, 3)]
    b = make_run(task, "b", right_on(30, lambda k: k < 10), runs)
    found = compare(*a, b)
    first, second = found.sides
    assert (first.seeds, first.runs) == ((1, 2, 3), tuple(store.name for store in (a[1], a[0], a[2])))
    assert first.title.endswith("3 seeds")
    assert any("one seed only" in flag for flag in second.flags)
    value = table(found, "accuracy").values[0]
    assert value.value == pytest.approx(22 / 30)
    assert value.over_seeds == (pytest.approx(22 / 30), pytest.approx(1 / 30))
    macro = table(found, "macro_f1").values[0].value
    assert macro == pytest.approx(sum((s.scores() or {})["metrics"]["macro_f1"]["value"] for s in a) / 3)
    (changes,) = found.changes
    assert [item.id for item in changes.only_first] == [f"t{k:03d}" for k in range(10, 22)]  # most seeds have it


def test_seeds_alone_are_compared_one_by_one(tmp_path: Path) -> None:
    task = make_task(tmp_path, 12)
    stores = [make_run(task, "a", right_on(12, lambda k, s=s: k < 6 + s), tmp_path / "runs", seed=s) for s in (1, 2)]
    found = compare(*stores)
    assert [side.runs for side in found.sides] == [(stores[0].name,), (stores[1].name,)]
    assert "seed" in found.notes[0]


def test_what_a_run_lacks_does_not_stop_the_others(tmp_path: Path) -> None:
    task = make_task(tmp_path, 30)
    runs = tmp_path / "runs"
    a, b, c = (make_run(task, name, golds(30), runs) for name in "abc")
    without = (c.scores() or {})["metrics"] | {"chrf": {"value": None, "low": None, "high": None, "reason": "no text"}}
    change(c, metrics=without)
    chrf = table(compare(a, b, c), "chrf")
    assert chrf.absent == {"C": "no text"}
    assert [value.side for value in chrf.values] == ["A", "B"]


def test_figures_under_two_signatures_are_not_compared(tmp_path: Path) -> None:
    task = make_task(tmp_path, 12)
    a, b = (make_run(task, name, golds(12), tmp_path / "runs") for name in "ab")
    change(b, signatures={"chrf": "another", "bleu": (b.scores() or {})["signatures"]["bleu"]})
    found = compare(a, b)
    (left,) = [one for one in found.left_out if one.metric == "chrf"]
    assert "several signatures" in left.reason
    assert table(found, "bleu").signature


def test_a_figure_that_cannot_be_had_again_is_never_shown(tmp_path: Path) -> None:
    task = make_task(tmp_path, 12)
    a, b = (make_run(task, name, golds(12), tmp_path / "runs") for name in "ab")
    metrics = (b.scores() or {})["metrics"]
    change(b, metrics=metrics | {"accuracy": metrics["accuracy"] | {"value": 0.5}})
    (left,) = compare(a, b, metrics=("accuracy",)).left_out
    assert left.reason.startswith(f"{b.name}: its figure does not follow from the values in the run folder")


def test_a_margin_makes_equal_of_not_different(tmp_path: Path) -> None:
    task = make_task(tmp_path, 60)
    a = make_run(task, "a", right_on(60, lambda k: k != 7), tmp_path / "runs")
    b = make_run(task, "b", right_on(60, lambda k: k != 9), tmp_path / "runs")
    wide = table(compare(a, b, margin=0.2), "accuracy").differences[0]
    assert wide.equal is True
    assert "equal within the margin of 20 points" in wide.words
    narrow = table(compare(a, b, margins={"accuracy": 0.001}), "accuracy").differences[0]
    assert narrow.equal is False
    assert "cannot be told apart with 60 items" in narrow.words
    assert "would not be seen" in narrow.words


def test_judges_are_compared_where_one_judge_has_judged_both(tmp_path: Path) -> None:
    task = make_task(tmp_path, 30)
    a, b, c = (make_run(task, name, golds(30), tmp_path / "runs") for name in "abc")
    ids = list(golds(30))
    folder = judge(a, {ident: [5, 4, None] for ident in ids})
    judge(b, {ident: [2, 1, None] if k else [] for k, ident in enumerate(ids)}, critical=ids[10:])
    judge(c, {ident: [5] for ident in ids}, name="other")
    found = compare(a, b, c)
    mean = table(found, f"judge:{folder}:judge_mean")
    assert mean.items == 29  # what the judge could not score is no zero
    assert [value.value for value in mean.values] == [4.5, 1.5]
    assert mean.absent == {"C": "not judged by this judge"}
    assert mean.differences[0].winner == "A"
    assert mean.values[1].bounds == (pytest.approx((29 * 1.5 + 1) / 30), pytest.approx((29 * 1.5 + 5) / 30))
    assert "better than B by 3.00 in judge mean (clinical_rationale by mock:m)" in mean.differences[0].words
    critical = table(found, f"judge:{folder}:critical_fail_rate")
    assert critical.direction == "lower"
    assert critical.differences[0].value == pytest.approx(-20 / 29)
    assert critical.differences[0].winner == "A"
    (one,) = compare(a, b, metrics=(f"judge:{folder}:judge_mean",)).metrics
    assert one.values == mean.values
    (left,) = compare(a, c, metrics=("judge",)).left_out
    assert left.reason == "no judge has judged two of the runs with one rubric and one model"


def test_three_models_are_corrected_for_three_pairs(tmp_path: Path) -> None:
    task = make_task(tmp_path, 60)
    reach = {"a": 55, "b": 50, "c": 20}
    stores = [make_run(task, n, right_on(60, lambda k, r=r: k < r), tmp_path / "runs") for n, r in reach.items()]
    accuracy = table(compare(*stores), "accuracy")
    ab, ac, bc = accuracy.differences
    assert (ab.p, ab.corrected) == (pytest.approx(mcnemar_exact(5, 0)), pytest.approx(mcnemar_exact(5, 0)))
    assert ac.corrected == pytest.approx(3 * mcnemar_exact(35, 0))
    assert bc.corrected == pytest.approx(2 * mcnemar_exact(30, 0))
    assert [value.rank for value in accuracy.values] == [(1, 2), (1, 2), (3, 3)]
    assert [value.tied for value in accuracy.values] == [("B",), ("A",), ()]
    assert [value.top for value in accuracy.values] == [True, True, False]


def test_other_figures_on_request(tmp_path: Path) -> None:
    task = make_task(tmp_path, 30)
    a = make_run(task, "a", golds(30), tmp_path / "runs")
    b = make_run(task, "b", right_on(30, lambda k: k % 3 > 0), tmp_path / "runs")
    names = ("balanced_accuracy", "mcc", "weighted_f1", "micro_f1", "output_truncated", "right_for_right")
    found = compare(a, b, metrics=names)
    assert [one.metric for one in found.metrics] == list(names)
    assert table(found, "mcc").differences[0].winner == "A"
    assert table(found, "output_truncated").differences[0].value == 0.0


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    task = make_task(tmp_path / "one", 6)
    other = make_task(tmp_path / "two", 7)
    a = make_run(task, "a", golds(6), tmp_path / "runs")
    b = make_run(other, "b", golds(7), tmp_path / "runs")
    with pytest.raises(UserError, match="rows"):
        compare(a, b)
    with pytest.raises(UserError, match="two runs or more"):
        compare(a)
    with pytest.raises(UserError, match="named twice"):
        compare(a, a)
    c = make_run(task, "c", golds(6), tmp_path / "runs")
    with pytest.raises(UserError, match="macro_f1"):
        compare(a, c, metrics=("macro_f2",))
    (c.folder / "scores.json").unlink()
    with pytest.raises(UserError, match="not scored yet"):
        compare(a, c)


def test_a_difference_that_hangs_on_a_seed_is_none(tmp_path: Path) -> None:
    task = make_task(tmp_path, 60)
    runs = tmp_path / "runs"

    def several(name: str, *reach: int) -> list[RunStore]:
        said = [right_on(60, lambda k, r=r: k < r) for r in reach]
        return [make_run(task, name, one, runs, seed=seed) for seed, one in enumerate(said, 1)]

    steady = several("steady", 30, 31, 30, 31)
    lucky = table(compare(*several("lucky", 60, 58, 31, 25), *steady, metrics=("accuracy",)), "accuracy")
    (difference,) = lucky.differences
    assert difference.interval == "seeds and items"
    assert difference.corrected is not None
    assert difference.corrected <= 0.05  # on the items alone, with the seeds at hand
    assert difference.winner is None
    assert "on these items they differ" in difference.words
    assert [value.rank for value in lucky.values] == [(1, 2), (1, 2)]
    assert "4 seeds" in lucky.values[0].warnings[0]
    better = table(compare(*several("better", 59, 60, 58, 59), *steady, metrics=("accuracy",)), "accuracy")
    assert better.differences[0].winner == "A"
    assert [value.rank for value in better.values] == [(1, 1), (2, 2)]
