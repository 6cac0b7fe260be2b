"""The examples of a run as pages show them. Only ever asked for tasks that publish texts."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2d_bench.documents import to_json
from r2d_bench.errors import UserError
from r2d_bench.judging.meaning import FLAG, SCORE, judge_metrics
from r2d_bench.judging.score import mean_of
from r2d_bench.judging.store import find_judgments
from r2d_bench.leaderboard.document import ExampleCounts
from r2d_bench.leaderboard.judged import title_of
from r2d_bench.metrics.display import heading, shown
from r2d_bench.metrics.registry import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from r2d_bench.judging.rubric import Rubric
    from r2d_bench.judging.verdict import Verdict
    from r2d_bench.records import Json
    from r2d_bench.runs.store import RunStore

SHARD_ROWS = 250


def count_examples(store: RunStore) -> ExampleCounts:
    """Return how many examples the run has, by outcome and by what judges said.

    Raises:
        UserError: the run has no `examples.parquet`.
    """
    rows = _table(store)
    states = Counter(_state(row) for row in rows)
    judges = _judges(store)
    return ExampleCounts(
        n=len(rows),
        shards=-(-len(rows) // SHARD_ROWS),
        right=states["right"],
        wrong=states["wrong"] + states["unparsed"],
        unparsed=states["unparsed"],
        unscored=states["unscored"],
        poor=sum(any(judge.poor(row["id"]) for judge in judges) for row in rows) if judges else None,
    )


def example_shards(store: RunStore) -> Iterator[tuple[str, str]]:
    """Yield name and JavaScript text of each shard of a run's examples.

    Classic scripts, because `fetch` fails on pages that are opened from disk.
    """
    rows = _table(store)
    outputs, judges = _outputs(store), _judges(store)
    for number, start in enumerate(range(0, len(rows), SHARD_ROWS)):
        part = [_example(row, outputs[row["id"]], judges) for row in rows[start : start + SHARD_ROWS]]
        name = f"{number:03d}"
        yield f"{name}.js", f"R2D.shard({script_json(f'{store.name}/{name}')}, {script_json(part)});\n"


def script_json(value: Json) -> str:
    """Return JSON that is safe inside a script: it cannot end the script, nor a line of JavaScript."""
    text = to_json(value, indent=None)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _table(store: RunStore) -> list[dict[str, Json]]:
    from r2d_bench.runs.table import read_examples  # noqa: PLC0415 - pyarrow is slow to import

    path = store.folder / "examples.parquet"
    if not path.is_file():
        raise UserError(f"{path}: no such file; score the run again")
    split = store.setup().split
    return [row for row in read_examples(path) if row["split"] == split]  # challenge sets stand apart


def _state(row: dict[str, Json]) -> str:
    """Return right, wrong, unparsed (wrong, and without a valid label) or unscored."""
    correct = row.get("metric.correct")
    if correct is None:
        return "unscored"
    if row["label"] is None:
        return "unparsed"
    return "right" if correct == 1 else "wrong"


def _outputs(store: RunStore) -> dict[str, list[dict[str, Json]]]:
    """Return what the model wrote, by example id, in the order of the stages."""
    stages = {stage.name: place for place, stage in enumerate(store.setup().stages)}
    found: dict[str, dict[str, dict[str, Json]]] = defaultdict(dict)
    for answer in store.answers():
        if answer.stage in stages:
            said = {"stage": answer.stage, "text": answer.response.text, "finish": str(answer.response.finish)}
            if answer.response.thinking is not None:
                said["thinking"] = answer.response.thinking
            found[answer.example_id][answer.stage] = said
    ordered = {ident: sorted(by.values(), key=lambda o: stages[o["stage"]]) for ident, by in found.items()}
    return defaultdict(list, ordered)


@dataclass(frozen=True)
class _Judge:
    """What one judge said of each example, the verdict that counts."""

    title: str
    rubric: Rubric
    verdicts: Mapping[str, Verdict]

    def poor(self, ident: str) -> bool:
        """Tell whether the mean of the criteria lies a quarter up the scale or lower (2 of 1 to 5)."""
        verdict = self.verdicts.get(ident)
        if verdict is None or verdict.unscored is not None:
            return False
        scale = self.rubric.scale
        return mean_of(verdict) <= scale.low + 0.25 * (scale.high - scale.low)

    def said(self, ident: str) -> dict[str, Json] | None:
        """Return the verdict on an example for its page; None where it was not judged."""
        verdict = self.verdicts.get(ident)
        if verdict is None:
            return None
        known = judge_metrics(self.rubric)
        scores = {SCORE + name: score for name, score in verdict.scores.items()}
        return {
            "title": self.title,
            "unscored": ": ".join(filter(None, (verdict.unscored, verdict.detail))) if verdict.unscored else None,
            "by_rule": verdict.source == "rule",
            "explanation": verdict.explanation,
            "scores": [[known[name].title, _score(score)] for name, score in scores.items()],
            "flags": [known[FLAG + name].title for name, raised in verdict.flags.items() if raised],
            "suspects": list(verdict.suspects),
        }


def _score(score: float | None) -> str:
    return "cannot assess" if score is None else f"{score:.2f}".removesuffix(".00")


def _judges(store: RunStore) -> list[_Judge]:
    found = []
    for judging in find_judgments(store.folder):
        setup = judging.setup()
        if setup.rubric.spec.mode == "pointwise":
            counting = {verdict.example_id: verdict for verdict in judging.verdicts() if verdict.repeat == 1}
            found.append(_Judge(title_of(setup), setup.rubric.spec, counting))
    return found


def _example(row: dict[str, Json], outputs: Sequence[dict[str, Json]], judges: Sequence[_Judge]) -> dict[str, Json]:
    values = {name: row.get(f"metric.{name}") for name in METRICS}
    return {
        "id": row["id"],
        "state": _state(row),
        "input": row.get("input"),
        "gold": row["gold"],
        "label": row["label"],
        "status": row["label_status"],
        "outputs": list(outputs),
        "reference": row.get("reference"),
        "rationale": row["rationale"],
        "rationale_status": row["rationale_status"],
        "cut": [what for what in ("input", "output") if row[f"{what}_cut"]],
        "unscored": row["unscored"],
        "judged": [said for judge in judges if (said := judge.said(row["id"])) is not None],
        "poor": any(judge.poor(row["id"]) for judge in judges),
        "metrics": [[heading(name), shown(name, value)] for name, value in values.items() if value is not None],
    }
