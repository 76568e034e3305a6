"""A language model's server on loopback: answers by a fixed rule, misbehaves as told, and counts what reaches it."""

import asyncio
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Said:
    """An answer in the server's own form: status, body (JSON unless it is a text or bytes) and headers."""

    status: int = 200
    body: object = ""
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> bytes:
        body = self.body if isinstance(self.body, str | bytes) else json.dumps(self.body)
        content = body if isinstance(body, bytes) else body.encode()
        return _response(self.status, content, "".join(f"{k}: {v}\r\n" for k, v in self.headers.items()))


Behaviour = Callable[[str, int], str | Said | bytes]  # of a prompt and of how often it was asked before


def answer_to(prompt: str) -> str:
    """Return the one answer this server has to a prompt."""
    return f"Its mark is {hashlib.sha256(prompt.encode()).hexdigest()[:12]}."


@dataclass
class Server:
    """What the server does with a request, and what it saw: the oracle of the client's tests."""

    behaviour: Behaviour = lambda prompt, times: "well"
    delay: float = 0.0
    port: int = 0
    asked: Counter[str] = field(default_factory=Counter)  # by prompt
    arrivals: list[tuple[float, str]] = field(default_factory=list)  # seconds, prompt
    requests: list[tuple[dict[str, str], dict]] = field(default_factory=list)  # headers, content
    most_at_once: int = 0
    models: tuple[str, ...] = ()  # that it lists
    elsewhere: int = 0  # requests to where the redirects lead
    _at_once: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if not head[0].startswith("POST /v1/chat/completions "):
            self.elsewhere += 1
            listed = head[0].startswith("GET /v1/models ") and self.models
            writer.write(Said(200 if listed else 404, {"data": [{"id": name} for name in self.models]}).response())
            return True
        content = json.loads(body)
        prompt = content["messages"][0]["content"]
        times = self.asked[prompt]
        self.asked[prompt] += 1
        self.arrivals.append((time.monotonic(), prompt))
        self.requests.append((headers, content))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if self.delay:
                await asyncio.sleep(self.delay)
            return await self._answer(self.behaviour(prompt, times), prompt, writer)
        finally:
            self._at_once -= 1

    async def _answer(self, what: str | Said | bytes, prompt: str, writer: asyncio.StreamWriter) -> bool:
        good = answer_to(prompt)
        if isinstance(what, Said):
            writer.write(what.response())
            return True
        if isinstance(what, bytes):  # as they are, whether or not they are an answer
            writer.write(what)
            return False
        if what == "drop":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
            return False
        if what == "endless":  # a byte now and then, for ever
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        if what == "huge":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
            for _ in range(1600):
                writer.write(b"x" * 65536)
                await writer.drain()
            return False
        if what == "slow":
            await asyncio.sleep(0.1)
        status, extra, text = 200, "", json.dumps(completion(good))
        if what.startswith("429"):  # "429 SECONDS" or "429 DATE"
            status, extra, text = 429, f"Retry-After: {what[4:]}\r\n", '{"error": {"message": "slow down"}}'
        elif what.isdigit():
            status, text = int(what), json.dumps({"error": {"message": "no\x1b[2J " + "way " * 99, "code": "nope"}})
        elif what == "redirect":
            status, extra = 307, f"Location: http://127.0.0.1:{self.port}/elsewhere\r\n"
        elif what == "malformed":
            text = text[:-9]
        elif what == "html":
            text = "<html>welcome</html>"
        elif what == "nested":
            text = "[" * 100_000
        elif what == "empty":
            text = json.dumps(completion(" \n"))
        elif what == "truncated":
            text = json.dumps(completion(good[:9], "length"))
        elif what == "refused":
            text = json.dumps(completion(None, refusal="I cannot talk about that."))
        elif what == "filtered":
            status, text = 400, '{"error": {"message": "filtered", "code": "content_filter"}}'
        elif what == "escapes":
            text = json.dumps(completion(f"\x1b[31m{good}\x1b]0;title\x07\u202e\ud800\n"))
        elif what == "thinking":
            text = json.dumps(completion(f"<think>\nHm, well.\n</think>\n\n{good}"))
        elif what == "key":
            text = json.dumps(completion(f"{good} {self.requests[-1][0].get('authorization')}"))
        elif what == "long":
            text = json.dumps(completion("word " * 5000))
        else:
            assert what in ("well", "slow"), what
        writer.write(_response(status, text.encode(), extra))
        return True


def completion(text: object, finish: str = "stop", refusal: str | None = None, **more: object) -> dict:
    message = {"role": "assistant", "content": text, "refusal": refusal, **more}
    usage = {"prompt_tokens": 30, "completion_tokens": 10}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}


def _response(status: int, body: bytes, extra: str = "") -> bytes:
    return f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


@contextmanager
def serving(behaviour: Behaviour | str | Said | bytes = "well", delay: float = 0.0) -> Iterator[Server]:
    """Run a server in a thread of its own while the block runs."""
    server = Server(delay=delay)
    server.behaviour = behaviour if callable(behaviour) else lambda prompt, times: behaviour
    loop = asyncio.new_event_loop()
    ready, done = threading.Event(), asyncio.Event()

    accepted: list[tuple[asyncio.StreamWriter, asyncio.Task[None]]] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append((writer, loop.create_task(server.serve(reader, writer))))

    async def run() -> None:
        listening = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=512)
        server.port = listening.sockets[0].getsockname()[1]
        ready.set()
        await done.wait()
        listening.close()
        tasks: list[asyncio.Task[Any]] = []
        known = -1
        while tasks or len(accepted) > known:  # what the system accepted last becomes a connection and a task later
            known = len(accepted)
            await asyncio.sleep(0.01)
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # A task that is cancelled before it begins closes nothing, and `close` waits until all is read.
            for writer, _ in accepted:
                writer.transport.abort()
            await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()
