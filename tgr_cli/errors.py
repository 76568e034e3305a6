"""The package's only exception, and helpers for its messages."""

import difflib
import re
import stat
from collections.abc import Iterable
from pathlib import Path

# Control characters except newline, text-direction overrides, and lone surrogates.
UNPRINTABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class TgrError(Exception):
    """An error that the user can fix, in one sentence: what was found, what was expected, the next step.

    The command line prints it to stderr and exits with 1. Internal errors are `assert`s.
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean "x"?` for the known name closest to `word`, or "" if none is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{close[0]}"?' if close else ""


def one_of(option: str, value: str | None, known: Iterable[str]) -> None:
    """Raise TgrError if an option is given (not None) and its value is not one of the `known` ones."""
    names = list(known)
    if value is not None and value not in names:
        raise TgrError(f'{option} is "{value}"; use one of {", ".join(names)}.{did_you_mean(value, names)}')


def printable(text: str) -> str:
    """Return `text` with control characters except newline escaped: foreign names may contain terminal commands.

    Also escapes text-direction overrides, and lone surrogates, which stand for bytes that are not UTF-8 and cannot be
    printed.
    """
    return UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, at most 200 characters, or the error's name if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def found_at(path: Path) -> str:
    """Return what exists at an unsuitable path: "does not exist", "is a folder", "is a device" …"""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "is a link that leads nowhere" if path.is_symlink() else "does not exist"
    except (OSError, ValueError) as error:
        return f"cannot be reached ({getattr(error, 'strerror', None) or 'no valid path'})"
    kinds = {
        stat.S_ISREG: "a file",
        stat.S_ISDIR: "a folder",
        stat.S_ISFIFO: "a named pipe",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    return f"is {next((what for fits, what in kinds.items() if fits(mode)), 'neither a file nor a folder')}"
