"""Protocol files, and the prompts and requests made of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from small_task import write_task

from r2d_bench.errors import UserError
from r2d_bench.protocols.outputs import StageOutput
from r2d_bench.protocols.prompts import StagePrompts, check_method, passes_parsed_label
from r2d_bench.protocols.registry import builtin, load_protocol
from r2d_bench.protocols.spec import Protocol
from r2d_bench.records import Json, LabelMethod, Message, Request
from r2d_bench.tasks.task import Task, load_task

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["direct", "dss", "label_first", "r2d", "reason_first", "sft", "zero_shot"]


def protocol(*stages: dict[str, Any], **parts: Json) -> Protocol:
    base = {"output": {"whole": "rationale"}, "max_new_tokens": 5}
    return Protocol.model_validate({"name": "own", **parts, "stages": [base | stage for stage in stages]})


def requests(task: Task, asked: Protocol, method: LabelMethod = LabelMethod.FREE) -> dict[str, Request]:
    """Return the requests of the task's first example, earlier stages answered with `LABEL` and `REASON`."""
    outputs: dict[str, StageOutput] = {}
    made = {}
    for stage in asked.stages:
        prompts = StagePrompts(task, asked, stage, method=method, max_new_tokens=stage.max_new_tokens)
        made[stage.name] = prompts.request(task.examples()[0], outputs)
        text = "LABEL" if "label" in stage.output.gives else "REASON"
        outputs[stage.name] = StageOutput(text, None, text, None, "REASON")
    return made


def words(request: Request) -> str:
    return request.prompt if isinstance(request.prompt, str) else "\n".join(turn.content for turn in request.prompt)


@pytest.fixture
def tasks(tmp_path: Path) -> dict[str, Task]:
    """One task of each label space."""
    row = {
        "id": "1",
        "note": "What helps?",
        "label": "Heparin",
        "why": "w",
        "options": ["Aspirin", "Heparin", "Aspirin"],
    }
    rows = json.dumps(row) + "\n"
    choices = {"space": "choices", "values": []}
    write_task(tmp_path / "choices", rows, "rows.jsonl", label=choices, fields={"options": "{{ options }}"})
    write_task(tmp_path / "open", rows, "rows.jsonl", label={"space": "open", "values": []})
    write_task(tmp_path / "closed", label={"titles": {"yes": "it does"}})
    return {"triage": load_task("triage")} | {
        name: load_task(str(tmp_path / name)) for name in ("choices", "open", "closed")
    }


def test_the_built_in_protocols():
    assert list(builtin()) == NAMES
    for name in NAMES:
        assert load_protocol(name).name == name


@pytest.mark.parametrize("space", ["triage", "choices", "open", "closed"])
@pytest.mark.parametrize("name", NAMES)
def test_every_built_in_prompt_holds_the_input(name: str, space: str, tasks: dict[str, Task]):
    task, asked = tasks[space], load_protocol(name)
    for stage, request in zip(asked.stages, requests(task, asked).values(), strict=True):
        assert request.input == task.examples()[0].input
        assert request.input in words(request)
        assert request.max_new_tokens == stage.max_new_tokens
        assert request.candidates == ()
        assert isinstance(request.prompt, tuple) == stage.chat == (name in {"zero_shot", "label_first", "reason_first"})
        assert "{{" not in words(request)
        assert "{%" not in words(request)
        if stage.chat:
            for label in task.labels.labels(task.examples()[0].options):
                assert f"- {label}" in words(request)


def test_the_prompts_of_the_paper(tasks: dict[str, Task]):
    note = tasks["closed"].examples()[0].input
    made = requests(tasks["closed"], load_protocol("r2d"))
    assert made["predict"].prompt == f"predict: {note}"
    assert made["explain"].prompt == f"given label: LABEL, explain: {note}"
    made = requests(tasks["closed"], load_protocol("dss"))
    assert [request.prompt for request in made.values()] == [f"predict: {note}", f"explain: {note}"]


