"""A client for chat completions: one request per question, with a timeout, size limit, rate limit and retries.

The protocol is OpenAI's chat completions, also served by vLLM, Ollama, llama.cpp, LM Studio and `transformers serve`.
"""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from tgr_cli.errors import TgrError
from tgr_cli.text import completion, failures, server_words, waits
from tgr_cli.text.completion import Reply
from tgr_cli.text.endpoint import Endpoint
from tgr_cli.text.failures import BUSY_TRIES, UNUSABLE_TRIES, NoAnswerError, RefusedError
from tgr_cli.text.request import Request
from tgr_cli.text.sanitising import clean

LARGEST_ANSWER = 2**20  # bytes of a response body
LARGEST_STREAM = 2**24  # bytes of an event stream, which takes about 250 per token
LARGEST_LIST = 2**22  # bytes of a list of models
LONGEST_WAIT = 60.0  # seconds: maximum backoff if the server names no delay
LOOK_AROUND = 5.0  # seconds: timeout for the list of models
SPEAK_EVERY = 10.0  # seconds: minimum interval between two notes on retries
MINUTE = 61.0  # seconds: one more than 60, so that network delays cannot put two windows' requests into one
FILTERED = {"content_filter", "content_policy_violation"}  # error codes of an HTTP 400 that concerns a single prompt
TOLD = 200  # characters of the server's own message quoted in errors
SEARCHED = 4000  # bytes of an error body searched for a retry delay


