"""A campaign that is killed and damaged at random, again and again: the bytes are those of an undisturbed run.

TGR_KILLS sets how often (default 4); the moments and damages are drawn from a seed.
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from processes import start
from toys import write_toy_dataset
from toys_artifacts import invoke

RUN = Path("runs/toy/toys-build_toy-baseline")
OUTPUTS = ("injections.parquet", "vulnerability.parquet")
KILLS = int(os.environ.get("TGR_KILLS", 4))


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


def test_kills_and_damaged_parts_at_random_change_no_byte(tmp_path: Path) -> None:
    write_toy_dataset(tmp_path / "toy")
    campaign = [
        "inject",
        "--model",
        "toys:build_toy",
        "--weights",
        "none",
        "--label",
        "golden",
        "--seed",
        "3",
        "--quiet",
    ]
    campaign += ["--dataset", "parquet:toy", "--crop", "8", "--mean", "0.5", "--std", "0.5", "--injections", "60"]
    campaign += ["--batch-size", "4", "--memory", f"{384 * 1024 + 28}KiB"]  # 12 units, as for few images at a time
    began = time.monotonic()
    assert start(*campaign).wait().code == 0
    seconds = time.monotonic() - began
    undisturbed = {name: (RUN / name).read_bytes() for name in OUTPUTS}

    chance, kills = random.Random(0), 0
    while kills < KILLS:
        process = start(*campaign)
        time.sleep(seconds * chance.random())
        with suppress(ProcessLookupError):
            process.signal(signal.SIGKILL)
        killed = process.wait().code == -signal.SIGKILL
        kills += killed
        if not killed:  # it was finished before: begin again, and kill sooner
            seconds *= 0.8
            assert {name: (RUN / name).read_bytes() for name in OUTPUTS} == undisturbed
            for name in OUTPUTS:
                (RUN / name).unlink()
        elif parts := sorted(RUN.glob("*.parts/*-*.parquet")):
            chance.choice(DAMAGES)(chance.choice(parts), chance)
    invoke(*campaign)
    assert {name: (RUN / name).read_bytes() for name in OUTPUTS} == undisturbed
    assert not [path for path in RUN.iterdir() if path.name.startswith(".") or path.suffix == ".parts"]
    shutil.rmtree(RUN)
