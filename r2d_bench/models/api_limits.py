"""Client-side limits of an API: requests and tokens per minute, and the pauses that a server asks for."""

from __future__ import annotations

import asyncio


class Pace:
    """Lets calls go at a steady pace, at most so many per minute.

    Calls are spaced evenly instead of in bursts, so that no window of a minute holds more than the limit.
    """

    def __init__(self, rate: float | None = None, token_rate: float | None = None) -> None:
        """Start at once.

        Args:
            rate: calls per minute; None for no limit.
            token_rate: tokens per minute, of prompts and answers together.
        """
        self._per_call = 60 / rate if rate else 0.0
        self._per_token = 60 / token_rate if token_rate else 0.0
        self._next = 0.0  # no call before this time (of the event loop's clock)

    async def wait(self, tokens: int) -> None:
        """Wait for this call's turn, which is expected to use so many tokens."""
        if self._next == 0.0 and not self._per_call and not self._per_token:
            return
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next)
        self._next = turn + max(self._per_call, tokens * self._per_token)
        if turn > now:
            await asyncio.sleep(turn - now)

    def settle(self, expected: int, used: int) -> None:
        """Correct the account once it is known how many tokens a call has used."""
        if self._per_token:
            # A call of few tokens still has its place by `rate`, so that only the tokens above it count.
            owed = max(self._per_call, used * self._per_token) - max(self._per_call, expected * self._per_token)
            self._next += owed

    def pause(self, seconds: float) -> None:
        """Let no call go for so many seconds: the server's limit holds for all of them."""
        self._next = max(self._next, asyncio.get_running_loop().time() + seconds)
