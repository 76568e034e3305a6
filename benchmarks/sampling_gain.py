"""Print how many uniform faults one fault of importance sampling is worth, from two campaigns on the same images.

python benchmarks/sampling_gain.py IMPORTANCE.parquet UNIFORM.parquet

Both are injections of `tgr inject`, of one model in one number format. The gain is the ratio of the variances of the
estimates, from errors summed by image as the intervals are, times the faults of each campaign: what equal numbers of
faults would give. `both` takes both variances from their own campaigns. `one` takes that of a uniform fault from the
importance campaign too, as the mean of w·x² minus the squared mean of w·x: less noisy where few uniform faults do
harm. `these` is that gain for the given images only: without the variance of the images' own means, which no choice of
faults reduces. A site whose campaign saw no SDC has no gain.
"""

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.campaign import results
from tgr_cli.metrics.estimates import SiteEstimates, means
from tgr_cli.metrics.summary import FaultColumns

NAMES = "SDC rate", "mean dLoss"


@dataclass(frozen=True)
class Gain:
    """An estimate by importance sampling, and its gains, see above."""

    value: float
    both: float
    one: float
    these: float

    @classmethod
    def of(cls, faults: FaultColumns, importance: SiteEstimates, uniform: SiteEstimates, value_N: np.ndarray) -> "Gain":
        """Return the gains of an estimate by two campaigns; `value_N` is each of `faults`' own value."""
        own = variance(importance)
        weighted_N = faults.weight * value_N
        same = float((weighted_N * value_N).mean() - weighted_N.mean() ** 2)
        fixed = variance(means(replace(importance.draws, excess=None), value_N))
        return cls(float(importance.value[0]), ratio(variance(uniform), own), ratio(same, own), ratio(same, fixed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("importance", type=Path)
    parser.add_argument("uniform", type=Path)
    options = parser.parse_args()
    importance, sites = read(options.importance)
    uniform, _ = read(options.uniform)
    rows = [row(importance.at(site), uniform.at(site), site) for site in sites]
    print(f"{'site':24}" + "".join(f"{name:>12}{'both':>8}{'one':>8}{'these':>8}" for name in NAMES))
    for site, figures in zip(sites, rows, strict=True):
        print(
            f"{site:24}" + "".join(f"{one.value:12.3g}{one.both:8.1f}{one.one:8.1f}{one.these:8.1f}" for one in figures)
        )
    for place, name in enumerate(NAMES):
        gains = {way: median([getattr(figures[place], way) for figures in rows]) for way in ("both", "one", "these")}
        print(f"{name}, median of the sites with a gain: " + ", ".join(f"{way} {gain}" for way, gain in gains.items()))


def read(path: Path) -> tuple[FaultColumns, list[str]]:
    """Return a campaign's faults and the names of its sites."""
    artifact = store.read(path, INJECTIONS)
    sites = [row["site"] for row in artifact.provenance.extra["sites"]]
    return results.read(artifact.table, artifact.provenance.config), sites


def row(importance: FaultColumns, uniform: FaultColumns, site: str) -> tuple[Gain, Gain]:
    """Return the gains of a site's SDC rate and mean dLoss."""
    finite_N = importance.outcome != "non_finite"
    return (
        Gain.of(importance, importance.sdc_rates([site]), uniform.sdc_rates([site]), importance.outcome == "sdc"),
        Gain.of(
            importance,
            importance.mean_dlosses([site]),
            uniform.mean_dlosses([site]),
            np.where(finite_N, np.nan_to_num(importance.dloss), 0.0),
        ),
    )


def variance(figures: SiteEstimates) -> float:
    """Return the variance of one fault's contribution to a site's estimate, from errors summed by image."""
    error_C = figures.combined(np.ones(1)).totals()[1]
    return float((error_C**2).sum()) * len(figures.draws.site)


def ratio(uniform: float, importance: float) -> float:
    return uniform / importance if uniform > 0 and importance > 0 else math.nan


def median(gains: list[float]) -> str:
    held = [gain for gain in gains if not math.isnan(gain)]
    return f"{np.median(held):.1f} ({min(held):.1f} to {max(held):.1f}, {len(held)} sites)" if held else "-"


if __name__ == "__main__":
    main()
