"""Print how much faster `tgr inject --jobs N` is than one process with N threads, in turns on one machine.

python benchmarks/jobs_speed.py [--jobs 2] [--rounds 3] -- OPTIONS OF TGR INJECT

Each run is a process of its own, from Enter to its end. In a round both are run once, the one that begins alternates;
its ratio is the time of one process over that of N. The artifacts must be equal byte for byte, or the script fails: one
process computes with N threads, and those of --jobs with one each. A run before the first round profiles the ranges if
they are missing, and warms the disk's cache; it is not counted.
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
        run([*options.campaign, "--plan-only"], out, options.jobs)
        digests = set()
        for number in range(options.rounds):
            for way in list(ways) if number % 2 == 0 else list(ways)[::-1]:
                spent[way].append(run([*options.campaign, *ways[way]], out, options.jobs))
                digests.add(
                    tuple(sha256(path.read_bytes()).hexdigest() for path in sorted(out.parent.glob("*.parquet")))
                )
            one, several = (spent[way][-1] for way in ways)
            print(f"round {number + 1}: {one:.1f} s with {options.jobs} threads, {several:.1f} s with --jobs", end=" ")
            print(f"{options.jobs}: {one / several:.2f} times as fast", flush=True)
    ratios = [one / several for one, several in zip(*spent.values(), strict=True)]
    print(f"median of {options.rounds} rounds: {statistics.median(ratios):.2f}; at least {min(ratios):.2f}")
    if len(digests) > 1:
        sys.exit("the artifacts differ: an operation of this network rounds differently with another number of threads")
    print("the artifacts are equal, byte for byte")


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
