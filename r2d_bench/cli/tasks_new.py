"""`tasks new`: a user's own file becomes a private task; asks on a terminal, elsewhere names the missing flag."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from r2d_bench.cli import options
from r2d_bench.errors import UserError

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from r2d_bench.records import Json
    from r2d_bench.tasks.new import Choices, Space
    from r2d_bench.tasks.sources import Row
    from r2d_bench.tasks.task import Task

    Describe = Callable[[Task], dict[str, Json]]
    Say = Callable[[dict[str, Json]], None]

EXAMPLES = """\
  r2d-bench tasks new --from notes.csv
  r2d-bench tasks new --from notes.csv --input note --label disposition --rationale reason \\
      --ordinal --labels NOW,TODAY,HOME --group patient
  r2d-bench tasks new --from calls.xlsx --input 'Chief complaint' --label Triage --split all-test
"""
OPTIONAL = ("rationale", "id", "group")
QUESTIONS = {
    "input": "Which column holds the text to read?",
    "label": "Which column holds the label?",
    "rationale": "Which column holds the rationale?",
    "id": "Which column holds the id of a row?",
    "group": "Which column tells rows that belong together (patient)?",
}


def add_parser(kinds: options.Verbs[argparse.ArgumentParser], *, describe: Describe, say_splits: Say) -> None:
    """Add `new`; `describe` counts a task's splits, `say_splits` prints the counts."""
    main = partial(_new, describe=describe, say_splits=say_splits)
    parser = options.add_verb(kinds, "new", "Make a private task of a file of your own.", main, EXAMPLES)
    parser.add_argument(
        "--from", dest="file", required=True, metavar="FILE", help="CSV, TSV, JSONL, JSON, Parquet or Excel (.xlsx)"
    )
    parser.add_argument("--name", help="the task's name and folder (default: the file's name)")
    parser.add_argument("--title", help="one line for tables (default: from the name)")
    parser.add_argument("--input", metavar="COL", help="column with the text that models read")
    parser.add_argument("--label", metavar="COL", help="column with the gold label")
    parser.add_argument("--rationale", metavar="COL", help="column with the gold rationale")
    parser.add_argument("--id", metavar="COL", help="column with a row's id (default: the row's number)")
    parser.add_argument("--group", metavar="COL", help="column that tells rows which belong together (a patient)")
    parser.add_argument("--labels", metavar="A,B,C", help="the label set, most urgent first with --ordinal")
    space = parser.add_mutually_exclusive_group()
    for name, text in (
        ("ordinal", "labels have an order"),
        ("closed", "labels have none (default)"),
        ("open", "any text may be a label"),
    ):
        space.add_argument(f"--{name}", dest="space", action="store_const", const=name, help=text)
    parser.add_argument(
        "--visibility",
        choices=("private", "gated", "public"),
        default="private",
        help="whether texts may stand on a page (default: private, never)",
    )
    parser.add_argument(
        "--split",
        metavar="all-test|auto|COL",
        help="score every row; divide 60/20/20 into train, validation and test; or a column (default: auto)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of --split auto (default: 0)")
    parser.add_argument("--out", default=".", metavar="DIR", help="where the task's folder goes (default: here)")
    options.add_json(parser)


def _new(args: Namespace, *, describe: Describe, say_splits: Say) -> int:
    from r2d_bench.cli.plain import say, say_json
    from r2d_bench.tasks.new import columns_of, new_task
    from r2d_bench.tasks.sources import read_rows
    from r2d_bench.tasks.store_new import write_task

    file = Path(args.file)
    rows = read_rows(file)
    asking = sys.stdin.isatty() and sys.stdout.isatty() and not args.json
    chooser = _Chooser(args, rows, asking=asking)
    choices = chooser.choices(file)
    task = write_task(Path(args.out), choices, new_task(choices, rows), file)
    splits = describe(task)
    where = _shell_path(task.folder)
    next_commands = [f"r2d-bench tasks validate {where}", _run_command(where, splits, fixed=task.labels.fixed)]
    unused = chooser.unused()
    if args.json:
        told = {"task": task.spec.full_name, "folder": str(task.folder), "splits": splits}
        say_json(told | {"next": next_commands, "unused": unused})
        return 0
    say(f"{task.folder}: {task.spec.full_name}, {task.spec.visibility}, {len(columns_of(rows))} columns")
    say_splits(splits)
    if unused:
        say("not used: " + ", ".join(f"{column} (--{role}?)" for role, column in unused.items()))
    say("next:")
    for command in next_commands:
        say(f"  {command}")
    return 0


def _shell_path(folder: Path) -> str:
    import shlex

    text = str(folder)
    return shlex.quote(text if folder.is_absolute() or text.startswith(".") else f"./{text}")


def _run_command(where: str, splits: dict[str, Json], *, fixed: bool) -> str:
    models = "baseline:majority baseline:tfidf" if "train" in splits and fixed else "hf:./my-model"
    return f"r2d-bench run {models} -t {where} --bertscore none"


