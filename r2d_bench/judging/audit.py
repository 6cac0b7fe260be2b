"""The audit of a judge: one pass of questions whose right answers are known, or whose wrong ones are.

Rated texts (`human_sets`) tell how far it agrees with people, changed gold rationales (`audit_probes`) what moves it.
Everything is asked like any judgment: logged as it comes, gone on with by the same command, and read afterwards.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError
from r2d_bench.judging.ask import WAITING, Case, Questions, check_judge
from r2d_bench.judging.audit_document import Asked, document
from r2d_bench.judging.audit_probes import BASE, REPEAT, REPEATS, ProbeMaterial, Variant, variants
from r2d_bench.judging.audit_store import AuditStore
from r2d_bench.judging.candidates import candidate_of, make_candidate
from r2d_bench.judging.probe_texts import planted
from r2d_bench.judging.red_flags import RedFlags
from r2d_bench.judging.setup import JudgeSetup, make_setup
from r2d_bench.judging.verdict import PARSER, by_rule
from r2d_bench.machine import now, versions
from r2d_bench.records import Example, LabelStatus, Prediction, RationaleStatus
from r2d_bench.runs.asking import Asker
from r2d_bench.runs.execute import Outcome
from r2d_bench.runs.selection import select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from r2d_bench.judging.human_sets import HumanItem, HumanSet
    from r2d_bench.judging.rubric import LoadedRubric
    from r2d_bench.judging.setup import Method
    from r2d_bench.judging.verdict import Verdict
    from r2d_bench.models.base import Model
    from r2d_bench.records import Json, Request, Response
    from r2d_bench.runs.asking import Progress
    from r2d_bench.runs.budget import Budget
    from r2d_bench.tasks.task import Task

SCALE = (1, 5)  # people's ratings and the limits of the probes are stated on it


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """How much is asked.

    Attributes:
        sample: so many items of every human set and of the probes' split; None: all.
        seed: of every choice and of the resampling.
        method: see `JudgeSetup`.
    """

    sample: int | None = None
    seed: int = 0
    method: Method = "reply"


@dataclass(frozen=True)
class PlannedAudit:
    """An audit that has been checked and not yet begun.

    Attributes:
        task: the task whose gold rationales are changed.
        model: the judge.
        setup: judge and rubric.
        asked: what its questions are about.
        questions: what it is asked, and how its replies are read.
        options: how much is asked.
        store: where replies and figures go.
    """

    task: Task
    model: Model
    setup: JudgeSetup
    asked: Asked
    questions: AuditQuestions
    options: AuditOptions
    store: AuditStore


class AuditQuestions:
    """The questions of an audit. Pure: requests and replies are data.

    A changed rationale is asked about under the example's own id: prompts then differ in what was changed and nowhere
    else, and one that reads the same once it is cleaned is the same question, asked once.

    Args:
        setup: judge and rubric.
        plain: rated texts, and rationales as they are; each has an id of its own.
        repeats: how often each rationale as it is is asked about, by id.
        changed: changed rationales, in the order of `names`.
        names: the id under which each changed rationale is told apart.
    """

    def __init__(
        self,
        setup: JudgeSetup,
        plain: Sequence[Case],
        repeats: Mapping[str, int],
        changed: Sequence[Case],
        names: Sequence[str],
    ) -> None:
        self._plain = Questions(setup, plain, repeats)
        self._changed = Questions(setup, changed, {})
        self._names = names
        self.size = len(plain) + len(changed)

    def first(self) -> list[Request]:
        """Return every first question, each once."""
        return _distinct([*self._plain.first(), *self._changed.first()])

    def again(self, responses: Mapping[str, Response]) -> list[Request]:
        """Return the second question, for the form alone, of every reply that could not be read."""
        return _distinct([*self._plain.again(responses), *self._changed.again(responses)])

    def verdicts(self, responses: Mapping[str, Response]) -> dict[tuple[str, int], Verdict]:
        """Return every verdict by id and repeat."""
        plain = {(verdict.example_id, verdict.repeat): verdict for verdict in self._plain.verdicts(responses)}
        changed = zip(self._names, self._changed.verdicts(responses), strict=True)
        return plain | {(name, 1): verdict for name, verdict in changed}


def _distinct(requests: Sequence[Request]) -> list[Request]:
    return list({request.key: request for request in requests}.values())


def plan_audit(
    task: Task,
    rubric: LoadedRubric,
    model: Model,
    sets: Sequence[HumanSet],
    audits: Path,
    options: AuditOptions,
) -> PlannedAudit:
    """Check everything that can be known before the first request.

    Args:
        task: whose evaluated split's gold rationales are changed.
        rubric: the judge's rubric.
        model: the judge.
        sets: rated texts.
        audits: the folder of all audits.
        options: how much is asked.

    Raises:
        UserError: the judge may not see the task or reads no prompts, or the rubric is none that can be audited.
    """
    check_judge(task, model)
    spec = rubric.spec
    if spec.mode == "pairwise":
        raise UserError(f"judge {spec.name} is pairwise: an audit needs scores; audit a pointwise judge")
    if (spec.scale.low, spec.scale.high) != SCALE:
        raise UserError(f"judge {spec.name}: scale: an audit compares on {SCALE[0]} to {SCALE[1]}")
    if options.sample is not None and options.sample < 1:
        raise UserError(f"--sample {options.sample}: should be 1 or more")
    setup = make_setup(rubric, model, options.method)
    usable = [one.sample(options.sample, options.seed) for one in sets] if _rates_like_people(rubric) else []
    # Probabilities do not change from one time to the next.
    repeats = REPEATS if options.method == "reply" else 1
    texts = _variants(task, rubric, options, repeats)
    asked = Asked(tuple(usable), tuple(texts), without_people=_why_no_people(rubric, sets))
    by_id = {example.id: example for example in task.examples()}
    bases = [variant for variant in texts if variant.probe == BASE]
    changed = [variant for variant in texts if variant.probe not in {BASE, REPEAT}]
    questions = AuditQuestions(
        setup,
        [
            *(_rated_case(rubric, item) for one in usable for item in one.items),
            *(_case(task, rubric, by_id[variant.item], variant) for variant in bases),
        ],
        {variant.item: repeats for variant in bases},
        [_case(task, rubric, by_id[variant.item], variant) for variant in changed],
        [variant.case_id for variant in changed],
    )
    return PlannedAudit(task, model, setup, asked, questions, options, AuditStore(audits / setup.folder))


def _rates_like_people(rubric: LoadedRubric) -> bool:
    """Tell whether people's ratings exist for what the rubric asks: support of the label, judged blind."""
    return not rubric.spec.reference and any(one.name == "label_support" for one in rubric.spec.criteria)


