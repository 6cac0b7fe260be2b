"""`tasks list | show | validate | new | build`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.cli import options, tasks_build, tasks_new

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace

    from r2d_bench.protocols.outputs import StageOutput
    from r2d_bench.records import Example, Json
    from r2d_bench.tasks.task import Task

EXAMPLES = """\
  r2d-bench tasks list
  r2d-bench tasks show triage
  r2d-bench tasks show pubmedqa --data pubmedqa=./pubmedqa --protocol zero_shot
  r2d-bench tasks validate ./my-task
  r2d-bench tasks new --from notes.csv
"""


def add_parser(verbs: options.Verbs[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = options.add_verb(verbs, "tasks", "Look at tasks and check them.", _list, EXAMPLES)
    parser.set_defaults(json=False, task_dir=[])
    kinds = parser.add_subparsers(metavar="list|show|validate|new|build")
    listing = options.add_verb(kinds, "list", "List the tasks at hand.", _list, EXAMPLES)
    show = options.add_verb(
        kinds, "show", "Show a task: label counts, text lengths, the prompts of one example.", _show, EXAMPLES
    )
    show.add_argument(
        "--protocol",
        action="append",
        default=[],
        metavar="NAME|FILE",
        help="whose prompts (default: r2d, zero_shot)",
    )
    show.add_argument("--example", metavar="ID", help="which example (default: the first)")
    validate = options.add_verb(kinds, "validate", "Check a task file and every row of its data.", _validate, EXAMPLES)
    for one in (show, validate):
        one.add_argument("task", metavar="TASK", help="a task's name or folder")
        options.add_data(one)
        options.add_rationale_style(one, "the task's")
    for one in (listing, show, validate):
        options.add_task_dir(one)
        options.add_json(one)
    tasks_new.add_parser(kinds, describe=_describe, say_splits=_say_splits)
    tasks_build.add_parser(kinds)


def _load(args: Namespace) -> Task:
    from r2d_bench.errors import UserError, did_you_mean
    from r2d_bench.tasks.task import load_task

    data = options.data_pairs(args.data)
    dirs = [Path(folder) for folder in args.task_dir]
    task = load_task(args.task, task_dirs=dirs, style=args.rationale_style)
    names = {args.task, task.name}
    for name in data:
        if name not in names:
            raise UserError(f"--data: task '{name}' is not looked at{did_you_mean(name, names)}")
    paths = [Path(path) for path in data.values()]
    return replace(task, data=paths[-1]) if paths else task


def _list(args: Namespace) -> int:
    from r2d_bench import content
    from r2d_bench.cli.plain import say_json, show_table
    from r2d_bench.documents import load
    from r2d_bench.tasks.spec import TaskSpec

    folders = content.found("tasks", [Path(folder) for folder in args.task_dir])
    specs = [load(TaskSpec, folder / "task.yaml") for folder in folders.values()]
    if args.json:
        say_json([{**spec.model_dump(mode="json"), "full_name": spec.full_name} for spec in specs])
        return 0
    rows = [
        [
            spec.full_name,
            spec.label.space,
            str(len(spec.label.values) or "–"),
            spec.visibility,
            spec.licence,
            spec.title,
        ]
        for spec in specs
    ]
    show_table(["task", "labels", "how many", "visibility", "licence", "title"], rows)
    return 0


def _describe(task: Task) -> dict[str, Json]:
    """Return per split: rows, labels, digest, and lengths of texts in words."""
    return {
        name: {
            "rows": len(examples),
            "digest": task.digest(name),
            "labels": _label_counts(task, examples),
            "input_words": _lengths([e.input for e in examples]),
            "rationale_words": _lengths([r for e in examples for r in e.references]),
            "without_rationale": sum(not e.references for e in examples),
            "groups": len({e.group for e in examples if e.group is not None}) or None,
        }
        for name, examples in task.splits().items()
    }


def _label_counts(task: Task, examples: list[Example]) -> dict[str, int] | None:
    counts = Counter(example.gold for example in examples)
    return {label: counts[label] for label in task.labels.values} if task.labels.fixed else None


def _lengths(texts: list[str]) -> dict[str, int] | None:
    """Return the smallest, the middle and the largest number of words."""
    words = sorted(len(text.split()) for text in texts)
    return {"min": words[0], "median": words[len(words) // 2], "max": words[-1]} if words else None


def _validate(args: Namespace) -> int:
    from r2d_bench.cli.plain import say, say_json
    from r2d_bench.errors import UserError

    task = _load(args)
    splits = _describe(task)
    task.examples()  # the split that is evaluated must be there
    checks = tasks_build.checks_of(task)
    failed = [check.name for check in checks if not check.passed]
    if args.json:
        notes = {"notes": task.provenance.notes, "checks": tasks_build.as_json(checks)}
        say_json({"task": task.spec.full_name, "splits": splits, **notes})
    else:
        state = f"{len(failed)} of {len(checks)} checks failed" if failed else "valid"
        say(f"{task.spec.full_name}: {state} ({task.provenance.kind} data)")
        _say_splits(splits)
        _say_notes(task)
        tasks_build.say_checks(checks)
    if failed:
        raise UserError(f"task {task.name}: {len(failed)} checks failed: {', '.join(failed)}")
    return 0


def _say_splits(splits: dict[str, Json]) -> None:
    from r2d_bench.cli.plain import say

    for name, split in splits.items():
        groups = f", {split['groups']} groups" if split["groups"] else ""
        say(f"  {name}: {split['rows']} rows{groups}, digest {split['digest']}")
        if split["labels"]:
            say("    labels: " + ", ".join(f"{label} {count}" for label, count in split["labels"].items()))
        for what, key in (("input", "input_words"), ("rationale", "rationale_words")):
            if split[key]:
                say(f"    {what}: {split[key]['min']} to {split[key]['max']} words, median {split[key]['median']}")
        if split["without_rationale"]:
            say(f"    without a gold rationale: {split['without_rationale']}")


def _say_notes(task: Task) -> None:
    """Say what the task's own reader tells of the rows."""
    from r2d_bench.cli.plain import say

    for note in task.provenance.notes:
        say(f"  note: {note}")


