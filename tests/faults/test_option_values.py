"""The option values available without torch equal those of the modules that need it."""

from tgr_cli.faults import option_values
from tgr_cli.faults.engines import ENGINES


def test_the_engines_by_name_are_those_there_are() -> None:
    assert tuple(ENGINES) == option_values.ENGINES
