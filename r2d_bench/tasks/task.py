"""A loaded task: its card, its label space, and its examples by split."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from r2d_bench import content
from r2d_bench.documents import load
from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.records import Example, Json, digest
from r2d_bench.tasks.challenges import check_challenges
from r2d_bench.tasks.examples import build_examples
from r2d_bench.tasks.labels import LabelSpace
from r2d_bench.tasks.sources import Reading, Row, read_hub, read_rows
from r2d_bench.tasks.spec import Split, TaskSpec

DATA_VARIABLE = "R2D_BENCH_DATA"
VALIDATION = "validation"

Reader = Callable[[Any], Reading | Mapping[str, Sequence[Row | dict[str, Json]]]]


@dataclass(frozen=True)
class Provenance:
    """Where a task's rows came from; holds no local path.

    Attributes:
        kind: bundled, local or hub.
        commit: the hub's commit that was resolved.
        notes: what the task's own reader tells of the rows (how many were skipped, and why).
    """

    kind: str
    commit: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A task whose examples are read when they are first asked for.

    Attributes:
        spec: what `task.yaml` says.
        folder: where it stands.
        data: local data that stand in for the source (`--data TASK=PATH`).
        style: the style of the gold rationales; None where the task declares no styles.
    """

    spec: TaskSpec
    folder: Path
    data: Path | None = None
    style: str | None = None
    _loaded: dict[str, list[Example]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The task's name without its version."""
        return self.spec.name

    @property
    def public(self) -> bool:
        """Whether texts of the task may be published."""
        return self.spec.visibility == "public"

    @cached_property
    def labels(self) -> LabelSpace:
        """The label space, with the parser."""
        return LabelSpace(self.spec.label.space, self.spec.label.values, self.spec.label.aliases)

    @cached_property
    def prompt_digest(self) -> str:
        """Digest of what the task puts into prompts and label candidates, beside the examples."""
        spec = self.spec
        return digest([spec.prompts.model_dump(), spec.label.model_dump(include={"space", "values", "titles"})], 16)

    @cached_property
    def provenance(self) -> Provenance:
        """Where the rows came from."""
        return self._whole[1] if self._by_file is None else Provenance("bundled" if self.data is None else "local")

    @property
    def _by_file(self) -> Mapping[str, str] | None:
        """Split → file, where each split has a file of its own, which is read when it is asked for."""
        source = self.spec.source
        is_local = not source.reader and (self.data is not None or source.files)
        return source.files if is_local and source.split is None else None

    @cached_property
    def _whole(self) -> tuple[dict[str, list[Row]], Provenance]:
        """The rows of a source whose splits cannot be read one by one."""
        source = self.spec.source
        if source.reader:
            return self._read_with_reader(source.reader)
        if self.data is not None or source.files:
            kind = "bundled" if self.data is None else "local"
            return {split: read_rows(self._path(file)) for split, file in source.files.items()}, Provenance(kind)
        rows, commit = self._from_hub()
        return rows, Provenance("hub", commit)

    def _path(self, file: str) -> Path:
        return self.folder / file if self.data is None else self._local(file)

    def _local(self, file: str) -> Path:
        """Return the local stand-in for one of the source's files."""
        if self.data is None or not self.data.exists():
            raise UserError(f"{self.data}: no such file or folder (data for task {self.name})")
        if self.data.is_dir():
            return self.data / Path(file).name
        if len(self.spec.source.files) > 1:
            raise UserError(f"{self.data}: task {self.name} has several files; give the folder that holds them")
        return self.data

    def _from_hub(self) -> tuple[dict[str, list[Row]], str]:
        hub = self.spec.source.hub
        if hub is None:
            hint = f" {self.spec.source.obtain}" if self.spec.source.obtain else ""
            raise UserError(f"task {self.name} brings no data: give them with --data {self.name}=PATH.{hint}")
        try:
            return read_hub(hub)
        except UserError as error:
            raise UserError(f"task {self.name}: {error}; or give local data with --data {self.name}=PATH") from None

    def _read_with_reader(self, reader: str) -> tuple[dict[str, list[Row]], Provenance]:
        """Let the task's own function read the local file, or shape the hub's rows."""
        read = _load_reader(self.folder, reader)
        if self.data is not None:
            path, local = self.data, self.spec.source.local
            if path.is_dir() and local:
                path = path / local
            if not path.exists():
                raise UserError(f"{path}: no such file (data for task {self.name})")
            shaped, provenance, file = read(path), Provenance("local"), path.name
        else:
            rows, commit = self._from_hub()
            flat = [row.values for part in rows.values() for row in part]
            shaped, provenance, file = read(flat), Provenance("hub", commit), self.spec.name
        found = shaped if isinstance(shaped, Reading) else Reading(shaped)
        numbered = {
            split: [
                row if isinstance(row, Row) else Row(row, file, f"{split} item {n}") for n, row in enumerate(part, 1)
            ]
            for split, part in found.splits.items()
        }
        return numbered, replace(provenance, notes=found.notes)

    def splits(self) -> dict[str, list[Example]]:
        """Return every split with its examples.

        Raises:
            UserError: rows that do not fit the task, told with file and line.
        """
        if self._by_file is None:
            self._load_whole()
        names = self._by_file if self._by_file is not None else self._loaded
        splits = {name: self.examples(name) for name in names}
        self._assert_present(splits)
        check_challenges(self.spec, splits)
        return splits

    def examples(self, split: str | None = None) -> list[Example]:
        """Return the examples of one split (default: the one that is evaluated).

        Raises:
            UserError: the task has no such split, or its rows do not fit.
        """
        name = split or self.spec.evaluate
        if name not in self._loaded:
            if self._by_file is None:
                self._load_whole()
            elif name in self._by_file:
                self._load({name: read_rows(self._path(self._by_file[name]))})
        if name not in self._loaded:
            known = self._loaded if self._by_file is None else self._by_file
            raise UserError(f"task {self.name} has no split '{name}'{did_you_mean(name, known)}")
        return self._loaded[name]

    def _load_whole(self) -> None:
        if not self._loaded:
            self._load(self._whole[0])
            self._assert_present(self._loaded)

    def _load(self, rows: Mapping[str, Sequence[Row]]) -> None:
        """Turn rows into examples, and compare them with what is known of their splits."""
        examples = build_examples(self.spec, self.labels, rows, self.style)
        for name, part in examples.items():
            self._assert_known(name, part)
        self._loaded.update(examples)

    def training(self) -> list[Example]:
        """Return the examples that models learn from; empty where the task has none of its training splits."""
        names = self._by_file if self._by_file is not None else self.splits()
        return [example for name in self.spec.training if name in names for example in self.examples(name)]

    def validation(self) -> list[Example]:
        """Return the examples that a model under training is compared on; empty where the task has none."""
        names = self._by_file if self._by_file is not None else self.splits()
        return self.examples(VALIDATION) if VALIDATION in names else []

    @cached_property
    def _challenges(self) -> dict[str, list[Example]]:
        splits = {one.split: self.examples(one.split) for one in self.spec.challenges.values()}
        check_challenges(self.spec, splits | {self.spec.evaluate: self.examples()})
        return {name: splits[one.split] for name, one in self.spec.challenges.items()}

    def challenge(self, name: str) -> list[Example]:
        """Return the examples of a challenge set.

        Raises:
            UserError: the task has no such set.
        """
        if name not in self.spec.challenges:
            known = did_you_mean(name, self.spec.challenges)
            raise UserError(f"task {self.name} has no challenge set '{name}'{known}")
        return self._challenges[name]

    def asked(self) -> list[Example]:
        """Return every example that a run can ask: the evaluated split and the challenge sets."""
        return [*self.examples(), *(example for name in self.spec.challenges for example in self.challenge(name))]

    def in_style(self, style: str | None) -> Task:
        """Return the task with its gold rationales in another style (None: the task's default).

        Raises:
            UserError: the task declares no such style.
        """
        chosen = style_of(self.spec, style)
        if chosen is None or chosen == self.style:
            return self
        loaded = {
            name: [replace(example, references=example.styles[chosen]) for example in part]
            for name, part in self._loaded.items()
        }
        return replace(self, style=chosen, _loaded=loaded)

    def digest(self, split: str | None = None) -> str:
        """Return the digest of a split: ids, inputs, golds, references (in all styles), options, in file order."""
        return rows_digest(self.examples(split))

    def annotated(self, name: str) -> dict[str, dict[str, str | None]]:
        """Return the predictions that the rows themselves carry, by example id, of all that a run can ask.

        Raises:
            UserError: the task has no annotation of that name, or its column is missing.
        """
        from r2d_bench.tasks.examples import optional_text  # noqa: PLC0415
        from r2d_bench.templates import MissingValue, mapped  # noqa: PLC0415

        if name not in self.spec.annotations:
            known = did_you_mean(name, self.spec.annotations)
            raise UserError(f"task {self.name} carries no annotation '{name}'{known}")
        annotation = self.spec.annotations[name]
        where = f"{self.name} annotations.{name}"
        label = mapped(annotation.label, where)
        rationale = mapped(annotation.rationale, where) if annotation.rationale else None
        examples = self.asked()
        for template in filter(None, (label, rationale)):
            if all(isinstance(missing := template(example.fields), MissingValue) for example in examples):
                columns = {column for example in examples for column in example.fields}
                raise UserError(f"{where}: the column '{missing.name}' is missing{did_you_mean(missing.name, columns)}")
        return {
            example.id: {
                "label": optional_text(label(example.fields), where),
                "rationale": optional_text(rationale(example.fields), where) if rationale else None,
            }
            for example in examples
        }

    def _assert_present(self, splits: Mapping[str, Sequence[Example]]) -> None:
        """Refuse data that lack a split which `task.yaml` knows."""
        for name in self.spec.splits:
            if name not in splits:
                raise UserError(f"task {self.name}: the data have no split '{name}'{did_you_mean(name, splits)}")

    def _assert_known(self, name: str, got: Sequence[Example]) -> None:
        """Compare a split with what `task.yaml` says of it."""
        known = self.spec.splits.get(name, Split())
        if known.rows is not None and len(got) != known.rows:
            raise UserError(f"task {self.spec.full_name}: split {name} has {len(got)} rows, should have {known.rows}")
        if known.digest is not None and (found := rows_digest(got)) != known.digest:
            raise UserError(
                f"task {self.spec.full_name}: the rows of split {name} are not the known ones "
                f"(digest {found}, should be {known.digest}); other data make another task or version"
            )


def examples_digest(examples: Sequence[Example]) -> str:
    """Return 16 hex digits over all that can change a score, gold rationales in the chosen style."""
    return _digest((example, example.references) for example in examples)


def rows_digest(examples: Sequence[Example]) -> str:
    """Return 16 hex digits over all that can change a score, in whatever style: it is the same for each style."""
    return _digest((example, dict(example.styles) or example.references) for example in examples)


def _digest(examples: Iterable[tuple[Example, Json]]) -> str:
    running = hashlib.sha256()
    for e, references in examples:
        parts = [e.id, e.input, e.gold, references, e.options, e.acceptable, e.group]
        running.update(digest(parts if e.pair is None else [*parts, e.pair]).encode())
    return running.hexdigest()[:16]


def style_of(spec: TaskSpec, style: str | None) -> str | None:
    """Return the style of gold rationales that is meant: the one asked for, else the task's default.

    Raises:
        UserError: the task declares no such style.
    """
    styles = spec.rationale.styles
    if style is not None and style not in styles:
        known = did_you_mean(style, styles) if styles else " (it declares none)"
        raise UserError(f"task {spec.name} has no rationale style '{style}'{known}")
    return style or spec.rationale.style


def _load_reader(folder: Path, reader: str) -> Reader:
    """Import the function `file.py:name` of a task folder."""
    file, _, name = reader.partition(":")
    path = folder / file
    if not path.is_file():
        raise UserError(f"{folder / 'task.yaml'}: source.reader: {file} is not in the task's folder")
    module_spec = importlib.util.spec_from_file_location(f"_r2d_bench_task_{folder.name}", path)
    if module_spec is None or module_spec.loader is None:
        raise UserError(f"{path}: cannot be imported")
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise UserError(f"{path}: has no function '{name}'")
    return function  # type: ignore[no-any-return]


def load_task(name: str, *, data: Path | None = None, task_dirs: Sequence[Path] = (), style: str | None = None) -> Task:
    """Return the task called `name` (or the one in a folder).

    Args:
        name: a task's name, its folder, or its `task.yaml`.
        data: local data that stand in for its source. Without it, `$R2D_BENCH_DATA/<name>` is taken if it exists.
        task_dirs: further folders to look for tasks in.
        style: the style of the gold rationales, where the task declares several; its default one where absent.

    Raises:
        UserError: unknown task or style, or a `task.yaml` that does not fit the schema.
    """
    folder = content.find("tasks", name, task_dirs)
    spec = load(TaskSpec, folder / "task.yaml")
    if spec.name != (called := folder.resolve().name):  # runs name the task, and are scored by that name
        raise UserError(f"{folder / 'task.yaml'}: name: '{spec.name}' should be its folder's name, '{called}'")
    if data is None and (base := os.environ.get(DATA_VARIABLE)):
        candidate = Path(base) / spec.name
        data = candidate if candidate.exists() else None
    return Task(spec=spec, folder=folder, data=data, style=style_of(spec, style))
