"""A language model's answers, stored on arrival: an append-only file with one JSON line per answer.

Each line carries its own checksum. A killed process loses nothing that was written; torn or damaged lines are reported
and skipped, and their questions are asked again.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_type_hints

from tgr_cli.artifacts.folder_lock import locked
from tgr_cli.documents import parse_json
from tgr_cli.errors import TgrError
from tgr_cli.paths import appended, to_append
from tgr_cli.text.answer_cleaning import sentence

STATUSES = ("ok", "empty", "truncated", "refused", "thoughts", "unusable")
RULES = 1  # version of the extraction rules; answers stored under an older version are extracted again
MOST_ASKED = 3  # attempts: empty, truncated or missing answers are asked for at most twice more
SYNC_EVERY = (
    1.0  # seconds between calls of fsync: at most this much is lost in a power failure, or of a file in a store
)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A server's answer: a status of STATUSES, the description (else the raw text), and token counts.

    `max_tokens` is the limit it was requested with; `removed`, `trimmed` and `cut` count non-text characters,
    characters of reasoning, markup or phrases, and characters beyond the maximum length. `with_temperature` is False
    where the model rejects the temperature that was requested.
    """

    key: str
    status: str
    text: str
    max_tokens: int
    tokens_in: int = 0
    tokens_out: int = 0
    removed: int = 0
    cut: int = 0
    trimmed: int = 0
    with_temperature: bool = True
    rules: int = 0


TYPES = get_type_hints(Answer)


def question_key(*, model: str, prompt: str, sample: int, temperature: float | None) -> str:
    """Return the key of an answer: equal for the same question to the same model, on any server.

    The key covers the full prompt, so rewording one question leaves the other answers valid. It excludes `max_tokens`:
    a complete answer stays valid under a higher limit.
    """
    sent = None if temperature is None else float(temperature)
    said = {"model": model, "prompt": prompt, "sample": sample, "temperature": sent}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def answers_file(artifact: Path) -> Path:
    """Return the path of the answers behind the descriptions at `artifact`."""
    return artifact.with_name(f"{artifact.stem}.answers.jsonl")


class Answers:
    """The answers in a file, and those added to it. `damaged` counts the skipped lines."""

    def __init__(
        self, path: Path, given: dict[str, list[Answer]], damaged: int, file: int | None, here: Path | None = None
    ) -> None:
        self.path = path
        self._here = here or path  # what is appended to
        self.damaged = damaged
        self._given = given
        self._file = file
        self._synced = time.monotonic()

    @classmethod
    def read(cls, path: Path) -> "Answers":
        """Return the answers in a file, read-only; empty if the file does not exist."""
        return cls(path, *_read(path), None)

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator["Answers"]:
        """Context manager: the answers in a file, locked for appending; raises TgrError if another process has it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock")
        with locked(lock, f"another process adds to {path}; wait until it is done, or choose another --out"):
            here = to_append(path)
            file = os.open(here, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            answers = cls(path, *_read(path), file, here)
            try:
                answers._end_torn_line()
                yield answers
            finally:
                answers._sync()
                os.close(file)
                if not here.stat().st_size:
                    path.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)

    def to(self, key: str) -> list[Answer]:
        """Return the answers to a question in order of arrival."""
        return self._given.get(key, [])

    @property
    def any_described(self) -> bool:
        """Return whether any answer is a description."""
        return any(answer.status == "ok" for given in self._given.values() for answer in given)

    def settled(self, key: str, max_tokens: int) -> bool:
        """Return whether a question is done: it has a description, or MOST_ASKED answers with this limit."""
        given = self.to(key)
        as_long = [answer for answer in given if answer.max_tokens >= max_tokens]
        return bool(given) and (given[-1].status == "ok" or len(as_long) >= MOST_ASKED)

    def add(self, answer: Answer) -> None:
        """Append an answer; it is in the file on return. Raises TgrError where the file cannot be written."""
        body = json.dumps(asdict(answer), sort_keys=True)
        self._write(json.dumps({"sha256": _checksum(body), "answer": asdict(answer)}, sort_keys=True).encode() + b"\n")
        self._given.setdefault(answer.key, []).append(answer)
        if time.monotonic() - self._synced > SYNC_EVERY:
            self._sync()

    def _sync(self) -> None:
        assert self._file is not None
        os.fsync(self._file)
        appended(self._here, self.path)
        self._synced = time.monotonic()

    def _end_torn_line(self) -> None:
        size = self._here.stat().st_size
        assert self._file is not None
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            self._write(b"\n")

    def _write(self, line: bytes) -> None:
        assert self._file is not None
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            raise TgrError(
                f"{self.path} cannot be written ({error.strerror}); free disk space and run the same command again: "
                "the answers before are kept"
            ) from error


def _read(path: Path) -> tuple[dict[str, list[Answer]], int]:
    given: dict[str, list[Answer]] = {}
    damaged = 0
    if not path.exists():
        return given, damaged
    with path.open("rb") as lines:
        for line in lines:
            answer = _parsed(line)
            if answer is not None:
                given.setdefault(answer.key, []).append(answer)
            elif line.strip():
                damaged += 1
    return given, damaged


def _parsed(line: bytes) -> Answer | None:
    """Return the answer in a line, None if the line is torn or its checksum differs."""
    try:
        said = parse_json(line)
        if said["sha256"] != _checksum(json.dumps(said["answer"], sort_keys=True)):
            return None
        answer = Answer(**said["answer"])
    except (ValueError, TypeError, KeyError):
        return None
    return _by_todays_rules(answer) if _is_whole(answer) else None


def _is_whole(answer: Answer) -> bool:
    """Return whether every field has its type: a line may have been edited and its checksum recomputed."""
    values = asdict(answer)
    return answer.status in STATUSES and all(type(values[name]) is kind for name, kind in TYPES.items())


def _by_todays_rules(answer: Answer) -> Answer:
    """Return an answer under the current rules: older versions stored reasoning and markup as descriptions."""
    if answer.rules >= RULES or answer.status != "ok":
        return answer
    found = sentence(answer.text)
    text = found.text if found.status == "ok" else answer.text
    return replace(answer, status=found.status, text=text, trimmed=answer.trimmed + found.trimmed, rules=RULES)


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]