class _Chooser:
    """Settles every choice: what the flags say, else what a person answers, else the default."""

    def __init__(self, args: Namespace, rows: Sequence[Row], *, asking: bool) -> None:
        from r2d_bench.tasks.new import columns_of, guess

        self._args = args
        self._rows = rows
        self._asking = asking
        self._columns = columns_of(rows)
        self._guess = guess(self._columns)
        self._used: set[str] = set()

    def choices(self, file: Path) -> Choices:
        """Return the choices; raises UserError for what is missing or does not fit."""
        from r2d_bench.tasks.new import Choices

        args = self._args
        columns = {role: self._column(role) for role in QUESTIONS}
        text, label = str(columns["input"]), str(columns["label"])
        for one, other in (("input", "label"), ("input", "rationale"), ("label", "rationale")):
            if columns[one] is not None and columns[one] == columns[other]:
                raise UserError(f"--{one} and --{other} are both the column '{columns[one]}'")
        space, values = self._labels(label)
        split = self._split()
        name = self._name(file)
        return Choices(
            name=name,
            title=self._value("title", "Title?", name.replace("_", " ").replace("-", " ").capitalize()),
            file=file.name,
            input=text,
            label=label,
            rationale=columns["rationale"],
            id=columns["id"],
            group=columns["group"],
            space=space,
            values=values,
            visibility=args.visibility,
            split=split,
            seed=args.seed,
        )

    def unused(self) -> dict[str, str]:
        """Return role → column of those that look useful and were not named."""
        return {role: column for role, column in self._guess.items() if column not in self._used}

    def _column(self, role: str) -> str | None:
        from r2d_bench.tasks.new import checked_column

        given: str | None = getattr(self._args, role)
        optional = role in OPTIONAL
        if given is None and self._asking:
            hint = f"columns: {', '.join(self._columns)}" if role == "input" else ""
            given = _ask(
                QUESTIONS[role] + (" - for none" if optional else ""),
                self._guess.get(role) or ("-" if optional else None),
                lambda answer: (
                    answer if answer == "-" and optional else checked_column(answer, self._columns, "answer")
                ),
                hint=hint,
            )
            given = None if given == "-" and optional else given
        elif given is not None:
            checked_column(given, self._columns, f"--{role}")
        if given is None and not optional:
            likely = f"; --{role} '{self._guess[role]}'?" if role in self._guess else ""
            raise UserError(f"--{role} is missing (columns: {', '.join(self._columns)}{likely})")
        if given is not None:
            self._used.add(given)
        return given

    def _labels(self, column: str) -> tuple[Space, tuple[str, ...]]:
        from r2d_bench.tasks.new import checked_values, labels_in

        args = self._args
        named = _labels_of(args.labels)
        if args.space == "open":
            if named:
                raise UserError("--labels belongs to --closed or --ordinal: an open label space has no fixed set")
            return "open", ()
        values = checked_values(named, labels_in(self._rows, column), column)
        ordinal = args.space == "ordinal"
        if args.space is None and self._asking:
            found = ", ".join(values)
            ordinal = _ask(f"Labels: {found}. Have they an order, as in triage? (yes, no)", "no", _yes_or_no) == "yes"
        if ordinal and not named:
            if not self._asking:
                raise UserError(
                    f"--labels is missing: --ordinal needs the order, most urgent first (found: {', '.join(values)})"
                )
            in_order = _ask("Their order, most urgent first?", _joined(values), lambda answer: _same(answer, values))
            values = _labels_of(in_order)
        return ("ordinal" if ordinal else "closed"), values

    def _split(self) -> str:
        from r2d_bench.tasks.new import ALL_TEST, AUTO, checked_column

        def check(answer: str) -> str:
            return answer if answer in {ALL_TEST, AUTO} else checked_column(answer, self._columns, "--split")

        split = self._value("split", "Split: auto (60/20/20), all-test, or a column?", self._default_split(), check)
        self._used.add(split)
        return split

    def _default_split(self) -> str:
        """Return the column of splits as a suggestion to a person; without one, `auto`."""
        return self._guess.get("split", "auto") if self._asking else "auto"

    def _name(self, file: Path) -> str:
        from r2d_bench.documents import slug
        from r2d_bench.tasks.store_new import check_name

        default = slug(file.stem).lower().replace(".", "-").lstrip("_-") or "task"
        return self._value("name", "Name of the task?", default, lambda name: check_name(name, Path(self._args.out)))

    def _value(
        self, flag: str, question: str, default: str, check: Callable[[str], str] = lambda answer: answer
    ) -> str:
        """Return what a flag says, else an answer, else the default."""
        given = getattr(self._args, flag)
        if given is None and self._asking:
            return _ask(question, default, check)
        return check(default if given is None else given)


def _ask(question: str, default: str | None, check: Callable[[str], str], hint: str = "") -> str:
    """Ask until an answer fits; an empty answer is the default."""
    from r2d_bench.cli.plain import say

    if hint:
        say(hint)
    while True:
        try:
            answer = input(question + (f" [{default}] " if default is not None else " ")).strip() or default
        except EOFError:
            raise UserError("no answer; nothing was written") from None
        if answer is None:
            continue
        try:
            return check(answer)
        except UserError as error:
            say(f"  {error}")


def _yes_or_no(answer: str) -> str:
    word = {"y": "yes", "n": "no"}.get(answer.lower(), answer.lower())
    if word not in {"yes", "no"}:
        raise UserError("yes or no")
    return word


def _labels_of(text: str | None) -> tuple[str, ...]:
    """Return the labels of `A,B,"C, or D"`."""
    import csv

    return tuple(label.strip() for label in next(csv.reader([text or ""], skipinitialspace=True), []) if label.strip())


def _joined(labels: Sequence[str]) -> str:
    return ",".join(f'"{label}"' if "," in label else label for label in labels)


def _same(answer: str, values: Sequence[str]) -> str:
    """Refuse an order that leaves a label out, or has another."""
    if sorted(_labels_of(answer)) != sorted(values):
        raise UserError(f"name each label once: {_joined(values)}")
    return answer
