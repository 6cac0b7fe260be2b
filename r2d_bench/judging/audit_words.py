"""One plain sentence on a judge: how far it agrees with people, what its probes say, and what not to use it for.

Conventions, stated here once: a judge whose kappa lies below 0.4 with its whole interval (less than *moderate* in
Landis and Koch 1977), or whose interval holds 0, is not to be used for comparing models; one whose whole interval lies
above the people's own kappa less 0.1 agrees about as well as people do; what is between is used with care.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from r2d_bench.judging.probe_figures import CANNOT_TELL, FAILS, PASSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from r2d_bench.records import Json

MODERATE = 0.4
NEAR_CEILING = 0.1
FEWEST_SCORED = 0.98  # of what was asked: below that the sentence says so

UNUSABLE = "do not use its scores to compare models"
LIKE_PEOPLE = "agrees about as well as people do"
WITH_CARE = "use with care, and not alone"


def sentence(human: Mapping[str, Json], probes: Mapping[str, Json], coverage: Mapping[str, Json]) -> str:
    """Return what a reader must know of a judge.

    Args:
        human: human set → figures, as in `audit.json`.
        probes: probe → figures.
        coverage: what was asked and scored.
    """
    parts = [_agreement(one) for one in human.values()] or ["Not compared with people's ratings"]
    words = [*parts, _probes(probes)]
    share = coverage["scored"] / coverage["asked"] if coverage["asked"] else 0.0
    if share < FEWEST_SCORED:
        words.append(f"Only {share:.0%} of its verdicts could be used")
    return ". ".join(words) + "."


def _agreement(one: Mapping[str, Json]) -> str:
    figures = one["figures"]
    kappa, ceiling = figures["kappa"], figures["ceiling"]
    if kappa["value"] is None:
        return f"Agreement with {one['raters']} on {one['title']} is not known ({kappa['reason']})"
    people = f", {one['raters']} among themselves {ceiling['value']:.2f}" if ceiling["value"] is not None else ""
    return f"Agrees with {one['raters']} at kappa {shown(kappa)} on {one['title']}{people}: {advice(kappa, ceiling)}"


def advice(kappa: Mapping[str, Json], ceiling: Mapping[str, Json]) -> str:
    """Return what a judge of this agreement may be used for."""
    if kappa["low"] is None:
        return "too few items to tell"
    if kappa["high"] < MODERATE or kappa["low"] <= 0:
        return UNUSABLE
    if ceiling["value"] is not None and kappa["low"] >= ceiling["value"] - NEAR_CEILING:
        return LIKE_PEOPLE
    return WITH_CARE


def _probes(probes: Mapping[str, Json]) -> str:
    words = (PASSES, FAILS, CANNOT_TELL)
    by_word = {word: [one["title"] for one in probes.values() if one["verdict"] == word] for word in words}
    failed = f" ({', '.join(by_word[FAILS])})" if by_word[FAILS] else ""
    told = sum(len(titles) for titles in by_word.values())
    return (
        f"Of {told} probes it passes {len(by_word[PASSES])} and fails {len(by_word[FAILS])}{failed}; "
        f"on {len(by_word[CANNOT_TELL])} nothing can be said"
    )


def shown(estimate: Mapping[str, Json], decimals: int = 2) -> str:
    """Return a figure with its interval; the reason where there is none."""
    if estimate["value"] is None:
        return str(estimate.get("reason", "n/a"))
    text = _number(estimate["value"], decimals)
    if estimate["low"] is None:
        return text
    return f"{text} [{_number(estimate['low'], decimals)}, {_number(estimate['high'], decimals)}]"


def _number(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")
