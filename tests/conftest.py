"""Fixtures every test may use: no network, one thread, a clean environment, and the folder of real data if any."""

import gc
import io
import logging
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.update(HF_HUB_OFFLINE="1", NO_COLOR="1", COLUMNS="160", TERM="dumb")
for library in ("OMP", "OPENBLAS", "MKL"):  # the networks are too small for a second thread, which only waits
    os.environ[f"{library}_NUM_THREADS"] = "1"

# No test cuts the power, and waiting for the disk after each file took a tenth of the time.
os.fsync = lambda _: None

# The same examples on every run, and no time limit each: a busy machine is no failure.
settings.register_profile("tgr", derandomize=True, deadline=None)
settings.load_profile("tgr")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return one worker more than cores: some tests wait, for a server or for a process that they have killed."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Search for no garbage among the libraries, a million objects that stay: it took a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        gc.set_threshold(50_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the tests that take many seconds: begun last, each would keep one worker while the others are idle."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Start the server of processes, if a test that was collected may need it."""
    if processes := sys.modules.get("processes"):
        processes.start_server()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run each test in an empty folder, without the user's TGR_* variables."""
    for name in [name for name in os.environ if name.startswith("TGR_") and name != "TGR_SHARED_DATA"]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _toys_are_captured_and_resized_once() -> None:
    import captures  # here, as the process that only hands the tests to others needs no torch
    import resized

    captures.once()
    resized.once()


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Return what every library logs from now on, down to details."""
    heard, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(heard), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield heard
    root.setLevel(level)
    root.removeHandler(handler)


@pytest.fixture(scope="session")
def shared_data_if_any() -> Path | None:
    """Return the folder of real images and weights, or None where there is none."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("TGR_SHARED_DATA", default))
    return folder if (folder / "README.md").exists() else None


@pytest.fixture(scope="session")
def shared_data(shared_data_if_any: Path | None) -> Path:
    """Return the folder of real images and weights; tests that use it are marked `shared` and skip without it."""
    if shared_data_if_any is None:
        pytest.skip("there are no real data; name their folder with TGR_SHARED_DATA to run this test")
    return shared_data_if_any
