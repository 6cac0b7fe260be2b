"""An event loop in a thread of its own, read as a plain iterator."""

from __future__ import annotations

import asyncio
import queue
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")


async def _nothing() -> None:
    """There is nothing to clean up."""


def in_loop(
    items: Sequence[Item],
    ask: Callable[[Item], Awaitable[Result]],
    *,
    concurrency: int,
    first_alone: bool = False,
    end: Callable[[], Awaitable[None]] = _nothing,
) -> Generator[Result, None, None]:
    """Yield what `ask` says of every item, as it comes, with at most `concurrency` in flight.

    A result keeps its place until the reader comes back for the next one: whoever stores each result before asking
    for more never has more than `concurrency` unstored, however it ends, and memory stays flat. Closing the generator
    cancels what is in flight and waits for the thread.

    Args:
        items: what is asked.
        ask: an asynchronous function; an error that it raises ends everything and is raised here.
        concurrency: how many are in flight or unread at a time.
        first_alone: ask the first item alone, before the others.
        end: awaited in the loop at the end.
    """
    # Bounded by the places, one for each item that is in flight or unread; None is the end.
    said: queue.SimpleQueue[tuple[Result] | None] = queue.SimpleQueue()
    places = asyncio.Semaphore(concurrency)

    async def one(item: Item) -> None:
        said.put((await ask(item),))

    async def everything() -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for number, item in enumerate(items):
                    await places.acquire()
                    task = tasks.create_task(one(item))
                    if number == 0 and first_alone:
                        await asyncio.wait([task])
        finally:
            await end()

    loop = asyncio.new_event_loop()
    job = loop.create_task(everything())
    with ThreadPoolExecutor(1, thread_name_prefix="api") as pool:
        thread = pool.submit(_run, loop, job)
        thread.add_done_callback(lambda _: said.put(None))
        try:
            while (result := said.get()) is not None:
                yield result[0]
                with suppress(RuntimeError):  # the loop is closed already and needs no more places
                    loop.call_soon_threadsafe(places.release)
        finally:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(job.cancel)
    thread.result()


def _run(loop: asyncio.AbstractEventLoop, job: asyncio.Task[None]) -> None:
    """Run the loop until the job is done or cancelled; raises what it raised."""

    async def wait() -> None:
        with suppress(asyncio.CancelledError):
            await job

    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(wait())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
