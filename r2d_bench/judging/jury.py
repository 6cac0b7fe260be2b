"""Several judges of one run and rubric: their scores together, and how far they agree.

An item's score is the mean over the judges who could give one, two or more of them; a flag stands where at least half
of them raised it. Items with fewer than two verdicts have none. Judges whose scores were had by different methods never
sit on one jury.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.documents import read_json, to_json, write_atomically
from r2d_bench.judging.meaning import SCORE
from r2d_bench.judging.score import Judged, beside, columns_of, figures, selection_of
from r2d_bench.judging.store import FOLDER, find_judgments
from r2d_bench.judging.verdict import Verdict
from r2d_bench.metrics.figures import cluster_codes, cluster_warnings, figure
from r2d_bench.records import digest, missing
from r2d_bench.runs.scoring import RESAMPLES, check_data
from r2d_bench.runs.selection import union
from r2d_bench.statistics.agreement import krippendorff_alpha, quadratic_kappa

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from r2d_bench.judging.rubric import Rubric
    from r2d_bench.judging.store import JudgmentStore
    from r2d_bench.metrics.base import Columns
    from r2d_bench.records import Estimate, Json
    from r2d_bench.runs.store import RunStore
    from r2d_bench.statistics.agreement import Agreement
    from r2d_bench.tasks.task import Task

SCHEMA = 1
FEWEST = 2  # judges of one item
TOO_FEW = "fewer than two verdicts"


def score_juries(run: RunStore, task: Task, *, seed: int = 0, resamples: int = RESAMPLES) -> list[Path]:
    """Make the figures of every jury of a run, and write them down.

    Args:
        run: the run.
        task: its task.
        seed: of the resampling.
        resamples: number of resamples.

    Returns:
        the files.

    Raises:
        UserError: the run was made on other data, or a judging lacks a verdict.
    """
    check_data(run.setup(), task)
    written = []
    for name, stores in juries_of(run.folder).items():
        selections = {store.name: selection_of(store, run, task) for store in stores}
        selection = union(task.examples(run.setup().split), list(selections.values()))
        columns = columns_of(run, task, selection)
        judges = {store.name: _filled(store, columns) for store in stores}
        document = {
            "schema": SCHEMA,
            "run": run.name,
            "task": run.setup().task,
            "rubric": stores[0].setup().rubric.spec.full_name,
            "selection": selection.as_json(),
            **jury_figures(judges, seed=seed, resamples=resamples),
            "resampling": {"seed": seed, "resamples": resamples, "level": 0.95},
        }
        path = run.folder / FOLDER / f"{name}.json"
        write_atomically(path, to_json(document) + "\n")
        written.append(path)
    return written


def juries_of(run: Path) -> dict[str, list[JudgmentStore]]:
    """Return the juries of a run folder by name: judgings of one pointwise rubric and method, two or more."""
    found: dict[str, list[JudgmentStore]] = {}
    for store in find_judgments(run):
        setup = store.setup()
        if setup.rubric.spec.mode == "pointwise" and store.verdicts():
            name = f"{setup.rubric.spec.name}--jury--{digest([setup.rubric.digest, setup.method], 8)}"
            found.setdefault(name, []).append(store)
    return {name: stores for name, stores in found.items() if len(stores) >= FEWEST}


def read_juries(run: Path) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield name and figures of each jury whose judges are those that are there now."""
    for name, stores in juries_of(run).items():
        path = run / FOLDER / f"{name}.json"
        if path.is_file():
            document = read_json(path)
            if document["judges"] == [store.name for store in stores]:
                yield name, document


def _filled(store: JudgmentStore, columns: Columns) -> Judged:
    """Return a judging over all items of the jury; it has no verdict of those that it was not asked about."""
    verdicts = store.verdicts()
    known = {verdict.example_id for verdict in verdicts}
    verdicts += [Verdict(ident, unscored="not asked") for ident in columns.ids if ident not in known]
    return beside(store.setup(), columns, verdicts)


