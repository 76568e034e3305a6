"""Messages of the commands in the words of Python: options become keyword arguments."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tgr_cli.errors import TgrError

OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*[a-z])")


def as_arguments(text: str) -> str:
    """Return a message in which options of the command line are arguments.

    >>> as_arguments("--max-injections is 0; use at least 1")
    'max_injections= is 0; use at least 1'
    """
    return OPTION.sub(lambda found: found[1].replace("-", "_") + "=", text)


@contextmanager
def in_python() -> Iterator[None]:
    """Context manager that words the TgrErrors of the steps for Python."""
    try:
        yield
    except TgrError as error:
        raise type(error)(as_arguments(str(error))) from error
