"""A judge on loopback that fails in every way: no failure becomes a number, and all of it adds up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fault_server import Faults, FaultServer
from judged_parts import GOOD, fates, judge, judged_task, replying
from run_parts import make_task, rows

from r2d_bench import api
from r2d_bench.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.runs.store import RunStore
    from r2d_bench.tasks.task import Task

Judged = tuple["RunStore", "Task"]
N = 16


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def judged(tmp_path: Path) -> Judged:
    return judged_task(tmp_path, N)


def spec(server: FaultServer, **params: float) -> str:
    pairs = {"concurrency": 8, "timeout": 5, "backoff": 0.01} | params
    return ",".join([f"api:openai/m,base_url={server.url}", *(f"{k}={v}" for k, v in pairs.items())])


REPLIES: dict[str, tuple[tuple[str | None, str], str]] = {
    "truncated JSON": ((GOOD[:30], "length"), "truncated"),
    "cut without saying so": ((GOOD[:30], "stop"), "parse"),
    "fences": ((f"```json\n{GOOD}\n```", "stop"), "scored"),
    "prose around JSON": ((f"My verdict: {GOOD} Done.", "stop"), "parse"),
    "out of range": ((GOOD.replace("4}", "9}"), "stop"), "range"),
    "wrong type": ((GOOD.replace("4}", '"four"}'), "stop"), "schema"),
    "extra key": ((GOOD.replace("4}", '4, "style": 5}'), "stop"), "schema"),
    "two objects": ((GOOD + GOOD, "stop"), "parse"),
    "refusal": (("I'm sorry, but I can't help with that.", "stop"), "refused"),
    "content filter": (("", "content_filter"), "content_filter"),
    "empty reply": (("", "stop"), "empty"),
    "another language": (("Die Begr\u00fcndung ist gut.", "stop"), "parse"),
    "another language inside": ((GOOD.replace("It follows.", "Es folgt."), "stop"), "scored"),
}


@pytest.mark.parametrize("kind", REPLIES)
def test_replies(judged: Judged, kind: str) -> None:
    reply, fate = REPLIES[kind]
    with FaultServer(script=replying(lambda _: reply)) as server:
        outcome, store = judge(*judged, spec(server))
    verdicts = store.verdicts()
    found = fates(verdicts)
    assert found.total() == N
    assert set(found) == {fate, "rule"} or set(found) == {fate}
    for verdict in verdicts:
        assert bool(verdict.scores) == (verdict.unscored is None)
    assert outcome.incomplete == 0
    # Each distinct question was sent once, and once more where its reply could not be read.
    twice = fate in {"parse", "schema", "range", "truncated"}
    assert sum(server.seen.calls.values()) == len(server.seen.calls)
    assert outcome.answered == (N - found["rule"]) * (2 if twice else 1)
    scores = store.scores()
    assert scores is not None
    text = json.dumps(scores)
    assert "NaN" not in text
    if fate != "scored" and not found["rule"]:
        assert scores["metrics"]["judge_mean"]["value"] is None
    lost = {} if fate == "scored" else {fate: N - found["rule"]}
    assert (scores["counts"]["unscored"], scores["counts"]["by_rule"]) == (lost, found["rule"])
    assert (scores["asked"], scores["scored"]) == (N, found["scored"] + found["rule"])
    assert scores["metrics"]["judge_mean"]["n"] == found["scored"] + found["rule"]


def test_the_second_question_can_mend_the_form(judged: Judged) -> None:
    def script(body: dict[str, object]) -> tuple[int, dict[str, object]]:
        from fault_server import completion

        turns = body["messages"]
        assert isinstance(turns, list)
        return 200, completion(GOOD if len(turns) > 2 else f"I say: {GOOD}")

    with FaultServer(script=script) as server:
        _, store = judge(*judged, spec(server))
    assert set(fates(store.verdicts())) <= {"scored", "rule"}
    assert any(verdict.reasked for verdict in store.verdicts())


@pytest.mark.parametrize("fault", ["error", "limited", "dropped", "truncated"])
def test_transport_faults_are_met_by_retries(judged: Judged, fault: str) -> None:
    faults = Faults(**{fault: 1.0}, times=1)  # type: ignore[arg-type]
    with FaultServer(faults, script=replying(lambda _: (GOOD, "stop"))) as server:
        outcome, store = judge(*judged, spec(server))
    assert set(fates(store.verdicts())) <= {"scored", "rule"}
    assert outcome.failures.total() == 0
    assert all(count == 2 for count in server.seen.calls.values())


def test_retry_after_is_obeyed(judged: Judged) -> None:
    faults = Faults(limited=1.0, times=1, retry_after="0.4")
    with FaultServer(faults, script=replying(lambda _: (GOOD, "stop"))) as server:
        judge(*judged, spec(server, concurrency=1))
        times = server.seen.times
    assert times[1] - times[0] >= 0.4


@pytest.mark.parametrize("fault", ["error", "limited", "dropped", "hanging"])
def test_an_outage_is_unscored_and_asked_again_by_the_same_command(judged: Judged, fault: str) -> None:
    faults = Faults(**{fault: 0.5}, times=None, seed=3)  # type: ignore[arg-type]
    short = {"retries": 1, "timeout": 0.5 if fault == "hanging" else 5}
    with FaultServer(faults, script=replying(lambda _: (GOOD, "stop"))) as server:
        outcome, store = judge(*judged, spec(server, **short))
        found = fates(store.verdicts())
        assert found.total() == N
        assert outcome.incomplete == found["transport"] == outcome.failures.total() > 0
        scored = [verdict for verdict in store.verdicts() if verdict.unscored is None]
        server.faults = Faults()
        asked = sum(server.seen.calls.values())
        again, _ = judge(*judged, spec(server, **short))
        assert sum(server.seen.calls.values()) - asked == again.answered == outcome.incomplete
    assert set(fates(store.verdicts())) <= {"scored", "rule"}
    kept = {verdict.example_id: verdict for verdict in store.verdicts()}
    assert all(kept[verdict.example_id] == verdict for verdict in scored)


# Privacy


def test_a_private_task_goes_to_no_remote_judge(judged: Judged) -> None:
    run, task = judged
    with pytest.raises(UserError, match=r"small is private: the judge api:openai/m.* would send its texts to judge"):
        judge(run, task, "api:openai/m,base_url=https://judge.example/v1")
    assert not (run.folder / "judgments").exists()


def counted(monkeypatch: pytest.MonkeyPatch, server: FaultServer) -> str:
    """Return a judge outside this machine whose requests would all come to the server, by way of a proxy."""
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, server.url.removesuffix("/v1"))
    return "api:openai/m,base_url=http://judge.example/v1,retries=0"


def test_no_request_of_a_private_task_reaches_a_remote_judge(
    tmp_path: Path, judged: Judged, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = judged_task(tmp_path / "public", 4, visibility="public")
    with FaultServer(script=replying(lambda _: (GOOD, "stop"))) as server:
        remote = counted(monkeypatch, server)
        with pytest.raises(UserError, match=r"small is private"):
            judge(*judged, remote)
        with pytest.raises(UserError, match=r"small is private"):
            api.judge([judged[0].folder], {"judge": "label_support", "models": [remote]}, task_dirs=[tmp_path])
        assert sum(server.seen.calls.values()) == 0
        judge(*public, remote)
        assert sum(server.seen.calls.values()) > 0  # the server would have seen them


def test_run_refuses_a_remote_judge_before_any_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the judge nor the model that it would judge is asked, and nothing is written."""
    make_task(tmp_path, rows(8))
    with FaultServer() as server:
        model, remote = spec(server), counted(monkeypatch, server)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with pytest.raises(UserError, match=r"the judge api:openai/m.* would send its texts to judge\.example"):
            api.run(
                [model],
                tasks=[str(tmp_path / "small")],
                runs=str(tmp_path / "runs"),
                site=None,
                bertscore={"model": "none"},
                judges=[{"judge": "label_support", "models": [remote]}],
            )
        assert sum(server.seen.calls.values()) == 0
    assert not (tmp_path / "runs").exists()


def test_a_public_task_may_go_anywhere_and_a_private_one_to_loopback(tmp_path: Path, judged: Judged) -> None:
    from r2d_bench.judging.ask import check_judge
    from r2d_bench.models.registry import make_model, parse_spec

    _, public = judged_task(tmp_path / "public", 4, visibility="public")
    remote = make_model(parse_spec("api:openai/m,base_url=https://judge.example/v1"), task=public, seed=0)
    check_judge(public, remote)
    with FaultServer(script=replying(lambda _: (GOOD, "stop"))) as server:
        outcome, _ = judge(*judged, spec(server))
    assert outcome.answered > 0
