"""Calls of an API through litellm: what is sent, and how often."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from r2d_bench.errors import UserError
from r2d_bench.models.api_errors import Trouble, trouble
from r2d_bench.models.api_replies import read_reply, schema_of
from r2d_bench.models.api_thinking import thinking_arguments
from r2d_bench.models.base import Prices
from r2d_bench.records import Failure, Finish, Json, LabelMethod, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from r2d_bench.models.api_limits import Pace
    from r2d_bench.models.base import Answer
    from r2d_bench.records import Request

_LONGEST_BACKOFF = 30.0  # seconds
_CHARACTERS_PER_TOKEN = 4  # a rough guess, corrected by the usage that the reply tells


@dataclass(frozen=True, slots=True)
class Settings:
    """How an API is called.

    Attributes:
        model: litellm's name, `provider/model`.
        base_url: where requests go; None for the provider's own address.
        key: the API key; None leaves it to litellm, which reads the provider's variable.
        own_host: the provider's own address is used, whose prices are known.
        temperature, seed, thinking_tokens: what changes an answer.
        timeout: seconds per call, a hanging body included.
        retries: calls after the first one.
        backoff: seconds; the wait before retry k is drawn from 0 to backoff · 2ᵏ.
    """

    model: str
    base_url: str | None
    key: str | None
    own_host: bool
    temperature: float
    seed: int
    thinking_tokens: int
    timeout: float
    retries: int
    backoff: float


class Caller:
    """Asks one model, with retries; remembers what it refused."""

    def __init__(self, litellm: Any, settings: Settings, pace: Pace) -> None:  # noqa: ANN401 - litellm has no types
        self._litellm = litellm
        self._settings = settings
        self._pace = pace
        self._name, self._provider, _, _ = litellm.get_llm_provider(settings.model, api_base=settings.base_url)
        self._takes = set(litellm.get_supported_openai_params(self._name, self._provider) or ())
        # What a server of one's own can do is found out by asking it.
        self._formats = not settings.own_host or litellm.supports_response_schema(self._name, self._provider)
        self._has_formatted = False  # a reply to a `response_format` was had
        self._thinking, remark = thinking_arguments(
            self._provider,
            settings.thinking_tokens,
            self._takes,
            reasons=settings.thinking_tokens > 0 or bool(litellm.supports_reasoning(self._name, self._provider)),
        )
        self._thinking_remarks = [remark] if remark else []
        self._refused: dict[str, str] = {}  # parameter → the remark that tells why it is left out
        self._served: str | None = None
        self.proven = False  # an answer was had: key, model and parameters are right

    async def ask(self, request: Request) -> Answer:
        """Return what came of a request after the last retry.

        Raises:
            UserError: before any answer was had: the key, the model or a parameter is wrong, so that every other
                request would fail too.
        """
        attempt = 0
        while True:
            optional, remarks = self._optional(request)
            said = await self._call(request, optional)
            if isinstance(said, Response):
                return request.key, self._answered(said, remarks)
            if said.asked and self._leave_out(said, optional):
                continue  # asked again without what was refused
            if (said.everybody or said.asked) and not self.proven:
                raise UserError(f"api:{self._settings.model}: {said.reason}: {said.detail}")
            if not said.again or attempt >= self._settings.retries:
                return request.key, Failure(said.reason, said.detail)
            await self._back_off(attempt, said.wait)
            attempt += 1

    async def _call(self, request: Request, optional: Mapping[str, Json]) -> Response | Trouble:
        import httpx
        import openai

        expected = self._expected(request)
        await self._pace.wait(expected)
        arguments = self._fixed(request) | dict(optional)
        try:
            calling = self._litellm.acompletion(**arguments)
            reply = await asyncio.wait_for(calling, self._settings.timeout)
            said = read_reply(reply, request, formatted="response_format" in optional)
        except (
            openai.OpenAIError,  # litellm's errors are its children
            httpx.HTTPError,
            OSError,  # TimeoutError is one
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
        ) as error:
            found = trouble(error, self._settings.key)
            return Response("", Finish.FILTERED) if found.filtered else found
        self._has_formatted = self._has_formatted or "response_format" in optional
        self._pace.settle(expected, (said.input_tokens or 0) + (said.output_tokens or 0) or expected)
        return replace(said, cost=self._cost(reply))

    def _fixed(self, request: Request) -> dict[str, Json]:
        """Return the arguments that every call has."""
        turns = (
            [("user", request.prompt)]
            if isinstance(request.prompt, str)
            else [(turn.role, turn.content) for turn in request.prompt]
        )
        settings = self._settings
        found: dict[str, Json] = {
            "model": settings.model,
            # Lone surrogates have no UTF-8 form.
            "messages": [{"role": role, "content": _utf8(content)} for role, content in turns],
            "max_tokens": request.max_new_tokens + settings.thinking_tokens,
            "timeout": settings.timeout,
            "num_retries": 0,  # retries are ours: litellm's are hidden, and multiply
            "max_retries": 0,
        }
        if settings.base_url is not None:
            found["api_base"] = settings.base_url
        if settings.key is not None:
            found["api_key"] = settings.key
        return found

    def _optional(self, request: Request) -> tuple[dict[str, Json], list[str]]:
        """Return the arguments that a provider may not take, and what a reader should know of those left out."""
        settings = self._settings
        wanted: dict[str, Json] = {"temperature": settings.temperature, "seed": settings.seed}
        remarks = ["text prompt sent as one user turn"] if isinstance(request.prompt, str) else []
        schema = schema_of(request)
        if schema is not None:
            form = {"name": "answer", "schema": schema, "strict": True}
            wanted["response_format"] = {"type": "json_schema", "json_schema": form}
        wanted |= self._thinking
        remarks += self._thinking_remarks
        for name in [*wanted]:
            if name in self._refused:
                remarks.append(self._refused[name])
            elif not self._supported(name):
                remarks.append(f"{name} not supported")
            else:
                continue
            del wanted[name]
        if request.method is LabelMethod.CONSTRAINED and "response_format" not in wanted:
            remarks.append("label not constrained")
        return wanted, remarks

    def _supported(self, name: str) -> bool:
        if name == "response_format":
            return bool(self._formats)
        return name == "extra_body" or name in self._takes

    def _leave_out(self, said: Trouble, optional: Mapping[str, Json]) -> bool:
        """Find the parameter that a bad request is about; returns True where there is something to leave out."""
        if any(name in self._refused for name in optional):  # another call has learned it meanwhile
            return True
        named = [name for name in optional if re.search(rf"\b{name}\b", said.detail)]
        if not named and "response_format" in optional and not self._has_formatted:
            # Servers say "json_schema", "grammar", or nothing of what they do not know.
            named = ["response_format"]
        for name in named:
            self._refused[name] = f"{name} refused"
        return bool(named)

    def _answered(self, said: Response, remarks: list[str]) -> Response:
        """Add the remarks; note which model served."""
        self.proven = True
        if said.served_model is not None:
            self._served = self._served or said.served_model
            if said.served_model != self._served:
                remarks = [*remarks, "served model changed"]
        return replace(said, remarks=(*remarks, *said.remarks))

    async def _back_off(self, attempt: int, wait: float | None) -> None:
        """Wait as long as the server says, else exponentially longer with full jitter.

        Source: M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
        """
        if wait is not None:
            self._pace.pause(wait)  # the limit holds for every call; the next ones wait too
            return
        longest = min(self._settings.backoff * 2**attempt, _LONGEST_BACKOFF)
        await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - no secret

    def _expected(self, request: Request) -> int:
        prompt = request.prompt if isinstance(request.prompt, str) else "".join(t.content for t in request.prompt)
        return len(prompt) // _CHARACTERS_PER_TOKEN + request.max_new_tokens + self._settings.thinking_tokens

    def _cost(self, reply: Any) -> float | None:  # noqa: ANN401 - litellm has no types
        """Return the price in US dollars; None where it is not known, as on a server of one's own."""
        return cost_of(self._litellm, reply, self._name, self._provider) if self._settings.own_host else None

    async def close(self) -> None:
        """Close the connections that litellm keeps for this event loop."""
        clients = self._litellm.in_memory_llm_clients_cache.cache_dict
        mine = f"-{id(asyncio.get_running_loop())}"  # a later loop may get the same id, and must not meet them
        for key in [key for key in clients if key.endswith(mine)]:
            client = clients.pop(key)
            if hasattr(client, "close"):
                await client.close()


def prices_of(litellm: Any, name: str) -> Prices | None:  # noqa: ANN401
    """Return a model's prices by litellm's table, None for a model without."""
    for known in (name, name.partition("/")[2]):
        entry = litellm.model_cost.get(known, {})
        if entry.get("input_cost_per_token") is not None and entry.get("output_cost_per_token") is not None:
            source = f"litellm {version('litellm')}"
            return Prices(float(entry["input_cost_per_token"]), float(entry["output_cost_per_token"]), source)
    return None


def cost_of(litellm: Any, reply: Any, name: str, provider: str) -> float | None:  # noqa: ANN401
    """Return what a reply costs by litellm's table, None for a model without a price."""
    for known in (name, f"{provider}/{name}"):
        if known in litellm.model_cost:
            return float(litellm.completion_cost(reply, model=known, custom_llm_provider=provider))
    return None


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
