"""Merge a campaign cut into many shards: seconds, memory, and whether the bytes are those of the campaign in one.

tgr inject … --shard 1/1 --out whole.parquet
python benchmarks/merge_shards.py whole.parquet [--count 1000] [--repeat 3]

The shards are cut from the rows of `whole.parquet` as `--shard` would deal its units, and get shuffled names. `tgr
merge FOLDER` is a process of its own each time, from Enter to its end.
"""

import argparse
import filecmp
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import SHARD


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("whole", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch) / "shards", Path(scratch)
        units = cut(options.whole, options.count, folder)
        merge(options.whole, out / "one.parquet")
        seconds = []
        for _ in range(options.repeat):
            seconds.append(merge(folder, out / "merged.parquet"))
            for name in ("{}.parquet", "{}-vulnerability.parquet"):
                one, merged = (out / name.format(which) for which in ("one", "merged"))
                if not filecmp.cmp(one, merged, shallow=False):
                    sys.exit(f"{merged.name} differs from {one.name}")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        size = (out / "one.parquet").stat().st_size / 1e6
        print(f"{options.count:,} shards of {units:,} units, {size:.1f} MB: equal bytes")
        middle, least, most = statistics.median(seconds), min(seconds), max(seconds)
        print(f"{middle:.1f} s ({least:.1f} to {most:.1f} in {len(seconds)} runs), at most {peak:.2f} GiB")


def cut(whole: Path, count: int, folder: Path) -> int:
    """Write the shards under shuffled names; return the number of units."""
    artifact = store.read(whole, SHARD)
    unit = artifact.table["unit"].to_numpy()
    units, place = np.unique(unit, return_inverse=True)
    for number, name in zip(range(1, count + 1), random.Random(0).sample(range(count), count), strict=True):
        extra = {**artifact.provenance.extra, "shard": [number, count]}
        rows = artifact.table.filter(place % count == number - 1)
        store.write(folder / f"{name}.parquet", SHARD, rows, replace(artifact.provenance, extra=extra))
    return len(units)


def merge(shards: Path, out: Path) -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", "tgr_cli", "merge", str(shards), "--out", str(out), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
