"""Models behind an API: any provider that litellm knows, and any OpenAI-compatible server.

`api:openai/gpt-4o-mini`, `api:anthropic/claude-…`, or a server of one's own:
`api:openai/my-model,base_url=http://127.0.0.1:8000/v1`. Keys come from the environment, never from a spec: the
provider's own variable, or the one that `api_key_env` names. With a `base_url` only the latter is sent, so that a
provider's key never reaches another host.

Chat prompts are sent as they are, a text prompt as one user turn. A stage that asks for a JSON object, and a
constrained label, are asked for with `response_format`; some servers accept that and ignore it, so that every reply
is checked and a remark tells what had no effect.
"""

from __future__ import annotations

import os
import urllib.request
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from r2d_bench.errors import UserError
from r2d_bench.models.api_calls import Caller, Settings, prices_of
from r2d_bench.models.api_errors import looks_like_key
from r2d_bench.models.api_limits import Pace
from r2d_bench.models.api_litellm import check_installed, load_litellm
from r2d_bench.models.api_loop import in_loop
from r2d_bench.models.base import Answer, Capabilities, Identity, Model, Params, Prices
from r2d_bench.records import Json, LabelMethod
from r2d_bench.tasks.privacy import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import BaseModel

    from r2d_bench.records import Request
    from r2d_bench.tasks.task import Task

# Where providers listen; for any other the gate is told `https://PROVIDER`, which a card may name as such.
_HOSTS = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
    "mistral": "https://api.mistral.ai/v1",
    "groq": "https://api.groq.com/openai/v1",
    "deepseek": "https://api.deepseek.com",
    "openrouter": "https://openrouter.ai/api/v1",
    "ollama": "http://localhost:11434",
    "ollama_chat": "http://localhost:11434",
}
_NO_KEY = "unused"  # servers of one's own ask for none, the client insists on one
_KEY_NAMES = {"api_key", "apikey", "key", "token", "api_token", "secret", "password", "authorization"}


