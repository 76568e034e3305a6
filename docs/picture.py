"""Write docs/report.png, the README's picture: a plot from the report of `tgr demo`.

python docs/picture.py [--injections 1024]
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PLOT = "mean_dloss-digits_cnn_text_descriptions.png"
LARGEST = 150_000  # bytes
RUNS = ("digits_cnn-baseline", "digits_cnn-cosine", "digits_cnn-text-descriptions")


def tgr(folder: Path, *arguments: str) -> None:
    """Run a tgr command in this folder."""
    subprocess.run([sys.executable, "-m", "tgr_cli", *arguments], cwd=folder, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--injections", default="1024", help="faults a site")
    parser.add_argument("--demo", type=Path, help="a folder in which tgr demo has run (default: run it)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.demo or Path(temporary)
        if options.demo is None:
            tgr(folder, "demo", "--injections", options.injections)
        plots = Path(temporary) / "plots"
        tgr(folder, "report", *RUNS, "--dataset", "digits", "--png", str(plots))
        size = (plots / PLOT).stat().st_size
        if size > LARGEST:
            sys.exit(f"{PLOT} has {size:,} bytes; at most {LARGEST:,} belong into the repository")
        shutil.copy(plots / PLOT, DOCS / "report.png")


if __name__ == "__main__":
    main()