def _why_no_people(rubric: LoadedRubric, sets: Sequence[HumanSet]) -> str | None:
    if rubric.spec.reference:
        return "the rubric shows a reference, which the human sets do not have"
    if not _rates_like_people(rubric):
        return "the rubric has no criterion label_support, the one that people rated"
    return None if sets else "no human set was given (--data kqa=PATH)"


def _variants(task: Task, rubric: LoadedRubric, options: AuditOptions, repeats: int) -> list[Variant]:
    """Return the texts of all probes, for a seeded sample of the evaluated split, labels in proportion."""
    pool = task.examples()
    chosen = pool
    if options.sample is not None:
        placed = [replace(example, id=f"{options.seed}/{example.id}") for example in pool]
        ids = set(select(placed, limit=options.sample).ids)
        chosen = [example for example, place in zip(pool, placed, strict=True) if place.id in ids]
    spec = rubric.spec
    material = ProbeMaterial(
        pool=pool,
        labels=task.labels.values if task.labels.fixed else (),
        red_flags=RedFlags.of(task),
        planted=planted([one.name for one in spec.criteria], [flag.name for flag in spec.flags], spec.scale.high),
        seed=options.seed,
    )
    return variants(chosen, material, repeats=repeats)


def _rated_case(rubric: LoadedRubric, item: HumanItem) -> Case:
    example = Example(item.id, "audit", item.input, None, group=item.cluster)
    return Case(make_candidate(rubric.spec, example, item.label, item.rationale))


def _case(task: Task, rubric: LoadedRubric, example: Example, variant: Variant) -> Case:
    said = Prediction(
        example.id,
        label=variant.label,
        label_status=LabelStatus.PARSED,
        label_text=variant.label,
        rationale=variant.rationale,
        rationale_status=RationaleStatus.WRITTEN,
    )
    candidate = candidate_of(task, example, said, rubric.spec)
    return Case(candidate, by_rule(rubric, candidate, said))


def run_audit(
    planned: PlannedAudit, budget: Budget, progress: Progress, own_family: Mapping[str, Json] | None = None
) -> Outcome:
    """Ask the judge, going on where it stopped, and write `audit.json`.

    Args:
        planned: the audit.
        budget: what may be spent.
        progress: who is told how far it is.
        own_family: figures of the same-family difference, where runs were given.

    Raises:
        UserError: the folder is held by another process, or cannot be written; or the judge may not see the task.
    """
    check_judge(planned.task, planned.model)
    started, store = time.monotonic(), planned.store
    with store.locked():
        store.keep_setup(planned.setup.as_json())
        asker = Asker(planned.model, store.responses(), budget, progress)
        with store.sitting(_sitting(planned), asker.spent), store.writer() as write:
            asker.ask("audit", planned.questions.first(), write)
            asker.ask("audit, form alone", planned.questions.again(asker.responses), write)
        verdicts = planned.questions.verdicts(asker.responses)
        if asker.responses:  # without any reply the judge is not audited, and no page may say so
            whole = document(planned.setup, planned.asked, verdicts, seed=planned.options.seed, own_family=own_family)
            store.write_audit(
                {
                    **whole,
                    "task": {"name": planned.task.spec.full_name, "digest": planned.task.digest()},
                    "options": {"sample": planned.options.sample, "seed": planned.options.seed},
                    "finished": now(),
                    "versions": versions(),
                    "spent": _spent(store),
                }
            )
    waiting = sum(verdict.unscored == WAITING for verdict in verdicts.values())
    seconds = round(time.monotonic() - started, 3)
    return Outcome(asker.answered, asker.failures, waiting, seconds, budget.met() if waiting else None)


def _sitting(planned: PlannedAudit) -> dict[str, Json]:
    return {
        "sample": planned.options.sample,
        "seed": planned.options.seed,
        "sets": {one.name: one.digest for one in planned.asked.sets},
        "parser": PARSER,
        "versions": versions(),
    }


def _spent(store: AuditStore) -> dict[str, Json]:
    """Return what all sittings took together; a sitting that was killed has told nothing."""
    finished = [sitting for sitting in store.manifest()["sittings"] if sitting["finished"]]
    return {
        "requests": sum(sitting["answered"] + sitting["failed"] for sitting in finished),
        "seconds": round(sum(sitting["seconds"] for sitting in finished), 3),
        "tokens": {kind: sum(sitting["tokens"].get(kind, 0) for sitting in finished) for kind in ("input", "output")},
        "cost": round(sum(sitting["cost"] for sitting in finished), 6),
    }
