"""What judges said of single examples. Only ever asked for tasks that publish texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.judging.meaning import FLAG, SCORE, judge_metrics
from r2d_bench.judging.score import mean_of
from r2d_bench.judging.store import find_judgments
from r2d_bench.leaderboard.judged import title_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from r2d_bench.judging.rubric import Rubric
    from r2d_bench.judging.verdict import Verdict
    from r2d_bench.records import Json

POOR = 0.25  # so far up the scale, or less: 2 of 1 to 5


@dataclass(frozen=True, slots=True)
class ExampleJudge:
    """One judge of a run and its verdict on each example, the one that counts.

    Attributes:
        title: the judge's, for people.
        rubric: by which it judged.
        names: metric → its title.
        verdicts: by example id; judges see the evaluated split alone.
    """

    title: str
    rubric: Rubric
    names: Mapping[str, str]
    verdicts: Mapping[str, Verdict]

    def mean(self, ident: str) -> float | None:
        """Return the mean over the criteria that were assessed; None without any."""
        verdict = self.verdicts.get(ident)
        if verdict is None or verdict.unscored is not None or all(s is None for s in verdict.scores.values()):
            return None
        return round(mean_of(verdict), 2)

    def poor(self, ident: str) -> bool:
        """Tell whether the mean lies a quarter up the scale or lower."""
        mean, scale = self.mean(ident), self.rubric.scale
        return mean is not None and mean <= scale.low + POOR * (scale.high - scale.low)

    def said(self, ident: str) -> dict[str, Json] | None:
        """Return the verdict on an example for its page; None where it was not judged."""
        verdict = self.verdicts.get(ident)
        if verdict is None:
            return None
        return {
            "title": self.title,
            "unscored": ": ".join(filter(None, (verdict.unscored, verdict.detail))) if verdict.unscored else None,
            "by_rule": verdict.source == "rule",
            "explanation": verdict.explanation,
            "scores": [[self.names[SCORE + name], _score(score)] for name, score in verdict.scores.items()],
            "flags": [self.names[FLAG + name] for name, raised in verdict.flags.items() if raised],
            "suspects": list(verdict.suspects),
        }


def judges_of(run: Path) -> list[ExampleJudge]:
    """Return the judges of a run folder that judged each rationale by itself."""
    found = []
    for judging in find_judgments(run):
        setup = judging.setup()
        rubric = setup.rubric.spec
        if rubric.mode == "pointwise":
            counting = {verdict.example_id: verdict for verdict in judging.verdicts() if verdict.repeat == 1}
            names = {name: metric.title for name, metric in judge_metrics(rubric).items()}
            found.append(ExampleJudge(title_of(setup), rubric, names, counting))
    return found


def _score(score: float | None) -> str:
    return "cannot assess" if score is None else f"{score:.2f}".removesuffix(".00")
