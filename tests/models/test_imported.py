"""Logs of other harnesses, in the shape that those write them."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from run_parts import LABELS, carry_out, make_task, row
from small_task import write_task

from r2d_bench.errors import UserError
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.records import LabelStatus, Prediction, RationaleStatus
from r2d_bench.runs.predictions import Reader
from r2d_bench.tasks.task import Task, load_task

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.models.base import Model

Rows = list[dict[str, Any]]


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """Four test rows, t0 to t3, labels yes, no, None and NA."""
    return make_task(tmp_path, [row(f"t{k}", label) for k, label in enumerate(LABELS)])


def replay(task: Task, spec: str) -> Model:
    return make_model(parse_spec(f"replay:{spec}"), task=task, seed=0)


def predicted(task: Task, spec: str, runs: Path) -> list[Prediction]:
    store, _ = carry_out(task, replay(task, spec), runs)
    reader, responses = Reader(task, store.setup()), store.responses()
    return [reader.prediction(e, responses) for e in task.examples()]


def generated(n: int, text: str, filtered: str | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A row of samples_*.jsonl of a generate_until task."""
    return {
        "doc_id": n,
        "doc": {"id": f"t{n}", "pubid": 100 + n, "question": "?"},
        "target": LABELS[n] if n < 4 else "yes",
        "arguments": {"gen_args_0": {"arg_0": "?", "arg_1": {"until": ["\n"], "do_sample": False}}},
        "resps": [[text]],
        "filtered_resps": [text if filtered is None else filtered],
        "filter": "none",
        "metrics": ["exact_match"],
        "doc_hash": "0", "prompt_hash": "0", "target_hash": "0",
        "exact_match": 0.0,
    } | more  # fmt: skip


