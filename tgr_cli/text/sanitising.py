"""Sanitising text from other sources for terminals, artifacts and encoders; removed characters are counted."""

import re
from dataclasses import dataclass
from unicodedata import category

LONGEST = 4000  # characters per description; text encoders read a few hundred
SHORTEST_SECRET = 8  # characters; real keys are longer

# Whole ECMA-48 sequences: a control string up to its terminator or the next escape, a control sequence, or a lone
# escape. Each alternative matches as soon as it starts, so matching is linear: a pattern that can fail late would be
# quadratic, hours for a megabyte of escape characters.
STRING_COMMAND = re.compile(r"(?:\x1b[PX^_\]]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?")
CONTROL_SEQUENCE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|\x1b[ -/]*[0-~]?")
# Control, format (direction marks, zero width), surrogate and private-use characters.
NO_TEXT = ("Cc", "Cf", "Cs", "Co")


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """A single-line text, the number of non-text characters removed, and of characters cut off at the end."""

    text: str
    removed: int = 0
    cut: int = 0


def plain_text(text: str) -> str:
    """Return `text` without terminal sequences and non-text characters; line breaks are kept."""
    if text.isprintable():  # fast path: printable text contains no character of NO_TEXT
        return text
    plain = CONTROL_SEQUENCE.sub("", STRING_COMMAND.sub("", text))
    return "".join(c for c in plain if c.isspace() or category(c) not in NO_TEXT)


def clean(text: str, secret: str = "", longest: int = LONGEST) -> Cleaned:
    """Return `text` as a single line of plain text, at most `longest` characters.

    Removes and counts terminal sequences, non-text characters, and `secret` (the key, in case a server echoes it). Any
    white space becomes one space. A secret shorter than SHORTEST_SECRET is a placeholder such as "x" or "none", which
    would occur in ordinary words, and is left alone.
    """
    if len(secret) < SHORTEST_SECRET:
        secret = ""
    plain = plain_text(text)
    # Last, since removed characters may have separated the secret's letters.
    public = plain.replace(secret, "[key]") if secret else plain
    removed = len(text) - len(plain) + (len(plain.replace(secret, "")) < len(plain) if secret else 0)
    line = " ".join(public.split())
    if len(line) <= longest:
        return Cleaned(text=line, removed=removed)
    kept = line[:longest].rsplit(" ", 1)[0]
    return Cleaned(text=kept, removed=removed, cut=len(line) - len(kept))
