"""What the figures of a judge mean: direction, range and digits, as for any other metric.

A rubric's own names stand behind a prefix (`score.clarity`, `flag.off_topic`), so that they never meet others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.metrics import joint
from r2d_bench.metrics.base import About, Direction, Metric
from r2d_bench.models.base import Identity
from r2d_bench.tasks.privacy import public_host

if TYPE_CHECKING:
    from r2d_bench.judging.rubric import Rubric

MEAN, CRITICAL, COVERAGE, PARSED = "judge_mean", "critical_fail_rate", "judge_coverage", "judge_parsed"
SCORE, FLAG = "score.", "flag."
SUPPORT = "label_support"  # the criterion that tells whether a rationale is adequate
HEADLINE = (MEAN, CRITICAL, COVERAGE)


def judge_metrics(rubric: Rubric) -> dict[str, Metric]:
    """Return the metrics of a rubric by name, in the order in which they are shown."""
    found = [
        _score(MEAN, "Judge mean", "Mean over items of each item's mean over the criteria that were assessed.", rubric),
        _rate(CRITICAL, "Critical fails", _critical(rubric)),
        _rate(COVERAGE, "Coverage", "Share of the rationales to be judged that have a verdict.", Direction.HIGHER),
        _rate(PARSED, "Readable replies", "Share of the judge's replies that are a verdict.", Direction.HIGHER),
    ]
    found += [_score(SCORE + one.name, one.title, one.question, rubric) for one in rubric.criteria]
    found += [_rate(FLAG + flag.name, flag.title, flag.question) for flag in rubric.flags]
    return {metric.name: metric for metric in [*found, *joint.METRICS]}


def without_private_host(identity: Identity) -> Identity:
    """Return an identity whose name does not tell the host of a private server (or this machine's)."""
    name, at, host = identity.name.rpartition("@")
    if not at or public_host(host):
        return identity
    return Identity(identity.kind, name, identity.digest, identity.params, identity.row)


def adequate_from(rubric: Rubric) -> float:
    """Return the score of `label_support` from which a rationale is adequate: three quarters up the scale (4 of 5)."""
    return rubric.scale.low + 0.75 * (rubric.scale.high - rubric.scale.low)


def adequacy(rubric: Rubric, *, flags: bool) -> str:
    """Return in words when a rationale counts as adequate.

    Args:
        rubric: the rubric.
        flags: whether flags are judged (probabilities are of scores alone).
    """
    words = f"{SUPPORT} >= {adequate_from(rubric):g}"
    return f"{words}, no critical flag" if flags and rubric.critical else words


def _critical(rubric: Rubric) -> str:
    titles = [flag.title.lower() for flag in rubric.flags if flag.critical]
    return f"Share of rationales with a critical flag: {', '.join(titles)}." if titles else "No flag is critical."


def _score(name: str, title: str, text: str, rubric: Rubric) -> Metric:
    low, high = float(rubric.scale.low), float(rubric.scale.high)
    return Metric(name, title, About.RATIONALE, low=low, high=high, decimals=2, help=text)


def _rate(name: str, title: str, text: str, direction: Direction = Direction.LOWER) -> Metric:
    return Metric(name, title, About.RATIONALE, direction, percent=True, decimals=1, help=text)
