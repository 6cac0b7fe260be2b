"""From the verdicts on an audit's probes to figures, each with the word `passes`, `fails` or `cannot tell`.

The word is decided on the interval, never on the point: an interval that holds both sides of a limit cannot tell. Where
there was nothing to ask it is `not measured`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from r2d_bench.judging.audit_probes import BASE, REPEAT
from r2d_bench.judging.rubric import CANNOT_ASSESS
from r2d_bench.metrics.figures import means, rate
from r2d_bench.records import missing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from r2d_bench.judging.audit_probes import Expectation, Probe, Variant
    from r2d_bench.judging.verdict import Verdict
    from r2d_bench.records import Estimate, Json

FEWEST = 10  # pairs: with fewer an interval says too little for any word
PASSES, FAILS, CANNOT_TELL, NOT_MEASURED = "passes", "fails", "cannot tell", "not measured"

Judged = tuple["Variant", "Verdict"]


class Pair(NamedTuple):
    """The verdicts on one item as it was and as it was changed; both have a score."""

    variant: Variant
    base: Verdict
    changed: Verdict
    shift: float


def headline(verdict: Verdict, criterion: str | None) -> float | None:
    """Return the score of a criterion (None: the mean of all that were assessed); None where there is none."""
    if verdict.unscored is not None:
        return None
    if criterion is not None:
        return verdict.scores.get(criterion)
    given = [score for score in verdict.scores.values() if score is not None]
    return sum(given) / len(given) if given else None


def criterion_of(probe: Probe, criteria: Sequence[str]) -> str | None:
    """Return the criterion that a probe looks at; None for the mean of all.

    Raises:
        LookupError: the rubric has none of those that the probe could look at.
    """
    if not probe.criteria:
        return None
    for name in probe.criteria:
        if name in criteria:
            return name
    raise LookupError(f"the rubric has no criterion {' or '.join(probe.criteria)}")


def figures(
    probe: Probe, judged: Sequence[Judged], criteria: Sequence[str], flags: Sequence[str], *, seed: int = 0
) -> dict[str, Json]:
    """Return the figures of one probe as they stand in `audit.json`.

    Args:
        probe: what was changed and what is expected.
        judged: every text of the audit's probes with its verdict.
        criteria: of the rubric.
        flags: of the rubric.
        seed: of the bootstrap.
    """
    try:
        criterion = criterion_of(probe, criteria)
    except LookupError as error:
        if probe.flag not in flags:
            return describe(probe, None, missing(str(error)), missing(str(error)), {})
        criterion = None  # the flag can still tell
    own = [one for one in judged if one[0].probe == probe.name]
    if not own:
        reason = "no item of the audit has a text for this probe"
        return describe(probe, criterion, missing(reason), missing(reason), {})
    if probe.name == REPEAT:
        return _repeats(probe, judged)
    pairs, unscored = _pairs(own, _bases(judged), criterion)
    lost = unscored.total()
    moved = np.array([_moved(probe, pair) for pair in pairs], dtype=np.bool_)
    clusters = _codes([pair.variant.cluster for pair in pairs])
    shift = _mean([pair.shift for pair in pairs], clusters, lost, seed)
    share = rate(moved, clusters, unscored=lost, nothing="no item has a score both before and after")
    found = describe(probe, criterion, shift, share, unscored)
    return found | ({"kinds": _kinds(pairs)} if any(pair.variant.kind for pair in pairs) else {})


def _bases(judged: Sequence[Judged]) -> dict[str, Verdict]:
    return {variant.item: verdict for variant, verdict in judged if variant.probe == BASE}


def _pairs(
    own: Sequence[Judged], bases: Mapping[str, Verdict], criterion: str | None
) -> tuple[list[Pair], Counter[str]]:
    """Pair every changed text with its base; count why others have no pair."""
    pairs: list[Pair] = []
    unscored: Counter[str] = Counter()
    for variant, verdict in own:
        base = bases[variant.item]
        before, after = headline(base, criterion), headline(verdict, criterion)
        if before is None:
            unscored[f"base: {base.unscored or CANNOT_ASSESS}"] += 1
        elif after is None:
            unscored[verdict.unscored or CANNOT_ASSESS] += 1
        else:
            pairs.append(Pair(variant, base, verdict, after - before))
    return pairs, unscored


def _moved(probe: Probe, pair: Pair) -> bool:
    """Tell whether the verdict went the way it should."""
    if probe.expectation == "same":
        return abs(pair.shift) <= probe.limit
    if probe.expectation == "no_rise":
        return pair.shift <= probe.limit
    raised = probe.flag is not None and pair.changed.flags.get(probe.flag, False)
    newly = raised and probe.flag is not None and not pair.base.flags.get(probe.flag, False)
    return pair.shift < 0 or newly


def _repeats(probe: Probe, judged: Sequence[Judged]) -> dict[str, Json]:
    """Return the share of scores that are not the same each time: one for every item and criterion scored each time."""
    times: dict[str, list[Judged]] = defaultdict(list)
    for variant, verdict in judged:
        if variant.probe in {BASE, REPEAT}:
            times[variant.item].append((variant, verdict))
    flips: list[bool] = []
    codes: list[str] = []
    unscored: Counter[str] = Counter()
    for asked in times.values():
        reasons = [verdict.unscored for _, verdict in asked if verdict.unscored is not None]
        if reasons:
            unscored[reasons[0]] += 1
            continue
        for criterion in asked[0][1].scores:
            flips.append(len({_whole(verdict.scores.get(criterion)) for _, verdict in asked}) > 1)
            codes.append(asked[0][0].cluster)
    lost = unscored.total()
    share = rate(np.array(flips, dtype=np.bool_), _codes(codes), unscored=lost, nothing="no item was scored each time")
    return describe(probe, "each criterion", missing("not a shift: see the share"), share, unscored)


def _whole(score: float | None) -> int | None:
    """Return a score as a level of the scale: expected values over digits differ in their last places."""
    return None if score is None else round(score)


def _mean(values: Sequence[float], codes: NDArray[np.int64], unscored: int, seed: int) -> Estimate:
    if not values:
        return missing("no item has a score both before and after", unscored=unscored)
    return means(np.array(values, dtype=np.float64)[:, None], codes, unscored=unscored, seed=seed)[0]


def _codes(clusters: Sequence[str]) -> NDArray[np.int64]:
    return np.unique(np.array(clusters, dtype=np.str_), return_inverse=True)[1].astype(np.int64)


def _kinds(pairs: Sequence[Pair]) -> dict[str, Json]:
    """Return mean shift and n of each kind; too few items each for an interval."""
    by_kind: dict[str, list[float]] = defaultdict(list)
    for pair in pairs:
        by_kind[pair.variant.kind or ""].append(pair.shift)
    return {kind: {"shift": sum(shifts) / len(shifts), "n": len(shifts)} for kind, shifts in sorted(by_kind.items())}


def describe(
    probe: Probe, criterion: str | None, shift: Estimate, share: Estimate, unscored: Mapping[str, int]
) -> dict[str, Json]:
    """Return a probe's figures with what was done, what was expected, and the word."""
    decisive = share if probe.expectation in {"few_flips", "noticed"} else shift
    return {
        "title": probe.title,
        "changed": probe.changed,
        "criterion": criterion or "mean of the criteria",
        "expected": expected(probe.expectation, probe.limit),
        "shift": shift.as_json(),
        "share": share.as_json(),
        "unscored": dict(unscored),
        "verdict": decide(probe.expectation, probe.limit, decisive) if decisive.n or unscored else NOT_MEASURED,
    }


def expected(expectation: Expectation, limit: float) -> str:
    """Return what is expected, in words, with its limit."""
    return {
        "same": f"mean shift within ±{limit:g}",
        "no_rise": f"mean shift at most +{limit:g}",
        "drop": f"mean shift −{limit:g} or lower",
        "noticed": f"noticed in more than {limit:.0%} of items",
        "few_flips": f"fewer than {limit:.0%} of scores differ",
    }[expectation]


def decide(expectation: Expectation, limit: float, estimate: Estimate) -> str:
    """Return `passes`, `fails` or `cannot tell` for an interval and a stated limit."""
    low, high = estimate.low, estimate.high
    if low is None or high is None or estimate.n < FEWEST:
        return CANNOT_TELL
    passes, fails = {
        "same": (-limit <= low and high <= limit, low > limit or high < -limit),
        "no_rise": (high <= limit, low > limit),
        "drop": (high <= -limit, low > -limit),
        "noticed": (low > limit, high < limit),
        "few_flips": (high < limit, low > limit),
    }[expectation]
    return PASSES if passes else FAILS if fails else CANNOT_TELL