class Client:
    """A connection pool to one server, open during the `async with` block.

    The key is sent in the Authorization header only. Redirects are not followed, so the key reaches no other host. The
    first request runs alone until the server accepts or rejects it, so that one rejection adapts all later requests.
    `note` is called with messages on adapted requests and on retries.
    """

    def __init__(self, endpoint: Endpoint, key: str, note: Callable[[str], None] = lambda text: None) -> None:
        self.endpoint = endpoint
        self.answered = False
        self._note = note
        self._noted = -SPEAK_EVERY
        self._key = key
        self._request = Request(endpoint)
        self._first = asyncio.Lock()
        self._tried = False
        self._reached = False
        self._next = 0.0
        self._starting = asyncio.Lock()
        self._patience = wait_random_exponential(multiplier=1, max=LONGEST_WAIT)
        try:
            self._url = httpx.URL(f"{endpoint.url}/chat/completions")
            host = self._url.host  # decodes internationalised host names, which may fail
        except (httpx.InvalidURL, ValueError) as error:
            raise TgrError(f"--base-url {endpoint.base_url} is no address of a server ({error}); mend it") from error
        limits = httpx.Limits(max_connections=endpoint.concurrency, max_keepalive_connections=endpoint.concurrency)
        encrypted = self._url.scheme == "https"
        try:
            self._http = httpx.AsyncClient(
                # A compressed body within the size limit could expand a thousandfold.
                headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {}),
                timeout=httpx.Timeout(endpoint.timeout, connect=min(10.0, endpoint.timeout), pool=None),
                limits=limits,
                http2=True,
                follow_redirects=False,
                # A proxy from the environment is used for https only, where it cannot read the key, and never for
                # servers on this machine.
                trust_env=encrypted,
                mounts={"https://": None} if endpoint.is_local else None,
            )
        except (httpx.InvalidURL, ImportError, ValueError) as error:  # not quoted: it may contain a password
            raise TgrError(
                "the proxy in HTTPS_PROXY or ALL_PROXY has an address that cannot be used; give one such as "
                f"http://HOST:PORT, or set NO_PROXY={host} to connect without a proxy"
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
        """Return the answer to a prompt, with retries and backoff.

        Raises NoAnswerError once the retries are used up, and TgrError where no retry can help: server unreachable, key
        rejected, unknown model, invalid request.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(NoAnswerError),
            stop=_used_up,
            wait=self._wait,
            before_sleep=self._speak,
            reraise=True,
            sleep=asyncio.sleep,
        )
        return await retrying(self._try, prompt)

    def _wait(self, state: RetryCallState) -> float:
        error = _failure(state)
        return self._patience(state) if error.wait is None else error.wait

    def _speak(self, state: RetryCallState) -> None:
        """Report a retry, at most every SPEAK_EVERY seconds, as many questions may wait for the same reason."""
        error, now = _failure(state), time.monotonic()
        if now - self._noted < SPEAK_EVERY:
            return
        self._noted = now
        assert state.next_action is not None
        wait = max(1, math.ceil(state.next_action.sleep))
        self._note(
            f"{self.endpoint.host}: {error.reason}; asked again in {wait:,} s ({state.attempt_number} of {error.tries} "
            "tries so far)"
        )

    async def _try(self, prompt: str) -> Reply:
        async with self._alone_at_first():
            while True:
                sent = self._request.content(prompt)
                try:
                    reply = await self._ask_once(sent)
                except RefusedError as refusal:
                    learned = self._request.learn(refusal.told, sent)
                    if learned is None:
                        raise refusal.error from None
                    for what in learned:
                        self._note(f"{self.endpoint.model} is asked {what}: {self._told(refusal.told.words)}")
                else:
                    self.answered = True
                    return replace(reply, with_temperature=self.endpoint.temperature is None or "temperature" in sent)

    @asynccontextmanager
    async def _alone_at_first(self) -> AsyncIterator[None]:
        """Hold all other requests until the first one has finished."""
        if self._tried:
            yield
            return
        async with self._first:
            alone = not self._tried
            if alone:
                try:
                    yield
                finally:
                    self._tried = True
        if not alone:
            yield

    async def _ask_once(self, sent: dict[str, Any]) -> Reply:
        status, headers, body, reason = await self._send(sent)
        if status == 200:
            if headers.get("content-encoding", "identity") != "identity":
                raise NoAnswerError("a compressed answer, which was not requested", UNUSABLE_TRIES)
            try:
                return completion.read(body, headers)
            except completion.NoCompletionError as error:
                raise NoAnswerError(self._no_completion(str(error), body, headers), UNUSABLE_TRIES) from error
            except completion.ToldError as error:
                told, status = error.told, error.told.status or 502
                said = f"an error in a 200: {self._told(told.words or told.code)}"
        else:
            told = server_words.told(body, headers, reason)
            said = f"HTTP {status}" + (f": {self._told(told.words)}" if told.words else "")
        if FILTERED & set(told.code.split()):
            return Reply(text="", finish="content_filter", refused=True, tokens_in=0, tokens_out=0)
        if failures.is_unknown_address(status, told):
            raise failures.unknown_address(self.endpoint, said, *await self._models())
        wait = waits.wait_for(f"{told.words} {body[:SEARCHED].decode('utf-8', 'replace')}", headers)
        to = self._told(headers.get("location", ""))
        has_key = bool(self._key)
        refusal = failures.failure(self.endpoint, status, told, said, wait=wait, to=to, has_key=has_key)
        raise RefusedError(told, refusal)

    def _no_completion(self, what: str, body: bytes, headers: httpx.Headers) -> str:
        """Return what a body is instead of a chat completion; the title and heading of a web page are quoted."""
        if body.lstrip()[:1] != b"<":
            return what
        page = self._told(server_words.told(body, headers).words)
        return f'a web page ("{page}") instead of a chat completion; --base-url ends in /v1 on most servers'

    async def _send(self, sent: dict[str, Any]) -> tuple[int, httpx.Headers, bytes, str]:
        await self._turn()
        try:
            async with asyncio.timeout(self.endpoint.timeout):
                return await self._post(sent)
        except TimeoutError as error:
            raise NoAnswerError(f"no whole answer within {self.endpoint.timeout:g} s", UNUSABLE_TRIES) from error
        except httpx.TimeoutException as error:
            self._refuse_unreached(error)
            raise NoAnswerError(f"no answer within {self.endpoint.timeout:g} s", UNUSABLE_TRIES) from error
        except httpx.InvalidURL as error:  # httpx parses a redirect's target even if it is not followed
            raise NoAnswerError("a redirect to no address", UNUSABLE_TRIES) from error
        except httpx.TransportError as error:
            self._refuse_unreached(error)
            reason = f"the connection broke ({self._told(str(error))})"
            if not self._reached and self._url.scheme == "http":
                raise NoAnswerError(f"{reason}; does it want https:// in --base-url?", UNUSABLE_TRIES) from error
            raise NoAnswerError(reason, BUSY_TRIES) from error

    async def _turn(self) -> None:
        """Wait for the rate limit of --requests-per-minute; requests are evenly spaced, without bursts."""
        if self.endpoint.requests_per_minute is None:
            return
        now = time.monotonic()
        turn = max(self._next, now)
        self._next = turn + MINUTE / self.endpoint.requests_per_minute
        await asyncio.sleep(turn - now)

    async def _post(self, sent: dict[str, Any]) -> tuple[int, httpx.Headers, bytes, str]:
        # httpcore wakes all waiting requests for one idle connection, and all but one go back to waiting: with 64
        # requests, 14 times each. So requests are started one at a time.
        await self._starting.acquire()
        with ExitStack() as starting:
            starting.callback(self._starting.release)

            async def under_way(event: str, _: Any) -> None:
                if event.startswith("connection.connect") or event.endswith("send_request_headers.started"):
                    starting.close()

            async with self._http.stream("POST", self._url, json=sent, extensions={"trace": under_way}) as response:
                self._reached = True
                streamed = "event-stream" in response.headers.get("content-type", "")
                body = await _bounded(response, LARGEST_STREAM if streamed else LARGEST_ANSWER)
                return response.status_code, response.headers, body, response.reason_phrase

    async def _models(self) -> tuple[list[str], str]:
        """Return the models listed by the server and the base URL that lists them, or [] and ""."""
        url = self.endpoint.url
        for base in dict.fromkeys((url, f"{url}/v1") if not url.endswith("/v1") else (url, url.removesuffix("/v1"))):
            try:
                async with asyncio.timeout(LOOK_AROUND), self._http.stream("GET", f"{base}/models") as response:
                    listed = json.loads(await _bounded(response, LARGEST_LIST))["data"] if response.is_success else []
                    names = [self._told(str(model["id"])) for model in listed]
            except (
                httpx.HTTPError,
                httpx.InvalidURL,
                TimeoutError,
                NoAnswerError,
                ValueError,
                TypeError,
                KeyError,
                RecursionError,
            ):
                continue
            if names:
                return names, base
        return [], ""

    def _refuse_unreached(self, error: httpx.TransportError) -> None:
        """Raise TgrError for a connection failure before any server has answered: retrying would only delay it."""
        if not self._reached and isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            raise failures.unreached(self.endpoint, error, self._told(str(error))) from error

    def _told(self, text: str) -> str:
        return clean(text, self._key, TOLD).text


async def _bounded(response: httpx.Response, largest: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > largest:
            raise NoAnswerError(f"an answer of more than {largest:,} bytes", UNUSABLE_TRIES)
    return bytes(body)


def _failure(state: RetryCallState) -> NoAnswerError:
    assert state.outcome is not None
    error = state.outcome.exception()
    assert isinstance(error, NoAnswerError)
    return error


def _used_up(state: RetryCallState) -> bool:
    return state.attempt_number >= _failure(state).tries
