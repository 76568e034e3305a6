"""Compare the engine auto with the oracle full under number formats, fault models and patterns, in six networks.

    python benchmarks/verify_formats.py [--only NETWORK ...] [--formats FORMAT ...] [--out table.md]

Weights are random, images are small. Every network is deployed in every format, with every fault model. The pattern
goes round: over the networks each format and fault model meets each pattern. In each campaign 300 faults are run again
by `full` (`--verify 300`); the table has how many agreed, or the message of the first that did not. Campaigns already
in the file of `--out` are skipped, so that an interrupted run can be resumed.
"""

import argparse
import re
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from math import ceil
from pathlib import Path
from unittest.mock import patch

# name, side of its images in pixels, number of sites
NETWORKS = (
    ("digits_cnn", 8, 4),
    ("resnet20", 32, 20),
    ("squeezenet1_1", 64, 26),
    ("timm:test_vit", 160, 26),
    ("timm:test_convnext", 160, 10),
    ("mobilenet_v2", 32, 53),
)
FORMATS = ("int8", "bf16", "posit8", "mxfp8_e4m3")
FAULT_MODELS = ("flip", "burst", "stuck:at=1", "random", "zero")
PATTERNS = ("element", "row", "channel", "block:height=2,width=2", "several:count=3")
VERIFIED = 300
HEAD = ["| network | format | fault model | pattern | seconds | verified |", "|---|---|---|---|---|---|"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[name for name, *_ in NETWORKS])
    parser.add_argument("--formats", nargs="+", default=FORMATS)
    parser.add_argument("--out", type=Path, default=Path("verify_formats.md"))
    options = parser.parse_args()
    lines = options.out.read_text().splitlines() if options.out.exists() else HEAD
    with tempfile.TemporaryDirectory() as folder:
        for number, (network, side, sites) in enumerate(NETWORKS):
            for at, form in enumerate(FORMATS):
                for turn, model in enumerate(FAULT_MODELS):
                    pattern = PATTERNS[(number + at + turn) % len(PATTERNS)]
                    cells = f"| {network} | {form} | {model} | {pattern} |"
                    if (
                        network not in options.only
                        or form not in options.formats
                        or any(line.startswith(cells) for line in lines)
                    ):
                        continue
                    began = time.monotonic()
                    said = verified(network, side, sites, form, model, pattern, folder)
                    lines.append(f"{cells} {time.monotonic() - began:.0f} | {said} |")
                    options.out.write_text("\n".join(lines) + "\n")
                    print(lines[-1], flush=True)


def verified(network: str, side: int, sites: int, form: str, model: str, pattern: str, folder: str) -> str:
    """Return "300" if as many faults agree, else the error message."""
    from tgr_cli.app import main as tgr

    size, middle = str(side), "0.5" if network == "digits_cnn" else "0.5,0.5,0.5"
    arguments = (
        *("tgr", "inject", "--model", network, "--weights", "none", "--dataset", "digits", "--label", "golden"),
        *("--resize", size, "--crop", size, "--mean", middle, "--std", middle, "--images", "8", "--batch-size", "8"),
        *("--format", form, "--fault-model", model, "--pattern", pattern, "--sampling", "uniform", "--workdir", folder),
        *("--injections", str(ceil(VERIFIED / sites)), "--verify", str(VERIFIED), "--out", f"{folder}/faults.parquet"),
    )
    out, err, code = StringIO(), StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err), patch.object(sys, "argv", list(arguments)):
        try:
            tgr()
        except SystemExit as ended:
            code = int(ended.code or 0)
    last = (err.getvalue().strip().splitlines() or [""])[-1]
    found = re.search(r"verified: (\d+) random faults", out.getvalue())
    return found[1] if found and code == 0 else last.replace("|", "/")


if __name__ == "__main__":
    main()
