"""Predictions that other harnesses have logged, read for `replay:`.

- lm-evaluation-harness: `samples_TASK_TIME.jsonl` (`--log_samples`). Keys used: `doc_id`, `doc`, `target`, `arguments`,
  `resps`, `filtered_resps`, `filter`. A generated answer is the text in `filtered_resps`; of a multiple choice
  the choice with the highest log-likelihood is taken (what its `acc` scores, not `acc_norm`, which divides by length).
- Inspect: a log as `.json`, or as `.eval` (a zip with a JSON file per sample). Keys used of a sample: `id`, `epoch`,
  `choices`, `target`, `output`. Of a multiple choice (`ANSWER: B`) the text of that choice is taken.

Written after the code of lm_eval 0.4 and of Inspect's log version 2. What does not look so is refused, not guessed at.
"""

from __future__ import annotations

import math
import re
import zipfile
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import TYPE_CHECKING, Literal

from r2d_bench.documents import parse_json, read_json
from r2d_bench.errors import UserError
from r2d_bench.protocols.outputs import json_objects
from r2d_bench.records import Finish
from r2d_bench.tasks.examples import optional_text
from r2d_bench.tasks.sources import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from r2d_bench.records import Json
    from r2d_bench.tasks.task import Task

Format = Literal["plain", "lm_eval", "inspect"]
TITLES: Mapping[Format, str] = {"lm_eval": "lm-evaluation-harness", "inspect": "inspect"}
_ID_KEYS: Mapping[Format, tuple[str, ...]] = {"lm_eval": ("doc.id", "doc_id"), "inspect": ("id",)}
_FINISHES = {
    "max_tokens": Finish.LENGTH,
    "length": Finish.LENGTH,
    "model_length": Finish.LENGTH,
    "content_filter": Finish.FILTERED,
}
_CHOSEN = re.compile(r"^\W*answer\s*:\W*([A-Z])\W*$", re.IGNORECASE | re.MULTILINE)
_FEW = 0.1  # share of other gold labels than the task's that a log of the same data may have


@dataclass(frozen=True, slots=True)
class Logged:
    """One answer of a log.

    Attributes:
        where: file and place, for messages.
        values: the whole row, to find the id in.
        text: what gives the label; None where there was no answer (an error).
        raw: the model's whole text, which may hold a rationale.
        finish: why the answer ended, where the log tells.
        gold: the log's own gold label.
    """

    where: str
    values: Mapping[str, Json] = field(repr=False)
    text: str | None
    raw: str | None
    finish: Finish = Finish.STOP
    gold: str | None = None


def format_of(path: Path) -> Format:
    """Tell a file's format by its name's ending and its keys."""
    if path.suffix.lower() == ".eval":
        return "inspect"
    if path.suffix.lower() == ".json":
        data = read_json(path)
        return "inspect" if isinstance(data, dict) and isinstance(data.get("eval"), dict) else "plain"
    if path.suffix.lower() in {".jsonl", ".ndjson"}:
        first = read_rows(path)[0].values
        return "lm_eval" if {"doc_id", "doc", "filtered_resps"} <= set(first) else "plain"
    return "plain"


def read_log(path: Path, kind: Format, task: Task, *, only_filter: str | None, epoch: int | None) -> list[Logged]:
    """Return the answers of a log, one per item.

    Args:
        path: the file.
        kind: `lm_eval` or `inspect`.
        task: whose labels tell whether a letter is a label or a choice.
        only_filter: which of lm_eval's filters; needed where there are several.
        epoch: which of Inspect's epochs; needed where there are several.

    Raises:
        UserError: the file is not of that format, or holds several answers for an item.
    """
    if kind == "lm_eval":
        rows = read_rows(path)
        chosen = _one_of({str(r.values.get("filter", "none")) for r in rows}, only_filter, path, "filter")
        kept = [row for row in rows if str(row.values.get("filter", "none")) == chosen]
        return [_lm_eval(row.values, row.where, task) for row in kept]
    samples = list(_samples(path))
    if not samples:
        raise UserError(f"{path}: the log holds no samples")
    chosen = _one_of({str(s.get("epoch", 1)) for _, s in samples}, None if epoch is None else str(epoch), path, "epoch")
    return [_inspect(sample, where, task) for where, sample in samples if str(sample.get("epoch", 1)) == chosen]


def _one_of(found: set[str], wanted: str | None, path: Path, what: str) -> str:
    names = ", ".join(sorted(found))
    if wanted is not None and wanted not in found:
        raise UserError(f"{path}: has no {what} '{wanted}' (found: {names})")
    if wanted is None and len(found) > 1:
        raise UserError(f"{path}: holds several answers for an item; choose one with {what}=NAME (found: {names})")
    return wanted if wanted is not None else next(iter(found))


