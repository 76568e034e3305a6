"""Print what other mixtures of importance sampling would have gained, from one campaign whose rows are re-weighted.

python benchmarks/image_chances.py IMPORTANCE.parquet

A fault is drawn with UNIFORM + (WITHIN + OVER · R) · Q times its uniform probability, R of its image and Q within it
(`faults/sampling/image_chances.py`); the columns `weight` and `image_weight` give both back. The gain is how many
uniform faults one fault is worth: the variance of a uniform fault's value over that of weight × value under the
mixture, both from the rows of the campaign, for these images. Median over sites, smallest, and that of the last site.
"""

import argparse
from pathlib import Path

import numpy as np

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.faults.sampling.image_chances import OVER, UNIFORM, WITHIN

MIXTURES = ((0.1, 0.9, 0.0), (0.1, 0.5, 0.4), (0.1, 0.2, 0.7), (0.1, 0.1, 0.8), (0.1, 0.0, 0.9))
MIXTURES += ((0.2, 0.1, 0.7), (0.3, 0.1, 0.6), (0.5, 0.1, 0.4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("importance", type=Path)
    artifact = store.read(parser.parse_args().importance, INJECTIONS)
    site_N, weight_N, chance_N = (artifact.column(name) for name in ("site", "weight", "image_weight"))
    chance_N = 1 / chance_N
    image_N = (chance_N - UNIFORM - WITHIN) / OVER
    within_N = (1 / weight_N - UNIFORM) / (WITHIN + OVER * image_N)
    values = {"mean dLoss": np.nan_to_num(artifact.column("dloss")), "SDC rate": artifact.column("outcome") == "sdc"}
    heads = "".join(f"{name + ': median, smallest, last':36}" for name in values)
    print(f"{'uniform':>8}{'within':>8}{'over':>8}  {heads}")
    for uniform, within, over in MIXTURES:
        density_N = uniform + (within + over * image_N) * within_N
        cells = ""
        for x_N in values.values():
            found = [gain(weight_N[at], x_N[at], density_N[at]) for at in (site_N == s for s in dict.fromkeys(site_N))]
            found = [each for each in found if np.isfinite(each)]
            shown = (np.median(found), min(found), found[-1]) if found else (np.nan,) * 3
            cells += "".join(f"{each:10.1f}" for each in shown) + "      "
        print(f"{uniform:8.2f}{within:8.2f}{over:8.2f}  {cells}")


def gain(weight_N: np.ndarray, x_N: np.ndarray, density_N: np.ndarray) -> float:
    """Return the gain at one site under another density of draws; NaN where no value differs from 0."""
    square = float((weight_N * x_N).mean()) ** 2
    other = float((weight_N * x_N**2 / density_N).mean()) - square
    return (float((weight_N * x_N**2).mean()) - square) / other if other > 0 else np.nan


if __name__ == "__main__":
    main()
