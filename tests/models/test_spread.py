"""Workers: what is shared out comes back once, equal to one process, whatever happens to a worker."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import poisoned_adapter
import psutil
import pytest
from pydantic import ValidationError
from run_parts import LABELS, Quiet, make_task, row, rows
from trained_parts import learnt_task, write_recipe

from r2d_bench.api import run
from r2d_bench.errors import UserError
from r2d_bench.job import Job
from r2d_bench.models.base import Capabilities
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.models.spread import Spread, check_spread, executor_of
from r2d_bench.models.spread_chunks import DEATHS, LEAST, Chunk, plan_chunks
from r2d_bench.models.spread_cluster import GIB, Executor, Wanted, share_out
from r2d_bench.records import Failure, LabelMethod, Request, Response
from r2d_bench.runs.budget import Budget
from r2d_bench.runs.execute import Sitting, execute
from r2d_bench.runs.selection import select
from r2d_bench.runs.setup import plan_run
from r2d_bench.runs.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from r2d_bench.models.base import Answer, Model
    from r2d_bench.tasks.task import Task

COMPLAINTS = ("chest pain", "mild rash", "high fever", "refill", "no pulse")


def asked(n: int, *, start: int = 0, word: str = "note") -> list[Request]:
    """Return requests of many lengths."""
    return [
        Request(f"t{k}", "predict", f"predict: {word} {k}" + " again" * (k % 7), f"{word} {k}", 9, options=LABELS)
        for k in range(start, start + n)
    ]


# Without Ray: how work is cut, and who gets what.


def test_every_request_is_in_one_chunk_the_longest_first() -> None:
    requests = asked(1000)
    chunks = plan_chunks(requests, 3)
    lengths = [len(request.prompt) for chunk in chunks for request in chunk.open.values()]
    assert Counter(key for chunk in chunks for key in chunk.open) == Counter(request.key for request in requests)
    assert lengths == sorted(lengths, reverse=True)
    sizes = [len(chunk.open) for chunk in chunks]
    assert sizes[0] > 100
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes[:-1]) >= LEAST
    assert plan_chunks(requests, 3) == chunks
    assert plan_chunks([], 3) == []


def test_deaths_narrow_a_chunk_down_until_it_is_given_up() -> None:
    chunk = Chunk.of(asked(64))
    first = chunk.after_death()
    assert [len(part.open) for part in first] == [8] * 8
    second = first[0].after_death()
    assert [len(part.open) for part in second] == [1] * 8
    assert not second[0].given_up
    (third,) = second[0].after_death()
    assert third.given_up
    assert third.deaths == DEATHS


def test_workers_share_the_machines() -> None:
    machines = [{"CPU": 16.0, "GPU": 4.0, "memory": 64.0 * GIB}, {"CPU": 4.0, "memory": 8.0 * GIB}]
    assert share_out(Wanted(), [{"CPU": 8.0}], None).as_json() == {"name": "ray", "workers": 1, "worker_cpus": 8}
    assert share_out(Wanted(workers=3), [{"CPU": 8.0}], None).cpus == 2
    each = share_out(Wanted(), machines, "ray://10.0.0.1:6379")
    assert (each.workers, each.gpus, each.cpus) == (4, 1.0, 4)
    halves = share_out(Wanted(gpus=0.5), machines, None)
    assert (halves.workers, halves.cpus) == (8, 2)
    heavy = share_out(Wanted(gpus=0, memory=30, workers=2), machines, None)
    assert (heavy.gpus, heavy.memory, heavy.cpus) == (0, 30 * GIB, 8)


def test_workers_that_do_not_fit_on_this_machine_are_refused() -> None:
    machine = {"CPU": 8.0, "GPU": 1.0, "memory": 16.0 * GIB}
    with pytest.raises(UserError, match="room for 1 workers of 1 GPUs"):
        share_out(Wanted(workers=2), [machine], None)
    with pytest.raises(UserError, match="--worker-memory"):
        share_out(Wanted(workers=2, gpus=0, memory=10), [machine], None)
    assert share_out(Wanted(workers=2), [machine], "ray://10.0.0.1:6379").workers == 2  # a machine may be added


def test_asking_for_workers_is_asking_for_ray() -> None:
    assert not Job(models=["mock:random"], tasks=["triage"]).spreads
    assert Job(models=["mock:random"], tasks=["triage"], workers=2).spreads
    assert Job(models=["mock:random"], tasks=["triage"], executor="ray").spreads
    with pytest.raises(ValidationError, match="executor none has no workers"):
        Job(models=["mock:random"], tasks=["triage"], executor="none", workers=2)


def test_the_clients_protocol_is_refused() -> None:
    job = Job(models=["mock:random"], tasks=["triage"], ray_address="ray://head:10001")
    with pytest.raises(UserError, match="machine of the cluster"), executor_of(job):
        pass


@pytest.mark.parametrize("address", ["ray://10.0.0.1:10001", "local"])
def test_what_ray_would_read_for_auto_is_checked_too(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    job = Job(models=["mock:random"], tasks=["triage"], ray_address="auto")
    with pytest.raises(UserError, match=f"--ray-address {address}: start the command on a machine"), executor_of(job):
        pass


def test_no_worker_of_many_is_without_a_chunk() -> None:
    chunks = plan_chunks(asked(60), 8)
    assert len(chunks) >= 8
    assert max(len(chunk.open) for chunk in chunks) <= 8


def test_an_address_where_nobody_listens_is_told_at_once() -> None:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))  # bound, not listening
        address = f"127.0.0.1:{place.getsockname()[1]}"
        job = Job(models=["mock:random"], tasks=["triage"], ray_address=address)
        with pytest.raises(UserError, match=f"--ray-address {address}: no cluster answers"), executor_of(job):
            pass


# With Ray: one start for all.


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    """Ray on this machine with two workers, and an adapter of another package."""
    folder = tmp_path_factory.mktemp("package")
    poisoned_adapter.install(folder)
    paths = [str(folder), str(Path(poisoned_adapter.__file__).parent)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.setenv("OMP_NUM_THREADS", "1")
        for path in paths:
            patch.syspath_prepend(path)
        with Executor(Wanted(workers=2)) as opened:
            assert opened.cluster.endpoint is None
            yield opened


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return make_task(tmp_path, rows(40), visibility="public")


def made(spec: str, task: Task) -> Model:
    model = make_model(parse_spec(spec), task=task, seed=3)
    model.fit(task.training(), task.validation())
    return model


def spread_out(spec: str, task: Task, executor: Executor) -> Spread:
    return Spread(made(spec, task), parse_spec(spec), seed=3, task=task, cluster=executor.cluster)


def ended(answers: Iterator[Answer]) -> dict[str, Response | Failure]:
    """Return all answers by key; each comes once."""
    listed = list(answers)
    found = dict(listed)
    assert len(found) == len(listed)
    return found


def processes() -> list[psutil.Process]:
    """Return the workers that are under way."""
    found = []
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if "ray::Worker" in one.name():
                found.append(one)
    return found


def both() -> set[int]:
    """Wait until two workers are under way; returns their process ids."""
    until = time.monotonic() + 60
    while len(found := processes()) != 2 and time.monotonic() < until:
        time.sleep(0.1)
    assert len(found) == 2
    return {one.pid for one in found}


@pytest.mark.parametrize("spec", ["mock:random,refuse=0.1,cut=0.1", "baseline:stratified", "baseline:tfidf"])
def test_two_workers_say_what_one_process_says(spec: str, task: Task, executor: Executor) -> None:
    stage = "label" if spec.startswith("baseline") else "predict"
    requests = [
        Request(e.id, stage, f"note {e.input}", e.input, 9, options=LABELS, candidates=LABELS) for e in task.examples()
    ]
    alone = ended(made(spec, task).generate(requests))
    with closing(spread_out(spec, task, executor)) as model:
        assert ended(model.generate(requests)) == alone
        assert model.identity == made(spec, task).identity


def test_a_checkpoint_says_the_same_in_two_workers(t5_folder: Path, task: Task, executor: Executor) -> None:
    spec = f"hf:{t5_folder}"
    free = [
        Request(f"t{k}", "predict", prompt, prompt, 8)
        for k in range(60)
        for prompt in [f"predict: the patient is {20 + k} years old and reports {COMPLAINTS[k % 5]}" + " now" * (k % 4)]
    ]
    words = ("emergency", "urgent", "routine")
    scored = [
        Request(r.example_id, r.stage, r.prompt, r.input, 8, method=LabelMethod.SCORED, candidates=words) for r in free
    ]
    plain = made(spec, task)
    with closing(spread_out(spec, task, executor)) as model:
        assert ended(model.generate(free)) == ended(plain.generate(free))
        one, two = ended(plain.score(scored)), ended(model.score(scored))
    assert {key: answer.text for key, answer in two.items()} == {key: answer.text for key, answer in one.items()}
    for key, answer in two.items():
        assert answer.scores == pytest.approx(one[key].scores, abs=1e-4)


def test_a_killed_worker_loses_nothing(task: Task, executor: Executor) -> None:
    requests = asked(300)
    alone = ended(made("mock:random", task).generate(requests))
    with closing(spread_out("mock:random,latency=0.02", task, executor)) as model:
        answers = model.generate(requests)
        first = [next(answers) for _ in range(20)]
        before = both()
        os.kill(min(before), signal.SIGKILL)
        rest = list(answers)
        after = both()  # another one has taken its place
    assert len(first) + len(rest) == len(requests)
    assert dict([*first, *rest]) == alone
    assert before & after == {max(before)}


def test_what_kills_every_worker_is_given_up(task: Task, executor: Executor, capfd: pytest.CaptureFixture) -> None:
    good, bad = asked(60), asked(1, start=900, word="poison")
    with closing(spread_out("poisoned:any", task, executor)) as model:
        found = ended(model.generate([*good, *bad]))
    assert {found[request.key] for request in bad} == {
        Failure("worker died", "3 workers died over this request (process ended)")
    }
    assert all(isinstance(found[request.key], Response) for request in good)
    assert capfd.readouterr() == ("", "")  # Ray's own words on deaths stay off the console


def test_workers_that_cannot_start_end_the_asking(
    task: Task, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POISONED_ROLE", "driver")
    why = r"^--executor ray: no worker could start \(process ended\)$"
    with closing(spread_out("poisoned:stillborn", task, executor)) as model, pytest.raises(UserError, match=why):
        list(model.generate(asked(20)))


def test_requests_that_kill_leave_the_workers_of_the_next_stage_alone(task: Task, executor: Executor) -> None:
    """One that was resumed with nothing but such requests, say: three deaths, no answer in between."""
    one = replace(executor.cluster, workers=1)
    spec = "poisoned:any"
    with closing(Spread(made(spec, task), parse_spec(spec), seed=3, task=task, cluster=one)) as model:
        bad = ended(model.generate(asked(1, word="poison")))
        assert set(bad.values()) == {Failure("worker died", "3 workers died over this request (process ended)")}
        good = ended(model.generate(asked(20)))
        assert all(isinstance(answer, Response) for answer in good.values())
        os.kill(processes()[0].pid, signal.SIGKILL)  # while nobody asks: no request's fault
        assert ended(model.generate(asked(20))).keys() == good.keys()


def test_an_error_in_the_adapter_is_told_as_without_workers(task: Task, executor: Executor) -> None:
    with closing(spread_out("poisoned:any", task, executor)) as model, pytest.raises(ZeroDivisionError) as told:
        list(model.generate(asked(5, word="crash")))
    assert str(told.value) == "division by zero"


def test_a_workers_error_for_people_is_told(task: Task, executor: Executor) -> None:
    with closing(spread_out("poisoned:any", task, executor)) as model:
        with pytest.raises(UserError, match=r"^the checkpoint lacks a tokenizer$"):
            list(model.generate(asked(5, word="trouble")))
        assert len(ended(model.generate(asked(5)))) == 5  # and the workers are still there


def test_a_run_goes_on_with_and_without_workers(task: Task, executor: Executor, tmp_path: Path) -> None:
    model = spread_out("mock:random", task, executor)
    plain = made("mock:random", task)
    setup = plan_run(task, plain)
    assert plan_run(task, model).folder == setup.folder
    store = RunStore(tmp_path / "runs" / setup.folder)
    selection = select(task.examples())
    with closing(model):
        first = execute(task, model, setup, Sitting(selection, budget=Budget(max_requests=30)), store, Quiet())
    assert (first.answered, first.incomplete) == (30, 40)
    second = execute(task, plain, setup, Sitting(selection), store, Quiet())
    assert (second.answered, second.incomplete) == (50, 0)
    other = RunStore(tmp_path / "alone" / setup.folder)
    execute(task, plain, setup, Sitting(selection), other, Quiet())
    assert store.responses() == other.responses()


def test_reading_no_further_leaves_the_workers_free(task: Task, executor: Executor) -> None:
    with closing(spread_out("mock:random,latency=0.02", task, executor)) as model:
        begun = model.generate(asked(300))
        next(begun)
        begun.close()
        assert len(ended(model.generate(asked(20, start=500)))) == 20


def test_the_verb_spreads_a_run_and_says_so(task: Task, executor: Executor, tmp_path: Path) -> None:
    where = {"tasks": [str(task.folder)], "site": None}
    assert executor.cluster.workers == 2  # Ray runs in this process: it is joined
    report = run(["mock:random"], runs=str(tmp_path / "two"), workers=2, **where)
    alone = run(["mock:random"], runs=str(tmp_path / "one"), **where)
    (spread,), (single,) = report.finished, alone.finished
    assert spread.folder.name == single.folder.name
    assert RunStore(spread.folder).responses() == RunStore(single.folder).responses()
    sittings = [RunStore(one.folder).manifest()["sittings"][0] for one in (spread, single)]
    assert sittings[0]["executor"]["name"] == "ray"
    assert sittings[0]["executor"]["workers"] == 2
    assert sittings[1]["executor"] is None


def test_what_was_trained_here_answers_in_workers(
    executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt_task(tmp_path)
    write_recipe(tmp_path / "r.yaml")
    monkeypatch.chdir(tmp_path)  # the checkpoint has a relative path
    where = {"tasks": ["learnt"], "task_dirs": ["."], "site": None, "paper": False}
    assert executor.cluster.workers == 2
    (two,) = run(["r2d:tiny,recipe=r.yaml"], runs="two", workers=2, **where).finished
    (one,) = run(["r2d:tiny,recipe=r.yaml"], runs="one", **where).finished
    assert two.folder.name == one.folder.name
    assert two.outcome.answered == one.outcome.answered > 0
    texts = [{key: said.text for key, said in RunStore(at.folder).responses().items()} for at in (two, one)]
    assert texts[0] == texts[1]


def test_a_private_task_stays_off_a_joined_cluster(task: Task, executor: Executor, tmp_path: Path) -> None:
    private = make_task(tmp_path / "other", [row("t0", "yes")])
    model = made("mock:random", task)
    assert executor.cluster.endpoint is None
    with Executor(Wanted(workers=1)) as joined:  # the process is in a cluster that this one has not started
        check_spread(joined, task, model)
        with pytest.raises(UserError, match="its card does not name"):
            check_spread(joined, private, model)
    check_spread(executor, private, model)


def test_models_behind_an_endpoint_are_not_spread(
    task: Task, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = made("mock:random", task)
    monkeypatch.setattr(type(model), "capabilities", Capabilities(endpoint="http://127.0.0.1:1/v1"))
    with pytest.raises(UserError, match="limited by the server's rate"):
        check_spread(executor, task, model)
