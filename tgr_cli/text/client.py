"""One question to a language model's server, and one answer back: bounded in time, size, rate and tries.

The protocol is OpenAI's chat completions, which vLLM, Ollama, llama.cpp, LM Studio and `transformers serve` speak too.
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
from tgr_cli.text.cleaning import clean
from tgr_cli.text.completion import Reply
from tgr_cli.text.endpoint import Endpoint
from tgr_cli.text.failures import BUSY_TRIES, UNUSABLE_TRIES, NoAnswerError, RefusedError
from tgr_cli.text.request import Request

LARGEST_ANSWER = 2**20  # bytes of a response's body
LARGEST_STREAM = 2**24  # bytes of a stream of events, which has some 250 for each token
LARGEST_LIST = 2**22  # bytes of a list of models
LONGEST_WAIT = 60.0  # seconds between two tries, where the server names none
LOOK_AROUND = 5.0  # seconds that a list of models may take
SPEAK_EVERY = 10.0  # seconds between two notes on what is waited for
MINUTE = 61.0  # seconds; the one more keeps delays on the way from putting two minutes' requests into one
FILTERED = {"content_filter", "content_policy_violation"}  # error codes of a 400 that is about one prompt
TOLD = 200  # characters of a server's own words in a message
SEARCHED = 4000  # bytes of an error in which a wait is looked for


class Client:
    """One pool of connections to a server, for as long as the `async with` block runs.

    The key stands in the Authorization header alone. Redirects are not followed, so that it goes to no other host.
    The first question goes alone until the server has taken or refused it: what one refusal teaches, no other needs to.
    `note` hears what is learned from a refusal, and what is waited for.
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
            before_sleep=self._speak,
            reraise=True,
            sleep=asyncio.sleep,
        )
        return await retrying(self._try, prompt)

    def _wait(self, state: RetryCallState) -> float:
        error = _failure(state)
        return self._patience(state) if error.wait is None else error.wait

    def _speak(self, state: RetryCallState) -> None:
        """Tell what is waited for, at most every SPEAK_EVERY seconds: many questions wait for the same."""
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
        """Let one try through, and all others once it is over."""
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
                raise NoAnswerError("a compressed answer, which was not asked for", UNUSABLE_TRIES)
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
        """Return what a body is instead of a chat completion, with its own words where it is a page."""
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
        except httpx.InvalidURL as error:  # httpx reads where a redirect leads, followed or not
            raise NoAnswerError("a redirect to no address", UNUSABLE_TRIES) from error
        except httpx.TransportError as error:
            self._refuse_unreached(error)
            reason = f"the connection broke ({self._told(str(error))})"
            if not self._reached and self._url.scheme == "http":
                raise NoAnswerError(f"{reason}; does it want https:// in --base-url?", UNUSABLE_TRIES) from error
            raise NoAnswerError(reason, BUSY_TRIES) from error

    async def _turn(self) -> None:
        """Wait until --requests-per-minute allows another request: they are spread evenly, with no bursts."""
        if self.endpoint.requests_per_minute is None:
            return
        now = time.monotonic()
        turn = max(self._next, now)
        self._next = turn + MINUTE / self.endpoint.requests_per_minute
        await asyncio.sleep(turn - now)

    async def _post(self, sent: dict[str, Any]) -> tuple[int, httpx.Headers, bytes, str]:
        # httpcore hands one idle connection to every request that waits for one, and all but the first come back and
        # wait again: with 64 at once each did so 14 times. So requests start one after the other.
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
        """Return the models that the server lists and the base URL at which it does, none and "" where it does not."""
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
        """Raise TgrError where no server has answered yet: waiting for one that may not be there helps nobody."""
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