def test_the_zero_shot_prompt(tasks: dict[str, Task]):
    prompt = requests(tasks["closed"], load_protocol("zero_shot"))["answer"].prompt
    hint = "Explain in one to three sentences which facts of the text decide it."
    assert prompt == (
        Message("system", "Decide."),
        Message(
            "user",
            "Text:\nfirst note\n\nLabels:\n- yes: it does\n- no\n- maybe\n\n"
            f"{hint}\nThen decide for one of the labels, spelled as above. Reply with one JSON object and nothing "
            'else:\n{"rationale": "…", "label": "…"}',
        ),
    )
    open_prompt = words(requests(tasks["open"], load_protocol("zero_shot"))["answer"])
    assert "Labels:" not in open_prompt
    assert '"label": "…"' in open_prompt


def test_label_first_passes_on_the_raw_text(tasks: dict[str, Task]):
    made = requests(tasks["closed"], load_protocol("label_first"))
    assert [turn.role for turn in made["explain"].prompt] == ["system", "user", "assistant", "user"]
    assert made["explain"].prompt[2].content == "LABEL"


def test_prompts_list_the_checkpoint_s_own_words(tasks: dict[str, Task]):
    stage = {
        "name": "a",
        "output": {"whole": "label"},
        "prompt": "{% for l in labels %}{{ l.word }}={{ l.title }};{% endfor %}",
    }
    asked = protocol(stage, label_map={"entails": "yes", "implies": "yes", "0": "no"})
    assert requests(tasks["closed"], asked)["a"].prompt == "entails=it does;0=;maybe=;"
    scored = requests(tasks["closed"], asked, LabelMethod.SCORED)["a"]
    assert scored.candidates == ("entails", "0", "maybe")
    assert scored.options == ("yes", "no", "maybe")


def test_candidates_of_choices_are_the_example_s_options(tasks: dict[str, Task]):
    made = requests(tasks["choices"], load_protocol("label_first"), LabelMethod.CONSTRAINED)
    assert made["decide"].candidates == ("Aspirin", "Heparin")
    assert made["decide"].method is LabelMethod.CONSTRAINED
    assert made["explain"].candidates == ()
    assert made["explain"].method is LabelMethod.FREE


def test_an_open_task_has_no_candidates(tasks: dict[str, Task]):
    with pytest.raises(UserError, match="label method scored needs candidate labels; task open is open"):
        requests(tasks["open"], load_protocol("label_first"), LabelMethod.SCORED)


@pytest.mark.parametrize("name", NAMES)
def test_a_label_method_needs_a_stage_with_the_label_alone(name: str):
    check_method(load_protocol(name), LabelMethod.FREE)
    if name == "zero_shot":
        with pytest.raises(UserError, match="protocol zero_shot has not: use label_first or reason_first"):
            check_method(load_protocol(name), LabelMethod.SCORED)
    else:
        check_method(load_protocol(name), LabelMethod.SCORED)


@pytest.mark.parametrize(
    ("prompt", "passes"),
    [
        ("{{ input }}", False),
        ("outputs.one.label", False),
        ("{{ outputs.one.text }}", False),
        ("{{ outputs['one']['rationale'] | upper }}", False),
        ("{% if outputs.one.text.strip() %}x{% endif %}", False),
        ("{% for label in labels %}{{ label.word }}{% endfor %}", False),
        ("{{ fields.label }}", False),
        ("{{ outputs.one.label }}", True),
        ("{{outputs . one . label}}", True),
        ("{{ outputs['one'].label }}", True),
        ('{{ outputs.one["label"] }}', True),
        ("{{ outputs[fields.stage].label }}", True),
        ("{{ outputs.one[fields.key] }}", True),
        ("{{ outputs.one }}", True),
        ("{% set o = outputs.one %}{{ o.label }}", True),
        ("{% for o in outputs.values() %}{{ o.label }}{% endfor %}", True),
        ("{{ outputs | tojson }}", True),
        ("{% if outputs.one.label == 'yes' %}x{% endif %}", True),
    ],
)
def test_whether_a_prompt_depends_on_the_label_parser(prompt: str, passes: bool):
    first = {"name": "one", "prompt": "{{ input }}", "output": {"whole": "label"}}
    turns = [{"role": "user", "content": prompt}]
    assert passes_parsed_label(protocol(first, {"name": "two", "prompt": prompt})) is passes
    assert passes_parsed_label(protocol(first, {"name": "two", "messages": turns})) is passes


