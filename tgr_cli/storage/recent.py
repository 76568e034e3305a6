"""What stores have answered within the last second: commands ask several times whether one file is there.

It is forgotten when this process writes to a store, and when a command begins.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any

SECONDS = 1.0
_answers: dict[tuple[str, str], tuple[float, Any]] = {}  # question and path: when it was asked, the answer


def answer(question: str, path: object, ask: Callable[[], Any]) -> Any:
    """Return the answer to a question about a path, by `ask` if there is none; what `ask` raises is not kept."""
    asked, known = _answers.get((question, str(path)), (monotonic() - 2 * SECONDS, None))
    if monotonic() - asked <= SECONDS:
        return known
    given = ask()
    keep(question, path, given)
    return given


def keep(question: str, path: object, given: Any) -> None:
    """Keep an answer that came with another one."""
    _answers[question, str(path)] = monotonic(), given


def forget() -> None:
    """Forget all answers."""
    _answers.clear()
