"""Figures of judges, compared where runs were judged by the same judge: rubric, model and parameters.

Only the verdict that counts is taken (the first of several repeats); a rationale that a judge could not score stays
without a value, and is no zero.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.comparison.measure import Measure, NotComparable, mean_measure
from r2d_bench.errors import UserError
from r2d_bench.judging.meaning import CRITICAL, MEAN, judge_metrics
from r2d_bench.judging.score import mean_of
from r2d_bench.judging.store import JudgmentStore, find_judgments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from r2d_bench.comparison.loaded import Items, LoadedRun
    from r2d_bench.judging.setup import JudgeSetup
    from r2d_bench.judging.verdict import Verdict

ALL = "judge"  # stands for all judges
_PREFIX = f"{ALL}:"  # judge:FOLDER, and judge:FOLDER:FIGURE


def is_judge(name: str) -> bool:
    """Tell whether a metric's name stands for figures of a judge, or of all of them."""
    return name == ALL or name.startswith(_PREFIX)


def named(name: str, items: Items) -> list[str]:
    """Return the figures that a name stands for: mean and critical fails of a judge, or of all that judged two runs.

    Raises:
        NotComparable: no judge has judged two of the runs.
    """
    if name.count(":") > 1:
        return [name]
    known = [store for run in items.runs for store in _judgments(run)]
    folders = [store.name for store in known]
    wanted = sorted({one for one in folders if folders.count(one) > 1}) if name == ALL else [name.split(":")[1]]
    if not wanted:
        raise NotComparable("no judge has judged two of the runs with one rubric and one model")
    found = []
    for folder in wanted:
        setup = next((store.setup() for store in known if store.name == folder), None)
        critical = setup is not None and setup.rubric.spec.critical and setup.method == "reply"
        found += [f"{_PREFIX}{folder}:{figure}" for figure in (MEAN, *((CRITICAL,) if critical else ()))]
    return found


def any_judged(runs: Sequence[LoadedRun]) -> bool:
    """Tell whether a judge has judged any of the runs."""
    return any(_judgments(run) for run in runs)


def lacks(run: LoadedRun, name: str) -> str | None:
    """Return why a run has no figure of a judge; None where it has one."""
    folder = name.split(":")[1]
    return None if any(store.name == folder for store in _judgments(run)) else "not judged by this judge"


def measure(name: str, items: Items) -> Measure:
    """Return a judge's figure of the runs: the mean over items of each item's mean, or the share of critical fails.

    Raises:
        NotComparable: its verdicts cannot be read.
    """
    _, folder, figure = name.split(":", 2)
    stores = [next(store for store in _judgments(run) if store.name == folder) for run in items.runs]
    setup = stores[0].setup()
    values = []
    for run, store in enumerate(stores):
        try:
            verdicts = {one.example_id: one for one in store.verdicts() if one.repeat == 1 and one.unscored is None}
        except UserError as error:
            raise NotComparable(f"{items.runs[run].name}: {error}") from None
        values.append(np.array([_value(setup, figure, verdicts, items, run, n) for n in range(len(items.keys))]))
    known = judge_metrics(setup.rubric.spec)[figure]
    title = f"{known.title} ({setup.rubric.spec.name} by {setup.identity.title})"
    return mean_measure(replace(known, name=name, title=title), items, values)


def _value(setup: JudgeSetup, figure: str, verdicts: Mapping[str, Verdict], items: Items, run: int, item: int) -> float:
    verdict = verdicts.get(items.keys[item][1])
    if verdict is None or not items.main[item] or items.rows[run, item] < 0:
        return np.nan
    if figure == CRITICAL:
        return float(any(verdict.flags.get(flag, False) for flag in setup.rubric.spec.critical))
    return mean_of(verdict)


def _judgments(run: LoadedRun) -> list[JudgmentStore]:
    """Return the pointwise judgings of a run that have verdicts."""
    found = [store for store in find_judgments(run.store.folder) if (store.folder / "verdicts.jsonl").is_file()]
    return [store for store in found if store.setup().rubric.spec.mode == "pointwise"]
