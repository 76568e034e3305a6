"""Parsing the retry delay that a server asks for, from headers or from its message."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

SPAN = re.compile(
    r"(?P<number>\d{1,9}(?:\.\d{1,9})?)\s?"
    r"(?P<unit>ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)?(?![a-z])",
    re.IGNORECASE | re.ASCII,
)
IN_WORDS = re.compile(
    r"(?:again|retry|retried|wait|available|reset\w*|retry[-_]?after|retryDelay)\W{0,5}(?:in|after|for)?\W{0,4}"
    r"(?P<span>(?:\d[\d.]{0,12}\s?[a-z]{0,12}\s?){1,3})",
    re.IGNORECASE | re.ASCII,
)
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
EPOCH = 1e9  # larger numbers are timestamps: Unix seconds, or milliseconds beyond EPOCH * 1000


def wait_for(words: str, headers: Mapping[str, str]) -> float | None:
    """Return the delay in seconds before the next request, None if the server names none.

    Sources: Retry-After (RFC 9110: seconds or a date), the rate-limit headers of common services, and phrases such as
    "try again in 1m30s".
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if headers.get(name, "").isascii() and headers.get(name, "").isdigit():
            return float(headers[name]) / 1000
    said = headers.get("retry-after", "").strip()
    wait = _span(said) if said else None
    if wait is None and said:
        wait = _until(said)
    if wait is not None:
        return wait
    resets = [_span(value) or _until(value) for name, value in headers.items() if _used_up(name, headers)]
    known = [seconds for seconds in resets if seconds is not None]
    if known:
        return max(known)
    found = IN_WORDS.search(words)
    if found is None:
        return None
    wait = _span(found["span"].strip())
    return wait if wait is not None else _until(found["span"])


def _span(text: str) -> float | None:
    """Return a duration in seconds ("20", "1.5s", "6m0s", "1 minute"), None if `text` is no duration."""
    parts = list(SPAN.finditer(text))
    if not parts or SPAN.sub("", text).strip(" ,."):
        return None
    if len(parts) == 1 and not parts[0]["unit"] and float(parts[0]["number"]) >= EPOCH:
        return None
    return sum(float(part["number"]) * _unit(part["unit"] or "") for part in parts)


def _unit(name: str) -> float:
    name = name.lower()
    if name.startswith(("ms", "milli")):
        return 1e-3
    return UNITS[name[:1]]


def _until(text: str) -> float | None:
    """Return the seconds until a date (RFC 9110, ISO 8601) or Unix timestamp, 0 if it has passed."""
    text = text.strip()
    try:
        if re.fullmatch(r"\d{10,13}(?:\.\d+)?", text, re.ASCII):
            point = float(text) / (1000 if float(text) >= EPOCH * 1000 else 1)
            moment = datetime.fromtimestamp(point, UTC)
        elif re.match(r"\d{4}-\d\d-\d\dT", text):
            moment = datetime.fromisoformat(text)
        else:
            moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError, OSError):
        return None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = (zoned - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _used_up(name: str, headers: Mapping[str, str]) -> bool:
    """Return whether this header gives the reset time of an exhausted limit."""
    name = name.lower()
    if "ratelimit" not in name.replace("rate-limit", "ratelimit") or "reset" not in name:
        return False
    remaining = headers.get(name.replace("reset", "remaining"), "0").strip()
    return not remaining or remaining == "0"
