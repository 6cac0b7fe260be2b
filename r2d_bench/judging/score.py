"""The figures of one judging: verdicts beside the run's predictions in, `scores.json` out. No judge is asked.

The verdict that counts is the first one of each example; a case that a rule decides counts like any other. Repeats
show the judge's own noise and stand apart. A score that was written and one that was read from probabilities are never
averaged together: a folder holds one method, and a verdict of the other is refused.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.errors import UserError
from r2d_bench.judging import meaning, repeats
from r2d_bench.judging.family import families_of_manifest, same_family
from r2d_bench.judging.meaning import COVERAGE, CRITICAL, FLAG, MEAN, PARSED, SCORE, SUPPORT
from r2d_bench.machine import versions
from r2d_bench.metrics import joint
from r2d_bench.metrics.base import Family
from r2d_bench.metrics.figures import cluster_codes, exact_rate, means, rate
from r2d_bench.records import missing
from r2d_bench.runs.predictions import Reader
from r2d_bench.runs.scoring import RESAMPLES, check_data, make_columns
from r2d_bench.runs.selection import Selection, asked_examples, union

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from r2d_bench.judging.rubric import Rubric
    from r2d_bench.judging.setup import JudgeSetup, Method
    from r2d_bench.judging.store import JudgmentStore
    from r2d_bench.judging.verdict import Verdict
    from r2d_bench.metrics.base import Columns
    from r2d_bench.records import Estimate, Json
    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.task import Task

    Floats = NDArray[np.float64]

SCHEMA = 1
FULL = 0.98  # below this share of verdicts the pages say so
TRANSPORT = "transport"
NO_VERDICT = "no rationale has a verdict"
NO_FLAGS = "probabilities are read of scores alone, so that no flags are known"


@dataclass(frozen=True)
class Judged:
    """A run's predictions and the verdicts on them.

    Attributes:
        rubric: by which they were judged.
        method: how the scores were had.
        who: who judged, for people.
        columns: predictions beside golds, in the split's order, N items.
        verdicts: the verdict that counts of each, shape (N,).
        repeated: example → all of its verdicts, where there are several.
    """

    rubric: Rubric
    method: Method
    who: str
    columns: Columns
    verdicts: Sequence[Verdict]
    repeated: Mapping[str, Sequence[Verdict]] = field(default_factory=dict)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which items have a verdict, shape (N,)."""
        return np.array([verdict.unscored is None for verdict in self.verdicts], dtype=bool)

    def scores(self, criterion: str) -> Floats:
        """Return a criterion's score of each item, NaN without one, shape (N,)."""
        values = (verdict.scores.get(criterion) for verdict in self.verdicts)
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    def item_means(self) -> Floats:
        """Return each item's mean over the criteria that were assessed, NaN without any, shape (N,)."""
        return np.array([mean_of(verdict) for verdict in self.verdicts], dtype=np.float64)

    def flag(self, name: str) -> NDArray[np.bool_]:
        """Return where a flag was raised, shape (N,)."""
        return np.array([verdict.flags.get(name, False) for verdict in self.verdicts], dtype=bool)

    @property
    def critical(self) -> NDArray[np.bool_]:
        """Where any critical flag was raised, shape (N,)."""
        raised = [self.flag(name) for name in self.rubric.critical]
        return np.any(raised, axis=0) if raised else np.zeros(len(self.verdicts), dtype=bool)


def mean_of(verdict: Verdict) -> float:
    """Return the mean over the criteria that were assessed; NaN without any."""
    given = [score for score in verdict.scores.values() if score is not None]
    return sum(given) / len(given) if given else float("nan")


def score_judgments(
    store: JudgmentStore,
    run: RunStore,
    task: Task,
    verdicts: Sequence[Verdict] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Json]:
    """Make the figures of a judging, and write them down.

    Args:
        store: the judging.
        run: the run that was judged.
        task: its task.
        verdicts: of all repeats; those that were read last where absent.
        seed: of the resampling.
        resamples: number of bootstrap resamples.

    Returns:
        the content of `scores.json`.

    Raises:
        UserError: the run was made on other data, or a verdict is missing or of another method.
    """
    setup, known = store.setup(), store.verdicts() if verdicts is None else verdicts
    check_data(run.setup(), task)
    selection = selection_of(store, run, task)
    judged = beside(setup, columns_of(run, task, selection), known)
    scores = {
        "schema": SCHEMA,
        "run": run.name,
        "task": run.setup().task,
        "judge": setup.digest,
        "rubric": setup.rubric.spec.full_name,
        "selection": selection.as_json(),
        **figures(judged, seed=seed, resamples=resamples),
        "family": _kinship(store, run),
        "spent": spent(store.manifest()),
        "served_models": dict(Counter(r.served_model for r in store.responses().values() if r.served_model)),
        "resampling": {"seed": seed, "resamples": resamples, "level": 0.95},
        "versions": versions(),
    }
    store.write_scores(scores)
    return scores


