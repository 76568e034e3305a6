"""The examples in docstrings give what they print."""

import doctest
import importlib
from pathlib import Path

import pytest

import tgr_cli

PACKAGE = Path(tgr_cli.__file__).parent
EXEMPLIFIED = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", EXEMPLIFIED)
def test_the_examples_of_a_module(name: str) -> None:
    module = importlib.import_module(name)
    # What an example may take for granted, beside its own module.
    known = {other: importlib.import_module(other) for other in ("math", "torch")}
    found = doctest.testmod(module, extraglobs=known)
    assert found.attempted > 0
    assert found.failed == 0


def test_what_a_reader_meets_first_has_an_example() -> None:
    first = {
        "tgr_cli.faults.formats.names",
        "tgr_cli.faults.upset",
        "tgr_cli.metrics.outcomes",
        "tgr_cli.metrics.intervals",
        "tgr_cli.metrics.top2diff",
    }
    assert first <= set(EXEMPLIFIED)
