"""Scoring a run: stored answers in, `scores.json` and `examples.parquet` out. No model under test is loaded."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError
from r2d_bench.metrics import (
    bertscore,
    calibration,
    call_mix,
    challenges,
    grounding,
    labels,
    leak,
    overlap,
    paper,
    probes,
    slices,
    triage,
)
from r2d_bench.metrics.base import About, Columns, Family
from r2d_bench.metrics.registry import METRICS
from r2d_bench.models.weights import find_weights
from r2d_bench.records import Estimate, Json, LabelMethod, missing
from r2d_bench.runs.predictions import Reader
from r2d_bench.machine import versions
from r2d_bench.runs.rationales import Told, fit_reader
from r2d_bench.runs.selection import asked_examples, union
from r2d_bench.tasks.labels import PARSER
from r2d_bench.tasks.masking import Masker
from r2d_bench.tasks.task import rows_digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from r2d_bench.metrics.reader import Reader as Outside
    from r2d_bench.records import Example, Prediction, Response
    from r2d_bench.runs.selection import Selection
    from r2d_bench.runs.setup import RunSetup
    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.spec import BertScore
    from r2d_bench.tasks.task import Task

SCORES_SCHEMA = 3
RESAMPLES = 2000
OF_RATIONALES = frozenset({About.RATIONALE, About.JOINT})
# Figures of rationales in which no gold rationale takes part.
WITHOUT_GOLD = (
    frozenset(metric.name for family in (probes, leak, grounding) for metric in family.METRICS) - probes.OF_GOLD
)
NO_ENCODER = "no encoder: give one with --bertscore MODEL or metrics.bertscore in task.yaml"


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """How runs are scored.

    Attributes:
        bertscore: encoder that stands in for the task's (hub id, folder, `pkg:MODULE`; `none` leaves it out).
        paper: also compute the figures as the paper's released code does.
        seed: of the resampling.
        resamples: number of bootstrap resamples.
        rationale_style: style of the gold rationales that are compared with, for tasks that declare several; None:
            that of the newest sitting.
    """

    bertscore: BertScore | None = None
    paper: bool = True
    seed: int = 0
    resamples: int = RESAMPLES
    rationale_style: str | None = None

    def encoder(self, task: Task) -> BertScore | None:
        """Return what a task's rationales are to be scored with; None where nobody says."""
        return self.bertscore or task.spec.metrics.bertscore


@dataclass(slots=True)
class Scorers:
    """Encoders that were loaded, and outside readers that were fitted, once for every run of a command."""

    loaded: dict[tuple[str, int | None], bertscore.BertScorer] = field(default_factory=dict)
    readers: dict[tuple[str, str | None, Path | None], Outside | str] = field(default_factory=dict)

    def bert(self, wanted: BertScore) -> bertscore.BertScorer:
        """Return the scorer for an encoder; its weights are loaded on the first use."""
        key = (wanted.model, wanted.num_layers)
        if key not in self.loaded:
            self.loaded[key] = bertscore.BertScorer(_encoder(wanted))
        return self.loaded[key]

    def encoder(self, task: Task, options: ScoreOptions) -> bertscore.BertScorer | None:
        """Return the scorer that a task's rationales are scored with, not yet loaded; None where there is none."""
        wanted = options.encoder(task)
        return self.bert(wanted) if wanted is not None and wanted.model != "none" else None

    def reader(self, task: Task) -> Outside | str:
        """Return the outside reader of a task in the style at hand, or why there is none."""
        key = (task.spec.full_name, task.style, task.data)
        if key not in self.readers:
            self.readers[key] = fit_reader(task)
        return self.readers[key]


def _encoder(wanted: BertScore) -> bertscore.Encoder:
    """Return where the encoder lies, and the name it is published under (never a local path)."""
    name, layers = wanted.model, wanted.num_layers
    if name.startswith("pkg:") or Path(name).is_dir():
        weights = find_weights(name)
        return bertscore.Encoder(str(weights.folder), weights.name, layers)
    return bertscore.Encoder(name, name, layers)


def score_run(store: RunStore, task: Task, options: ScoreOptions, scorers: Scorers) -> dict[str, Json]:
    """Score everything that the sittings on a run folder asked for, and write it down.

    Returns:
        the content of `scores.json`.

    Raises:
        UserError: the run was made on other data, the folder is not a run, or another process works on it.
    """
    setup = store.setup()
    check_data(setup, task)
    with store.locked():  # a run that is still under way is refused at once, not after an hour of scoring
        return _score(store, setup, task, options, scorers)


