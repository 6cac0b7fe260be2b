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
from r2d_bench.judging.audit_probes import REPEATS, ProbeMaterial, Variant, variants
from r2d_bench.judging.audit_store import AuditStore
from r2d_bench.judging.candidates import candidate_of, make_candidate
from r2d_bench.judging.probe_texts import planted
from r2d_bench.judging.red_flags import RedFlags
from r2d_bench.judging.setup import JudgeSetup, make_setup
from r2d_bench.judging.verdict import PARSER, by_rule
from r2d_bench.records import Example, LabelStatus, Prediction, RationaleStatus
from r2d_bench.runs.asking import Asker
from r2d_bench.runs.execute import Outcome
from r2d_bench.runs.provenance import now, versions
from r2d_bench.runs.selection import select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from r2d_bench.judging.human_sets import HumanItem, HumanSet
    from r2d_bench.judging.rubric import LoadedRubric
    from r2d_bench.judging.setup import Method
    from r2d_bench.models.base import Model
    from r2d_bench.records import Json
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
        cases: the questions.
        repeats: case → how often it is asked, where it is more than once.
        options: how much is asked.
        store: where replies and figures go.
    """

    task: Task
    model: Model
    setup: JudgeSetup
    asked: Asked
    cases: Sequence[Case]
    repeats: Mapping[str, int]
    options: AuditOptions
    store: AuditStore

    @property
    def questions(self) -> Questions:
        """What the judge is asked, and how its replies are read."""
        return Questions(self.setup, self.cases, self.repeats)


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
    changed = _variants(task, rubric, options, repeats)
    asked = Asked(tuple(usable), tuple(changed), without_people=_why_no_people(rubric, sets))
    by_id = {example.id: example for example in task.examples()}
    cases = [_rated_case(rubric, item) for one in usable for item in one.items]
    cases += [_changed_case(task, rubric, by_id[v.item], v) for v in changed if v.repeat == 1]
    again = {variant.case_id: repeats for variant in changed if variant.repeat == repeats > 1}
    return PlannedAudit(task, model, setup, asked, cases, again, options, AuditStore(audits / setup.folder))


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


def _changed_case(task: Task, rubric: LoadedRubric, example: Example, variant: Variant) -> Case:
    said = Prediction(
        variant.case_id,
        label=variant.label,
        label_status=LabelStatus.PARSED,
        label_text=variant.label,
        rationale=variant.rationale,
        rationale_status=RationaleStatus.WRITTEN,
    )
    candidate = candidate_of(task, replace(example, id=variant.case_id), said, rubric.spec)
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
        store.add_sitting(_sitting(planned))
        asker = Asker(planned.model, store.responses(), budget, progress)
        with store.writer() as write:
            asker.ask("audit", planned.questions.first(), write)
            asker.ask("audit, form alone", planned.questions.again(asker.responses), write)
        seconds = round(time.monotonic() - started, 3)
        store.update_sitting(finished=now(), seconds=seconds, **asker.spent())
        verdicts = planned.questions.verdicts(asker.responses)
        store.write_audit(
            {
                **document(planned.setup, planned.asked, verdicts, seed=planned.options.seed, own_family=own_family),
                "task": {"name": planned.task.spec.full_name, "digest": planned.task.digest()},
                "options": {"sample": planned.options.sample, "seed": planned.options.seed},
                "finished": now(),
                "versions": versions(),
                "spent": _spent(store),
            }
        )
    waiting = sum(verdict.unscored == WAITING for verdict in verdicts)
    return Outcome(asker.answered, asker.failures, waiting, seconds, budget.met() if waiting else None)


def _sitting(planned: PlannedAudit) -> dict[str, Json]:
    return {
        "started": now(),
        "finished": None,
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
