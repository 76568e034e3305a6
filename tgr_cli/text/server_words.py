"""Extracting the message, error code and status from a server's error response, whatever its format."""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEEPEST = 6  # nesting levels of JSON searched for messages
MOST_HTML = 20_000  # characters of a web page searched for its title

# JSON keys of error messages, the usual ones first; several may be present: {"error": "Bad Request", "message": …}.
PLACES = ("error", "message", "detail", "errors", "error_message", "error_description", "msg", "reason")
OTHER_PLACES = ("title", "fault", "faultstring", "description", "status_message", "statusmessage", "exception", "text")
MOST_PLACES = 3  # messages quoted
CODES = ("code", "type", "status", "error_type")
STATUSES = ("code", "status", "status_code", "statusCode", "error_code")
HEADERS = re.compile(r"(?:x-)?(?:[\w-]*error[\w-]*|[\w-]*reason|grpc-message|www-authenticate)", re.IGNORECASE)

# HTTP statuses for error codes and types that a server reports within a 200.
MEANT = (
    (429, r"rate.?limit|too.?many|throttl|resource.?exhausted|quota"),
    (503, r"overload|unavailable|busy|capacity|loading"),
    (401, r"api.?key|unauthori[sz]ed|unauthenticated|authentication"),
    (403, r"permission|(?<!extra_)forbidden|access.?denied"),
    (404, r"not.?found|no.?such.?model|unknown.?model"),
    (400, r"invalid|bad.?request|unsupported|validation|unprocessable|context.?length"),
)
# Errors for which a retry within minutes is useless. The message alone counts only if the server names no retry delay.
NO_MORE = re.compile(
    r"insufficient.{0,3}(?:quota|balance|credit|fund)|billing|payment|hard.?limit|credits? (?:are )?exhausted",
    re.IGNORECASE,
)
NO_MORE_WORDS = re.compile(
    r"insufficient|billing|out of credit|more credit|add (?:\d+ )?credit|balance|current quota|per[- ]day|daily|"
    r"per[- ]month|monthly",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Told:
    """A server's error: its message ("" for none), code or type, the parameter and the HTTP status it names."""

    words: str = ""
    code: str = ""
    parameter: str = ""
    status: int | None = None

    @property
    def no_more(self) -> bool:
        """Return whether the error code says that the account is exhausted."""
        return bool(NO_MORE.search(self.code))


def told(body: bytes, headers: Mapping[str, str], reason: str = "") -> Told:
    """Return the error in a response: from its body, else its headers, else `reason` (the status line's phrase)."""
    text = body.decode("utf-8", "replace").strip().removeprefix("data:").strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict | list):
        found = told_in(value)
    elif text.startswith("<") or "html" in headers.get("content-type", ""):
        found = Told(words=_page(text))
    else:
        found = Told(words=value if isinstance(value, str) else text)
    if found.words.strip():
        return found
    named = [f"{name}: {value}" for name, value in headers.items() if HEADERS.fullmatch(name) and value]
    return Told(words=named[0] if named else reason, code=found.code, parameter=found.parameter, status=found.status)


def told_in(value: Any) -> Told:
    """Return the error in a JSON value, from any of the usual keys."""
    words = _words(value, 0)
    code = " ".join(word for word in _all(value, CODES, 0) if isinstance(word, str))
    numbers = [_whole(number) for number in _all(value, STATUSES, 0)]
    parameter = next((str(name) for name in _all(value, ("param",), 0) if isinstance(name, str)), "")
    status = next((number for number in numbers if number is not None and 400 <= number < 600), None)
    if status is None:
        status = next((meant for meant, pattern in MEANT if re.search(pattern, code, re.IGNORECASE)), None)
    if status is None:
        status = next((meant for meant, pattern in MEANT[:2] if re.search(pattern, words, re.IGNORECASE)), None)
    return Told(words=words, code=code, parameter=parameter, status=status)


def no_more(found: Told, status: int, wait: float | None) -> bool:
    """Return whether the account or its daily quota is exhausted, so that a retry within minutes is useless."""
    if status == 402 or found.no_more:
        return True
    return wait is None and status == 429 and bool(NO_MORE_WORDS.search(found.words))


def _words(value: Any, depth: int) -> str:
    """Return the message in an error; for lists (FastAPI), each item with the field it names."""
    if isinstance(value, str):
        return _unpacked(value, depth)
    if depth >= DEEPEST or isinstance(value, bool | int | float | None):
        return ""
    if isinstance(value, list):
        return "; ".join(dict.fromkeys(filter(None, (_words(item, depth + 1) for item in value[:5]))))
    value = {str(name).lower(): item for name, item in value.items()}
    named = [_words(value.get(place), depth + 1) for place in PLACES]
    metadata = value.get("metadata")  # a gateway's copy of the upstream server's error
    if isinstance(metadata, dict):
        named.append(_words(metadata.get("raw"), depth + 1))
    named = [words for words in named if words]
    if not named:
        deeper = (_words(value.get(place), depth + 1) for place in OTHER_PLACES)
        within = (_words(item, depth + 1) for item in value.values() if isinstance(item, dict))
        return next(filter(None, (*deeper, *within)), "")
    words = ": ".join(dict.fromkeys(named[:MOST_PLACES]))
    where = value.get("loc")  # FastAPI's location of a field: ["body", "max_tokens"]
    return f"{'.'.join(str(part) for part in where[:5])}: {words}" if isinstance(where, list) else words


def _unpacked(text: str, depth: int) -> str:
    """Return the message in a string; a gateway may embed the upstream server's error as JSON."""
    if depth < DEEPEST and text.lstrip().startswith(("{", "[")):
        try:
            inner = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return _words(inner, depth + 1) or text
    return text


def _all(value: Any, names: tuple[str, ...], depth: int) -> list[Any]:
    """Return the values of these keys at any depth, outermost first."""
    if depth >= DEEPEST:
        return []
    if isinstance(value, list):
        return [found for item in value[:5] for found in _all(item, names, depth + 1)]
    if not isinstance(value, dict):
        return []
    here = [value[name] for name in names if isinstance(value.get(name), str | int)]
    return here + [found for item in value.values() for found in _all(item, names, depth + 1)]


def _whole(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{3}", value) else None


def _page(text: str) -> str:
    """Return the title of a web page, and its first heading if it adds something."""
    text = text[:MOST_HTML]
    found = re.findall(r"<(?:title|h1)\b[^<>]{0,200}>([^<]{1,300})<", text, re.IGNORECASE)
    words = list(dict.fromkeys(html.unescape(part).strip() for part in found if part.strip()))
    if not words:
        bare = re.sub(r"<(?:script|style)\b[^<]{0,5000}<|<[^<>]{0,500}>", " ", text)
        return " ".join(html.unescape(bare).split())
    return ": ".join(words[:2])
