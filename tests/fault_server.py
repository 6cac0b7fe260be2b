"""A chat server on loopback that meets requests with seeded faults and counts what it was asked.

It speaks `POST …/chat/completions`. Which fault a prompt meets depends on the seed and the prompt alone; its first
`Faults.times` calls meet it, later ones are answered. Answers derive from the prompt, so that a run with faults can be
compared with one without. As a program (`python fault_server.py --latency 0.5`) it prints its base URL and serves
until its standard input is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FAULTS = ("error", "limited", "dropped", "truncated", "hanging")
Body = dict[str, Any]
# Status and JSON document that a scripted server answers a request with.
Script = "Callable[[Body], tuple[int, Body]]"


@dataclass(frozen=True)
class Faults:
    """Shares of prompts that meet each fault, and how often each of them does.

    Attributes:
        error, limited, dropped, truncated, hanging: shares; 500, 429, a closed connection, half a body, no body.
        times: so many calls of such a prompt meet it; None is all.
        retry_after: value of the header that comes with 429.
    """

    error: float = 0.0
    limited: float = 0.0
    dropped: float = 0.0
    truncated: float = 0.0
    hanging: float = 0.0
    times: int | None = 1
    retry_after: str = "0.02"
    seed: int = 0

    def of(self, content: str) -> str | None:
        """Return the fault that a prompt meets."""
        drawn = random.Random(f"{self.seed} {content}").random()
        for name in FAULTS:
            drawn -= getattr(self, name)
            if drawn < 0:
                return name
        return None


@dataclass
class Seen:
    """What the server was asked."""

    calls: Counter[str] = field(default_factory=Counter)  # by prompt
    faults: Counter[str] = field(default_factory=Counter)  # injected, by prompt
    kinds: Counter[str] = field(default_factory=Counter)  # injected, by fault
    bodies: list[Body] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)  # values of the Authorization header
    times: list[float] = field(default_factory=list)  # when each call came (monotonic seconds)
    in_flight: int = 0
    most_in_flight: int = 0
    cancelled: int = 0  # calls whose client went away before the answer


def said(content: str, labels: tuple[str, ...]) -> str:
    """Return the answer to a prompt: one of the labels and words that show which prompt it was."""
    mark = hashlib.sha256(content.encode()).hexdigest()
    label = labels[int(mark[:8], 16) % len(labels)]
    return json.dumps({"rationale": f"because of {mark[:12]}", "label": label})


def completion(text: str | None, *, finish: str = "stop", model: str = "echo-1", **message: str) -> Body:
    """Return a chat completion document."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }


class FaultServer:
    """The server; a context manager that serves from a thread of its own."""

    def __init__(
        self,
        faults: Faults | None = None,
        *,
        latency: float = 0.0,
        labels: tuple[str, ...] = ("yes", "no"),
        script: Callable[[Body], tuple[int, Body]] | None = None,
        headers: Mapping[str, str] | None = None,
        keep: bool = True,
    ) -> None:
        self.faults = faults or Faults()
        self.latency = latency
        self.seen = Seen()
        self.url = ""
        self._labels = labels
        self._script = script
        self._headers = dict(headers or {})
        self._keep = keep  # False: count nothing per prompt, so that memory stays flat
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(self._open):
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the server stops
        finally:
            self._open.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; returns False where the connection ends."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:])}
        body: Body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))) or b"{}")
        seen, content = self.seen, "\n".join(str(turn["content"]) for turn in body.get("messages", []))
        seen.keys.add(headers.get("authorization", ""))
        seen.in_flight += 1
        seen.most_in_flight = max(seen.most_in_flight, seen.in_flight)
        try:
            fault = self._meet(content, body)
            gone = asyncio.ensure_future(reader.read(1)) if self._keep else None
            wait = 3600.0 if fault == "hanging" else self.latency
            if gone is None:
                await asyncio.sleep(wait)
            elif not await self._stays(gone, wait):
                seen.cancelled += 1
                return False
            return await self._reply(writer, fault, content, body)
        finally:
            seen.in_flight -= 1

    async def _stays(self, gone: asyncio.Future[bytes], wait: float) -> bool:
        """Wait; returns False as soon as the client hangs up."""
        if wait:
            await asyncio.wait([gone], timeout=wait)
        if gone.done():
            return False
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
        return True

    def _meet(self, content: str, body: Body) -> str | None:
        """Count a call; returns the fault that it meets."""
        if not self._keep:
            return None
        seen = self.seen
        seen.calls[content] += 1
        seen.bodies.append(body)
        seen.times.append(time.monotonic())
        fault = self.faults.of(content)
        if fault is None or (self.faults.times is not None and seen.calls[content] > self.faults.times):
            return None
        seen.faults[content] += 1
        seen.kinds[fault] += 1
        return fault

    async def _reply(self, writer: asyncio.StreamWriter, fault: str | None, content: str, body: Body) -> bool:
        if fault == "dropped":
            return False
        status, document = 200, completion(said(content, self._labels), model=str(body.get("model", "echo-1")))
        extra = dict(self._headers)
        if fault == "error":
            status, document = 500, {"error": {"message": "planned fault"}}
        elif fault == "limited":
            status, document = 429, {"error": {"message": "slow down"}}
            extra["Retry-After"] = self.faults.retry_after
        elif self._script is not None:
            status, document = self._script(body)
        text = json.dumps(document).encode()
        lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(text)}"]
        lines += [f"{name}: {value}" for name, value in extra.items()]
        cut = len(text) // 2 if fault == "truncated" else len(text)
        writer.write("\r\n".join([*lines, "", ""]).encode() + text[:cut])
        await writer.drain()
        return fault != "truncated"


def main() -> None:
    """Serve until the standard input is closed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--reply", help="the text of every answer (default: an answer made of the prompt)")
    args = parser.parse_args()
    script = None if args.reply is None else lambda _: (200, completion(args.reply))
    with FaultServer(latency=args.latency, script=script, keep=False) as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
