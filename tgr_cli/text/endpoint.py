"""The language model's endpoint: server, model, sampling options and key."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlsplit

from tgr_cli import defaults
from tgr_cli.errors import TgrError, one_of

OPENAI, OPENAI_MODEL = defaults.BASE_URL, defaults.LLM
OWN_KEY, OPENAI_KEY = "TGR_LLM_API_KEY", "OPENAI_API_KEY"
KEY = re.compile(r"[!-~]+")
# Request parameter for the maximum answer length: old and new name.
LimitName = Literal["max_tokens", "max_completion_tokens"]
LIMIT_NAMES: tuple[LimitName, ...] = get_args(LimitName)
# Paths that clients append to a base URL; an address with one of them is that of a single operation.
OPERATIONS = re.compile(
    r"/(?:chat/completions|completions|responses|models|embeddings|messages|api/(?:chat|generate|tags))/*\Z"
)


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A model behind an OpenAI-compatible server, and its request options.

    `base_url` and `llm` default (None) to OpenAI's server and to OPENAI_MODEL. `temperature` (None: not sent) and
    `max_tokens` are sent with each request, the latter as `max_tokens_name` (None: determined automatically). `timeout`
    is for a whole answer, in seconds; prices are per million tokens.
    """

    base_url: str | None = None
    llm: str | None = None
    temperature: float | None = defaults.TEMPERATURE
    max_tokens: int = defaults.MAX_TOKENS
    max_tokens_name: LimitName | None = None
    samples_per_question: int = defaults.SAMPLES_PER_QUESTION
    concurrency: int = defaults.CONCURRENCY
    requests_per_minute: int | None = None
    timeout: float = defaults.TIMEOUT
    price_in: float | None = None
    price_out: float | None = None

    def __post_init__(self) -> None:
        if self.base_url is not None:
            _check_url(self.base_url)
            if self.llm is None and self.url != OPENAI:
                raise TgrError(
                    f"--base-url {self.base_url} needs --llm, the name by which the server knows its model "
                    f"({self.url}/models lists them on most servers)"
                )
        if self.llm is not None and not self.llm.strip():
            raise TgrError("--llm is empty; name the model as its server does")
        if self.llm is not None and not self.llm.isprintable():
            raise TgrError("--llm holds characters that cannot be printed; name the model as its server does")
        for name, lowest in (("max_tokens", 1), ("samples_per_question", 1), ("concurrency", 1)):
            if getattr(self, name) < lowest:
                raise TgrError(
                    f"--{name.replace('_', '-')} is {getattr(self, name)}, where {lowest} or more is expected"
                )
        one_of("--max-tokens-name", self.max_tokens_name, LIMIT_NAMES)
        if self.requests_per_minute is not None and self.requests_per_minute < 1:
            raise TgrError(f"--requests-per-minute is {self.requests_per_minute}, where 1 or more is expected")
        for name, highest in (("temperature", 2.0), ("timeout", 86400.0), ("price_in", 1e6), ("price_out", 1e6)):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= highest:
                raise TgrError(f"--{name.replace('_', '-')} is {value}, where 0 to {highest:g} is expected")
        if self.timeout == 0:
            raise TgrError("--timeout is 0; give a number of seconds above 0, such as 120")
        if (self.price_in is None) != (self.price_out is None):
            raise TgrError(
                "only one of --price-in and --price-out is given, and the cost needs both; give the other one too"
            )

    @property
    def url(self) -> str:
        """Return the base URL without a trailing slash."""
        return (self.base_url or OPENAI).rstrip("/")

    @property
    def host(self) -> str:
        """Return the server's host and port for display (no credentials)."""
        return urlsplit(self.url).netloc

    @property
    def model(self) -> str:
        """Return the model's name."""
        return self.llm or OPENAI_MODEL

    @property
    def is_openai(self) -> bool:
        return self.url.startswith("https:") and self.host == urlsplit(OPENAI).netloc

    @property
    def is_local(self) -> bool:
        """Return whether the server is on this machine."""
        name = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return name == "localhost"

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """Return the cost of these tokens in the currency of the prices, None if no price is set."""
        if self.price_in is None or self.price_out is None:
            return None
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6

    def key(self, environment: Mapping[str, str] = os.environ) -> str:
        """Return the API key, "" for none.

        TGR_LLM_API_KEY is sent to any server; OPENAI_API_KEY only to OpenAI and to this machine. Raises TgrError, which
        never quotes the key, where OpenAI is used without a key, or the key is malformed.
        """
        name = OWN_KEY if environment.get(OWN_KEY) else OPENAI_KEY
        key = environment.get(name, "").strip()
        if name == OPENAI_KEY and not (self.is_openai or self.is_local):
            return ""
        if key and not KEY.fullmatch(key):
            raise TgrError(f"{name} holds a space, a line break or a letter that no key has; set it again")
        if not key and self.is_openai:
            raise TgrError(
                f"descriptions that are not stored come from a language model, and there is no key for OpenAI's: set "
                f"{OWN_KEY} or {OPENAI_KEY}, name a server of your own with --base-url http://localhost:11434/v1 "
                "--llm MODEL, or take --source template or --from-file FILE"
            )
        return key


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is not a number, or an unclosed bracket
        known = False
        parts = urlsplit("")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise TgrError(
            f"--base-url for {parts.hostname} holds more than an address; leave out what stands before @ or after ?, "
            f"and set a key as {OWN_KEY}"
        )
    if not known or not url.isascii() or not url.isprintable() or " " in url:
        raise TgrError(f'--base-url "{url}" is no address of a server; give one such as http://localhost:8000/v1')
    operation = OPERATIONS.search(parts.path)
    if operation:
        base = url.rstrip("/").removesuffix(operation[0].rstrip("/"))
        base += "/v1" if operation[0].startswith("/api/") else ""  # Ollama's native API, beside its /v1
        raise TgrError(f"--base-url {url} is the address of one operation, which tgr adds itself; give {base}")