def jury_figures(judges: Mapping[str, Judged], *, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Json]:
    """Return the figures of a jury, as those of a single judge, and its agreement.

    Args:
        judges: name → judging; all of the same items, rubric and method.
        seed: of the resampling.
        resamples: number of resamples.
    """
    several = list(judges.values())
    first = several[0]
    verdicts = [together(told, first.rubric) for told in zip(*(one.verdicts for one in several), strict=True)]
    who = f"a jury of {len(judges)}"
    jury = Judged(first.rubric, first.method, who, first.columns, verdicts)
    found = figures(jury, seed=seed, resamples=resamples)
    kept = {key: found[key] for key in ("score_method", "metrics", "joint", "asked", "scored", "care")}
    return {
        "judges": list(judges),
        **kept,
        "alpha": {
            SCORE + one.name: _alpha(several, one.name, seed, resamples).as_json() for one in first.rubric.criteria
        },
        "kappa": [
            {
                "judges": [a, b],
                "criteria": {
                    SCORE + one.name: _kappa(judges[a], judges[b], one.name, seed, resamples).as_json()
                    for one in first.rubric.criteria
                },
            }
            for a, b in combinations(judges, 2)
        ],
    }


def together(verdicts: Sequence[Verdict], rubric: Rubric) -> Verdict:
    """Return what a jury says of one item: means of scores, and flags that at least half of the judges raised.

    Args:
        verdicts: one of each judge.
        rubric: the rubric of all of them.
    """
    present = [verdict for verdict in verdicts if verdict.unscored is None]
    ident, method = verdicts[0].example_id, verdicts[0].method
    if len(present) < FEWEST:
        return Verdict(ident, unscored=TOO_FEW, method=method)
    scores: dict[str, float | None] = {}
    for criterion in rubric.criteria:
        given = [s for one in present if (s := one.scores.get(criterion.name)) is not None]
        scores[criterion.name] = sum(given) / len(given) if len(given) >= FEWEST else None
    flags = {
        flag.name: 2 * sum(one.flags.get(flag.name, False) for one in present) >= len(present) for flag in rubric.flags
    }
    return Verdict(ident, scores, flags, method=present[0].method)


def _levels(judged: Judged, criterion: str) -> NDArray[np.float64]:
    """Return scores as levels of the scale: expected values lie between them."""
    return np.round(judged.scores(criterion))


def _alpha(judges: Sequence[Judged], criterion: str, seed: int, resamples: int) -> Estimate:
    table = np.column_stack([_levels(judged, criterion) for judged in judges])
    ratings = [[None if np.isnan(value) else float(value) for value in row] for row in table]
    columns = judges[0].columns
    codes = cluster_codes(columns, np.ones(len(columns), dtype=bool))
    found = krippendorff_alpha(ratings, measure="ordinal", codes=codes, seed=seed, resamples=resamples)
    return _estimate(found, len(columns), codes)


def _kappa(one: Judged, other: Judged, criterion: str, seed: int, resamples: int) -> Estimate:
    a, b = _levels(one, criterion), _levels(other, criterion)
    both = np.isfinite(a) & np.isfinite(b)
    codes = cluster_codes(one.columns, both)
    levels = [float(number) for number in one.rubric.scale.numbers]
    found = quadratic_kappa(a[both].tolist(), b[both].tolist(), levels, codes=codes, seed=seed, resamples=resamples)
    return _estimate(found, len(a), codes)


def _estimate(found: Agreement, items: int, codes: NDArray[np.int64] | None) -> Estimate:
    unscored = items - found.n
    if found.value is None:
        return missing(found.reason or "undefined", n=found.n, unscored=unscored)
    notes = cluster_warnings(codes)
    return figure(found.value, found.interval, n=found.n, unscored=unscored, warnings=notes)