def selection_of(store: JudgmentStore, run: RunStore, task: Task) -> Selection:
    """Return what all sittings of a judging were asked about."""
    stamps = [sitting["selection"] for sitting in store.manifest()["sittings"]]
    parts = [Selection(tuple(stamp["ids"]), stamp["of"], stamp["how"]) for stamp in stamps]
    return union(task.examples(run.setup().split), parts)


def columns_of(run: RunStore, task: Task, selection: Selection) -> Columns:
    """Return a run's predictions beside their golds."""
    setup, asked = run.setup(), task.in_style(run.style(of_probes=True))
    examples = asked_examples(asked, setup.split, selection, ())
    reader, responses = Reader(asked, setup), run.responses()
    return make_columns(asked, setup, examples, [reader.prediction(e, responses) for e in examples])


def beside(setup: JudgeSetup, columns: Columns, verdicts: Sequence[Verdict]) -> Judged:
    """Put verdicts beside the predictions that they are on.

    Raises:
        UserError: an item has no verdict, or one was had by another method than the judge's.
    """
    by_id: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.source == "judge" and verdict.unscored is None and verdict.method != setup.method:
            raise UserError(f"{setup.folder}: holds verdicts by {verdict.method}, and judges by {setup.method}")
        by_id.setdefault(verdict.example_id, []).append(verdict)
    for ident in columns.ids:
        if ident not in by_id:
            raise UserError(f"{setup.folder}: {ident} has no verdict; read them again with --parse-only")
    ordered = {ident: sorted(by_id[ident], key=lambda verdict: verdict.repeat) for ident in columns.ids}
    several = {ident: found for ident, found in ordered.items() if len(found) > 1}
    first = [found[0] for found in ordered.values()]
    who = meaning.without_private_host(setup.identity).title
    return Judged(setup.rubric.spec, setup.method, who, columns, first, several)


def figures(judged: Judged, *, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Json]:
    """Return every figure of a judging, ready for JSON.

    Args:
        judged: predictions and verdicts.
        seed: of the resampling.
        resamples: number of resamples.
    """
    spec, columns = judged.rubric, judged.columns
    found = {MEAN: item_figure(judged.item_means(), columns, seed=seed, resamples=resamples)}
    found |= _rates(judged)
    for criterion in spec.criteria:
        values = judged.scores(criterion.name)
        found[SCORE + criterion.name] = item_figure(values, columns, seed=seed, resamples=resamples)
    cells, source, adequate = _joint(judged)
    n, scored = len(columns), int(judged.scored.sum())
    return {
        "score_method": judged.method,
        "metrics": {name: estimate.as_json() for name, estimate in (found | dict(cells.estimates)).items()},
        "joint": {"source": source, "adequate": adequate, "counts": _counts_of(cells.extra)},
        "counts": _counts(judged),
        "asked": n,
        "scored": scored,
        "care": coverage_sentence(scored, n),
        "repeats": repeats.noise(judged.repeated, columns, seed=seed, resamples=resamples),
        "clusters": _clusters(columns),
    }


def item_figure(
    values: Floats, columns: Columns, *, seed: int = 0, resamples: int = RESAMPLES, nothing: str = NO_VERDICT
) -> Estimate:
    """Return the mean of a value per item with its BCa interval over items, or over clusters of dependent ones.

    One verdict per item holds the judge's own noise already, so that the interval does as well.

    Args:
        values: shape (N,), NaN where an item has none.
        columns: predictions, which tell the clusters.
        seed: of the bootstrap.
        resamples: number of resamples.
        nothing: the reason where no item has a value.
    """
    known = np.isfinite(values)
    unscored = len(values) - int(known.sum())
    if not known.any():
        return missing(nothing, unscored=unscored)
    codes = cluster_codes(columns, known)
    return means(values[known][:, None], codes, unscored=unscored, seed=seed, resamples=resamples)[0]


def _rates(judged: Judged) -> dict[str, Estimate]:
    columns, scored = judged.columns, judged.scored
    everything, spec = np.ones(len(columns), dtype=bool), judged.rubric
    asked = np.array([v.source == "judge" and v.unscored not in _NOT_REPLIED for v in judged.verdicts], dtype=bool)
    found = {
        CRITICAL: _flag_rate(
            judged, judged.critical, "no flag of the rubric is critical" if not spec.critical else None
        ),
        COVERAGE: rate(scored, cluster_codes(columns, everything), nothing="nothing was to be judged"),
        PARSED: rate(
            scored[asked],
            cluster_codes(columns, asked),
            unscored=int((~asked).sum()),
            nothing="the judge has given no reply",
        ),
    }
    return found | {FLAG + flag.name: _flag_rate(judged, judged.flag(flag.name)) for flag in spec.flags}


