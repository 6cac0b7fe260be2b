"""Is a judge kinder to its own family? The same examples, explained by models of its family and by others.

Nothing is asked: verdicts that this judge gave on runs are compared. It is an observation, not an experiment: models
of its family may well write better rationales.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.errors import UserError
from r2d_bench.judging.agreement import codes_of
from r2d_bench.judging.audit_probes import PROBES, SAME_FAMILY
from r2d_bench.judging.family import families, families_of_manifest, same_family
from r2d_bench.judging.probe_figures import describe, headline
from r2d_bench.judging.store import FOLDER, JudgmentStore
from r2d_bench.metrics.figures import means, rate
from r2d_bench.records import missing
from r2d_bench.runs.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from r2d_bench.judging.setup import JudgeSetup
    from r2d_bench.records import Json

Scores = dict[tuple[str, str], list[float]]  # (task, example) → mean scores of runs


def own_family(setup: JudgeSetup, runs: Sequence[Path], *, seed: int = 0) -> dict[str, Json]:
    """Return the figures of the difference, per example: mean of its own family's runs minus mean of the others'.

    Args:
        setup: the judge.
        runs: folders of runs that it judged.
        seed: of the bootstrap.

    Raises:
        UserError: a folder is no run, or was not judged by this judge.
    """
    own: Scores = defaultdict(list)
    others: Scores = defaultdict(list)
    unscored: Counter[str] = Counter()
    for path in runs:
        related = _related(setup, path)
        if related is None:
            unscored["family not known"] += 1
            continue
        for place, score in _scores(setup, path).items():
            (own if related else others)[place].append(score)
    both = sorted(set(own) & set(others))
    probe = PROBES[SAME_FAMILY]
    if not both:
        reason = "no example was explained by a model of the judge's family and by another"
        return describe(probe, None, missing(reason), missing(reason), unscored)
    differences = np.array([np.mean(own[place]) - np.mean(others[place]) for place in both])
    codes = codes_of(["/".join(place) for place in both])
    shift = means(differences[:, None], codes, seed=seed)[0]
    return describe(probe, None, shift, rate(differences <= probe.limit, codes), unscored)


def _related(setup: JudgeSetup, path: Path) -> bool | None:
    """Tell whether a run's model is of the judge's family; None where that of either is not known."""
    store = _judged(setup, path)
    judge = families_of_manifest(store.manifest()) or families(setup.model, {})
    return same_family(judge, families_of_manifest(RunStore(path).manifest()))


def _judged(setup: JudgeSetup, path: Path) -> JudgmentStore:
    store = JudgmentStore(path / FOLDER / setup.folder)
    if not (store.folder / JudgmentStore.MANIFEST).is_file():
        raise UserError(f"{path}: was not judged by {setup.folder}; judge it first (r2d-bench judge)")
    return store


def _scores(setup: JudgeSetup, path: Path) -> dict[tuple[str, str], float]:
    task = RunStore(path).setup().task
    found = {}
    for verdict in _judged(setup, path).verdicts():
        score = headline(verdict, None)
        if score is not None and verdict.repeat == 1:
            found[task, verdict.example_id] = score
    return found