def chosen(n: int, likelihoods: list[float], choices: list[str], *, old: bool = False, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A row of a multiple_choice task; before it wrote every part as text, arguments were lists."""
    pairs = [["ctx", f" {choice}"] for choice in choices]
    return generated(n, "") | {
        "arguments": pairs if old else {f"gen_args_{k}": {"arg_0": c, "arg_1": t} for k, (c, t) in enumerate(pairs)},
        "resps": [[[v, False]] if old else [[str(v), "False"]] for v in likelihoods],
        "filtered_resps": [[v, False] if old else [str(v), "False"] for v in likelihoods],
        "target": str(n),
        "acc": 1.0,
    } | more  # fmt: skip


def lines(path: Path, rows: Rows) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def both(label: str, rationale: str) -> str:
    return f'Sure: {{"rationale": "{rationale}", "label": "{label}"}}'


def test_generated_answers_of_lm_eval_go_through_the_label_parser(task: Task, tmp_path: Path):
    rows = [
        generated(0, " yes"),
        generated(1, "The answer is no."),
        generated(2, "call it what you like"),
        generated(3, ""),
    ]
    spec = lines(tmp_path / "samples_small_2026.jsonl", rows)
    found = predicted(task, spec, tmp_path / "runs")
    assert [p.label for p in found] == ["yes", "no", None, None]
    assert [p.label_status for p in found[2:]] == [LabelStatus.OFF_VOCABULARY, LabelStatus.EMPTY]
    assert all(p.rationale_status is RationaleStatus.ABSENT for p in found)
    identity = replay(task, spec).identity
    assert (identity.name, identity.params) == ("samples_small_2026", {"imported": "lm-evaluation-harness"})
    assert replay(task, spec + ",title=Our model").identity.title == (
        "replay:Our model (imported=lm-evaluation-harness)"
    )


def test_a_rationale_is_read_from_json_and_absent_ones_are_the_model_s_own(task: Task, tmp_path: Path):
    rows = [
        generated(0, both("yes", "as it is")),
        generated(1, "no"),
        generated(2, both("None", "raw text"), filtered="None"),
        generated(3, both("NA", "one") + both("no", "two")),
    ]
    found = predicted(task, lines(tmp_path / "s.jsonl", rows), tmp_path / "runs")
    assert [p.label for p in found] == ["yes", "no", "None", None]
    assert [p.rationale for p in found] == ["as it is", "", "raw text", ""]
    assert [p.rationale_status for p in found[:2]] == [RationaleStatus.WRITTEN, RationaleStatus.EMPTY]
    renamed = [generated(0, '{"answer": "yes", "why": "so"}')]
    (first, *others) = predicted(
        task, lines(tmp_path / "t.jsonl", renamed) + ",label=answer,rationale=why", tmp_path / "runs"
    )
    assert (first.label, first.rationale) == ("yes", "so")
    assert {p.unscored for p in others} == {"no answer in stage label"}


@pytest.mark.parametrize("old", [True, False])
def test_the_likeliest_choice_is_the_label(task: Task, tmp_path: Path, old: bool):
    # -10 is above -9.5 as text, and below it as a number
    likelihoods = [[-1.0, -2.0, -3.0, -4.0], [-10.0, -9.5, -11.0, -12.0], [-4, -3, -2, -1], [-4, -3, -2, -1]]
    rows = [chosen(n, values, list(LABELS), old=old) for n, values in enumerate(likelihoods)]
    found = predicted(task, lines(tmp_path / "s.jsonl", rows), tmp_path / "runs")
    assert [p.label for p in found] == ["yes", "no", "NA", "NA"]


def test_mutual_information_asks_every_choice_twice(task: Task, tmp_path: Path):
    one = chosen(0, [-1.0, -2.0], ["yes", "no"])
    one["arguments"] |= {f"gen_args_{k + 2}": {"arg_0": "", "arg_1": f" {t}"} for k, t in enumerate(["yes", "no"])}
    found = predicted(task, lines(tmp_path / "s.jsonl", [one]), tmp_path / "runs")
    assert found[0].label == "yes"


@pytest.mark.parametrize(
    "doc",
    [
        {"choices": ["rest", "tea"]},
        {"choices": {"text": ["rest", "tea"], "label": ["A", "B"]}},
        {"options": {"A": "rest", "B": "tea"}},
    ],
)
def test_letters_are_spelled_out_by_the_document(tmp_path: Path, doc: dict[str, Any]):
    # The task lists the options in another order than the log: its own B is `rest`.
    rows = json.dumps({"id": "t0", "note": "What helps?", "label": "rest", "why": "w", "o": ["tea", "rest"]})
    folder = write_task(
        tmp_path / "small", rows, "rows.jsonl", label={"space": "choices", "values": []}, fields={"options": "{{ o }}"}
    )
    task = load_task(str(folder))
    one = chosen(0, [-1.0, -2.0], ["A", "B"]) | {"doc": {"id": "t0"} | doc, "target": "A"}
    assert predicted(task, lines(tmp_path / "s.jsonl", [one]), tmp_path / "runs")[0].label == "rest"


def test_letters_stay_where_they_are_the_labels(tmp_path: Path):
    rows = "id,note,label,why\nt0,x,A,w\n"
    task = load_task(str(write_task(tmp_path / "small", rows, label={"values": ["A", "B"]})))
    one = chosen(0, [-1.0, -2.0], ["A", "B"]) | {"doc": {"id": "t0", "choices": ["rest", "tea"]}}
    assert predicted(task, lines(tmp_path / "s.jsonl", [one]), tmp_path / "runs")[0].label == "A"


def test_one_of_several_filters_is_chosen(task: Task, tmp_path: Path):
    rows = [
        generated(0, "is it yes", filtered=text, filter=name)
        for name, text in (("strict", "[invalid]"), ("flexible", "yes"))
    ]
    path = lines(tmp_path / "s.jsonl", rows)
    assert predicted(task, path + ",filter=flexible", tmp_path / "runs")[0].label == "yes"
    with pytest.raises(UserError, match=r"choose one with filter=NAME \(found: flexible, strict\)"):
        replay(task, path)
    with pytest.raises(UserError, match="has no filter 'lax'"):
        replay(task, path + ",filter=lax")


def test_ids_by_a_path(tmp_path: Path):
    task = make_task(tmp_path, [row("101", "no"), row("100", "yes")])
    path = lines(tmp_path / "s.jsonl", [generated(0, "yes"), generated(1, "no")])
    assert [p.label for p in predicted(task, path + ",id=doc.pubid", tmp_path / "runs")] == ["no", "yes"]
    with pytest.raises(
        UserError, match=r"its ids \(doc\.id, doc_id\) are not those of task small; which key holds them"
    ):
        replay(task, path)
    with pytest.raises(UserError, match=r"its ids \(doc\.puid\) are not those"):
        replay(task, path + ",id=doc.puid")


def without_doc_id(rows: Rows) -> Rows:
    return [row | {"doc": {"question": "?"}} for row in rows]


def test_running_numbers_serve_only_where_all_of_them_fit(tmp_path: Path):
    rows = without_doc_id([generated(0, "yes"), generated(1, "no"), generated(2, "None")])
    path = lines(tmp_path / "s.jsonl", rows)
    from_0 = make_task(tmp_path / "a", [row(str(k), label) for k, label in enumerate(LABELS)])
    assert [p.label for p in predicted(from_0, path, tmp_path / "runs")][:3] == ["yes", "no", "None"]
    from_1 = make_task(tmp_path / "b", [row(str(k + 1), label) for k, label in enumerate(LABELS)])
    with pytest.raises(UserError, match="are not those of task small"):
        replay(from_1, path)


def test_ids_that_fit_by_chance_are_found_out_by_the_gold_labels(tmp_path: Path):
    task = make_task(tmp_path, [row(str(k), label) for k, label in enumerate(reversed(LABELS))])
    path = lines(tmp_path / "s.jsonl", without_doc_id([generated(k, "yes") for k in range(4)]))
    with pytest.raises(UserError, match="4 of 4 gold labels in it are not those of task small"):
        replay(task, path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([generated(0, "yes"), generated(0, "no")], "line 2: the id 't0' stands twice (first: s.jsonl line 1)"),
        ([generated(0, "") | {"filtered_resps": "yes"}], "line 1: not a row of lm-evaluation-harness"),
        ([generated(0, "") | {"filtered_resps": [["yes", "no"]]}], "neither one text nor a log-likelihood per choice"),
        ([generated(0, "") | {"filtered_resps": [["-1.0", "False"]]}], "do not hold one context with two choices"),
        (
            [chosen(0, [-1.0, -2.0], ["yes", "no"]) | {"arguments": [["a yes", " so"], ["a no", " so"]]}],
            "do not hold one context with two choices or more",
        ),
    ],
)
def test_rows_that_cannot_be_read_are_told(task: Task, tmp_path: Path, rows: Rows, message: str):
    with pytest.raises(UserError) as error:
        replay(task, lines(tmp_path / "s.jsonl", rows))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def sample(n: int, content: object, stop: str = "stop", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A sample of an Inspect log."""
    message = {"id": "m", "content": content, "source": "generate", "role": "assistant"}
    choices = [{"message": message, "stop_reason": stop}]
    return {
        "id": f"t{n}",
        "epoch": 1,
        "input": "?",
        "target": LABELS[n],
        "messages": [{"role": "user", "content": "?"}, message],
        "output": {"model": "mockllm/model", "choices": choices, "completion": "", "time": 0.1},
        "scores": {"match": {"value": "C", "answer": "yes"}},
        "metadata": {"pubid": 100 + n},
    } | more


def log(samples: Rows) -> dict[str, Any]:
    return {
        "version": 2,
        "status": "success",
        "eval": {"task": "small", "model": "mockllm/model"},
        "results": {},
        "samples": samples,
    }


def write_log(path: Path, samples: Rows) -> str:
    if path.suffix == ".json":
        path.write_text(json.dumps(log(samples)), encoding="utf-8")
        return str(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps({**log([]), "samples": None}))
        for one in samples:
            archive.writestr(f"samples/{one['id']}_epoch_{one['epoch']}.json", json.dumps(one))
        archive.writestr("summaries.json", "[]")
    return str(path)


@pytest.mark.parametrize("name", ["log.json", "log.eval"])
def test_an_inspect_log(task: Task, tmp_path: Path, name: str):
    thought = [{"type": "reasoning", "reasoning": "no, rather"}, {"type": "text", "text": both("no", "seen")}]
    samples = [
        sample(0, "yes"),
        sample(1, thought),
        sample(2, "I would say that", "max_tokens"),
        sample(3, "", "content_filter"),
    ]
    spec = write_log(tmp_path / name, samples)
    found = predicted(task, spec, tmp_path / "runs")
    assert [p.label for p in found] == ["yes", "no", None, None]
    assert [p.label_status for p in found[2:]] == [LabelStatus.TRUNCATED, LabelStatus.REFUSED]
    assert [p.rationale for p in found] == ["", "seen", "", ""]
    assert found[3].rationale_status is RationaleStatus.REFUSED
    assert replay(task, spec).identity.params == {"imported": "inspect"}


def test_a_sample_that_failed_has_no_answer(task: Task, tmp_path: Path):
    failed = sample(1, "") | {"output": {"model": "", "choices": [], "completion": ""}, "error": {"message": "down"}}
    found = predicted(task, write_log(tmp_path / "log.json", [sample(0, "yes"), failed]), tmp_path / "runs")
    assert [p.unscored for p in found[:2]] == [None, "no answer in stage label"]


def test_the_letter_of_a_multiple_choice_is_its_text(task: Task, tmp_path: Path):
    choices = ["no", "yes", "None", "NA"]
    samples = [
        sample(0, "Let me think.\n\nANSWER: B", choices=choices, target="B"),
        sample(1, "answer: A\n", choices=choices, target=["A"]),
        sample(2, "ANSWER: E", choices=choices, target="C"),
        sample(3, "ANSWER: A\nANSWER: B", choices=choices, target="D"),
    ]
    found = predicted(task, write_log(tmp_path / "log.json", samples), tmp_path / "runs")
    assert [p.label for p in found] == ["yes", "no", None, None]


def test_one_of_several_epochs_is_chosen(task: Task, tmp_path: Path):
    samples = [sample(0, "yes"), sample(0, "no", epoch=2)]
    path = write_log(tmp_path / "log.json", samples)
    assert predicted(task, path + ",epoch=2", tmp_path / "runs")[0].label == "no"
    with pytest.raises(UserError, match=r"choose one with epoch=NAME \(found: 1, 2\)"):
        replay(task, path)


def test_inspect_ids_by_a_path(tmp_path: Path):
    task = make_task(tmp_path, [row("100", "yes")])
    path = write_log(tmp_path / "log.json", [sample(0, "yes")])
    assert predicted(task, path + ",id=metadata.pubid", tmp_path / "runs")[0].label == "yes"
    with pytest.raises(UserError, match=r"its ids \(id\) are not those of task small; .*metadata\.pubid"):
        replay(task, path)


@pytest.mark.parametrize(
    ("name", "raw", "spec", "message"),
    [
        ("log.json", json.dumps(log([])).encode(), "", "the log holds no samples"),
        ("log.json", json.dumps(log([{"id": "t0"}])).encode(), "", "sample 1: not a sample of Inspect"),
        ("log.json", json.dumps(log([sample(0, None)])).encode(), "", "holds no message with content"),
        ("log.eval", b"no zip", "", "not a readable Inspect log"),
        ("rows.csv", b"id,label\nt0,yes\n", ",filter=x", "filter= belongs to logs of other harnesses"),
        ("rows.csv", b"id,label\nt0,yes\n", ",format=lm_eval", "line 2: not a row of lm-evaluation-harness"),
        ("rows.csv", b"id,label\nt0,yes\n", ",format=helm", "key 'format'"),
    ],
)
def test_broken_logs_are_told(task: Task, tmp_path: Path, name: str, raw: bytes, spec: str, message: str):
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(UserError) as error:
        replay(task, f"{tmp_path / name}{spec}")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_plain_file_of_such_a_name_stays_plain(task: Task, tmp_path: Path):
    path = tmp_path / "by_id.json"
    path.write_text(json.dumps([{"id": "t0", "label": "yes", "rationale": "so"}]), encoding="utf-8")
    model = replay(task, str(path))
    assert model.identity.params == {}
    assert predicted(task, str(path), tmp_path / "runs")[0].rationale == "so"
