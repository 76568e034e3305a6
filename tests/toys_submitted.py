"""A campaign that is submitted as two shards, and what waits for their processes."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from tgr_cli.submit import local

RUN = Path("runs/toy/toys-build_toy-baseline")
SHARDS, KEPT = RUN / "injections.shards", Path("kept")
OUTPUTS = ("injections.parquet", "vulnerability.parquet")
CAMPAIGN = (
    "inject --model toys:build_toy --weights none --label golden --dataset parquet:toy --crop 8 --mean 0.5 --std 0.5 "
    f"--injections 60 --seed 3 --batch-size 4 --memory {384 * 1024 + 28}KiB --sampling uniform"  # 12 units
).split()


def outputs(folder: Path = Path()) -> dict[str, bytes]:
    return {name: (folder / RUN / name).read_bytes() for name in OUTPUTS}


@dataclass(frozen=True)
class Divided:
    """A campaign that was run whole, then in shards under kills: its folder, both outputs, what was printed."""

    folder: Path
    whole: dict[str, bytes]
    merged: dict[str, bytes]
    first: str
    second: str


def has_ended(shard: int) -> bool:
    """Return whether a shard of two is whole, and its process gone."""
    there = (SHARDS / f"shard-{shard}-of-2.parquet").exists()
    return there and not local.is_held(SHARDS / f"shard-{shard}.running")


def end_stopped(running: Path) -> None:
    """End the stopped process, should the fixture fail before it goes on."""
    if running.exists() and local.is_held(running):
        os.kill(int(running.read_text()), signal.SIGKILL)


def wait_for(what: object) -> None:
    assert callable(what)
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
