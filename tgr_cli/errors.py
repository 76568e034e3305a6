"""The one exception of this package, and the words its messages share."""

import difflib
from collections.abc import Iterable
from unicodedata import category


class TgrError(Exception):
    """Something the user can mend, in one sentence: what was found, what was expected, the next step.

    The command line prints it to stderr and exits with 1. Mistakes of our own are `assert`s.
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean "x"?` for the known name closest to `word`, or an empty string where none is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{close[0]}"?' if close else ""


def printable(text: str) -> str:
    """Return `text` with control characters but the newline written out: foreign names may hold a terminal's commands.

    Lone surrogates, which stand for bytes that are no UTF-8 and cannot be printed, are written out too.
    """
    return "".join(c if c == "\n" or category(c) not in ("Cc", "Cs") else ascii(c)[1:-1] for c in text)
