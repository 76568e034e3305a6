"""What can be chosen of a campaign without torch is what there is with it."""

from tgr_cli.faults import choices
from tgr_cli.faults.engines import ENGINES


def test_the_engines_by_name_are_those_there_are() -> None:
    assert tuple(ENGINES) == choices.ENGINES
