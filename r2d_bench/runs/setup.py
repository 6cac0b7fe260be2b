"""What a run is, apart from how far it has come: everything its folder's name is made of."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from r2d_bench.documents import check, slug
from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.protocols.prompts import StagePrompts, check_method, passes_parsed_label
from r2d_bench.protocols.registry import load_protocol
from r2d_bench.protocols.spec import Protocol
from r2d_bench.records import Json, LabelMethod, digest
from r2d_bench.tasks.labels import PARSER
from r2d_bench.tasks.privacy import check_endpoint
from r2d_bench.tasks.task import examples_digest, rows_digest
from r2d_bench.templates import reaches_into

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from r2d_bench.models.base import Capabilities, Model
    from r2d_bench.protocols.spec import Stage
    from r2d_bench.records import Example
    from r2d_bench.tasks.task import Task


@dataclass(frozen=True)
class RunSetup:
    """A run: task × model × protocol × parameters that change output.

    Attributes:
        task: `name@version`.
        split: the split that is evaluated.
        data_digest: digest of the whole split, whatever part of it is asked.
        prompt_digest: digest of the task's own words in prompts.
        model: the model's identity as JSON.
        protocol: the whole protocol.
        label_method: how labels are had.
        max_new_tokens: stage → budget, where it differs from the protocol's.
        no_rationale: why no rationale is elicited, else None.
        seed: the run's seed.
        shots: ids of the training examples that stand in front of every prompt.
        shots_digest: digest of their content, gold rationales in the style that is shown.
    """

    task: str
    split: str
    data_digest: str
    prompt_digest: str
    model: Mapping[str, Json]
    protocol: Protocol
    label_method: LabelMethod
    max_new_tokens: Mapping[str, int] = field(default_factory=dict)
    no_rationale: str | None = None
    seed: int = 0
    shots: tuple[str, ...] = ()
    shots_digest: str | None = None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that are asked: those that give rationales are left out for a label-only model."""
        if self.no_rationale is None:
            return self.protocol.stages
        return tuple(stage for stage in self.protocol.stages if stage.output.gives != {"rationale"})

    @property
    def probes(self) -> tuple[Stage, ...]:
        """The probes that can be asked.

        Those that need an output which is not elicited are left out, and those that want a rationale of a label-only
        model.
        """
        asked = {stage.name for stage in self.stages}
        able = {"label"} if self.no_rationale is not None else {"label", "rationale"}
        return tuple(p for p in self.protocol.probes if p.output.whole in able and _outputs_used(p) <= asked)

    def as_json(self) -> dict[str, Json]:
        """Return the setup as it stands in `run.json`."""
        protocol = self.protocol.model_dump(mode="json", by_alias=True, exclude_none=True)
        # Pairs: the first of several words for a label is the one that prompts show, and JSON objects have no order.
        protocol["label_map"] = [list(pair) for pair in self.protocol.label_map.items()]
        return {
            "task": self.task,
            "split": self.split,
            "data_digest": self.data_digest,
            "prompt_digest": self.prompt_digest,
            "model": dict(self.model),
            "protocol": protocol,
            "label_method": str(self.label_method),
            "max_new_tokens": dict(self.max_new_tokens),
            "no_rationale": self.no_rationale,
            "seed": self.seed,
            "shots": list(self.shots),
            "shots_digest": self.shots_digest,
            # Only where a prompt passes on a parsed label can another parser change an output.
            "parser": PARSER if passes_parsed_label(self.protocol) else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json], where: str) -> RunSetup:
        """Read a setup back from `run.json`."""
        values = {key: data[key] for key in data if key != "parser"}
        protocol = data["protocol"] | {"label_map": dict(data["protocol"]["label_map"])}
        values["protocol"] = check(Protocol, protocol, f"{where}: protocol")
        values["label_method"] = LabelMethod(data["label_method"])
        values["shots"] = tuple(data["shots"])
        return cls(**values)

    @property
    def folder(self) -> str:
        """The run folder's name: readable in front, the digest of the whole setup behind.

        Titles, descriptions and probes are not hashed: they change no output of the main stages.
        """
        hashed = self.as_json()
        for words in ("title", "description", "source", "probes"):
            hashed["protocol"].pop(words, None)
        hashed.pop("no_rationale")
        hashed["stages"] = [stage.name for stage in self.stages]
        names = [self.task.replace("@", "-v"), self.model["kind"], self.model["name"], self.protocol.name]
        if self.label_method is not LabelMethod.FREE:
            names.append(str(self.label_method))
        return "--".join(slug(str(name))[:48] for name in names) + "--" + digest(hashed, 10)

    def prompts(self, task: Task) -> dict[str, StagePrompts]:
        """Return the compiled prompts of the stages that are asked, and of the probes.

        Raises:
            UserError: the task's training examples are not the ones that the run was given as shots.
        """
        shots = self._shots(task)
        return {
            stage.name: StagePrompts(
                task,
                self.protocol,
                stage,
                method=self.label_method,
                max_new_tokens=self.max_new_tokens.get(stage.name, stage.max_new_tokens),
                shots=() if stage in self.probes else shots,
            )
            for stage in (*self.stages, *self.probes)
        }

    def _shots(self, task: Task) -> list[Example]:
        if not self.shots:
            return []
        known = {example.id: example for example in task.training()}
        chosen = [known[ident] for ident in self.shots if ident in known]
        if _shots_digest(chosen, self.protocol) != self.shots_digest:
            raise UserError(f"task {task.name}: the training examples are not those that the run was shown")
        return chosen