def by_id(logged: Sequence[Logged], path: Path, kind: Format, task: Task, id_key: str | None) -> dict[str, Logged]:
    """Return the answers by the task's example ids.

    Without `id_key` the format's own ids serve. Running numbers do only where every one is an id of the task, since a
    count from 0 would otherwise be taken for a count from 1.

    Raises:
        UserError: none of the ids fits, an id stands twice, or the log's gold labels are not the task's.
    """
    known = {example.id for part in task.splits().values() for example in part}
    evaluated = {example.id for example in task.examples()}
    keys = (id_key,) if id_key else _ID_KEYS[kind]
    for key in keys:
        found = [_id(one, key) for one in logged]
        running = {str(number) for number in range(len(found) + 1)}.issuperset(filter(None, found))
        if evaluated.intersection(filter(None, found)) and (
            id_key or not running or known.issuperset(filter(None, found))
        ):
            answers = _without_doubles(logged, found)
            _check_gold(answers, path, task)
            return answers
    such_as = "doc.pubid" if kind == "lm_eval" else "metadata.pubid"
    raise UserError(
        f"{path}: its ids ({', '.join(keys)}) are not those of task {task.name}; which key holds them? "
        f"(id=KEY, such as {such_as})"
    )


def _id(one: Logged, key: str) -> str | None:
    value: Json = one.values
    for step in key.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return optional_text(value, f"{one.where}: {key}")


def _without_doubles(logged: Sequence[Logged], found: Sequence[str | None]) -> dict[str, Logged]:
    answers: dict[str, Logged] = {}
    for one, ident in zip(logged, found, strict=True):
        if ident is None:
            raise UserError(f"{one.where}: has no id")
        if ident in answers:
            raise UserError(f"{one.where}: the id '{ident}' stands twice (first: {answers[ident].where})")
        answers[ident] = one
    return answers


def _check_gold(answers: Mapping[str, Logged], path: Path, task: Task) -> None:
    """Refuse ids that fit by chance: then the log's gold labels are not the task's."""
    compared = wrong = 0
    for example in task.examples():
        one = answers.get(example.id)
        gold = task.labels.vocabulary(example.options).exact(one.gold) if one and one.gold else None
        if gold is not None:
            compared += 1
            wrong += gold != example.gold
    if wrong > _FEW * compared:
        raise UserError(
            f"{path}: {wrong} of {compared} gold labels in it are not those of task {task.name}; "
            "are these ids of other data? (id=KEY)"
        )


def said(one: Logged, label_key: str, rationale_key: str) -> dict[str, str | None]:
    """Return label, rationale and finish of an answer.

    The label is read from the one JSON object that holds one, else the text goes to the label parser as it is; a
    rationale is only had from JSON.
    """
    entry: dict[str, str | None] = {"label": one.text, "rationale": None}
    read = _object(one.text, label_key, rationale_key)
    if read is not None and label_key in read:
        entry["label"] = optional_text(read[label_key], f"{one.where}: {label_key}") or ""
    whole = read or _object(one.raw, label_key, rationale_key)
    if whole is not None and rationale_key in whole:
        entry["rationale"] = optional_text(whole[rationale_key], f"{one.where}: {rationale_key}") or ""
    cut_behind = whole is not None and one.finish is Finish.LENGTH  # a finished object is whole
    if one.finish is not Finish.STOP and not cut_behind:
        entry["finish"] = one.finish.value
    return entry


def _object(text: str | None, *keys: str) -> dict[str, Json] | None:
    fitting = [found for found in json_objects(text or "") if any(key in found for key in keys)]
    return fitting[0] if len(fitting) == 1 else None


def _lm_eval(values: Mapping[str, Json], where: str, task: Task) -> Logged:
    answers = values.get("filtered_resps")
    if not isinstance(answers, list) or not answers:
        raise UserError(f"{where}: not a row of lm-evaluation-harness (filtered_resps should be a list)")
    if len(answers) == 1 and isinstance(answers[0], list) and len(answers[0]) == 1:
        answers = answers[0]  # one repeat, kept as a list
    if len(answers) == 1 and isinstance(answers[0], str):
        raw = values.get("resps")
        while isinstance(raw, list) and len(raw) == 1:
            raw = raw[0]
        target = values.get("target")
        gold = target if isinstance(target, str) else None
        return Logged(where, values, answers[0], raw if isinstance(raw, str) else answers[0], gold=gold)
    likelihoods = [_likelihood(answer, where) for answer in answers]
    choices = _choices(values, len(likelihoods), where, task)
    best = max(range(len(choices)), key=lambda n: likelihoods[n])
    return Logged(where, values, choices[best], None, gold=_target(str(values.get("target")), choices, task))


def _target(target: str, choices: Sequence[str], task: Task) -> str | None:
    """Return the text of the gold choice, which is told by its number, its letter or its text; None where unclear."""
    letters = ascii_uppercase[: len(choices)]
    if target.isdecimal() and int(target) < len(choices):
        chosen = choices[int(target)]
        return None if target in choices and target != chosen else chosen  # labels may be numbers themselves
    spelled = len(target) == 1 and target in letters and target not in choices and not _are_labels(letters, task)
    return choices[letters.index(target)] if spelled else target


