"""Print V_CNN of campaigns that differ in their fault model, and how alike they order layers and feature maps.

python benchmarks/error_models.py INJECTIONS.parquet …

V_CNN is the sum over layers of share of MACs × mean dLoss (ISSRE 2021, equations 1 and 2). Ratios between campaigns
pair their images. A layer's V is its term of that sum; a feature map's is the part of its layer's that struck the map.
Orders are compared by Spearman's coefficient between halves of the faults: those of even number in one campaign and of
odd number in the other, and the reverse. Campaigns of one seed may strike the same neurons, which would make whole
campaigns look alike. Noise lowers a coefficient; that between the halves of one campaign is what equal orders give.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
from scipy import stats

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.artifacts.store import Artifact
from tgr_cli.campaign import results
from tgr_cli.metrics.estimates import LinearisedEstimate


class Campaign:
    """A campaign's V by layer and by feature map; `part` is 0 or 1 for the faults of even or odd number."""

    def __init__(self, artifact: Artifact, part: int | None = None) -> None:
        if "feature_maps" in artifact.provenance.extra:  # where even numbers are faults in even channels
            raise SystemExit(f"{artifact.path} was drawn by feature map: use benchmarks/feature_map_order.py")
        rows = artifact.fact("sites")
        self.sites = [row["site"] for row in rows]
        macs_S = np.array([row["macs"] for row in rows], np.float64)
        self.share_S = macs_S / macs_S.sum()
        self.name = artifact.provenance.config["fault_model"]
        faults = results.read(artifact.table, artifact.provenance.config)
        channel_N = np.array([index[0] for index in artifact.column("index").tolist()], np.int64)
        if part is not None:
            kept_N = artifact.column("fault") % 2 == part
            faults, channel_N = faults.where(kept_N), channel_N[kept_N]
        figures = faults.mean_dlosses(self.sites)
        self.v_cnn: LinearisedEstimate = figures.combined(self.share_S)
        self.layer_S = self.share_S * figures.value
        part_N = self.share_S[figures.draws.site] * figures.contribution
        at_SN = [figures.draws.site == site for site in range(len(self.sites))]
        self.map_S = [np.bincount(channel_N[at_N], part_N[at_N]) for at_N in at_SN]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("injections", type=Path, nargs="+")
    options = parser.parse_args()
    artifacts = [store.read(path, INJECTIONS) for path in options.injections]
    for one, other in itertools.combinations_with_replacement(artifacts, 2):
        first, second = Campaign(one), Campaign(other)
        if one is other:
            value, low, high, _ = first.v_cnn.estimate()
            print(f"{first.name}: V_CNN {value:.4g} ({max(low, 0.0):.4g} to {high:.4g}) nats")
        else:
            value, low, high, _ = first.v_cnn.over(second.v_cnn)
            print(f"{first.name} / {second.name}: V_CNN {value:.3f} ({low:.3f} to {high:.3f})")
        ways = [alike(Campaign(one, part), Campaign(other, 1 - part)) for part in (0, 1)]
        layers, maps, within = np.mean(ways, axis=0)
        print(f"    order of layers {layers:.2f}, of feature maps {maps:.2f}, of those within a layer {within:.2f}")


def alike(one: Campaign, other: Campaign) -> tuple[float, float, float]:
    """Return how alike two campaigns order layers, maps of the network, and maps within a layer (median of layers)."""
    pairs = [padded(a, b) for a, b in zip(one.map_S, other.map_S, strict=True)]
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    within = [rank(*pair) for pair in pairs if all(np.ptp(side) > 0 for side in pair)]
    return rank(one.layer_S, other.layer_S), rank(first, second), float(np.median(within))


def padded(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both with zeros up to the longer: maps that no fault struck have no V."""
    length = max(len(one), len(other))
    return np.pad(one, (0, length - len(one))), np.pad(other, (0, length - len(other)))


def rank(one: np.ndarray, other: np.ndarray) -> float:
    return float(stats.spearmanr(one, other).statistic)


if __name__ == "__main__":
    main()
