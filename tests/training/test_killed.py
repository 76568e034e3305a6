"""Killed and data-parallel trainings: the weights equal those of one uninterrupted process."""

import json
import signal
from pathlib import Path

import pytest
import torch
from processes import Running, tgr
from torch.distributed import run
from toys import write_toy_dataset, write_toy_parquet
from typer.testing import CliRunner

from tgr_cli import __main__
from tgr_cli.app import app
from tgr_cli.models.weights import read_state_dict

OPTIONS = (
    *("train", "--model", "killing:build", "--dataset", "parquet:toy", "--resize", "8", "--crop", "8"),
    *("--mean", "0.5", "--std", "0.25", "--augment", "crop", "--epochs", "3", "--lr", "0.05", "--json"),
)
SCRIPT = __main__.__file__
RUN = Path("runs/toy/killing-build-baseline")


@pytest.fixture(autouse=True)
def _data() -> None:
    write_toy_dataset(Path("toy"))
    write_toy_parquet(Path("toy/test.parquet"), 31, seed=2)  # an odd number, so the two processes' shares differ


def here(*options: object) -> list[dict[str, float]]:
    """Train in this process and return the rows."""
    result = CliRunner().invoke(app, [*OPTIONS, *map(str, options)])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["training"]


def test_killed_in_mid_epoch_and_resumed_the_weights_are_those_of_never_stopping() -> None:
    """Six steps per epoch; killed in the third step of the second epoch, one step after a checkpoint."""
    rows = here("--batch-size", 10, "--out", "whole")
    killed = tgr(*OPTIONS, "--batch-size", 10, "--checkpoint-every", 2, KILL_AT="0:9")
    assert killed.code == -signal.SIGKILL
    saved = torch.load(RUN / "checkpoint.pt", weights_only=True)
    assert (len(saved["epochs"]), saved["step"]) == (1, 2)
    assert here("--batch-size", 10, "--resume") == rows
    assert (RUN / "model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()
    assert (RUN / "best.safetensors").read_bytes() == Path("whole/best.safetensors").read_bytes()
    assert not (RUN / "checkpoint.pt").exists()


@pytest.mark.long
def test_two_processes_train_as_one_of_twice_the_batch_and_go_on_when_one_is_killed() -> None:
    """Steps of 16 images and a last one of 12, 31 images for validation; one process is killed in the second epoch."""
    expected = here("--batch-size", 16, "--out", "whole")
    torchrun = ("--standalone", "--nproc-per-node=2", "--max-restarts=1", "--start-method=fork", "--run-path", SCRIPT)
    options = (*OPTIONS, "--batch-size=8", "--checkpoint-every=2")
    done = Running(run.main, [*torchrun, *options], KILL_AT="1:7").wait()
    assert done.code == 0, done.err
    assert "torchrun started the training again; going on from its checkpoint" in done.err
    found = json.loads(done.out)["training"]  # only one process prints
    assert [row["epoch"] for row in found] == [1, 2, 3]
    for row, wanted in zip(found, expected, strict=True):
        assert row == pytest.approx(wanted, abs=1e-5)
        assert row["val_top1"] * 31 == pytest.approx(round(row["val_top1"] * 31), abs=1e-9)
    one, two = (read_state_dict(folder / "model.safetensors") for folder in (Path("whole"), RUN))
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-5
    assert {path.name for path in RUN.iterdir()} == {path.name for path in Path("whole").iterdir()}