def _likelihood(answer: Json, where: str) -> float:
    """Return the log-likelihood of `[-1.5, false]`, whose parts newer versions write as text."""
    try:
        value = float(answer[0]) if isinstance(answer, list) and len(answer) == 2 else math.nan
    except (TypeError, ValueError):
        value = math.nan
    if math.isnan(value):
        raise UserError(f"{where}: filtered_resps holds neither one text nor a log-likelihood per choice")
    return value


def _choices(values: Mapping[str, Json], n: int, where: str, task: Task) -> list[str]:
    """Return the text of each choice: what the harness appended to the context, or what its letter stands for."""
    arguments = values.get("arguments")
    listed = list(arguments.values()) if isinstance(arguments, dict) else arguments
    pairs = [_pair(argument) for argument in listed] if isinstance(listed, list) else []
    read = [pair for pair in pairs if pair is not None]
    # With acc_mutual_info the choices are asked once more, without the context.
    asked = [(context, text) for context, text in read if context == read[0][0]]
    if n < 2 or len(read) != len(pairs) or len(asked) != n:
        raise UserError(f"{where}: arguments do not hold one context with two choices or more; these cannot be read")
    texts = [text.strip() for _, text in asked]
    return _spelled_out(texts, values.get("doc"), task)


def _pair(argument: Json) -> tuple[str, str] | None:
    parts = list(argument.values()) if isinstance(argument, dict) else argument
    if isinstance(parts, list) and len(parts) == 2 and all(isinstance(part, str) for part in parts):
        return parts[0], parts[1]
    return None


def _spelled_out(texts: list[str], doc: Json, task: Task) -> list[str]:
    """Return the document's own choices where the continuations are but their letters (which no label is)."""
    letters = texts == list(ascii_uppercase[: len(texts)])
    if not letters or not isinstance(doc, dict) or _are_labels(texts, task):
        return texts
    for key in ("choices", "options"):
        found = doc.get(key)
        if isinstance(found, dict):
            found = found.get("text", [found[letter] for letter in texts if letter in found])
        if isinstance(found, list) and len(found) == len(texts) and all(isinstance(text, str) for text in found):
            return found
    return texts


def _are_labels(letters: Sequence[str], task: Task) -> bool:
    return task.labels.fixed and all(task.labels.vocabulary().exact(letter) is not None for letter in letters)


def _samples(path: Path) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield the samples of an Inspect log with their places."""
    if path.suffix.lower() == ".eval":
        yield from _zipped(path)
        return
    log = read_json(path)
    samples = log.get("samples") if isinstance(log, dict) else None
    for number, sample in enumerate(samples or [], 1):
        if not isinstance(sample, dict):
            raise UserError(f"{path} sample {number}: should be an object")
        yield f"{path.name} sample {number}", sample


def _zipped(path: Path) -> Iterator[tuple[str, dict[str, Json]]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.startswith("samples/") and name.endswith(".json"):
                    sample = parse_json(archive.read(name).decode("utf-8"))
                    if not isinstance(sample, dict):
                        raise UserError(f"{path} {name}: should be an object")
                    yield f"{path.name} {name}", sample
    except NotImplementedError:  # compressed by a method that is younger than this Python
        raise UserError(f"{path}: cannot be unpacked; convert it first: inspect log convert --to json") from None
    except (zipfile.BadZipFile, ValueError, RecursionError, OSError) as error:
        raise UserError(f"{path}: not a readable Inspect log ({error})") from None


def _inspect(sample: Mapping[str, Json], where: str, task: Task) -> Logged:
    output = sample.get("output")
    if not isinstance(output, dict):
        raise UserError(f"{where}: not a sample of Inspect (output should be an object)")
    gold, choices = sample.get("target"), sample.get("choices")
    texts = [str(choice) for choice in choices] if isinstance(choices, list) else []
    letters = ascii_uppercase[: len(texts)]
    if isinstance(gold, list):
        gold = gold[0] if len(gold) == 1 else None
    spelled = bool(texts) and not _are_labels(letters, task)
    if spelled and isinstance(gold, str) and len(gold) == 1 and gold in letters:
        gold = texts[letters.index(gold)]
    answers = output.get("choices") or []
    if not isinstance(answers, list) or not answers:  # the sample failed, or was not asked
        return Logged(where, sample, None, None)
    text = _message(answers[0], where)
    finish = _FINISHES.get(str(answers[0].get("stop_reason")), Finish.STOP)
    chosen = {letter.upper() for letter in _CHOSEN.findall(text)} if spelled else set()
    label = texts[letters.index(letter)] if len(chosen) == 1 and (letter := chosen.pop()) in letters else text
    return Logged(where, sample, label, text, finish, gold if isinstance(gold, str) else None)


def _message(choice: Json, where: str) -> str:
    """Return the text of a message, without what the model thought before."""
    message = choice.get("message") if isinstance(choice, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "\n".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str):
        raise UserError(f"{where}: not a sample of Inspect (output.choices holds no message with content)")
    return content
