"""Faults of the machine under a campaign, at random and again and again: the bytes are those of an undisturbed run.

TGR_MACHINE_FAULTS sets how many of each kind (default 2); moments and damages are drawn from a seed.
"""

import errno
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from processes import start
from toys import write_toy_dataset
from toys_artifacts import invoke

from tgr_cli import app
from tgr_cli.faults import units

FAULTS = int(os.environ.get("TGR_MACHINE_FAULTS", 2))
RUN = Path("runs/toy/toys-build_toy-baseline")
OUTPUTS = ("injections.parquet", "vulnerability.parquet")
CAMPAIGN = (
    "inject --model toys:build_toy --weights none --label golden --dataset parquet:toy --crop 8 --mean 0.5 --std 0.5 "
    f"--injections 60 --seed 3 --batch-size 4 --memory {384 * 1024 + 28}KiB --quiet"  # 12 units
).split()


@pytest.fixture
def expected() -> dict[str, bytes]:
    """Return the bytes of an undisturbed run, whose files are removed."""
    write_toy_dataset(Path("toy"))
    invoke(*CAMPAIGN)
    found = outputs()
    for name in OUTPUTS:
        (RUN / name).unlink()
    return found


def outputs() -> dict[str, bytes]:
    return {name: (RUN / name).read_bytes() for name in OUTPUTS}


def truncate(path: Path, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def flip_a_bit(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def remove(path: Path, chance: random.Random) -> None:
    path.unlink()


def leave(path: Path, chance: random.Random) -> None: ...


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (truncate, flip_a_bit, remove, leave)


def test_kills_and_damaged_parts(expected: dict[str, bytes]) -> None:
    chance, kills, most = random.Random(0), 0, 2.0
    while kills < FAULTS:
        process = start(*CAMPAIGN)
        time.sleep(most * chance.random())
        with suppress(ProcessLookupError):
            process.signal(signal.SIGKILL)
        killed = process.wait().code == -signal.SIGKILL
        kills += killed
        if not killed:  # it was finished before: begin again, and kill sooner
            most *= 0.8
            assert outputs() == expected
            for name in OUTPUTS:
                (RUN / name).unlink()
        elif parts := sorted(RUN.glob("*.parts/*-*.parquet")):
            chance.choice(DAMAGES)(chance.choice(parts), chance)
    invoke(*CAMPAIGN)
    assert outputs() == expected
    assert not [path for path in RUN.iterdir() if path.name.startswith(".") or path.suffix == ".parts"]


# Which call fails, how, and what is told.
MISHAPS: tuple[tuple[object, str, Callable[[], BaseException], str], ...] = (
    (Path, "replace", lambda: OSError(errno.EIO, os.strerror(errno.EIO)), "Input/output error"),
    (Path, "replace", lambda: OSError(errno.EROFS, os.strerror(errno.EROFS)), "Read-only file system"),
    (Path, "write_bytes", lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
    (Path, "write_bytes", lambda: OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "Disk quota exceeded"),
    (units, "strike", MemoryError, "--batch-size"),
    (units, "strike", lambda: RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "--batch-size"),
)


def test_what_fails_in_mid_campaign_is_told_and_the_campaign_goes_on(
    expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(0)
    clock, struck = time.time, 0
    for owner, name, error, words in MISHAPS * ceil(FAULTS / 4):
        works, left, now = getattr(owner, name), chance.randrange(12), clock() + chance.choice((-1, 1)) * 1e7

        def fails(*arguments: Any, works: Any = works, error: Any = error, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left == -1:
                raise error()
            return works(*arguments, **more)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fails)
            patch.setattr(time, "time", lambda now=now: now)
            patch.setattr(sys, "argv", ["tgr", *CAMPAIGN])
            with pytest.raises(SystemExit) as left_with:
                app.main()
        told = capsys.readouterr().err
        if left >= 0:  # the rest of the campaign had fewer calls
            assert left_with.value.code == 0, told
            assert outputs() == expected
            for output in OUTPUTS:
                (RUN / output).unlink()
            continue
        struck += 1
        assert left_with.value.code == 1
        assert told.startswith("tgr: ")
        assert told.count("\n") == 1
        assert words in told
        there = [name for name in OUTPUTS if (RUN / name).exists()]
        assert {name: (RUN / name).read_bytes() for name in there} == {name: expected[name] for name in there}
    assert struck > len(MISHAPS) // 2
    invoke(*CAMPAIGN)
    assert outputs() == expected