def _score(store: RunStore, setup: RunSetup, task: Task, options: ScoreOptions, scorers: Scorers) -> dict[str, Json]:
    from r2d_bench.runs.table import write_examples  # noqa: PLC0415 - pyarrow is slow to import

    task = task.in_style(options.rationale_style or store.style())
    selection, probed = union(task.examples(setup.split), store.selections()), store.probes()
    sets = tuple(_challenges(store, task))
    # Prompts that show gold rationales are rebuilt in the style in which they were asked.
    asked = task.in_style(store.style(of_probes=True))
    said, served = _read_answers(store, Reader(asked, setup, probed), asked_examples(asked, setup.split, selection, sets))
    examples = asked_examples(task, setup.split, selection, ())
    predictions = [said[example.id] for example in examples]
    columns = make_columns(task, setup, examples, predictions, probed)
    masker = Masker(task, setup.protocol.label_map)
    told = Told(task, masker, columns, examples, predictions, probes.FOR_WRONG_LABEL in probed)
    families = _families(told, options, scorers)
    challenged = _challenge_family(task, examples, sets, said, columns.no_label)
    scores = _document(task, setup, selection, predictions, [*families, challenged], options, served)
    scores["signatures"] = _signatures(families, task.style, asked.style)
    everything = asked_examples(task, setup.split, selection, sets)
    write_examples(
        store.folder / "examples.parquet", task, everything, [said[e.id] for e in everything], families, challenged
    )
    store.write_scores(scores)
    return scores


def _read_answers(
    store: RunStore, reader: Reader, examples: Sequence[Example]
) -> tuple[dict[str, Prediction], dict[str, Json]]:
    """Return predictions by example id, and what the answers tell of how they were served.

    Answers and the reader's notes take as much memory as the predictions, and are not needed beyond this.
    """
    responses = store.responses()
    said = {example.id: reader.prediction(example, responses) for example in examples}
    answers = responses.values()
    remarks = Counter(remark for response in answers for remark in response.remarks)
    models = Counter(response.served_model for response in answers if response.served_model)
    return said, {"remarks": dict(remarks), "served_models": dict(models)}


def _challenges(store: RunStore, task: Task) -> Iterator[str]:
    """Yield the challenge sets that were asked, in the task's order.

    Raises:
        UserError: the task has no such set any more, or other rows in it.
    """
    asked = store.challenges()
    for name, known in asked.items():
        if (found := rows_digest(task.challenge(name))) != known:
            raise UserError(
                f"the challenge set {name} was asked on other rows (digest {known}, now {found}): "
                "run it again, or give the same data"
            )
    yield from (name for name in task.spec.challenges if name in asked)


def _challenge_family(
    task: Task,
    examples: Sequence[Example],
    sets: Sequence[str],
    said: Mapping[str, Prediction],
    no_label: str | None,
) -> Family:
    """Return the figures of the challenge sets; `examples` are those of the evaluated split that were asked."""

    def answer(example: Example) -> challenges.Said:
        prediction = said[example.id]
        return challenges.Said(example.id, example.gold, prediction.label, prediction.label_status is not None)

    bases = {example.id: answer(example) for example in examples}
    asked = []
    for name in sets:
        rows = [
            challenges.ChallengeRow(answer(e), e.acceptable, e.group, bases.get(e.pair or ""))
            for e in task.challenge(name)
        ]
        card = task.spec.challenges[name]
        asked.append(challenges.ChallengeSet(name, card.title, card.kind, rows))
    declared = {card.kind for card in task.spec.challenges.values()}
    order = task.labels.values if task.labels.space == "ordinal" else ()
    return challenges.compute(asked, declared=declared, order=order, no_label=no_label)


def check_data(setup: RunSetup, task: Task) -> None:
    """Refuse to read a run against other data than it was made on.

    Raises:
        UserError: another task or version, or other rows.
    """
    if setup.task != task.spec.full_name:
        raise UserError(f"the run was made on {setup.task}, the task at hand is {task.spec.full_name}")
    if setup.data_digest != (found := task.digest(setup.split)):
        raise UserError(
            f"the run was made on other rows of {setup.task} (digest {setup.data_digest}, now {found}): "
            "give the same data"
        )


def make_columns(
    task: Task,
    setup: RunSetup,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    asked: Collection[str] = (),
) -> Columns:
    """Return predictions beside golds, as metrics read them; `asked` are the probes that were asked."""
    groups = [example.group for example in examples]
    no_label = None if "label" in setup.protocol.gives else f"protocol {setup.protocol.name} elicits no label"
    return Columns(
        ids=[example.id for example in examples],
        labels=task.labels.values,
        gold=[example.gold for example in examples],
        predicted=[p.label for p in predictions],
        statuses=[p.label_status for p in predictions],
        label_texts=[p.label_text for p in predictions],
        hypotheses=[p.rationale for p in predictions],
        references=[example.references for example in examples],
        acceptable=[example.acceptable for example in examples],
        groups=[group for group in groups if group is not None] if all(groups) and groups else None,
        input_cut=[p.input_cut for p in predictions],
        output_cut=[p.output_cut for p in predictions],
        no_label_set="any text may be a label" if task.labels.space == "open" else "options differ per example",
        no_label=no_label,
        no_rationale=setup.no_rationale,
        ordinal=task.labels.space == "ordinal",
        probes={
            name: [(p.probes[name][0],) if name in p.probes else None for p in predictions] for name in sorted(asked)
        },
        probabilities=_probabilities(task, setup, examples, predictions),
        inputs=[example.input for example in examples],
    )


