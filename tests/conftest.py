"""Fixtures every test may use: no network, few threads, a clean environment, and the folder of real data if any."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.update(HF_HUB_OFFLINE="1", NO_COLOR="1", COLUMNS="160", TERM="dumb")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # on a busy machine, waiting threads must not take the cores

import captures
import torch
from hypothesis import settings

torch.set_num_threads(2)
# The same examples on every run, and no time limit each: a busy machine is no failure.
settings.register_profile("tgr", derandomize=True, deadline=None)
settings.load_profile("tgr")


def pytest_collection_finish() -> None:
    """Keep the libraries, a million objects that stay, out of the search for garbage: it took a third of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run each test in an empty folder, without the user's TGR_* variables."""
    for name in [name for name in os.environ if name.startswith("TGR_") and name != "TGR_SHARED_DATA"]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute in one thread: in networks as small as the toys a second one only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _toys_are_captured_once() -> None:
    captures.once()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real images and weights; tests that use it are marked `shared` and skip without it."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("TGR_SHARED_DATA", default))
    if not (folder / "README.md").exists():
        pytest.skip(f"no real data at {folder}; set TGR_SHARED_DATA to run this test")
    return folder
