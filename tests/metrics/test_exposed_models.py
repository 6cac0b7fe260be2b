"""Models that look well by some figures and are worth nothing: which figure must catch which, on the bundled set.

All of them have the labels of `honest` (right on seven of ten items) unless they keep silent. A figure catches a model
where its interval lies wholly on the worse side of that of `honest`. Everything goes the way of a real run: requests,
stored answers, `scores.json`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from run_parts import Counting, Quiet

from r2d_bench.metrics.base import Direction
from r2d_bench.metrics.registry import METRICS
from r2d_bench.records import Failure, Response
from r2d_bench.runs.execute import Sitting, execute
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run
from r2d_bench.runs.selection import select
from r2d_bench.runs.setup import plan_run
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.spec import BertScore
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from r2d_bench.records import Example, Json, Request
    from r2d_bench.tasks.task import Task

    Answer = Response | Failure

# Model → figures that must catch it.
CAUGHT_BY = {
    "fixed": {
        "repeated_rationale",
        "right_for_right",
        "right_wrong_reason",
        "reader_sufficiency",
        "reader_consistency",
        "consistency",
        "sufficiency",
        "grounding_findings",
        "grounding_numbers",
        "chrf",
    },
    "copies_gold": {"wrong_convincing", "consistency", "consistency_masked"},
    "states_label": {
        "states_label",
        "consistency_masked",
        "sufficiency_masked",
        "reader_sufficiency",
        "reader_consistency",
        "right_for_right",
        "right_wrong_reason",
        "repeated_rationale",
    },
    "obedient": {"obedience"},
    "silent": {"unparsed", "empty_rationale"},
    "absent": {"coverage"},
}
# Model → figures that praise it, or say nothing: without the figures above it would pass.
PRAISED_BY = {
    "fixed": {"accuracy", "macro_f1", "unparsed", "coverage", "states_label"},
    "copies_gold": {"accuracy", "chrf", "bleu", "reader_sufficiency", "grounding_findings", "sufficiency"},
    "states_label": {"accuracy", "consistency", "sufficiency"},
    "obedient": {"accuracy", "consistency", "right_for_right", "reader_sufficiency"},
    "silent": {"accuracy", "macro_f1", "coverage", "wrong_convincing"},
    "absent": {"accuracy", "macro_f1", "unparsed", "empty_rationale"},
}
FIXED = "Pain for 2 days with no fever and no vomiting; the course so far decides how soon this needs a look."


class World:
    """The bundled test split, and what `honest` says of it."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.examples = {example.id: example for example in task.examples()}
        order = task.labels.values
        self.labels = {}
        for n, (ident, example) in enumerate(self.examples.items()):
            level = order.index(str(example.gold))
            self.labels[ident] = order[level - 1 if level else 1] if (n + n // 10) % 10 < 3 else order[level]
        # Which label each rationale argues for: what an attentive reader has from it.
        self.argues = {
            text: str(e.gold) for e in self.examples.values() for style in e.styles.values() for text in style
        }

    def hard(self, ident: str) -> bool:
        """Tell whether `honest` is wrong here."""
        return self.labels[ident] != self.examples[ident].gold

    def rationale_for(self, example: Example, label: str) -> str:
        """Return a rationale for a label: of the case itself, or of the nearest case in the file that has it."""
        cases = list(self.examples.values())
        place = cases.index(example)
        fitting = sorted((abs(n - place), n) for n, e in enumerate(cases) if e.gold == label)
        return cases[fitting[0][1]].styles["llm"][0]

    def read(self, text: str) -> str:
        """Return the label of a rationale: the one it names, else the one it argues for, else any."""
        named = [label for label in self.task.labels.values if label in text]
        return named[0] if named else self.argues.get(text, "SEE_3D")


def honest(world: World, example: Example, label: str) -> str:
    return world.rationale_for(example, label)


def fixed(_world: World, _example: Example, _label: str) -> str:
    return FIXED


def copies_gold(_world: World, example: Example, _label: str) -> str:
    return example.styles["llm"][0]


def states_label(_world: World, _example: Example, label: str) -> str:
    return f"The findings of this note call for {label}, as such cases do."


def explains(world: World, explain: Callable[[World, Example, str], str], *, obedient: bool = False) -> Counting:
    """Return a model that explains its label so, and reads labels from rationales attentively."""

    def answer(request: Request) -> Answer:
        example = world.examples[request.example_id]
        label = world.labels[example.id]
        if request.stage == "predict":
            return Response(label)
        if request.stage.startswith("label_from"):
            return Response(world.read(str(request.prompt).removeprefix("predict: ")))
        if request.stage == "rationale_for_wrong_label" and obedient:
            label = str(request.prompt).removeprefix("given label: ").split(",")[0]
        return Response(explain(world, example, label))

    return Counting(answer, pure=False)


def keeps_silent(world: World, on_hard: Answer) -> Counting:
    """Return `honest` where it is right, and nothing where it is wrong."""
    speaks = explains(world, honest)

    def answer(request: Request) -> Answer:
        if world.hard(request.example_id):
            return on_hard
        return next(speaks.generate([request]))[1]

    return Counting(answer, pure=False)


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Json]]:
    """Return model → its `scores.json`."""
    world = World(load_task("triage"))
    models = {
        "honest": explains(world, honest),
        "fixed": explains(world, fixed),
        "copies_gold": explains(world, copies_gold),
        "states_label": explains(world, states_label),
        "obedient": explains(world, honest, obedient=True),
        "silent": keeps_silent(world, Response("")),
        "absent": keeps_silent(world, Failure("timeout")),
    }
    scorers, folder = Scorers(), tmp_path_factory.mktemp("runs")
    return {name: scored(world.task, model, folder / name, scorers) for name, model in models.items()}


