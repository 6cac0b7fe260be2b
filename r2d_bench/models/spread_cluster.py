"""Ray, as far as it is used here: a cluster that is started on this machine or joined, and actors on it.

Ray is imported when a cluster is opened. It moves requests and answers between its processes with its own transport.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import socket
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2d_bench.errors import MissingDependencyError, UserError
from r2d_bench.machine import usable_cores, where_open
from r2d_bench.tasks.privacy import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Self

    from r2d_bench.records import Json

GIB = 1024**3
WITH_TOKENS = (2, 52)  # the first Ray that can keep others out
LISTENING_SECONDS = 5.0
STORE = 256 * 1024**2  # bytes of Ray's object store: prompts, answers and a task's rows, no weights
# Ray puts sockets under its folder, and a socket's path holds about 100 characters: a long TMPDIR is left alone.
LONGEST_TEMPORARY = 24
SHORT_TEMPORARY = "/tmp"  # noqa: S108 - the folder in it is made safely
# What Ray reads when it is imported: no reports home, no words on standard output.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": ".", "RAY_SCHEDULER_EVENTS": "0"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a job asks for.

    Attributes:
        workers: processes; by the cluster's GPUs where absent.
        gpus: of each worker, also a part of one; 1 where there are GPUs.
        memory: GiB that are kept for each worker.
        address: `auto`, or HOST:PORT of a cluster; None starts Ray on this machine.
    """

    workers: int | None = None
    gpus: float | None = None
    memory: float | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that is open, and what each worker gets of it.

    Attributes:
        workers: how many there are.
        cpus, gpus: of each worker.
        memory: bytes of each worker; None where nothing is kept for it.
        endpoint: where texts go to; None where Ray was started here, for this job alone.
    """

    workers: int
    cpus: int
    gpus: float
    memory: int | None
    endpoint: str | None

    def as_json(self) -> dict[str, Json]:
        """Return what a sitting keeps of it; no address."""
        told = {"gpus": self.gpus, "memory": self.memory}
        shares = {f"worker_{name}": value for name, value in told.items() if value}
        return {"name": "ray", "workers": self.workers, "worker_cpus": self.cpus} | shares

    def hire(self, work: type) -> Any:  # noqa: ANN401 - an actor's handle
        """Return an actor of a class, in a process of its own; it may still be starting, or waiting for room.

        Ray gives it as many threads (`OMP_NUM_THREADS`, unless that is set) as it has CPUs.
        """
        import ray

        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_restarts": 0, "max_task_retries": 0}
        if self.memory is not None:
            options["memory"] = self.memory
        return ray.remote(work).options(**options).remote()


class Executor:
    """`--executor ray`: opens a cluster when it is first needed, and puts everything away at the end.

    A cluster that is named is joined at once, so that a wrong address is told before anything is trained or asked.
    Where the caller's own process has joined Ray already, that is used and left running.

    Raises:
        UserError: no Ray, no such cluster, or a worker that does not fit.
    """

    def __init__(self, wanted: Wanted) -> None:
        if importlib.util.find_spec("ray") is None:
            raise MissingDependencyError("--executor ray", "ray")
        self._wanted = wanted
        self._cluster: Cluster | None = None
        self._undo = ExitStack()
        self.endpoint = _address_in_use()
        if self.endpoint is None and wanted.address is not None:
            _join(wanted.address)
            self._undo.callback(_leave)
            self.endpoint = _address_in_use()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster = None
        self._undo.close()

    @property
    def cluster(self) -> Cluster:
        """The cluster, open.

        Raises:
            UserError: as `open`.
        """
        return self._cluster or self.open()

    def open(self) -> Cluster:
        """Open the cluster, unless it is open.

        Raises:
            UserError: the workers do not fit on this machine.
        """
        if self._cluster is None:
            if self.endpoint is None:
                self._undo.enter_context(_started(self._wanted.workers or 1))
            import ray

            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            self._cluster = share_out(self._wanted, nodes, self.endpoint)
        return self._cluster


def _address_in_use() -> str | None:
    """Return the address of the cluster that this process has joined; None where it has joined none.

    A cluster of several machines never goes by a loopback address, by which it would pass for this machine alone.
    """
    if "ray" not in sys.modules:
        return None
    import ray

    if not ray.is_initialized():
        return None
    host, _, port = str(ray.get_runtime_context().gcs_address).rpartition(":")
    if is_loopback(host):
        machines = {str(node["NodeManagerAddress"]) for node in ray.nodes() if node["Alive"]}
        host = next((machine for machine in sorted(machines) if not is_loopback(machine)), host)
    return f"ray://{host}:{port}"


@cache
def _token() -> str:
    """Return the token of this process; Ray reads it once, so that it stays the same."""
    return secrets.token_hex(32)


@contextmanager
def _started(workers: int) -> Iterator[None]:
    """Start Ray on this machine, for this process alone, in a folder that is removed afterwards.

    Ray listens on all of the machine's addresses: a token that nobody else knows keeps others out.
    """
    _prepare(QUIET)
    with ExitStack() as stack:
        stack.enter_context(where_open({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _token()}))
        import ray

        if tuple(map(int, ray.__version__.split(".")[:2])) < WITH_TOKENS:
            least = ".".join(map(str, WITH_TOKENS))
            raise UserError(f"--executor ray: Ray {ray.__version__} lets everybody in: pip install 'ray>={least}'")
        place = tempfile.gettempdir()
        if len(place) > LONGEST_TEMPORARY and Path(SHORT_TEMPORARY).is_dir():
            place = SHORT_TEMPORARY
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="r2d-ray-", dir=place, ignore_cleanup_errors=True)
        )
        stack.callback(_leave)
        with _in_one_line("--executor ray: Ray does not start here"):
            ray.init(
                address="local",
                num_cpus=max(workers, len(usable_cores())),
                object_store_memory=STORE,
                include_dashboard=False,
                logging_level=logging.FATAL,
                log_to_driver=False,
                _temp_dir=folder,
            )
        yield


def _join(address: str) -> None:
    """Join a cluster.

    Raises:
        UserError: there is none, or the address is one of Ray's client.
    """
    found = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address  # as Ray itself reads it
    if "://" in found or found == "local":
        raise UserError(
            f"--ray-address {found}: start the command on a machine of the cluster, with --ray-address auto"
        )
    with _in_one_line(f"--ray-address {found}: no cluster answers", "was `ray start` called here?"):
        _check_listening(found)
        _prepare(QUIET)
        import ray

        ray.init(address=found, logging_level=logging.FATAL, log_to_driver=False)


@contextmanager
def _in_one_line(what: str, hint: str = "") -> Iterator[None]:
    """Turn what goes wrong with Ray into one line.

    Raises:
        UserError: it went wrong.
    """
    try:
        yield
    except _errors() as error:
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"{what} ({why}){'; ' if hint else ''}{hint}") from None


def _errors() -> tuple[type[Exception], ...]:
    """Return what may go wrong with Ray; its own errors, such as a token that is missing, once it is imported."""
    ray = sys.modules.get("ray")
    return (OSError, ValueError, RuntimeError, *(() if ray is None else (ray.exceptions.RayError,)))


def _check_listening(address: str) -> None:
    """Find out in seconds whether anybody listens at HOST:PORT; Ray itself would ask for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=LISTENING_SECONDS).close()