@pytest.mark.parametrize("name", NAMES)
def test_no_built_in_protocol_depends_on_the_parser(name: str):
    assert not passes_parsed_label(load_protocol(name))


def test_later_stages_see_the_parsed_label_or_the_raw_words(tasks: dict[str, Task]):
    first = {"name": "one", "prompt": "x", "output": {"json": {"label": "label"}}}
    asked = protocol(first, {"name": "two", "prompt": "{{ outputs.one.label }}|{{ outputs.one.text }}"})
    prompts = StagePrompts(tasks["closed"], asked, asked.stages[1], method=LabelMethod.FREE, max_new_tokens=5)
    example = tasks["closed"].examples()[0]
    parsed = {"one": StageOutput('{"label": "Yes!"}', "yes", "Yes!")}
    assert prompts.request(example, parsed).prompt == 'yes|{"label": "Yes!"}'
    assert prompts.request(example, {"one": StageOutput("hm", None, "hm")}).prompt == "hm|hm"


def test_equal_prompts_have_equal_content_and_different_keys(tasks: dict[str, Task]):
    asked = protocol({"name": "a", "prompt": "the same", "output": {"whole": "label"}})
    one, two = tasks["closed"].examples()[:2]

    def make(**changed: Json) -> StagePrompts:
        given = {"method": LabelMethod.FREE, "max_new_tokens": 5} | changed
        return StagePrompts(tasks["closed"], asked, asked.stages[0], **given)

    first, second = make().request(one, {}), make().request(two, {})
    assert first.content == second.content
    assert first.key != second.key
    assert make().request(one, {}) == first
    assert make(max_new_tokens=6).request(one, {}).content != first.content
    assert make(method=LabelMethod.SCORED).request(one, {}).content != first.content


def test_text_and_chat_prompts_are_never_the_same_request():
    parts = {"example_id": "1", "stage": "a", "input": "", "max_new_tokens": 5}
    chat = Request(prompt=(Message("user", "x"),), **parts)
    assert (
        len({Request(prompt="x", **parts).content, chat.content, Request(prompt='[["user","x"]]', **parts).content})
        == 3
    )


def test_an_own_protocol_is_a_file(tmp_path: Path):
    path = tmp_path / "mine.yml"
    path.write_text(builtin()["r2d"].read_text(encoding="utf-8").replace("name: r2d", "name: mine"), encoding="utf-8")
    assert load_protocol(str(path)).full_name == "mine@1"
    assert load_protocol(str(path)).stages == load_protocol("r2d").stages


def test_label_map_keeps_words_that_yaml_would_convert(tmp_path: Path):
    path = tmp_path / "own.yaml"
    path.write_text(
        "name: own\nlabel_map: {yes: no, 1: yes, null: maybe, 01: no}\nstages:\n"
        "  - {name: a, prompt: '{{ input }}', output: {whole: label}, max_new_tokens: 5}\n",
        encoding="utf-8",
    )
    assert load_protocol(str(path)).label_map == {"yes": "no", "1": "yes", "null": "maybe", "01": "no"}


@pytest.mark.parametrize("name", NAMES)
def test_a_protocol_survives_its_own_json(name: str):
    asked = load_protocol(name)
    assert Protocol.model_validate(asked.model_dump(mode="json", by_alias=True, exclude_none=True)) == asked
    # Ordinary YAML readers agree with ours about the built-in files.
    assert Protocol.model_validate(yaml.safe_load(builtin()[name].read_text(encoding="utf-8"))) == asked


@pytest.mark.parametrize(
    ("name", "gives", "chat"),
    [("sft", {"label"}, False), ("r2d", {"label", "rationale"}, False), ("zero_shot", {"label", "rationale"}, True)],
)
def test_what_a_protocol_gives(name: str, gives: set[str], chat: bool):
    assert load_protocol(name).gives == gives
    assert load_protocol(name).chat is chat
