"""Replays predictions from a file, from another harness's log, or those that a task's own rows carry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.models import imported
from r2d_bench.models.base import Answer, Capabilities, Identity, Model, Params
from r2d_bench.records import Failure, Finish, Json, Response, digest
from r2d_bench.tasks.examples import optional_text
from r2d_bench.tasks.sources import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic import BaseModel

    from r2d_bench.records import Example, Request
    from r2d_bench.tasks.task import Task

Said = dict[str, str | None]  # `label` and `rationale` of one example; `finish` where a log tells one but `stop`


class ReplayParams(Params):
    """Columns of the file, and what kind of row it makes.

    Attributes:
        id, label, rationale: names of the columns; a file without the rationale's column is label-only. In logs of
            other harnesses `id` is a path into a row (`doc.pubid`), the others are keys of a JSON answer.
        row: `human` for predictions of people.
        title: the name on pages; the file's name by default.
        format: `lm_eval` (samples of lm-evaluation-harness) and `inspect` (Inspect's logs) are known by their keys.
        filter: which of lm_eval's filters, where a log has several.
        epoch: which of Inspect's epochs, where a log has several.
    """

    id: str = "id"
    label: str = "label"
    rationale: str = "rationale"
    row: Literal["model", "human"] = "model"
    title: str | None = Field(default=None, min_length=1)
    format: Literal["auto", "plain", "lm_eval", "inspect"] = "auto"
    filter: str | None = None
    epoch: int | None = None


class Replay(Model):
    """Answers from recorded predictions, by example id."""

    Params = ReplayParams

    def __init__(self, title: str, said: Mapping[str, Said], *, row: str, harness: str | None = None) -> None:
        self._said = said
        self._harness = harness
        self._row = row
        self._title = title
        self._digest = digest(said)
        self._rationale = any(entry["rationale"] is not None for entry in said.values())

    @classmethod
    def create(cls, name: str, params: BaseModel, *, task: Task, seed: int) -> Self:  # noqa: ARG003
        """Read the predictions; raises UserError for an absent file, a missing column or a doubled id."""
        chosen = ReplayParams.model_validate(params.model_dump(exclude_unset=True))
        if name in task.spec.annotations:
            annotation = task.spec.annotations[name]
            return cls(chosen.title or annotation.title, task.annotated(name), row=annotation.row)
        path = Path(name)
        if not path.exists():
            known = did_you_mean(name, task.spec.annotations) if task.spec.annotations else ""
            raise UserError(f"replay:{name}: no such file, nor predictions that task {task.name} carries{known}")
        kind = imported.format_of(path) if chosen.format == "auto" else chosen.format
        if kind != "plain":
            said = _read_log(path, kind, chosen, task)
            return cls(chosen.title or path.stem, said, row=chosen.row, harness=imported.TITLES[kind])
        for name_of_log in sorted({"filter", "epoch"} & chosen.model_fields_set):
            raise UserError(f"{path}: {name_of_log}= belongs to logs of other harnesses; this is a plain file")
        said = _read(path, chosen)
        if not any(example.id in said for example in task.examples()):
            raise UserError(f"{path}: none of its ids is one of task {task.name}; which column holds them? (id=COLUMN)")
        return cls(chosen.title or path.stem, said, row=chosen.row)

    @property
    def identity(self) -> Identity:
        """The file's stem (or the given title), the digest of what it says, and the harness that logged it."""
        params: dict[str, Json] = {"imported": self._harness} if self._harness else {}
        return Identity("replay", self._title, self._digest, params, row=self._row)

    @property
    def capabilities(self) -> Capabilities:
        """Answers by id, never by content."""
        return Capabilities(rationale=self._rationale, pure=False, default_protocol="direct")

    def answers(self, example: Example) -> bool:
        """Tell whether a prediction for the example was recorded."""
        return any(text is not None for text in self._said.get(example.id, {}).values())

    def generate(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Give the recorded label or rationale; an example without one fails with that reason."""
        for request in requests:
            entry = self._said.get(request.example_id)
            text = entry[request.stage] if entry else None
            if text is None:
                yield request.key, Failure("not in the predictions", f"no {request.stage} for this id")
            else:
                finish = entry.get("finish") if entry else None
                yield request.key, Response(text, Finish(finish) if finish else Finish.STOP)


def _read_log(path: Path, kind: imported.Format, params: ReplayParams, task: Task) -> dict[str, Said]:
    """Return what another harness logged, by example id.

    Where some answers hold a rationale, one without has an empty one: the model was asked and wrote none.
    """
    logged = imported.read_log(path, kind, task, only_filter=params.filter, epoch=params.epoch)
    id_key = params.id if "id" in params.model_fields_set else None
    answers = imported.by_id(logged, path, kind, task, id_key)
    said = {ident: imported.said(one, params.label, params.rationale) for ident, one in answers.items()}
    if any(entry["rationale"] is not None for entry in said.values()):
        for entry in said.values():
            if entry["label"] is not None and entry["rationale"] is None:
                entry["rationale"] = ""
    return said


def _read(path: Path, params: ReplayParams) -> dict[str, Said]:
    said: dict[str, Said] = {}
    rows = read_rows(path)
    columns = dict.fromkeys(column for row in rows for column in row.values)
    named = [params.rationale] if "rationale" in params.model_fields_set else []
    for needed in (params.id, params.label, *named):
        if needed not in columns:
            raise UserError(f"{path}: the column '{needed}' is missing{did_you_mean(needed, columns)}")
    for row in rows:
        ident = optional_text(row.values.get(params.id), f"{row.where}: {params.id}")
        if ident is None:
            raise UserError(f"{row.where}: {params.id} is empty")
        if ident in said:
            raise UserError(f"{row.where}: the id '{ident}' stands twice")
        # An empty label or rationale is an answer (an empty one); a key that is absent or null is none.
        said[ident] = {
            "label": _said(row.values, params.label, row.where),
            "rationale": _said(row.values, params.rationale, row.where),
        }
    return said


def _said(values: Mapping[str, Json], column: str, where: str) -> str | None:
    value = values.get(column)
    return "" if value == "" else optional_text(value, f"{where}: {column}")