class ApiParams(Params):
    """How the API is called.

    Attributes:
        base_url: an OpenAI-compatible server; the provider's own address where absent.
        api_key_env: the name of the environment variable that holds the key.
        temperature: 0 for the likeliest answer.
        seed: the run's seed where absent.
        thinking_tokens: budget of thinking text, besides the answer's; 0 asks for none.
        concurrency: requests in flight.
        rate, token_rate: requests and tokens per minute at most.
        timeout: seconds per call.
        retries: further calls after one that failed in transport.
        backoff: seconds that the first wait between calls has at most; it doubles with each.
    """

    base_url: str | None = None
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    temperature: float = Field(default=0.0, ge=0, le=2)
    seed: int | None = None
    thinking_tokens: int = Field(default=0, ge=0)
    concurrency: int = Field(default=16, ge=1, le=1024)
    rate: float | None = Field(default=None, gt=0)
    token_rate: float | None = Field(default=None, gt=0)
    timeout: float = Field(default=60.0, gt=0)
    retries: int = Field(default=6, ge=0)
    backoff: float = Field(default=0.5, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _no_keys(cls, values: Any) -> Any:  # noqa: ANN401 - unchecked input
        """A key in a spec would stand in files and messages; the message here must not repeat it either."""
        for name, value in values.items():
            if name.lower() in _KEY_NAMES or (isinstance(value, str) and looks_like_key(value)):
                raise UserError(
                    f"api: the parameter '{name}' would put a key into the spec: set it in an environment variable "
                    "and name that (api_key_env=MY_API_KEY)"
                )
        return values

    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("should be a URL such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise UserError("api: base_url must hold no user, password or query: keys come from the environment")
        return url.rstrip("/")


class API(Model):
    """A model behind an API."""

    Params = ApiParams

    def __init__(self, name: str, params: ApiParams, *, base_url: str | None, key: str | None, seed: int) -> None:
        self._name = name
        self._provider = name.partition("/")[0]
        self._params = params
        self._base_url = base_url
        self._key = key
        self._seed = params.seed if params.seed is not None else seed
        self._pace = Pace(params.rate, params.token_rate)
        self._caller: Caller | None = None

    @classmethod
    def create(cls, name: str, params: BaseModel, *, task: Task, seed: int) -> Self:  # noqa: ARG003
        """Make the model; nothing is sent, and litellm is not imported.

        Raises:
            UserError: a name without a provider, an absent key variable, or a proxy before this machine itself.
            MissingDependencyError: litellm is absent.
        """
        chosen = ApiParams.model_validate(params.model_dump(exclude_unset=True))
        provider, slash, model = name.partition("/")
        if looks_like_key(name):
            raise UserError("api: the model's name looks like a key; should be api:PROVIDER/MODEL")
        if not slash or not provider or not model:
            raise UserError(f"api:{name}: should be api:PROVIDER/MODEL, such as api:openai/gpt-4o-mini")
        check_installed()
        key = _NO_KEY if chosen.base_url is not None else None
        if chosen.api_key_env is not None:
            key = os.environ.get(chosen.api_key_env)
            if not key:
                raise UserError(f"api:{name}: the environment variable {chosen.api_key_env} (api_key_env) is not set")
        made = cls(name, chosen, base_url=chosen.base_url or _from_environment(provider), key=key, seed=seed)
        _check_proxy(made.endpoint)
        return made

    @property
    def endpoint(self) -> str:
        """Where requests go."""
        return self._base_url or _HOSTS.get(self._provider, f"https://{self._provider}")

    @property
    def identity(self) -> Identity:
        """The model's name in litellm, the host of another server than the provider's, and what changes an answer.

        The port is left out: a server that is started again on another one is the same.
        """
        host = f"@{urlsplit(self._base_url).hostname}" if self._base_url else ""
        params: dict[str, Json] = {"temperature": self._params.temperature, "seed": self._seed}
        if self._params.thinking_tokens:
            params["thinking_tokens"] = self._params.thinking_tokens
        return Identity("api", self._name + host, params=params)

    @property
    def capabilities(self) -> Capabilities:
        """Chat, with constrained labels wherever a schema can be asked for; each reply is checked against it."""
        methods = {LabelMethod.FREE}
        if self._base_url is not None or self._knows_schemas():
            methods.add(LabelMethod.CONSTRAINED)
        return Capabilities(chat=True, methods=frozenset(methods), endpoint=self.endpoint, default_protocol="zero_shot")

    def generate(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Ask with `concurrency` in flight; the very first request goes alone, to find out about key and model.

        Raises:
            UserError: key, model or parameters are wrong, so that every request would fail.
        """
        caller = self._connected()
        yield from in_loop(
            requests,
            caller.ask,
            concurrency=self._params.concurrency,
            first_alone=not caller.proven,
            end=caller.close,
        )

    def prices(self) -> Prices | None:
        """Return the prices of litellm's own table, for the provider's own address."""
        if self._base_url is not None:
            return None
        return prices_of(self._litellm(), self._name)

    def _connected(self) -> Caller:
        if self._caller is None:
            params = self._params
            settings = Settings(
                model=self._name,
                # Told in so many words, so that no variable can lead requests past the endpoint that was judged.
                base_url=self._base_url or (_HOSTS["openai"] if self._provider == "openai" else None),
                key=self._key,
                own_host=self._base_url is None,
                temperature=params.temperature,
                seed=self._seed,
                thinking_tokens=params.thinking_tokens,
                timeout=params.timeout,
                retries=params.retries,
                backoff=params.backoff,
            )
            self._caller = Caller(self._litellm(), settings, self._pace)
        return self._caller

    def _litellm(self) -> Any:  # noqa: ANN401 - litellm has no types
        """Return litellm; refuse a provider that it does not know."""
        litellm = load_litellm()
        if self._provider not in {str(getattr(known, "value", known)) for known in litellm.provider_list}:
            raise UserError(f"api:{self._name}: litellm knows no provider '{self._provider}' (with base_url: openai)")
        return litellm

    def _knows_schemas(self) -> bool:
        model = self._name.partition("/")[2]
        return bool(self._litellm().supports_response_schema(model, self._provider))


def _from_environment(provider: str) -> str | None:
    """Return the address that the environment gives for a provider, as litellm and the providers' clients read it."""
    for name in ("BASE_URL", "API_BASE"):
        if url := os.environ.get(f"{provider.upper()}_{name}"):
            return url.rstrip("/")
    return None


def _check_proxy(endpoint: str) -> None:
    """Refuse a proxy before this machine itself: what is sent to a loopback address would leave the machine."""
    if not is_loopback(endpoint):
        return
    parts = urlsplit(endpoint)
    proxies = urllib.request.getproxies()
    host = parts.hostname or ""
    if (proxies.get(parts.scheme) or proxies.get("all")) and not urllib.request.proxy_bypass(host):
        raise UserError(f"api: a proxy (HTTP_PROXY) stands before {host}, which is this machine: set NO_PROXY={host}")