def _probabilities(
    task: Task, setup: RunSetup, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> list[Mapping[str, float] | None]:
    """Return label → probability per example, from the log-probabilities of its candidate words.

    Normalised over the candidates, so that they add up to 1; words that stand for one label are added up. Only
    scored labels have them: log-probabilities of texts that were written are of another kind.
    """
    if setup.label_method is not LabelMethod.SCORED:
        return []
    found: list[Mapping[str, float] | None] = []
    for example, said in zip(examples, predictions, strict=True):
        if not said.scores:
            found.append(None)
            continue
        vocabulary = task.labels.vocabulary(example.options, setup.protocol.label_map)
        highest = max(said.scores.values())
        weights: dict[str, float] = {}
        for word, log in said.scores.items():
            label = vocabulary.exact(word) or word
            weights[label] = weights.get(label, 0.0) + math.exp(log - highest)
        whole = sum(weights.values())
        found.append({label: weight / whole for label, weight in weights.items()})
    return found


def _families(told: Told, options: ScoreOptions, scorers: Scorers) -> list[Family]:
    task, columns = told.task, told.columns
    how = {"seed": options.seed, "resamples": options.resamples}
    parts = {name: [example.slices[name] for example in told.examples] for name in task.spec.slices}
    card = task.spec.label
    families = [
        labels.compute(columns, **how),
        triage.compute(columns, critical=card.critical, **how),
        calibration.compute(columns, **how),
        call_mix.compute(columns, mix=card.mix, cost=card.cost_matrix, **how),
        slices.compute(columns, parts, **how),
        overlap.compute(columns, **how),
        probes.compute(columns),
    ]
    scorer = scorers.encoder(task, options)
    if scorer is None or columns.no_rationale is not None:
        reason = columns.no_rationale or (NO_ENCODER if options.encoder(task) is None else "left out (bertscore: none)")
        families.append(Family({metric.name: missing(reason, unscored=len(columns)) for metric in bertscore.METRICS}))
    else:
        families.append(bertscore.compute(columns, scorer, **how))
    overlaps = {name: values for family in families for name, values in family.per_example.items()}
    families += told.families(scorers.reader(task), overlaps, **how)
    if options.paper:
        is_papers = scorer is not None and scorer.encoder.public_id == "roberta-large"
        families.append(paper.compute(columns, scorer if is_papers else None, **how))
    return families


def _document(
    task: Task,
    setup: RunSetup,
    selection: Selection,
    predictions: Sequence[Prediction],
    families: Sequence[Family],
    options: ScoreOptions,
    served: Mapping[str, Json],
) -> dict[str, Json]:
    """Return `scores.json`."""
    estimates: dict[str, Estimate] = {name: e for family in families for name, e in family.estimates.items()}
    unscored = Counter(p.unscored for p in predictions if p.unscored)
    return {
        "schema": SCORES_SCHEMA,
        "task": setup.task,
        "selection": selection.as_json(),
        "primary": task.spec.metrics.primary,
        "metrics": {name: estimate.as_json() for name, estimate in estimates.items()},
        "rationale_style": task.style,
        **{name: table for family in families for name, table in family.extra.items()},
        "rationale_statuses": dict(Counter(str(p.rationale_status) for p in predictions if not p.unscored)),
        "answered": sum(p.unscored is None for p in predictions),
        "unscored": dict(unscored),
        **served,
        "parser": PARSER,
        "resampling": {"seed": options.seed, "resamples": options.resamples, "level": 0.95},
        "versions": versions(),
    }


def _signatures(families: Sequence[Family], style: str | None, probed: str | None) -> dict[str, str]:
    """Return the signatures of figures; those over gold rationales also name their style, where there are several.

    Args:
        families: all families.
        style: the style that rationales are compared with.
        probed: the style that probes were shown.
    """
    found = {name: text for family in families for name, text in family.signatures.items()}
    if style is None:
        return found
    for name, estimate in ((n, e) for family in families for n, e in family.estimates.items()):
        if METRICS[name].about in OF_RATIONALES and name not in WITHOUT_GOLD and estimate.value is not None:
            shown = probed if name in probes.OF_GOLD else style
            found[name] = "|".join(filter(None, (found.get(name), f"style:{shown}")))
    return found
