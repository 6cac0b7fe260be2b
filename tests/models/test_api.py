"""The API adapter against a server on loopback that breaks down in every way."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from fault_server import Faults, FaultServer, completion, said
from run_parts import make_task, rows

from r2d_bench.errors import UserError
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.records import Failure, Finish, LabelMethod, Message, Request, Response
from r2d_bench.runs.setup import plan_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from r2d_bench.models.base import Model
    from r2d_bench.records import Json
    from r2d_bench.tasks.task import Task

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"rationale": {"type": "string"}, "label": {"type": "string"}},
        "required": ["rationale", "label"],
        "additionalProperties": False,
    }
)
MIX = Faults(error=0.2, limited=0.1, dropped=0.05, truncated=0.05, hanging=0.02)
KEY = "sk-planted-0123456789abcdef"


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return make_task(tmp_path, rows(4))


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def api(task: Task, server: FaultServer | str, name: str = "openai/m", **params: object) -> Model:
    url = server if isinstance(server, str) else server.url
    pairs = {"base_url": url, "backoff": 0.01, "timeout": 5} | params
    spec = ",".join([f"api:{name}", *(f"{k}={v}" for k, v in pairs.items())])
    return make_model(parse_spec(spec), task=task, seed=0)


def ask(number: int, **more: Json) -> Request:
    turns = (Message("system", "Decide."), Message("user", f"note {number}"))
    return Request(str(number), "answer", more.pop("prompt", turns), f"note {number}", 50, **more)


def content(number: int) -> str:
    return f"Decide.\nnote {number}"


def one(model: Model, request: Request) -> Response:
    ((key, answer),) = model.generate([request])
    assert key == request.key
    assert isinstance(answer, Response), answer
    return answer


def scripted(*answers: tuple[int, dict[str, Any]]):
    """Answer the calls in turn, the last answer for ever."""
    waiting = list(answers)
    return lambda _body: waiting.pop(0) if len(waiting) > 1 else waiting[0]


def test_every_request_is_answered_with_what_the_server_said(task: Task):
    requests = [ask(number) for number in range(40)]
    with FaultServer() as server:
        answers = dict(api(task, server).generate(requests))
    assert answers == {
        request.key: Response(said(content(number), ("yes", "no")), input_tokens=11, output_tokens=7, served_model="m")
        for number, request in enumerate(requests)
    }
    body = server.seen.bodies[0]
    assert body["messages"] == [{"role": "system", "content": "Decide."}, {"role": "user", "content": "note 0"}]
    assert (body["max_tokens"], body["temperature"], body["seed"]) == (50, 0.0, 0)
    assert set(server.seen.calls.values()) == {1}


def test_faults_change_no_answer_and_cost_one_call_each(task: Task):
    requests = [ask(number) for number in range(300)]
    with FaultServer(MIX) as server:
        # The time-out is long enough that a busy machine does not look like a hanging server.
        answers = dict(api(task, server, timeout=4).generate(requests))
    texts = {key: answer.text for key, answer in answers.items() if isinstance(answer, Response)}
    assert texts == {r.key: said(content(n), ("yes", "no")) for n, r in enumerate(requests)}
    assert set(server.seen.kinds) == {"error", "limited", "dropped", "truncated", "hanging"}
    for prompt, calls in server.seen.calls.items():
        assert calls == 1 + server.seen.faults[prompt]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("error", "server error"),
        ("limited", "rate limit"),
        ("dropped", "connection"),
        ("truncated", "connection"),
        ("hanging", "timeout"),
    ],
)
def test_an_outage_ends_as_failures_after_the_last_retry(task: Task, fault: str, reason: str):
    with FaultServer(Faults(**{fault: 1.0}, times=None)) as server:
        answers = [answer for _, answer in api(task, server, retries=2, timeout=0.2).generate([ask(0), ask(1)])]
    assert [answer.reason for answer in answers if isinstance(answer, Failure)] == [reason, reason]
    assert set(server.seen.calls.values()) == {3}


def test_no_server_at_all_is_a_failure_too(task: Task):
    with FaultServer() as server:
        gone = server.url
    ((_, answer),) = api(task, gone, retries=1).generate([ask(0)])
    assert isinstance(answer, Failure)
    assert answer.reason == "connection"


@pytest.mark.parametrize("document", [{"choices": []}, {"nothing": 1}, {"choices": [{"index": 0}]}])
def test_a_reply_without_an_answer_in_it_is_asked_again(task: Task, document: dict[str, Any]):
    with FaultServer(script=scripted((200, document), (200, completion("fine")))) as server:
        assert one(api(task, server), ask(0)).text == "fine"
    assert server.seen.calls[content(0)] == 2


@pytest.mark.parametrize(
    ("status", "word"), [(401, "authentication"), (403, "permission"), (404, "not found"), (400, "bad request")]
)
def test_what_would_befall_every_request_is_told_once(
    task: Task, monkeypatch: pytest.MonkeyPatch, status: int, word: str
):
    monkeypatch.setenv("MY_API_KEY", KEY)
    wrong = (status, {"error": {"message": f"no good: {KEY}\nsecond line"}})
    with FaultServer(script=scripted(wrong)) as server, pytest.raises(UserError) as error:
        list(api(task, server, api_key_env="MY_API_KEY").generate([ask(n) for n in range(20)]))
    assert str(error.value) == f"api:openai/m: {word}: no good: *** second line"
    assert error.value.__cause__ is None
    assert sum(server.seen.calls.values()) == 1
    assert server.seen.keys == {f"Bearer {KEY}"}


def test_a_bad_request_among_good_ones_is_a_failure_of_its_own(task: Task):
    def script(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        bad = "note 3" in body["messages"][-1]["content"]
        return (400, {"error": {"message": "odd character"}}) if bad else (200, completion("fine"))

    with FaultServer(script=script) as server:
        answers = dict(api(task, server).generate([ask(n) for n in range(6)]))
    assert answers[ask(3).key] == Failure("bad request", "odd character")
    assert sum(isinstance(answer, Response) for answer in answers.values()) == 5


def test_a_key_is_in_nothing_that_is_kept(
    task: Task, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("MY_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    told = {"error": {"message": f"broken: Authorization: Bearer {KEY}"}}
    with FaultServer(script=scripted((200, completion("fine")), (500, told))) as server:
        answers = list(api(task, server, api_key_env="MY_API_KEY", retries=1).generate([ask(0), ask(1)]))
    out = capfd.readouterr()
    assert [type(answer).__name__ for _, answer in answers] == ["Response", "Failure"]
    assert KEY not in repr(answers)
    assert "***" in repr(answers)
    assert KEY not in caplog.text
    assert out.out + out.err == ""


def test_a_providers_key_never_reaches_another_server(task: Task, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with FaultServer() as server:
        one(api(task, server), ask(0))
    assert server.seen.keys == {"Bearer unused"}


class AllButTheFirstHang(Faults):
    def of(self, content: str) -> str | None:
        return None if content.endswith("note 0") else "hanging"


def test_closing_cancels_what_is_in_flight(task: Task):
    with FaultServer(AllButTheFirstHang(times=None)) as server:
        answers = api(task, server, concurrency=8, timeout=30).generate([ask(n) for n in range(60)])
        next(answers)
        assert soon(lambda: server.seen.in_flight == 7)  # the eighth place is the answer's that is being stored
        started = time.monotonic()
        answers.close()
        assert time.monotonic() - started < 1
        assert soon(lambda: server.seen.in_flight == 0)
        assert server.seen.cancelled == 7
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("api")]


def soon(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 3
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()


def test_concurrency_is_kept_and_used(task: Task):
    with FaultServer(latency=0.05) as server:
        list(api(task, server, concurrency=5).generate([ask(n) for n in range(30)]))
    assert server.seen.most_in_flight == 5


def test_no_more_is_asked_than_the_reader_has_room_for(task: Task):
    with FaultServer() as server:
        answers = api(task, server, concurrency=4).generate([ask(n) for n in range(50)])
        for taken in range(1, 6):
            next(answers)
            time.sleep(0.1)
            # The one that the reader holds may not be stored yet.
            assert sum(server.seen.calls.values()) <= taken - 1 + 4
        answers.close()


def test_calls_keep_to_the_rate(task: Task):
    with FaultServer() as server:
        list(api(task, server, rate=1200).generate([ask(n) for n in range(11)]))  # one in 50 ms
    times = server.seen.times
    assert times[-1] - times[0] >= 0.45
    assert min(b - a for a, b in pairwise(times[1:])) > 0.02


def test_calls_keep_to_the_token_rate(task: Task):
    with FaultServer() as server:  # each reply tells 18 tokens: 10 of them in 0.3 s at 36,000 a minute
        started = time.monotonic()
        list(api(task, server, token_rate=36000, concurrency=1).generate([ask(n) for n in range(11)]))
    assert 0.28 < time.monotonic() - started < 2


def test_the_wait_that_a_server_asks_for_holds_for_all(task: Task):
    faults = Faults(limited=1.0, retry_after="0.3")
    with FaultServer(faults) as server:
        started = time.monotonic()
        answers = list(api(task, server, concurrency=8).generate([ask(n) for n in range(2)]))
    assert all(isinstance(answer, Response) for _, answer in answers)
    assert time.monotonic() - started >= 0.6  # the first alone, then the second
    assert set(server.seen.calls.values()) == {2}


@pytest.mark.parametrize(
    ("document", "text", "finish", "thinking"),
    [
        (completion("yes"), "yes", Finish.STOP, None),
        (completion(None), "", Finish.STOP, None),
        (completion("ye", finish="length"), "ye", Finish.LENGTH, None),
        (completion("half", finish="content_filter"), "half", Finish.FILTERED, None),
        (completion(None, refusal="I can't."), "I can't.", Finish.REFUSED, None),
        (completion("yes", reasoning_content="hmm"), "yes", Finish.STOP, "hmm"),
        (completion("<think>hmm</think>yes"), "yes", Finish.STOP, "hmm"),
        (completion("hmm</think>yes"), "yes", Finish.STOP, "hmm"),
        (completion("<think>hmm", finish="length"), "", Finish.LENGTH, "hmm"),
    ],
)
def test_how_an_answer_ended(task: Task, document: dict[str, Any], text: str, finish: Finish, thinking: str | None):
    with FaultServer(script=scripted((200, document))) as server:
        answer = one(api(task, server), ask(0))
    assert (answer.text, answer.finish, answer.thinking) == (text, finish, thinking)


def test_a_prompt_that_a_content_filter_refuses_is_answered(task: Task):
    told = {
        "error": {"message": "The response was filtered due to content management policy", "code": "content_filter"}
    }
    with FaultServer(script=scripted((400, told))) as server:
        assert one(api(task, server), ask(0)) == Response("", Finish.FILTERED)


def test_another_served_model_is_remarked(task: Task):
    script = scripted((200, completion("a", model="m-1")), (200, completion("b", model="m-2")))
    with FaultServer(script=script) as server:
        model = api(task, server)
        assert one(model, ask(0)).remarks == ()
        assert one(model, ask(1)).remarks == ("served model changed",)


def test_an_object_is_asked_for_and_checked(task: Task):
    good = '{"rationale": "so", "label": "yes"}'
    script = scripted((200, completion(good)), (200, completion("yes, because")), (200, completion('{"label": "yes"}')))
    with FaultServer(script=script) as server:
        model = api(task, server)
        answers = [one(model, ask(n, json_schema=SCHEMA)) for n in range(3)]
        one(model, ask(3))
    form = server.seen.bodies[0]["response_format"]
    assert form["json_schema"]["schema"] == json.loads(SCHEMA)
    assert "response_format" not in server.seen.bodies[3]
    assert [answer.text for answer in answers] == [good, "yes, because", '{"label": "yes"}']
    assert [answer.remarks for answer in answers] == [(), *[("response_format had no effect",)] * 2]


def test_a_refused_parameter_is_left_out_from_then_on(task: Task):
    def script(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if "response_format" in body:
            return 400, {"error": {"message": "unknown grammar"}}
        if "seed" in body:
            return 422, {"error": {"message": "'seed' is not known here"}}
        return 200, completion("fine")

    with FaultServer(script=script) as server:
        answers = dict(api(task, server).generate([ask(n, json_schema=SCHEMA) for n in range(5)]))
    assert {a.remarks for a in answers.values() if isinstance(a, Response)} == {
        ("seed refused", "response_format refused")
    }
    assert len(server.seen.bodies) == 5 + 2
    assert all("temperature" in body for body in server.seen.bodies)


def test_a_parameter_that_the_model_is_known_not_to_take_is_remarked(task: Task):
    with FaultServer() as server:
        answer = one(api(task, server, name="openai/gpt-5-mini"), ask(0))
    assert "temperature refused" in answer.remarks  # litellm knows it, and sends nothing
    assert "thinking cannot be turned off" in answer.remarks
    assert "temperature" not in server.seen.bodies[0]
    assert len(server.seen.bodies) == 1


@pytest.mark.parametrize(
    ("reply", "text", "remarks"),
    [
        ('{"label": "yes"}', "yes", ()),
        ('{"label": "perhaps"}', "perhaps", ("response_format had no effect",)),
        ("It is yes.", "It is yes.", ("response_format had no effect",)),
    ],
)
def test_a_constrained_label_is_checked(task: Task, reply: str, text: str, remarks: tuple[str, ...]):
    with FaultServer(script=scripted((200, completion(reply)))) as server:
        model = api(task, server)
        assert model.capabilities.methods == {LabelMethod.FREE, LabelMethod.CONSTRAINED}
        answer = one(model, ask(0, method=LabelMethod.CONSTRAINED, candidates=("yes", "no")))
    schema = server.seen.bodies[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["label"]["enum"] == ["yes", "no"]
    assert (answer.text, answer.remarks) == (text, remarks)


def test_a_text_prompt_is_one_user_turn(task: Task):
    with FaultServer() as server:
        answer = one(api(task, server), ask(0, prompt="predict: \ud800 note"))
    assert server.seen.bodies[0]["messages"] == [{"role": "user", "content": "predict: ? note"}]
    assert answer.remarks == ("text prompt sent as one user turn",)


def test_stages_may_follow_each_other(task: Task):
    with FaultServer() as server:
        model = api(task, server)
        for stage in range(5):  # an event loop each; the ids of closed ones come back
            assert len(list(model.generate([ask(10 * stage + n) for n in range(10)]))) == 10
        assert list(model.generate([])) == []
        model.close()


def test_the_gate_stands_before_every_request(task: Task, monkeypatch: pytest.MonkeyPatch):
    with FaultServer() as server:
        model = api(task, "http://example.invalid/v1", timeout=1, retries=0)
        with pytest.raises(UserError, match=r"task small is private: .* would send its texts to example\.invalid"):
            plan_run(task, model)
        monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.invalid/v1")
        hosted = make_model(parse_spec("api:openai/gpt-4o-mini"), task=task, seed=0)
        with pytest.raises(UserError, match="elsewhere"):
            plan_run(task, hosted)
        assert plan_run(task, api(task, server)).protocol.name == "zero_shot"
        monkeypatch.setenv("HTTP_PROXY", server.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(UserError, match=r"a proxy .* set NO_PROXY=127\.0\.0\.1"):
            api(task, server)
    assert server.seen.calls == Counter()


def test_identity_names_the_host_and_nothing_secret(task: Task):
    model = api(task, "http://127.0.0.1:4711/v1", temperature=0.5, seed=3, rate=10, concurrency=2)
    assert model.identity.as_json() == {
        "kind": "api",
        "name": "openai/m@127.0.0.1",
        "digest": None,
        "params": {"temperature": 0.5, "seed": 3},
        "row": "model",
    }
    assert model.capabilities.endpoint == "http://127.0.0.1:4711/v1"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (f"api:openai/m,api_key={KEY}", "'api_key' would put a key into the spec"),
        (f"api:openai/m,api_key_env={KEY}", "'api_key_env' would put a key into the spec"),
        (f"api:openai/m,base_url=http://h/v1?k={KEY}", "'base_url' would put a key into the spec"),
        ("api:openai/m,base_url=http://me:planted@h/v1", "no user, password or query"),
        (f"api:openai/{KEY}", "looks like a key"),
        ("api:gpt-4o", "should be api:PROVIDER/MODEL"),
        ("api:openai/m,base_url=localhost:8000", "should be a URL such as"),
        ("api:openai/m,api_key_env=NO_SUCH_VARIABLE", "NO_SUCH_VARIABLE (api_key_env) is not set"),
        ("api:openai/m,concurrency=0", "concurrency"),
    ],
)
def test_specs_that_cannot_work_are_refused_without_repeating_a_key(task: Task, spec: str, message: str):
    with pytest.raises(UserError) as error:
        make_model(parse_spec(spec), task=task, seed=0)
    assert message in str(error.value)
    assert "planted" not in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_provider_is_told_before_anything_is_sent(task: Task):
    with pytest.raises(UserError, match="litellm knows no provider 'opnai'"):
        plan_run(task, make_model(parse_spec("api:opnai/gpt-4o"), task=task, seed=0))
