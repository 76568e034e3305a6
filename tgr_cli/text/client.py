"""One question to a language model's server, and one answer back: bounded in time, size, rate and tries.

The protocol is OpenAI's chat completions, which vLLM, Ollama, llama.cpp, LM Studio and `transformers serve` speak too.
"""

import asyncio
import json
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from tgr_cli.errors import TgrError
from tgr_cli.text.cleaning import clean
from tgr_cli.text.endpoint import OWN_KEY, Endpoint

LARGEST_ANSWER = 2**20  # bytes of a response's body
BUSY_TRIES = 8  # of a question to a server that is busy, down or unreachable
UNUSABLE_TRIES = 3  # of a question whose answer never ends, is too large, no JSON, or a redirect
LONGEST_WAIT = 60.0  # seconds between two tries, where the server names none
LONGEST_RETRY_AFTER = 300.0  # seconds: a question that is to wait for longer is left to the next run
MINUTE = 61.0  # seconds; the one more keeps delays on the way from putting two minutes' requests into one
BUSY = {408, 409, 425, 429}  # and 5xx
FILTERED = {"content_filter", "content_policy_violation"}  # error codes of a 400 that is about one prompt
TOLD = 200  # characters of a server's own words in a message


class NoAnswerError(Exception):
    """A try that brought no answer: why, how many tries such a question has, and the wait that the server asks for."""

    def __init__(self, reason: str, tries: int, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.tries = tries
        self.wait = wait


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the model said, how it ended (`finish` is the protocol's finish_reason), and the tokens that took."""

    text: str
    finish: str
    refused: bool
    tokens_in: int
    tokens_out: int


class Client:
    """One pool of connections to a server, for as long as the `async with` block runs.

    The key stands in the Authorization header alone. Redirects are not followed, so that it goes to no other host.
    """

    def __init__(self, endpoint: Endpoint, key: str) -> None:
        self.endpoint = endpoint
        self.tries = 0
        self._key = key
        self._reached = False
        self._next = 0.0
        self._starting = asyncio.Lock()
        self._patience = wait_random_exponential(multiplier=1, max=LONGEST_WAIT)
        try:
            self._url = httpx.URL(f"{endpoint.url}/chat/completions")
            host = self._url.host  # a name in another script is decoded here
        except (httpx.InvalidURL, ValueError) as error:
            raise TgrError(f"--base-url {endpoint.base_url} is no address of a server ({error}); mend it") from error
        limits = httpx.Limits(max_connections=endpoint.concurrency, max_keepalive_connections=endpoint.concurrency)
        encrypted = self._url.scheme == "https"
        try:
            self._http = httpx.AsyncClient(
                # Unpacked, an answer within the bound could be a thousand times as large.
                headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {}),
                timeout=httpx.Timeout(endpoint.timeout, connect=min(10.0, endpoint.timeout), pool=None),
                limits=limits,
                http2=True,
                follow_redirects=False,
                # A proxy that the environment names passes on what is encrypted. It would read the key of any other
                # request, and has no business with a server on this machine.
                trust_env=encrypted,
                mounts={"https://": None} if endpoint.is_local else None,
            )
        except (httpx.InvalidURL, ImportError, ValueError) as error:  # not quoted: it may hold a password
            raise TgrError(
                "the proxy that HTTPS_PROXY or ALL_PROXY names is of no kind that is known here; name one as "
                f"http://HOST:PORT, or set NO_PROXY={host} to go without"
            ) from error
        except OSError as error:
            raise TgrError(
                f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read ({error.strerror}); mend or "
                "unset it"
            ) from error

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def ask(self, prompt: str) -> Reply:
        """Return the answer to a prompt.

        Raises NoAnswerError once its tries are used up, and TgrError for what no other try would mend: no server, a key
        that is refused, an unknown model, a request the server does not take.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(NoAnswerError),
            stop=_used_up,
            wait=self._wait,
            reraise=True,
            sleep=asyncio.sleep,
        )
        return await retrying(self._try, prompt)

    def _wait(self, state: RetryCallState) -> float:
        assert state.outcome is not None
        error = state.outcome.exception()
        assert isinstance(error, NoAnswerError)
        return self._patience(state) if error.wait is None else error.wait

    async def _try(self, prompt: str) -> Reply:
        await self._turn()
        self.tries += 1
        try:
            async with asyncio.timeout(self.endpoint.timeout):
                status, headers, body = await self._post(prompt)
        except TimeoutError as error:
            raise NoAnswerError(f"no whole answer within {self.endpoint.timeout:g} s", UNUSABLE_TRIES) from error
        except httpx.TimeoutException as error:
            self._refuse_unreached(error)
            raise NoAnswerError(f"no answer within {self.endpoint.timeout:g} s", UNUSABLE_TRIES) from error
        except httpx.TransportError as error:
            self._refuse_unreached(error)
            raise NoAnswerError(f"the connection broke ({self._told(str(error))})", BUSY_TRIES) from error
        if status != 200:
            return self._not_ok(status, headers, body)
        if headers.get("content-encoding", "identity") != "identity":
            raise NoAnswerError("a compressed answer, which was not asked for", UNUSABLE_TRIES)
        return _reply(body)

    async def _turn(self) -> None:
        """Wait until --requests-per-minute allows another request: they are spread evenly, with no bursts."""
        if self.endpoint.requests_per_minute is None:
            return
        now = time.monotonic()
        turn = max(self._next, now)
        self._next = turn + MINUTE / self.endpoint.requests_per_minute
        await asyncio.sleep(turn - now)

    async def _post(self, prompt: str) -> tuple[int, httpx.Headers, bytes]:
        endpoint = self.endpoint
        # OpenAI's newer models know the new name of the limit only, other servers the old one.
        limit = "max_completion_tokens" if endpoint.is_openai else "max_tokens"
        content = {
            "model": endpoint.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": endpoint.temperature,
            limit: endpoint.max_tokens,
        }
        # httpcore hands one idle connection to every request that waits for one, and all but the first come back and
        # wait again: with 64 at once each did so 14 times. So requests start one after the other.
        await self._starting.acquire()
        with ExitStack() as starting:
            starting.callback(self._starting.release)

            async def under_way(event: str, _: Any) -> None:
                if event.startswith("connection.connect") or event.endswith("send_request_headers.started"):
                    starting.close()

            async with self._http.stream("POST", self._url, json=content, extensions={"trace": under_way}) as response:
                self._reached = True
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > LARGEST_ANSWER:
                        raise NoAnswerError(f"an answer of more than {LARGEST_ANSWER:,} bytes", UNUSABLE_TRIES)
                return response.status_code, response.headers, bytes(body)

    def _refuse_unreached(self, error: httpx.TransportError) -> None:
        """Raise TgrError where no server has answered yet: waiting for one that may not be there helps nobody."""
        if not self._reached and isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            raise TgrError(
                f"nothing answers at {self.endpoint.url} ({self._told(str(error)) or 'no connection in time'}); "
                "start the server, or name another with --base-url"
            ) from error

    def _not_ok(self, status: int, headers: httpx.Headers, body: bytes) -> Reply:
        """Return the refusal that a filter's 400 is; raise NoAnswerError or TgrError for any other status but 200."""
        message, code = _error(body)
        said = f"HTTP {status}" + (f": {self._told(message)}" if message else "")
        if status in BUSY or status >= 500:
            if code == "insufficient_quota":
                raise TgrError(f"{self.endpoint.host} sells no more answers to this key ({said}); see to its account")
            wait = _retry_after(headers)
            if wait is not None and wait > LONGEST_RETRY_AFTER:
                raise NoAnswerError(f"{said}, and to be asked again in {wait:,.0f} s", tries=1)
            raise NoAnswerError(said, BUSY_TRIES, wait)
        if status < 300:
            raise NoAnswerError(f"{said}, where 200 is an answer", UNUSABLE_TRIES)
        if status < 400:
            raise NoAnswerError(f"{said}, a redirect, which is not followed; name the place itself", UNUSABLE_TRIES)
        if code in FILTERED:
            return Reply(text="", finish="content_filter", refused=True, tokens_in=0, tokens_out=0)
        asked, model = self.endpoint.url, self.endpoint.model
        if status == 401:
            told = "refuses the key" if self._key else "wants a key"
            raise TgrError(f"{asked} {told} ({said}); set {OWN_KEY} to one that it takes")
        if status == 403:
            raise TgrError(f'{asked} does not allow this ({said}); ask for access to "{model}", or take another --llm')
        if status == 404:
            raise TgrError(f'{asked} has no model "{model}" or no such address ({said}); check --llm and --base-url')
        raise TgrError(f"{asked} does not take the request ({said}); check --llm, --temperature and --max-tokens")

    def _told(self, text: str) -> str:
        return clean(text, self._key, TOLD).text


def _used_up(state: RetryCallState) -> bool:
    assert state.outcome is not None
    error = state.outcome.exception()
    return isinstance(error, NoAnswerError) and state.attempt_number >= error.tries


def _retry_after(headers: httpx.Headers) -> float | None:
    """Return the seconds that a Retry-After header asks for (a number or a date, RFC 9110), None where none does."""
    said = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(said)) if said.isdigit() else max(0.0, _seconds_until(parsedate_to_datetime(said)))
    except (ValueError, OverflowError):
        return None


def _seconds_until(moment: datetime) -> float:
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (zoned - datetime.now(UTC)).total_seconds()


def _error(body: bytes) -> tuple[str, str]:
    """Return the message and code of an error's body, empty where it holds none."""
    try:
        error = json.loads(body)["error"]
        if isinstance(error, str):
            return error, ""
        return str(error.get("message") or ""), str(error.get("code") or "")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "", ""


def _reply(body: bytes) -> Reply:
    try:
        said: Any = json.loads(body)
        choice = said["choices"][0]
        message, usage = choice["message"], said.get("usage") or {}
        text, refusal = message.get("content"), message.get("refusal")
        finish = choice.get("finish_reason") or ""
        if not isinstance(text, str | None) or not isinstance(finish, str):
            raise TypeError
        return Reply(
            text=text or "",
            finish=finish,
            refused=bool(refusal) or finish == "content_filter",
            tokens_in=_tokens(usage.get("prompt_tokens")),
            tokens_out=_tokens(usage.get("completion_tokens")),
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise NoAnswerError("an answer that is no chat completion in JSON", UNUSABLE_TRIES) from error


def _tokens(count: Any) -> int:
    return count if isinstance(count, int) and 0 <= count < 2**31 else 0
