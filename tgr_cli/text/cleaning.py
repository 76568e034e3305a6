"""Foreign text made fit for a terminal, an artifact and an encoder; what was taken out is counted."""

import re
from dataclasses import dataclass
from unicodedata import category

LONGEST = 4000  # characters of one description; text encoders read some hundred
SHORTEST_SECRET = 8  # characters; keys have dozens

# Terminal commands as a whole (ECMA-48): a string command up to its terminator, or to the command that breaks it off; a
# control sequence; a lone escape. Each matches from its first character on, whatever follows: a pattern that could fail
# late would take hours for a megabyte of first characters.
STRING_COMMAND = re.compile(r"(?:\x1b[PX^_\]]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?")
CONTROL_SEQUENCE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|\x1b[ -/]*[0-~]?")
# Control, format (direction marks, zero width), surrogate and private characters: nothing a sentence needs.
NO_TEXT = ("Cc", "Cf", "Cs", "Co")


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """A text on one line, how many characters were no text, and how many were cut off its end."""

    text: str
    removed: int = 0
    cut: int = 0


def plain_text(text: str) -> str:
    """Return `text` without terminal commands and characters that are no text; its lines stay."""
    if text.isprintable():  # none of NO_TEXT is: the usual sentence needs no second look
        return text
    plain = CONTROL_SEQUENCE.sub("", STRING_COMMAND.sub("", text))
    return "".join(c for c in plain if c.isspace() or category(c) not in NO_TEXT)


def clean(text: str, secret: str = "", longest: int = LONGEST) -> Cleaned:
    """Return `text` as one line of plain text, at most `longest` characters.

    Terminal commands and characters that are no text go, and so does `secret` (the key, should a server send it back);
    they are counted. White space of any kind becomes one space. What is shorter than SHORTEST_SECRET stays: it stands
    in for a key where none is needed, as "x" or "none", and words hold it.
    """
    if len(secret) < SHORTEST_SECRET:
        secret = ""
    plain = plain_text(text)
    # After the rest: what was taken out may have stood between the secret's letters.
    public = plain.replace(secret, "[key]") if secret else plain
    removed = len(text) - len(plain) + (len(plain.replace(secret, "")) < len(plain) if secret else 0)
    line = " ".join(public.split())
    if len(line) <= longest:
        return Cleaned(text=line, removed=removed)
    kept = line[:longest].rsplit(" ", 1)[0]
    return Cleaned(text=kept, removed=removed, cut=len(line) - len(kept))