_NOT_REPLIED = frozenset({TRANSPORT, "no answer", "no rationale"})


def _flag_rate(judged: Judged, raised: NDArray[np.bool_], reason: str | None = None) -> Estimate:
    scored = judged.scored
    unscored = len(scored) - int(scored.sum())
    if judged.method == "probability":
        reason = NO_FLAGS
    if reason is not None or not scored.any():
        return missing(reason or NO_VERDICT, unscored=unscored)
    return exact_rate(raised[scored], cluster_codes(judged.columns, scored), unscored=unscored)


def adequate(judged: Judged) -> list[bool | None]:
    """Return which rationales are adequate (see `meaning.adequacy`); None where nobody can say."""
    lowest = meaning.adequate_from(judged.rubric)
    values, critical = judged.scores(SUPPORT), judged.critical
    return [
        None if np.isnan(value) else bool(value >= lowest and not fails)
        for value, fails in zip(values, critical, strict=True)
    ]


def _joint(judged: Judged) -> tuple[Family, str, str | None]:
    """Return the cells of label and rationale, who says what is adequate, and when it is."""
    spec = judged.rubric
    source = f"judge: {spec.full_name} by {judged.who}"
    if SUPPORT not in {criterion.name for criterion in spec.criteria}:
        reason = f"the rubric has no criterion {SUPPORT}, which tells what is adequate"
        n = len(judged.columns)
        return Family({one.name: missing(reason, unscored=n) for one in joint.METRICS}), source, None
    words = meaning.adequacy(spec, flags=judged.method == "reply")
    return joint.compute(judged.columns, adequate(judged), f"{source}: {words}"), source, words


def _counts_of(extra: Mapping[str, Json]) -> dict[str, int] | None:
    table = extra.get("joint")
    return table.get("counts") if isinstance(table, dict) else None


def _counts(judged: Judged) -> dict[str, Json]:
    """Return how verdicts came about, over the verdicts that count."""
    verdicts, spec = judged.verdicts, judged.rubric
    asked = [verdict for verdict in verdicts if verdict.source == "judge" and verdict.unscored not in _NOT_REPLIED]
    cannot = {
        one.name: sum(one.name in v.scores and v.scores[one.name] is None for v in verdicts) for one in spec.criteria
    }
    return {
        "by_rule": sum(verdict.source == "rule" for verdict in verdicts),
        "replies": len(asked),
        "at_once": sum(verdict.unscored is None and not verdict.reasked for verdict in asked),
        "reasked": sum(verdict.reasked for verdict in asked),
        "cut": sum(verdict.cut for verdict in verdicts),
        "suspected": sum(bool(verdict.suspects) for verdict in verdicts),
        "suspects": dict(Counter(suspect for verdict in verdicts for suspect in verdict.suspects).most_common()),
        "cannot_assess": {name: count for name, count in cannot.items() if count},
        "unscored": dict(Counter(verdict.unscored for verdict in verdicts if verdict.unscored).most_common()),
    }


def coverage_sentence(scored: int, asked: int) -> str | None:
    """Return what stands beside every mean where fewer than 98 % of the rationales have a verdict."""
    if not asked or scored >= FULL * asked:
        return None
    return (
        f"Only {scored} of {asked} rationales have a verdict (below {FULL:.0%}): the means describe those that could "
        "be judged, which need not be like the rest."
    )


def _clusters(columns: Columns) -> dict[str, int] | None:
    """Return the cluster of each item by number; None where items are independent."""
    codes = cluster_codes(columns, np.ones(len(columns), dtype=bool))
    return None if codes is None else dict(zip(columns.ids, codes.tolist(), strict=True))


def _kinship(store: JudgmentStore, run: RunStore) -> dict[str, Json]:
    judge, model = families_of_manifest(store.manifest()), families_of_manifest(run.manifest())
    return {"judge": sorted(judge), "model": sorted(model), "same": same_family(judge, model)}


def spent(manifest: Mapping[str, Json]) -> dict[str, Json]:
    """Return what all sittings took together; one that was killed has told nothing."""
    done = [sitting for sitting in manifest["sittings"] if sitting["finished"]]
    return {
        "sittings": len(manifest["sittings"]),
        "last": max((s["finished"] or s["started"])[:10] for s in manifest["sittings"]),
        "requests": sum(s["answered"] + s["failed"] for s in done),
        "seconds": round(sum(s["seconds"] for s in done), 3),
        "tokens": {kind: sum(s["tokens"].get(kind, 0) for s in done) for kind in ("input", "output")},
        "cost": round(sum(s["cost"] for s in done), 6),
    }