def _show(args: Namespace) -> int:
    from r2d_bench.cli.plain import say, say_json
    from r2d_bench.errors import UserError, did_you_mean

    task = _load(args)
    examples = {example.id: example for example in task.examples()}
    if args.example is not None and args.example not in examples:
        raise UserError(f"task {task.name} has no example '{args.example}'{did_you_mean(args.example, examples)}")
    example = examples[args.example] if args.example else next(iter(examples.values()))
    splits, spec = _describe(task), task.spec
    prompts = {name: _prompts(task, example, name) for name in args.protocol or ["r2d", "zero_shot"]}
    if args.json:
        card = spec.model_dump(mode="json") | {"full_name": spec.full_name}
        say_json({"task": card, "splits": splits, "example": example.id, "gold": example.gold, "prompts": prompts})
        return 0
    say(f"{spec.full_name}: {spec.title}\n{spec.description}")
    say(f"domain: {spec.domain} · visibility: {spec.visibility} · licence: {spec.licence}")
    say(f"data: {task.provenance.kind}")
    say(f"citation: {spec.citation}" if spec.citation else "citation: –")
    if spec.label.values:
        order = " (most urgent first)" if spec.label.space == "ordinal" else ""
        say(f"labels{order}:")
        for value in spec.label.values:
            say(f"  {value}: {spec.label.titles.get(value, '')}".rstrip(": "))
    _say_splits(splits)
    _say_notes(task)
    for name, stages in prompts.items():
        for stage, text in stages.items():
            say(f"\n── prompt of protocol {name}, stage {stage}, example {example.id} (gold {example.gold})\n{text}")
    return 0


def _prompts(task: Task, example: Example, name: str) -> dict[str, str]:
    """Return the exact prompts of an example; outputs of earlier stages are shown as the gold ones would be."""
    from r2d_bench.protocols.prompts import StagePrompts
    from r2d_bench.protocols.registry import load_protocol
    from r2d_bench.protocols.shots import gold_output
    from r2d_bench.records import LabelMethod

    protocol = load_protocol(name)
    outputs: dict[str, StageOutput] = {}
    shown: dict[str, str] = {}
    for stage in protocol.stages:
        prompts = StagePrompts(task, protocol, stage, method=LabelMethod.FREE, max_new_tokens=stage.max_new_tokens)
        prompt = prompts.request(example, outputs).prompt
        shown[stage.name] = prompt if isinstance(prompt, str) else "\n".join(f"[{m.role}] {m.content}" for m in prompt)
        if stage is not protocol.stages[-1]:
            outputs[stage.name] = gold_output(task, protocol, stage, example)
    return shown
