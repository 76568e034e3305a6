"""Compare `tgr inject --surface` with one campaign a format: seconds from Enter to the figures, and the figures.

python benchmarks/surface_time.py [--repeat 3] [--format F]… -- OPTIONS OF TGR INJECT

Every campaign is a process of its own, as from a shell. The ratio is the surface's time over the mean time of the
campaigns with --encode, each of one format. A figure of the surface is `within` if it lies in that campaign's interval.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FORMATS = ("float32", "bfloat16", "float16", "int8", "float8_e4m3fn", "posit8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--format", action="append", dest="formats")
    parser.add_argument("options", nargs="+")
    options = parser.parse_args()
    formats = options.formats or list(FORMATS)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.parquet"
        run(out, [*options.options, "--injections", "2"])  # ranges and files are there for all
        chosen = [part for name in formats for part in ("--surface", name)]
        ratios = []
        for _ in range(options.repeat):
            together, surface = run(out, [*options.options, *chosen])
            each = {name: run(out, [*options.options, "--encode", name]) for name in formats}
            alone = statistics.mean(seconds for seconds, _ in each.values())
            ratios.append(together / alone)
            print(f"surface {together:.1f} s, one format {alone:.1f} s: {ratios[-1]:.2f} times", flush=True)
    middle, least, most = statistics.median(ratios), min(ratios), max(ratios)
    print(f"\n{len(formats)} formats take {middle:.2f} times as long as one ({least:.2f} to {most:.2f})")
    print("\n| format | figure | surface | one campaign | within |\n|---|---|---|---|---|")
    rows = {row["format"]: row for row in surface["rows"] if not row["site"]}
    for name, (_, direct) in each.items():
        (row,) = [row for known, row in rows.items() if known == name]
        for figure, what in (("sdc_rate", "SDC rate"), ("mean_dloss", "mean dLoss")):
            low, high = direct["network"][figure]["low"], direct["network"][figure]["high"]
            print(f"| {name} | {what} | {interval(row[figure], row[f'{figure}_low'], row[f'{figure}_high'])}", end=" ")
            print(f"| {interval(direct['network'][figure]['mean'], low, high)} | {low <= row[figure] <= high} |")


def interval(mean: float, low: float, high: float) -> str:
    return f"{mean:.4g} ({low:.4g} to {high:.4g})"


def run(out: Path, options: list[str]) -> tuple[float, dict[str, Any]]:
    """Return the seconds that a campaign takes, and what it prints as JSON."""
    out.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tgr_cli", "inject", *options, "--quiet", "--json", "--out", str(out)]
    start = time.perf_counter()
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return time.perf_counter() - start, json.loads(printed)


if __name__ == "__main__":
    main()
