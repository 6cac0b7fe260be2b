"""What names a run folder, and what does not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_parts import LABELS, Counting, carry_out, make_task, row, rows

from r2d_bench.documents import to_json
from r2d_bench.errors import UserError
from r2d_bench.models.base import Identity
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.protocols.registry import load_protocol
from r2d_bench.records import LabelMethod, Response
from r2d_bench.runs.predictions import Reader
from r2d_bench.runs.setup import RunSetup, max_tokens_of, plan_run

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.tasks.task import Task


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return make_task(tmp_path, rows(8))


def planned(task: Task, spec: str = "mock:random", **how: object) -> RunSetup:
    return plan_run(task, make_model(parse_spec(spec), task=task, seed=0), **how)  # type: ignore[arg-type]


def test_the_same_setup_has_the_same_folder(task: Task, tmp_path: Path):
    again = make_task(tmp_path / "elsewhere", rows(8))
    assert planned(task).folder == planned(again).folder


def test_what_changes_an_output_changes_the_folder(task: Task, tmp_path: Path):
    newer = make_task(tmp_path / "v2", rows(8), version=2)
    other = make_task(tmp_path / "other", [*rows(8)[:-1], row("f7", "yes", split="test")])
    base = planned(task)
    stage = base.protocol.stages[0].model_copy(update={"prompt": "decide: {{ input }}"})
    setups = {
        "base": base,
        "task version": planned(newer),
        "data": planned(other),
        "model name": replace(base, model=base.model | {"name": "other"}),
        "weights": replace(base, model=base.model | {"digest": "0f"}),
        "dtype": replace(base, model=Identity("mock", "random", params={"dtype": "bfloat16"}).as_json()),
        "model parameter": planned(task, "mock:random,refuse=0.5"),
        "protocol": planned(task, protocol="dss"),
        "prompt": replace(base, protocol=base.protocol.model_copy(update={"stages": (stage, *base.stages[1:])})),
        "main stages": replace(base, no_rationale="label-only"),
        "label method": planned(task, label_method=LabelMethod.CONSTRAINED),
        "other label method": planned(task, label_method=LabelMethod.SCORED),
        "budget": planned(task, max_new_tokens={"explain": 7}),
        "seed": planned(task, seed=1),
        "task words": replace(base, prompt_digest="0" * 16),
    }
    assert len({setup.folder for setup in setups.values()}) == len(setups)


def test_words_about_the_protocol_and_latency_do_not_name_a_run(task: Task):
    base = planned(task)
    words = {"title": "Other", "description": "Other words.", "source": "elsewhere"}
    assert replace(base, protocol=base.protocol.model_copy(update=words)).folder == base.folder
    assert planned(task, "mock:random,latency=0.5,fail=0.1").folder == base.folder


def test_limits_extend_one_folder(task: Task, tmp_path: Path):
    folders = {carry_out(task, "mock:random", tmp_path / "runs", limit=limit)[0].name for limit in (2, 5, None)}
    assert len(folders) == 1


@pytest.mark.parametrize("protocol", ["r2d", "dss", "sft", "zero_shot", "label_first", "reason_first"])
@pytest.mark.parametrize("method", list(LabelMethod))
def test_a_setup_survives_the_file(task: Task, protocol: str, method: LabelMethod):
    if protocol == "zero_shot" and method is not LabelMethod.FREE:
        with pytest.raises(UserError, match="needs a stage that gives the label alone"):
            planned(task, protocol=protocol, label_method=method)
        return
    setup = planned(task, protocol=protocol, label_method=method, seed=3)
    read = RunSetup.from_json(json.loads(to_json(setup.as_json())), "run.json")
    assert read == setup
    assert read.folder == setup.folder


@settings(deadline=None)
@given(st.permutations([(word, label) for label in LABELS for word in (f"{label}!", f"{label}?")]))
def test_the_order_of_label_words_survives_the_file(words: list[tuple[str, str]]):
    """The first word for a label is the one that is scored: an alphabetical file must not choose another."""
    protocol = load_protocol("sft").model_copy(update={"label_map": dict(words)})
    setup = RunSetup("t@1", "test", "d", "p", Identity("mock", "m").as_json(), protocol, LabelMethod.SCORED)
    read = RunSetup.from_json(json.loads(to_json(setup.as_json())), "run.json")
    assert list(read.protocol.label_map.items()) == words


def test_answers_are_found_again_with_several_words_for_a_label(task: Task, tmp_path: Path):
    label_map = "{z-yes: 'yes', a-yes: 'yes'}"
    text = f"name: mapped\nlabel_map: {label_map}\nstages:\n  - name: predict\n    prompt: '{{{{ input }}}}'\n"
    (tmp_path / "mapped.yaml").write_text(text + "    output: {whole: label}\n    max_new_tokens: 5\n")
    setup = plan_run(task, Counting(), protocol=str(tmp_path / "mapped.yaml"), label_method=LabelMethod.CONSTRAINED)
    model = Counting(lambda request: Response(request.candidates[0]))
    store, _ = carry_out(task, model, tmp_path / "runs", setup=setup)
    assert model.asked[0].candidates == ("z-yes", "no", "None", "NA")
    reader, responses = Reader(task, store.setup()), store.responses()
    assert {reader.prediction(e, responses).label for e in task.examples()} == {"yes"}


def test_only_a_prompt_that_passes_on_the_parsed_label_ties_the_run_to_the_parser(task: Task, tmp_path: Path):
    text = "name: own\nstages:\n  - {name: predict, prompt: '{{ input }}', output: {whole: label}, max_new_tokens: 5}\n"
    second = (
        "  - {name: explain, prompt: '{{ outputs.predict.label }}', output: {whole: rationale}, max_new_tokens: 5}\n"
    )
    (tmp_path / "own.yaml").write_text(text + second)
    assert planned(task, protocol=str(tmp_path / "own.yaml")).as_json()["parser"] == "standard/1"
    assert planned(task).as_json()["parser"] is None


def test_names_that_are_long_stay_file_names(task: Task, tmp_path: Path):
    base = planned(task)
    long = replace(base, model=base.model | {"name": "x/" * 300}, label_method=LabelMethod.CONSTRAINED)
    assert len(long.folder) < 255
    (tmp_path / long.folder).mkdir()


@pytest.mark.parametrize(
    ("spec", "how", "message"),
    [
        ("baseline:majority", {"protocol": "rd2"}, "unknown protocol 'rd2' (did you mean 'r2d'?)"),
        ("mock:random", {"protocol": "nope.yaml"}, "nope.yaml: no such file"),
        ("mock:random", {"max_new_tokens": {"explane": 3}}, "no stage 'explane' (did you mean 'explain'?)"),
        (
            "mock:random",
            {"protocol": "zero_shot", "label_method": LabelMethod.SCORED},
            "use label_first or reason_first",
        ),
        ("baseline:stratified", {"label_method": LabelMethod.SCORED}, "has no label method scored"),
    ],
)
def test_what_does_not_fit_is_refused(task: Task, spec: str, how: dict[str, object], message: str):
    with pytest.raises(UserError) as error:
        planned(task, spec, **how)
    assert message in str(error.value)


def test_a_chat_protocol_needs_a_chat_model(task: Task):
    with pytest.raises(UserError, match="protocol zero_shot needs a chat model"):
        plan_run(task, Counting(chat=False), protocol="zero_shot")
    assert plan_run(task, Counting(chat=True), protocol="zero_shot").protocol.name == "zero_shot"


def test_budgets_are_read():
    assert max_tokens_of(["predict=5", "explain=64"]) == {"predict": 5, "explain": 64}


@pytest.mark.parametrize("pair", ["predict", "predict=0", "predict=-1", "predict=x", "predict=²", "predict="])
def test_broken_budgets_are_refused(pair: str):
    with pytest.raises(UserError, match="should be STAGE=N"):
        max_tokens_of([pair])
