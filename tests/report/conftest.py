"""What tests of the report share."""

import pytest
from report_pages import draw_only


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the plots out: these tests read words, tables and data."""
    draw_only(monkeypatch)
