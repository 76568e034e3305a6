"""A training checkpoint that was edited and given a valid checksum: it still fits, or resuming is refused."""

import io
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import write_toy_dataset
from toys_artifacts import invoke

from tgr_cli.errors import TgrError
from tgr_cli.training import checkpoint

LAST = Path("run/last.pt")
RESUME = (
    *("train", "--model", "toys:build_toy", "--dataset", "parquet:toy", "--crop", "8", "--mean", "0.5", "--std", "0.5"),
    *("--images", "8", "--batch-size", "8", "--out", "run", "-q", "--resume", "--epochs"),
)
EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a text for a loss": lambda state: state["epochs"][0].update(val_loss="\U0001f600"),
    "NaN for a loss": lambda state: state["epochs"][0].update(train_loss=float("nan")),
    "an epoch of another number": lambda state: state["epochs"][0].update(epoch=7),
    "a huge number of steps": lambda state: state.update(step=10**30),
    "steps below zero": lambda state: state.update(step=-1),
    "a fraction of a step": lambda state: state.update(step=0.5),
    "true for a cost": lambda state: state["costs"][0].update(peak_bytes=True),
    "best weights of another shape": lambda state: state["best"].update({"fc.bias": torch.zeros(1)}),
    "best weights without a layer": lambda state: state["best"].pop("fc.bias"),
    "weights of another type": lambda state: state["model"].update({"fc.bias": torch.zeros(3, dtype=torch.int64)}),
    "weights without values": lambda state: state["model"].update({"fc.bias": torch.zeros(3, device="meta")}),
    "sparse weights": lambda state: state["model"].update({"fc.bias": torch.zeros(3).to_sparse()}),
    "momentum of another shape": lambda state: state["optimizer"]["state"][0].update(momentum_buffer=torch.zeros(2)),
    "momentum of no parameter": lambda state: state["optimizer"]["state"].update({99: {}}),
    "a text for a learning rate": lambda state: state["optimizer"]["param_groups"][0].update(lr="fast"),
    "a schedule without its place": lambda state: state["schedule"].pop("last_epoch"),
    "one sum for two": lambda state: state["processes"][0].update(sums=torch.zeros(1, dtype=torch.float64)),
    "no generators": lambda state: state["processes"][0].update(generators=["x"]),
}


def sealed(state: dict[str, Any]) -> bytes:
    written = io.BytesIO()
    torch.save(state, written)
    return written.getvalue() + checkpoint.MARK + sha256(written.getvalue()).hexdigest().encode()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the toy data and a training of one epoch."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_toy_dataset(Path("toy"))
        assert invoke(*RESUME, 1).exit_code == 0
    return folder


@pytest.mark.parametrize("name", EDITS)
def test_a_state_that_does_not_fit_is_refused(name: str, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    before = LAST.read_bytes()
    state = torch.load(LAST, weights_only=True)
    EDITS[name](state)
    LAST.write_bytes(edited := sealed(state))
    try:
        with pytest.raises(TgrError, match=r"does not fit the model .* build the model as it was, or train from the"):
            invoke(*RESUME, 2)
        assert LAST.read_bytes() == edited
    finally:
        LAST.write_bytes(before)


def test_a_state_that_was_read_and_sealed_again_goes_on(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    LAST.write_bytes(sealed(torch.load(LAST, weights_only=True)))
    assert invoke(*RESUME, 2).exit_code == 0
    assert len(torch.load(LAST, weights_only=True)["epochs"]) == 2
