"""What one `tgr inject` spends its time on: a table of phases, in seconds and shares.

python benchmarks/inject_phases.py [--repeat 1] [--total] -- OPTIONS OF TGR INJECT

Every campaign is a process of its own, as from a shell. Within it the functions of PHASES are wrapped, and a phase's
time is that of its functions less that of the phases within them: so the rows add up. `wall` is what a user waits,
`CPU` what all threads compute and the kernel does for them; CPU says more on a machine that others use, too. With
`--total` nothing is wrapped, and only the totals are printed. With several campaigns, each figure is the median.
"""

import argparse
import builtins
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

REST = "everything else"
# Phase, and the functions that belong to it: the module where the name is looked up, and the name there.
PHASES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("imports", ()),  # every import statement
    (
        "opening the images, reading the weights",
        (("tgr_cli.campaign.subject", "open_split"), ("tgr_cli.campaign.subject", "load")),
    ),
    ("decoding images", (("tgr_cli.data.images", "ImageSet.image"), ("tgr_cli.data.transforms", "Transform.pixels"))),
    ("normalising images", (("tgr_cli.data.transforms", "Transform.finish"),)),
    (
        "tracing the model",
        (("tgr_cli.faults.graph", "Network.capture"), ("tgr_cli.campaign.prepared", "unseen_work")),
    ),
    (
        "profiling ranges",
        (("tgr_cli.campaign.profiling", "split"), ("tgr_cli.campaign.profiling", "profile")),
    ),
    ("classifying", (("tgr_cli.models.golden", "classify"),)),
    (
        "drawing the plan",
        (("tgr_cli.campaign.planning", "_draw"), ("tgr_cli.campaign.planning", "_pilot")),
    ),
    ("gradients", (("tgr_cli.faults.gradients", "Gradients.of"), ("tgr_cli.faults.gradients", "Gradients.of_tensors"))),
    ("golden values of struck images", (("tgr_cli.faults.engines.replay", "Replay.prepare"),)),
    ("measuring rounding", (("tgr_cli.faults.engines.delta", "Delta._measure_rounding"),)),
    ("faults", (("tgr_cli.faults.engines.engine", "Engine.inject"),)),
    (
        "reading and writing artifacts",
        (
            ("tgr_cli.artifacts.store", "write"),
            ("tgr_cli.artifacts.store", "read"),
            ("tgr_cli.artifacts.parts", "Parts.write"),
        ),
    ),
)


class Clock:
    """Wall and CPU seconds of each phase, those of the phases within it left out."""

    def __init__(self) -> None:
        self.spent = {name: [0.0, 0.0] for name in (*(name for name, _ in PHASES), REST)}
        self.running = [REST]
        self.since = (started(), 0.0)

    def _switch(self) -> None:
        now = time.time(), sum(os.times()[:2])
        for place, (before, after) in enumerate(zip(self.since, now, strict=True)):
            self.spent[self.running[-1]][place] += after - before
        self.since = now

    @contextmanager
    def phase(self, name: str) -> Any:
        self._switch()
        self.running.append(name)
        try:
            yield
        finally:
            self._switch()
            self.running.pop()

    def stop(self) -> None:
        self._switch()


def started() -> float:
    """Return when this process began, in seconds since 1970."""
    up = float(Path("/proc/uptime").read_text().split()[0])
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.time() - up + ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    if sys.argv[1:2] == ["--inside"]:
        return inside(Path(sys.argv[2]), sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--total", action="store_true")
    parser.add_argument("options", nargs="+")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [run(Path(folder), options.options, total=options.total) for _ in range(options.repeat)]
    whole = [statistics.median(sum(spent[place] for spent in found.values()) for found in runs) for place in (0, 1)]
    print(f"{'phase':<42}{'wall s':>8}{'share':>8}{'CPU s':>8}{'share':>8}")
    for name in (*runs[0], "total"):
        wall, cpu = whole
        if name != "total":
            wall, cpu = (statistics.median(found[name][place] for found in runs) for place in (0, 1))
        print(f"{name:<42}{wall:>8.1f}{wall / whole[0]:>8.0%}{cpu:>8.1f}{cpu / whole[1]:>8.0%}")


def run(folder: Path, options: Sequence[str], *, total: bool) -> dict[str, list[float]]:
    """Return the wall and CPU seconds of each phase of one campaign."""
    found, out = folder / "phases.json", folder / "out.parquet"
    for path in (found, out):
        path.unlink(missing_ok=True)
    asked = ["inject", *options, "--out", str(out), "--quiet"]
    if total:
        before, start = os.times(), time.perf_counter()
        subprocess.run([sys.executable, "-m", "tgr_cli", *asked], check=True, stdout=subprocess.DEVNULL)
        after, wall = os.times(), time.perf_counter() - start
        return {REST: [wall, sum(after[2:4]) - sum(before[2:4])]}
    subprocess.run([sys.executable, __file__, "--inside", str(found), *asked], check=True, stdout=subprocess.DEVNULL)
    return json.loads(found.read_text())


def inside(found: Path, asked: Sequence[str]) -> None:
    """Run one command in this process and write what each phase took."""
    clock = Clock()
    watch_imports(clock)
    from tgr_cli import app

    sys.argv = ["tgr", *asked]
    try:
        app.main()
    except SystemExit as end:
        clock.stop()
        found.write_text(json.dumps(clock.spent))
        if end.code:
            raise


def watch_imports(clock: Clock) -> None:
    """Count each import statement, and wrap the functions of PHASES as soon as their module is loaded."""
    left = [(name, *where) for name, functions in PHASES for where in functions]
    depth = 0

    def counted(load: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(load)
        def timed(*args: Any, **kwargs: Any) -> Any:
            nonlocal depth
            if depth:
                return load(*args, **kwargs)
            depth += 1
            try:
                with clock.phase("imports"):
                    return load(*args, **kwargs)
            finally:
                depth -= 1
                for each in [each for each in left if each[1] in sys.modules]:
                    left.remove(each)
                    wrap(clock, *each)

        return timed

    builtins.__import__ = counted(builtins.__import__)
    importlib.import_module = counted(importlib.import_module)


def wrap(clock: Clock, phase: str, module: str, name: str) -> None:
    """Count the calls of a function to its phase."""
    owner: Any = sys.modules[module]
    *within, last = name.split(".")
    for part in within:
        owner = getattr(owner, part)
    method = owner.__dict__[last]
    function = method.__func__ if isinstance(method, classmethod) else method

    @wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        with clock.phase(phase):
            return function(*args, **kwargs)

    setattr(owner, last, classmethod(timed) if isinstance(method, classmethod) else timed)


if __name__ == "__main__":
    main()