def draw_shots(task: Task, k: int, seed: int, *, with_rationale: bool) -> list[Example]:
    """Draw `k` training examples, the same ones for every item; never from another split.

    Raises:
        UserError: the task has no training split, or too few examples (with a rationale, where one is shown).
    """
    fitting = [example for example in task.training() if example.references or not with_rationale]
    if k > len(fitting):
        what = "training examples with a rationale" if with_rationale else "training examples"
        raise UserError(f"--shots {k}: task {task.name} has {len(fitting)} {what}")
    return random.Random(f"shots {seed}").sample(fitting, k)  # noqa: S311 - reproducible, not secret


def _shots_digest(shots: Sequence[Example], protocol: Protocol) -> str:
    """Return the digest of what shots show: the style of their rationales counts where they show them."""
    return (examples_digest if "rationale" in protocol.gives else rows_digest)(shots)


def _outputs_used(stage: Stage) -> set[str]:
    """Return the stages whose output a prompt uses."""
    paths = [path for source in stage.sources for path in reaches_into(source, "outputs")]
    return {str(path[0]) for path in paths if path}


def plan_run(
    task: Task,
    model: Model,
    *,
    protocol: str | None = None,
    label_method: LabelMethod = LabelMethod.FREE,
    max_new_tokens: Mapping[str, int] | None = None,
    shots: int = 0,
    seed: int = 0,
) -> RunSetup:
    """Return the setup of a run; the model is fitted already where it has to be.

    The protocol is, in this order: the one asked for; the one that lies with the checkpoint; the model's default.
    A model that reads no prompts (baseline, replay) always uses `direct`.

    Raises:
        UserError: a protocol, label method or budget that does not fit model or task.
    """
    can = model.capabilities
    chosen = _choose_protocol(model, protocol, label_method)
    title = model.identity.title
    check_endpoint(task.spec, can.endpoint, title)
    if chosen.chat and not can.chat:
        raise UserError(f"protocol {chosen.name} needs a chat model, which {title} is not; try r2d, dss or sft")
    if label_method not in can.methods:
        known = did_you_mean(label_method, can.methods)
        raise UserError(f"{title} has no label method {label_method}{known}")
    check_method(chosen, label_method)
    budgets = dict(max_new_tokens or {})
    for stage in budgets:
        if stage not in {s.name for s in chosen.stages}:
            known = did_you_mean(stage, [s.name for s in chosen.stages])
            raise UserError(f"--max-new-tokens: protocol {chosen.name} has no stage '{stage}'{known}")
    task.labels.vocabulary((), chosen.label_map)  # a map that leads outside the label set is refused here
    # A model that reads no prompts is shown nothing.
    drawn = [] if chosen.structured else draw_shots(task, shots, seed, with_rationale="rationale" in chosen.gives)
    setup = RunSetup(
        task=task.spec.full_name,
        split=task.spec.evaluate,
        data_digest=task.digest(),
        prompt_digest=task.prompt_digest,
        model=model.identity.as_json(),
        protocol=chosen,
        label_method=label_method,
        max_new_tokens=budgets,
        no_rationale=_no_rationale(chosen, can, title),
        seed=seed,
        shots=tuple(example.id for example in drawn),
        shots_digest=_shots_digest(drawn, chosen) if drawn else None,
    )
    setup.prompts(task)  # broken templates, and examples that cannot be shown, are told before anything is asked
    return setup


def _choose_protocol(model: Model, asked: str | None, method: LabelMethod) -> Protocol:
    default = model.capabilities.default_protocol
    wanted = load_protocol(asked) if asked is not None else None  # a wrong name is told, also where it would not count
    if default == "direct":
        return load_protocol("direct")
    if wanted is not None:
        return wanted
    if model.protocol_file is not None:
        return load_protocol(str(model.protocol_file))
    if default == "zero_shot" and method is not LabelMethod.FREE:
        default = "label_first"  # one call for both cannot score or constrain the label
    return load_protocol(default)


def _no_rationale(protocol: Protocol, can: Capabilities, title: str) -> str | None:
    if not can.rationale:
        return f"{title} writes no rationale"
    if "rationale" not in protocol.gives:
        return f"protocol {protocol.name} elicits no rationale"
    return None


def max_tokens_of(pairs: Sequence[str]) -> dict[str, int]:
    """Read `STAGE=N` pairs.

    Raises:
        UserError: a pair that is not of that form.
    """
    budgets: dict[str, int] = {}
    for pair in pairs:
        stage, equals, number = pair.partition("=")
        if not equals or not number.isdecimal() or int(number) < 1:
            raise UserError(f"--max-new-tokens: '{pair}' should be STAGE=N with N of 1 or more")
        budgets[stage] = int(number)
    return budgets
