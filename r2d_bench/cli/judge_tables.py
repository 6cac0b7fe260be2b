"""Judges' figures on the console."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from r2d_bench.cli.plain import say, say_json, show_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from r2d_bench.judging.pairwise import PairResult
    from r2d_bench.judging.store import JudgmentStore
    from r2d_bench.metrics.base import Metric
    from r2d_bench.records import Json


def show_judgments(folders: Sequence[Path], *, as_json: bool) -> None:
    """Print what judges said of runs: a table per rubric."""
    from r2d_bench.judging.meaning import HEADLINE, SCORE, judge_metrics
    from r2d_bench.judging.store import JudgmentStore

    if as_json:
        say_json(judgments_json(folders))
        return
    stores = [JudgmentStore(folder) for folder in folders]
    by_rubric: dict[str, list[JudgmentStore]] = {}
    for store in stores:
        by_rubric.setdefault(store.setup().rubric.spec.full_name, []).append(store)
    for name, own in by_rubric.items():
        meaning = judge_metrics(own[0].setup().rubric.spec)
        shown = [key for key in meaning if key in HEADLINE or key.startswith(SCORE)]
        head = ["run", "judge", "n", *(_heading(meaning[key]) for key in shown)]
        rows = []
        for store in own:
            scores = store.scores() or {}
            figures = scores.get("metrics", {})
            count = str(max((figure.get("n", 0) for figure in figures.values()), default=0))
            cells = [_cell(meaning[key], figures.get(key)) for key in shown]
            rows.append([store.folder.parent.parent.name, store.setup().identity.title, count, *cells])
        show_table(head, rows, f"{name}   [95 % intervals]")
        _say_unscored(own)


def judgments_json(folders: Sequence[Path]) -> list[Json]:
    """Return what judges said of runs, for --json."""
    from r2d_bench.judging.store import JudgmentStore

    stores = [JudgmentStore(folder) for folder in folders]
    return [
        {"run": store.folder.parent.parent.name, "judging": store.name, "scores": store.scores()} for store in stores
    ]


def _heading(metric: Metric) -> str:
    return metric.title + (", %" if metric.percent else "")


def _cell(metric: Metric, figure: Mapping[str, Json] | None) -> str:
    """Return a figure with its interval; a dash where there is none."""
    if not figure or figure["value"] is None:
        return "–"

    def shown(value: float) -> str:
        return f"{value * 100 if metric.percent else value:.{metric.decimals}f}"

    interval = "" if figure["low"] is None else f" [{shown(figure['low'])}, {shown(figure['high'])}]"
    return shown(figure["value"]) + interval


def _say_unscored(stores: Sequence[JudgmentStore]) -> None:
    """Tell what has no verdict, and why."""
    for store in stores:
        lost = Counter(verdict.unscored for verdict in store.verdicts() if verdict.unscored)
        for reason, count in lost.most_common():
            say(f"  – {store.folder.parent.parent.name}, {store.setup().identity.title}: {count} unscored ({reason})")


def show_pairs(results: Sequence[PairResult], *, as_json: bool) -> None:
    """Print which of two runs a judge prefers."""
    if as_json:
        say_json([result.as_json() for result in results])
        return

    head = ["A", "B", "judge", "A better", "B better", "tie", "turned with the order", "advantage of A, points"]
    rows = []
    for result in results:
        found = result.advantage
        interval = (
            "" if found.low is None or found.high is None else f" [{found.low * 100:.1f}, {found.high * 100:.1f}]"
        )
        advantage = "–" if found.value is None else f"{found.value * 100:.1f}{interval}"
        counts = [str(count) for count in (result.wins, result.losses, result.ties, result.turned)]
        rows.append([result.one, result.other, result.judge, *counts, advantage])
    show_table(head, rows, "pairwise, both orders   [95 % intervals]")
    for result in results:
        for reason, count in result.unscored.items():
            say(f"  – {result.one} and {result.other}: {count} unscored ({reason})")
