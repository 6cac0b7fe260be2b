"""The privacy gate: what of a task may leave the machine, and where to.

It stands at every door: adapters, judges, trackers, uploads. Texts of a public task may go anywhere. Those of any
other task stay in this process or on this machine's loopback addresses, unless the task's card names the endpoint.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from r2d_bench.errors import UserError

if TYPE_CHECKING:
    from r2d_bench.tasks.spec import TaskSpec

# Top-level names that lead nowhere outside (RFC 2606, 6762, 8375; the others by custom).
_LOCAL_NAMES = frozenset(
    {"arpa", "corp", "example", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain", "localhost"}
    | {"private", "test"}
)


def check_endpoint(spec: TaskSpec, endpoint: str | None, who: str) -> None:
    """Refuse to let texts of a task go to an endpoint that its card does not name.

    Args:
        spec: the task.
        endpoint: URL that texts would be sent to; None for this process.
        who: what would send them, for the message.

    Raises:
        UserError: the task is not public and the endpoint is neither loopback nor named in `endpoints`.
    """
    if endpoint is None or spec.visibility == "public" or is_loopback(endpoint):
        return
    if any(_covers(_split(named), _split(endpoint)) for named in spec.endpoints):
        return
    host = _split(endpoint).hostname or endpoint
    raise UserError(
        f"task {spec.name} is {spec.visibility}: {who} would send its texts to {host}, which its card does not name "
        "(endpoints: in task.yaml)"
    )


def is_loopback(endpoint: str) -> bool:
    """Tell whether an URL leads to this machine itself."""
    host = _split(endpoint).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def public_host(endpoint: str) -> str | None:
    """Return the host of an URL (or of a host alone) that anybody may know; None for names and addresses of one's own.

    Those are addresses that are not routed, names without a dot, and the top-level names kept for local use.
    """
    host = _split(endpoint).hostname or ""
    try:
        return host if ipaddress.ip_address(host).is_global else None
    except ValueError:
        top = host.rpartition(".")
        return host if top[0] and top[2] not in _LOCAL_NAMES else None


def _split(endpoint: str) -> SplitResult:
    return urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")


def _covers(named: SplitResult, wanted: SplitResult) -> bool:
    """Tell whether a named endpoint covers a wanted one: same scheme, host and port, and a path below its own."""
    if (named.scheme, named.hostname, named.port) != (wanted.scheme, wanted.hostname, wanted.port):
        return False
    below, path = named.path.rstrip("/"), wanted.path.rstrip("/")
    return path == below or path.startswith(below + "/")