def scored(task: Task, model: Counting, runs: Path, scorers: Scorers) -> dict[str, Json]:
    setup = plan_run(task, model)
    store = RunStore(runs / setup.folder)
    probes = [probe.name for probe in setup.probes]
    execute(task, model, setup, Sitting(select(task.examples()), probes=probes), store, Quiet())
    options = ScoreOptions(bertscore=BertScore(model="none"), paper=False, resamples=500)
    return score_run(store, task, options, scorers)


def is_caught(scores: Json, honest: Json, name: str) -> bool:
    """Tell whether a figure lies, interval and all, on the worse side of that of `honest`."""
    one, other = scores["metrics"][name], honest["metrics"][name]
    if METRICS[name].direction is Direction.LOWER:
        return one["low"] > other["high"]
    return one["high"] < other["low"]


@pytest.mark.parametrize(("model", "metric"), [(m, name) for m, names in CAUGHT_BY.items() for name in sorted(names)])
def test_the_figure_catches_the_model(figures: dict[str, Json], model: str, metric: str):
    assert is_caught(figures[model], figures["honest"], metric), figures[model]["metrics"][metric]


@pytest.mark.parametrize(("model", "metric"), [(m, name) for m, names in PRAISED_BY.items() for name in sorted(names)])
def test_other_figures_do_not(figures: dict[str, Json], model: str, metric: str):
    assert not is_caught(figures[model], figures["honest"], metric), figures[model]["metrics"][metric]


def test_silence_gains_no_accuracy(figures: dict[str, Json]):
    """An answer without a label is wrong; what has no answer is left out, and coverage stands beside it.

    Macro-F1 does rise with silence where the model would be wrong: no label takes no precision from another class.
    """
    values = {name: {k: e["value"] for k, e in scores["metrics"].items()} for name, scores in figures.items()}
    assert values["silent"]["accuracy"] == values["honest"]["accuracy"] == pytest.approx(0.7)
    assert values["silent"]["macro_f1"] > values["honest"]["macro_f1"]
    assert values["silent"]["unparsed"] == values["silent"]["empty_rationale"] == pytest.approx(0.3)
    assert values["absent"]["accuracy"] == 1.0
    assert values["absent"]["coverage"] == pytest.approx(0.7)
    assert figures["absent"]["metrics"]["accuracy"]["unscored"] == 72


def test_the_outside_reader_is_worth_asking(figures: dict[str, Json]):
    """It reads gold rationales of unseen families far better than chance, and `honest` nearly as well."""
    gold, own = (figures["honest"]["metrics"][f"reader_{of}"] for of in ("gold", "consistency"))
    assert gold["low"] > 2 / 6
    assert own["low"] > 2 / 6
    assert figures["honest"]["signatures"]["reader_gold"].startswith("reader:tfidf-logreg/1|training:")
