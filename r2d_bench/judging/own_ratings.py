"""A judge's verdicts on a run beside a team's own ratings: each rater, and all of them together.

The consensus of an item is the median of its raters. Kappa and alpha need levels: a consensus between two numbers goes
to the lower one (an even panel is split: the judge is held to the stricter half), a score that is an expected value to
the nearest number.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from math import floor
from statistics import median
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.judging import agreement
from r2d_bench.judging.rubric import CANNOT_ASSESS
from r2d_bench.judging.store import find_judgments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from r2d_bench.judging.ratings import Rating
    from r2d_bench.judging.store import JudgmentStore
    from r2d_bench.judging.verdict import Verdict
    from r2d_bench.records import Json

NOT_JUDGED = "not judged"
Ratings = dict[str, dict[str, float]]  # example → rater → score


def find_judgment(run: Path, judge: str | None) -> JudgmentStore:
    """Return the judging of a run.

    Args:
        run: the run folder.
        judge: name of the rubric, or of the judgment's folder; may be left out where there is only one.

    Raises:
        UserError: nothing was judged, no such judge, or several fit.
    """
    stores = find_judgments(run)
    if not stores:
        raise UserError(f"{run}: holds no judgments; make them first (r2d-bench judge)")
    if judge is None and len(stores) == 1:
        return stores[0]
    names = {store.name: store for store in stores}
    if judge in names:
        return names[judge]
    fitting = [store for store in stores if store.setup().rubric.spec.name == judge]
    if len(fitting) == 1:
        return fitting[0]
    if fitting or judge is None:
        several = ", ".join(store.name for store in (fitting or stores))
        raise UserError(f"{run}: several judgings fit; name one with --judge: {several}")
    known = {store.setup().rubric.spec.name for store in stores} | set(names)
    raise UserError(f"{run}: no judgments by '{judge}'{did_you_mean(judge, known)}")


def compare(
    ratings: Sequence[Rating],
    verdicts: Sequence[Verdict],
    numbers: Sequence[int],
    clusters: Mapping[str, str],
    *,
    seed: int = 0,
) -> dict[str, Json]:
    """Return per criterion how far the verdicts agree with each rater and with all.

    Args:
        ratings: of the team.
        verdicts: of the judge; repeats are left out.
        numbers: of the rubric's scale.
        clusters: example → cluster of dependent examples, for every example of the run.
        seed: of the bootstrap.

    Raises:
        UserError: a rated example that the run does not have.
    """
    for rating in ratings:
        if rating.example_id not in clusters:
            hint = did_you_mean(rating.example_id, clusters) if len(clusters) <= 10_000 else ""
            raise UserError(f"the run has no example '{rating.example_id}'{hint}")
    by_example = {verdict.example_id: verdict for verdict in verdicts if verdict.repeat == 1}
    by_criterion: dict[str, Ratings] = defaultdict(lambda: defaultdict(dict))
    for rating in ratings:
        by_criterion[rating.criterion][rating.example_id][rating.rater] = rating.score
    return {
        name: _criterion(name, given, by_example, [float(n) for n in numbers], clusters, seed)
        for name, given in by_criterion.items()
    }


def _criterion(
    name: str,
    given: Ratings,
    verdicts: Mapping[str, Verdict],
    levels: Sequence[float],
    clusters: Mapping[str, str],
    seed: int,
) -> dict[str, Json]:
    raters = sorted({rater for scores in given.values() for rater in scores})
    scored, lost = _scored(name, given, verdicts)
    everybody = _figures(given, scored, levels, clusters, seed)
    people = [{rater: _level(score, levels) for rater, score in scores.items()} for scores in given.values()]
    ceiling = agreement.ceilings(people, [clusters[example] for example in given], levels, seed=seed)
    single = {
        rater: _figures(
            {example: {rater: scores[rater]} for example, scores in given.items() if rater in scores},
            scored,
            levels,
            clusters,
            seed,
        )
        for rater in raters
    }
    return {
        "raters": raters,
        "items": len(given),
        "unscored": dict(lost),
        "consensus": everybody | {key: figure.as_json() for key, figure in ceiling.items()},
        "single": single,
    }


def _scored(name: str, given: Ratings, verdicts: Mapping[str, Verdict]) -> tuple[dict[str, float], Counter[str]]:
    """Return the judge's score of every rated example, and why others have none."""
    scored: dict[str, float] = {}
    lost: Counter[str] = Counter()
    for example in given:
        verdict = verdicts.get(example)
        score = None if verdict is None else verdict.scores.get(name)
        if verdict is None:
            lost[NOT_JUDGED] += 1
        elif score is None:
            lost[verdict.unscored or CANNOT_ASSESS] += 1
        else:
            scored[example] = score
    return scored, lost


def _figures(
    given: Mapping[str, Mapping[str, float]],
    scored: Mapping[str, float],
    levels: Sequence[float],
    clusters: Mapping[str, str],
    seed: int,
) -> dict[str, Json]:
    rated = []
    for example, ratings in given.items():
        if example in scored:
            consensus = median(ratings.values())
            by_level = {rater: _level(score, levels) for rater, score in ratings.items()}
            rated.append(
                agreement.Rated(
                    clusters[example],
                    scored[example],
                    _nearest(scored[example], levels),
                    consensus,
                    _level(consensus, levels),
                    by_level,
                )
            )
    found = agreement.figures(rated, levels, unscored=len(given) - len(rated), seed=seed)
    return {key: figure.as_json() for key, figure in found.items()}


def _level(score: float, levels: Sequence[float]) -> float:
    """Return the number at or below a score."""
    return float(min(max(floor(score), levels[0]), levels[-1]))


def _nearest(score: float, levels: Sequence[float]) -> float:
    """Return the number nearest to a score; the lower of two that are as near."""
    return min(levels, key=lambda level: abs(level - score))
