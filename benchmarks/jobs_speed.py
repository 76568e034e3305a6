"""Print how much faster `tgr inject --jobs N` is than one process with N threads, in turns on one machine.

python benchmarks/jobs_speed.py [--jobs 2] [--rounds 3] -- OPTIONS OF TGR INJECT

Each run is a process of its own, from Enter to its end. In a round both are run once, the one that begins alternates;
its ratio is the time of one process over that of N. The artifacts of --jobs N must equal those of --jobs 1 byte for
byte, or the script fails. One process computes with N threads instead of one, which rounds differently in some
operations: the script prints in how many rows dLoss differs, and by how much at most; a differing outcome is a failure.
The run of --jobs 1 comes first and is not counted; it profiles the ranges if they are missing.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("jobs", 2), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("campaign", nargs="+", help="options of tgr inject")
    options = parser.parse_args()
    ways = {"one process": [], "--jobs": ["--jobs", str(options.jobs)]}
    spent: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "injections.parquet"
        run([*options.campaign, "--jobs", "1"], out, options.jobs)
        expected, rows = digests(out.parent), pq.read_table(out)
        for number in range(options.rounds):
            for way in list(ways) if number % 2 == 0 else list(ways)[::-1]:
                spent[way].append(run([*options.campaign, *ways[way]], out, options.jobs))
                if way == "--jobs" and digests(out.parent) != expected:
                    sys.exit(f"the artifacts of --jobs {options.jobs} differ from those of --jobs 1")
                if way == "one process":
                    differing = difference(rows, pq.read_table(out))
            one, several = (spent[way][-1] for way in ways)
            print(f"round {number + 1}: {one:.1f} s with {options.jobs} threads, {several:.1f} s with --jobs", end=" ")
            print(f"{options.jobs}: {one / several:.2f} times as fast", flush=True)
    ratios = [one / several for one, several in zip(*spent.values(), strict=True)]
    print(f"median of {options.rounds} rounds: {statistics.median(ratios):.2f}; at least {min(ratios):.2f}")
    print(f"the artifacts of --jobs {options.jobs} equal those of --jobs 1, byte for byte; {differing}")


def digests(folder: Path) -> list[str]:
    """Return the SHA-256 of each artifact."""
    return [sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.parquet"))]


def difference(ours: pa.Table, theirs: pa.Table) -> str:
    """Return in words how many rows of two campaigns differ in dLoss; ends the script if they differ in more."""
    for name in ("fault", "site", "index", "bit", "image_id", "weight", "outcome"):
        if ours[name] != theirs[name]:
            sys.exit(f"{name} differs between one process and several")
    ours_F, theirs_F = (np.nan_to_num(table["dloss"].to_numpy()) for table in (ours, theirs))
    differs_F = ours_F != theirs_F
    most = np.abs(ours_F - theirs_F).max()
    return f"{differs_F.sum():,} of {len(ours_F):,} rows differ in dLoss from one process, by {most:.2g} at most"


def run(campaign: list[str], out: Path, threads: int) -> float:
    """Return the seconds that `tgr inject` takes with these options, anew, with so many threads at most."""
    for path in out.parent.iterdir():
        path.unlink()
    begun = time.perf_counter()
    command = [sys.executable, "-m", "tgr_cli", "inject", *campaign, "--quiet", "--out", str(out)]
    subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": str(threads)}, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
