"""Runs torch on one thread: the networks are too small for a second."""

import pytest


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    pass
