"""A language model's server on loopback: answers by a fixed rule, misbehaves as told, and counts what reaches it."""

import hashlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import BinaryIO


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
    ended: threading.Event = field(default_factory=threading.Event)
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def answer_one(self, received: BinaryIO, sent: BinaryIO) -> bool:
        """Answer one request; return whether the connection goes on."""
        first, headers, body = _request(received)
        if not first.startswith("POST /v1/chat/completions "):
            with self._lock:
                self.elsewhere += 1
            listed = first.startswith("GET /v1/models ") and self.models
            sent.write(Said(200 if listed else 404, {"data": [{"id": name} for name in self.models]}).response())
            return True
        content = json.loads(body)
        prompt = content["messages"][0]["content"]
        with self._lock:
            times = self.asked[prompt]
            self.asked[prompt] += 1
            self.arrivals.append((time.monotonic(), prompt))
            self.requests.append((headers, content))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self.ended.wait(self.delay)
            with self._lock:
                what = self.behaviour(prompt, times)
            return self._answer(what, prompt, sent)
        finally:
            with self._lock:
                self._at_once -= 1

    def _answer(self, what: str | Said | bytes, prompt: str, sent: BinaryIO) -> bool:
        good = answer_to(prompt)
        if isinstance(what, Said):
            sent.write(what.response())
            return True
        if isinstance(what, bytes):  # as they are, whether or not they are an answer
            sent.write(what)
            return False
        if what == "drop":
            sent.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
            return False
        if what == "endless":  # a byte now and then, for ever
            sent.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
            while True:
                sent.write(b" ")
                self.ended.wait(0.02)
        if what == "huge":
            sent.write(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
            for _ in range(1600):
                sent.write(b"x" * 65536)
            return False
        if what == "slow":
            self.ended.wait(0.1)
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
        sent.write(_response(status, text.encode(), extra))
        return True


def completion(text: object, finish: str = "stop", refusal: str | None = None, **more: object) -> dict:
    message = {"role": "assistant", "content": text, "refusal": refusal, **more}
    usage = {"prompt_tokens": 30, "completion_tokens": 10}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}


def _response(status: int, body: bytes, extra: str = "") -> bytes:
    return f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


def _request(received: BinaryIO) -> tuple[str, dict[str, str], bytes]:
    """Return a request's first line, headers and body; raise `ConnectionError` where the client ends it before."""
    lines = []
    while (line := received.readline()) != b"\r\n":
        if not line.endswith(b"\n"):
            raise ConnectionError
        lines.append(line.decode("latin-1").rstrip("\r\n"))
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
    body = received.read(int(headers.get("content-length", 0)))
    if len(body) < int(headers.get("content-length", 0)):
        raise ConnectionError
    return lines[0], headers, body


class _Listening(ThreadingTCPServer):
    """Accepts connections, a thread for each; closed, it ends those that are open and waits for their threads."""

    daemon_threads = False
    request_queue_size = 512

    def __init__(self, server: Server) -> None:
        self.said_by = server
        self.connections: list[socket.socket] = []
        super().__init__(("127.0.0.1", 0), _Connection)
        server.port = self.server_address[1]

    def get_request(self) -> tuple[socket.socket, object]:
        accepted = super().get_request()
        self.connections.append(accepted[0])
        return accepted

    def handle_error(self, request: object, client_address: object) -> None:
        raise  # the thread fails, and the test with it

    def server_close(self) -> None:
        for connection in self.connections:
            with suppress(OSError):  # it is closed
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()


class _Connection(StreamRequestHandler):
    server: _Listening

    def handle(self) -> None:
        with suppress(ConnectionError):
            while self.server.said_by.answer_one(self.rfile, self.wfile):
                pass


@contextmanager
def serving(behaviour: Behaviour | str | Said | bytes = "well", delay: float = 0.0) -> Iterator[Server]:
    """Run a server in threads of its own while the block runs."""
    server = Server(delay=delay)
    server.behaviour = behaviour if callable(behaviour) else lambda prompt, times: behaviour
    with _Listening(server) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()
            server.ended.set()
