"""From an audit's verdicts to `audit.json`: a pure function, so that figures can be made again from stored replies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from r2d_bench.judging import agreement, audit_words, calibration, probe_figures
from r2d_bench.judging.ask import WAITING
from r2d_bench.judging.audit_probes import PROBES, SAME_FAMILY
from r2d_bench.judging.audit_store import AUDIT_SCHEMA
from r2d_bench.judging.rubric import CANNOT_ASSESS
from r2d_bench.metrics.figures import rate
from r2d_bench.records import missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from r2d_bench.judging.audit_probes import Variant
    from r2d_bench.judging.human_sets import HumanSet
    from r2d_bench.judging.setup import JudgeSetup
    from r2d_bench.judging.verdict import Verdict
    from r2d_bench.records import Json

CRITERION = "label_support"  # the one that people's ratings are of
NO_RUNS = "no judged runs were given (--run)"

Verdicts = Mapping[tuple[str, int], "Verdict"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the questions of an audit are about.

    Attributes:
        sets: rated texts.
        variants: changed gold rationales.
        without_people: why there are no rated texts, else None.
    """

    sets: tuple[HumanSet, ...]
    variants: tuple[Variant, ...]
    without_people: str | None = None


def document(
    setup: JudgeSetup,
    asked: Asked,
    verdicts: Verdicts,
    *,
    seed: int = 0,
    own_family: Mapping[str, Json] | None = None,
) -> dict[str, Json]:
    """Return every figure of an audit.

    Args:
        setup: judge and rubric.
        asked: what was asked about.
        verdicts: by id and repeat, one for everything that was asked about.
        seed: of the resampling and of the calibration's halves.
        own_family: figures of the same-family difference; None where no runs were given.
    """
    human = {one.name: _human(one, verdicts, seed) for one in asked.sets}
    spec = setup.rubric.spec
    criteria, flags = [one.name for one in spec.criteria], [flag.name for flag in spec.flags]
    judged = [(variant, verdicts[variant.case_id, variant.repeat]) for variant in asked.variants]
    changed = [probe for probe in PROBES.values() if probe.name != SAME_FAMILY]
    probes = {probe.name: probe_figures.figures(probe, judged, criteria, flags, seed=seed) for probe in changed}
    nothing = missing(NO_RUNS)
    probes[SAME_FAMILY] = dict(own_family or probe_figures.describe(PROBES[SAME_FAMILY], None, nothing, nothing, {}))
    coverage = _coverage(list(verdicts.values()))
    return {
        "schema": AUDIT_SCHEMA,
        "setup": setup.as_json(),
        "data": {one.name: {"digest": one.digest, "items": len(one.items), "of": len(one.whole)} for one in asked.sets},
        "coverage": coverage,
        "human": human,
        "without_people": asked.without_people,
        "levels": _levels(setup, judged),
        "probes": probes,
        "calibration": _calibration(asked.sets, verdicts, seed) if asked.sets else {"reason": asked.without_people},
        "sentence": audit_words.sentence(human, probes, coverage),
    }


def _human(one: HumanSet, verdicts: Verdicts, seed: int) -> dict[str, Json]:
    """Return how far the judge agrees with one set's raters."""
    rated = []
    lost: Counter[str] = Counter()
    for item in one.items:
        verdict = verdicts[item.id, 1]
        score = probe_figures.headline(verdict, CRITERION)
        if score is None:
            lost[verdict.unscored or CANNOT_ASSESS] += 1
            continue
        ratings = {str(n): rating for n, rating in enumerate(item.ratings, 1)}
        rated.append(agreement.Rated(item.cluster, score, one.level(score), item.consensus, item.majority, ratings))
    # People's agreement with each other costs nothing: it is that of the whole set, also beside a sample.
    people = [{str(n): rating for n, rating in enumerate(item.ratings, 1)} for item in one.whole]
    figures = agreement.figures(rated, one.levels, unscored=lost.total(), seed=seed)
    figures |= agreement.ceilings(people, [item.cluster for item in one.whole], one.levels, seed=seed)
    return {
        "title": one.title,
        "raters": one.raters,
        "criterion": CRITERION,
        "figures": {name: figure.as_json() for name, figure in figures.items()},
        "unscored": dict(lost),
        "table": agreement.table(rated, one.levels),
    }


def _calibration(sets: Sequence[HumanSet], verdicts: Verdicts, seed: int) -> dict[str, Json]:
    pairs = []
    for one in sets:
        for item in one.items:
            score = probe_figures.headline(verdicts[item.id, 1], CRITERION)
            if score is not None:
                pairs.append(calibration.Pair(one.name, item.cluster, score, item.consensus))
    found = calibration.fit(CRITERION, pairs, seed=seed)
    return {"reason": found} if isinstance(found, str) else found.as_json()


def _levels(setup: JudgeSetup, judged: Sequence[probe_figures.Judged]) -> dict[str, Json]:
    """Return the mean score of gold rationales as they are, for each criterion: what the shifts start from."""
    bases = [verdict for variant, verdict in judged if variant.probe == "base" and verdict.unscored is None]
    found: dict[str, Json] = {}
    for criterion in setup.rubric.spec.criteria:
        scores = [score for verdict in bases if (score := verdict.scores.get(criterion.name)) is not None]
        found[criterion.name] = {"mean": float(np.mean(scores)) if scores else None, "n": len(scores)}
    return found


def _coverage(verdicts: Sequence[Verdict]) -> dict[str, Json]:
    """Return how many questions were asked, answered, and read; a verdict by rule asked nothing."""
    asked = [verdict for verdict in verdicts if verdict.source == "judge"]
    answered = [verdict for verdict in asked if verdict.unscored != WAITING]
    read = np.array([verdict.unscored is None for verdict in answered], dtype=np.bool_)
    at_once = np.array([verdict.unscored is None and not verdict.reasked for verdict in answered], dtype=np.bool_)
    unanswered = len(asked) - len(answered)
    nothing = "nothing was answered"
    return {
        "asked": len(asked),
        "answered": len(answered),
        "scored": int(read.sum()),
        "by_rule": len(verdicts) - len(asked),
        "unscored": dict(Counter(verdict.unscored for verdict in asked if verdict.unscored is not None)),
        "parse_rate": rate(read, unscored=unanswered, nothing=nothing).as_json(),
        "parse_rate_at_once": rate(at_once, unscored=unanswered, nothing=nothing).as_json(),
    }
