"""A toy campaign of twelve units, and how it is stopped in the middle."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tgr_cli.artifacts.parts import Parts

RUN = Path("runs/toy/toys-build_toy-baseline")
PARTS = RUN / "injections.parts"
MODEL = "--model toys:build_toy --dataset parquet:toy --crop 8 --mean 0.5 --std 0.5 --weights none --label golden"
# 384 MiB for the graph and 8 KiB for a forward pass; the golden values of 9 images fit into the other 20 KiB. So 30
# images are 4 chunks, and three sites 12 units of about 15 faults.
MEMORY = f"{384 * 1024 + 8 + 20}KiB"
TOY = f"{MODEL} --batch-size 4 --memory {MEMORY} --injections 60 --sampling uniform".split()


class Killed(BaseException):
    """Simulates a killed process: no error handler catches it."""


def outputs() -> dict[str, bytes]:
    return {name: (RUN / f"{name}.parquet").read_bytes() for name in ("injections", "vulnerability")}


def failing_after(units: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    write: Callable[..., None] = Parts.write
    written = []

    def fails(self: Parts, *arguments: object) -> None:
        if len(written) == units:
            raise error
        written.append(arguments)
        write(self, *arguments)

    monkeypatch.setattr(Parts, "write", fails)
