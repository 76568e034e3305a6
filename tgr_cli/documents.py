"""Reading text, JSON and TOML from other sources: every defect becomes an error of one sentence.

The standard library's parsers raise RecursionError for deep nesting and ValueError for a number of 5,000 digits, and
accept what fails later: lone surrogates, duplicate keys, numbers beyond 64 bits. Every text, JSON and TOML file is
read here.
"""

import json
import math
from pathlib import Path
from typing import Any

from tgr_cli.errors import TgrError, found_at

DEEPEST = 64  # nesting levels; tgr's own files have about five
LARGEST = 256 * 2**20  # bytes
WORD = 2**64  # numbers at or beyond ± this fit no column or tensor


class MalformedError(ValueError):
    """A defect of a document, as a clause that follows the document's name: "is not valid JSON (…)"."""


def text(content: bytes) -> str:
    """Return `content` as text without byte order mark; raises MalformedError if it is not UTF-8."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise MalformedError("is UTF-16; save it as UTF-8")
    try:
        decoded = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedError(f"is no UTF-8 text (byte {content[error.start]:#04x} at {error.start:,})") from error
    if "\0" in decoded:
        raise MalformedError(f"is no text (a NUL byte at {decoded.index(chr(0)):,})")
    return decoded


def parse_json(document: str | bytes) -> Any:
    """Return the value of a JSON document; raises MalformedError for invalid JSON or unusable values.

    NaN, Infinity, duplicate keys, and whatever `check` refuses are errors too.
    """
    written = text(document) if isinstance(document, bytes) else document
    try:
        value = json.loads(written, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except MalformedError:
        raise
    except RecursionError as error:
        raise MalformedError(f"is not valid JSON for tgr: it is nested more than {DEEPEST} levels deep") from error
    except ValueError as error:  # int() refuses very long numbers with a plain ValueError
        raise MalformedError(f"is not valid JSON ({error})") from error
    return check(value)


def parse_toml(document: str | bytes) -> dict[str, Any]:
    """Return the tables of a TOML document; raises MalformedError as `parse_json`."""
    import tomllib

    written = text(document) if isinstance(document, bytes) else document
    try:
        value = tomllib.loads(written)
    except RecursionError as error:
        raise MalformedError(f"is nested more than {DEEPEST} levels deep") from error
    except ValueError as error:
        raise MalformedError(f"is not valid TOML ({error})") from error
    check(value)
    return value


def check(value: Any) -> Any:
    """Return a parsed value; raises MalformedError for deep nesting, huge numbers or lone surrogates in it."""
    level = [value]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):  # what most are
                if not _is_whole(item):
                    raise MalformedError(f"holds half a character, {ascii(item)[:40]}")
            elif isinstance(item, dict):
                below += item.keys()
                below += item.values()
            elif isinstance(item, list):
                below += item
            elif isinstance(item, int) and not -WORD < item < WORD:
                raise MalformedError(f"holds a number of {item.bit_length():,} bits; 64 are the most")
            elif isinstance(item, float) and not math.isfinite(item):
                raise MalformedError(f"holds {item}, which is no number to work with")
        if not below:
            return value
        level = below
    raise MalformedError(f"is nested more than {DEEPEST} levels deep")


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes; raises MalformedError where it is no file, too large, or cannot be read."""
    try:
        if not path.is_file():
            raise MalformedError(found_at(path))
        if path.stat().st_size > LARGEST:
            raise MalformedError(f"is larger than {LARGEST >> 20} MiB, which no such file is")
        return path.read_bytes()
    except OSError as error:
        raise MalformedError(f"cannot be read ({error.strerror})") from error


def read_text(path: Path, then: str) -> str:
    """Return the content of a text file; raises TgrError if that fails, with the next step `then`."""
    try:
        return text(read_bytes(path))
    except MalformedError as error:
        raise TgrError(f"{path} {error}; {then}") from error


def read_json(path: Path, then: str) -> Any:
    """Return the value of a JSON file; `then` as in `read_text`."""
    try:
        return parse_json(read_bytes(path))
    except MalformedError as error:
        raise TgrError(f"{path} {error}; {then}") from error


def read_toml(path: Path, then: str) -> dict[str, Any]:
    """Return the value of a TOML file; `then` as in `read_text`."""
    try:
        return parse_toml(read_bytes(path))
    except MalformedError as error:
        raise TgrError(f"{path} {error}; {then}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedError(f'holds an object in which "{twice}" stands there twice')
    return found


def _refuse_constant(name: str) -> float:
    raise MalformedError(f"holds {name}, which is no JSON")


def _is_whole(item: str) -> bool:
    return item.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in item)
