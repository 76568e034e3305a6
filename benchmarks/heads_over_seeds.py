"""Print the improvement of each head over the baseline for several training seeds, as a Markdown table.

python benchmarks/heads_over_seeds.py MODEL HEAD… --dataset NAME --seeds 0 1 2 [--against HEAD] [--workdir runs]

HEAD is the last part of a run's name: cosine, text-template, text-descriptions. Reads the runs `MODEL-HEAD[-sSEED]` and
`MODEL-baseline[-sSEED]` written by `tgr train`, `evaluate` and `inject`, and compares each with the baseline of the
same seed (or the head given by --against), as `tgr compare` does. The interval of a factor covers the faults and images
of one training. The variation between seeds is shown beside it: geometric mean, smallest and largest factor.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tgr_cli.steps import compare

FACTORS = {
    "last_layer": "mean dLoss, last layer: the last site alone",
    "last_layer_by_neurons": "mean dLoss, last two layers by neurons",
    "last_layer_by_macs": "mean dLoss, last two layers by MACs",
    "overall": "mean dLoss, mean over sites",
    "sdc_last_layer": "SDC rate, last layer",
    "sdc_overall": "SDC rate, mean over sites",
    "median_last_layer": "median dLoss, last layer",
}
SHARES = {"accuracy": "top-1", "top2diff": "mean Top2Diff of correct images"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("heads", nargs="+")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--against", default="baseline")
    parser.add_argument("--workdir", type=Path, default=Path("runs"))
    options = parser.parse_args()
    rows = {head: [compared(options, head, seed) for seed in options.seeds] for head in options.heads}
    first = next(iter(rows.values()))
    print(f"| figure | {options.against} |", " | ".join(options.heads), "|\n|---|---|" + "---|" * len(rows))
    for name, meaning in SHARES.items():
        cells = [spread([row[f"{name}_baseline"] for row in first])]
        cells += [spread([row[f"{name}_candidate"] for row in of]) for of in rows.values()]
        print(f"| {meaning} |", " | ".join(cells), "|")
    for name, meaning in FACTORS.items():
        print(f"| {meaning} | |", " | ".join(factors(of, name) for of in rows.values()), "|")


def compared(options: argparse.Namespace, head: str, seed: int) -> dict[str, Any]:
    """Return the row of `comparison` of two heads of the same seed, each on its own images."""
    end = f"-s{seed}" if seed else ""
    config = compare.Config(
        baseline=f"{options.model}-{options.against}{end}",
        candidates=[f"{options.model}-{head}{end}"],
        dataset=options.dataset,
        workdir=options.workdir,
        out=Path(tempfile.mkdtemp()) / "comparison.parquet",
    )
    (own,) = [row for row in compare.run(config).rows if row["images"] == "own"]
    return own


def spread(values: list[float]) -> str:
    """Return the mean, smallest and largest of shares over seeds."""
    return f"{np.mean(values):.4f} ({min(values):.4f} to {max(values):.4f})"


def factors(rows: list[dict[str, Any]], name: str) -> str:
    """Return the geometric mean, smallest and largest factor over seeds, then the interval of each seed."""
    values = [row[name] for row in rows]
    if any(value is None for value in values):
        return "-"
    intervals = ", ".join(_with_limits(row, name) for row in rows)
    return f"**{np.exp(np.mean(np.log(values))):.2f}** ({min(values):.2f} to {max(values):.2f}): {intervals}"


def _with_limits(row: dict[str, Any], name: str) -> str:
    flag = "" if row[f"{name}_reliable"] else "~"
    return f"{row[name]:.2f} [{flag}{_limit(row[f'{name}_low'])}, {_limit(row[f'{name}_high'])}]"


def _limit(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