def _leave() -> None:
    """Leave the cluster; one that was started here ends."""
    import ray

    ray.shutdown()


def _prepare(settings: Mapping[str, str]) -> None:
    """Set what Ray reads once, when it is imported; what is set already stays."""
    if "ray" not in sys.modules:
        os.environ.update({name: value for name, value in settings.items() if name not in os.environ})


def share_out(wanted: Wanted, nodes: Iterable[Mapping[str, float]], endpoint: str | None) -> Cluster:
    """Return what each worker gets.

    Args:
        wanted: what the job says.
        nodes: resources of every machine, by Ray's names.
        endpoint: where texts go to; None for this machine alone.

    Raises:
        UserError: this machine has no room for the workers. On a cluster others may end, or machines be added.
    """
    machines = list(nodes)
    all_gpus = sum(machine.get("GPU", 0.0) for machine in machines)
    gpus = wanted.gpus if wanted.gpus is not None else min(1.0, all_gpus)
    memory = None if wanted.memory is None else int(wanted.memory * GIB)
    needed = {"GPU": gpus, "memory": float(memory or 0)}
    workers = wanted.workers or (max(1, _room(machines, needed | {"CPU": 1.0})) if gpus else 1)
    most = max(1, int(sum(machine.get("CPU", 0.0) for machine in machines)) // workers)
    cpus = next((n for n in range(most, 0, -1) if _room(machines, needed | {"CPU": float(n)}) >= workers), 1)
    if endpoint is None and (room := _room(machines, needed | {"CPU": 1.0})) < workers:
        there = f"{all_gpus:g} GPUs and {sum(m.get('memory', 0.0) for m in machines) / GIB:.1f} GiB"
        raise UserError(
            f"--workers {workers}: this machine has {there}, room for {room} workers of {gpus:g} GPUs and "
            f"{wanted.memory or 0:g} GiB; ask for fewer, or for less (--worker-gpus, --worker-memory)"
        )
    return Cluster(workers, cpus, gpus, memory, endpoint)


def _room(machines: Iterable[Mapping[str, float]], needed: Mapping[str, float]) -> int:
    """Return how many workers of such needs fit on the machines."""
    return sum(
        min(int(machine.get(name, 0.0) / amount + 1e-9) for name, amount in needed.items() if amount)
        for machine in machines
    )
