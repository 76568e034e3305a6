"""The vulnerability of feature maps: where a fault originates, times how it propagates.

Source: Mahmoud et al., "Optimizing selective protection for CNN resilience" (ISSRE 2021), section III-B: equation 1,
V = V_orig × P_prop with P_prop by mean dLoss or by mismatch (outcome sdc), and equation 2, V_CNN as the sum over maps.

Suffix: N rows of injections.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tgr_cli.defaults import CONFIDENCE
from tgr_cli.metrics import summary
from tgr_cli.metrics.convergence import Convergence
from tgr_cli.metrics.estimates import share_of_unequal
from tgr_cli.metrics.intervals import Estimate
from tgr_cli.metrics.summary import FaultColumns, Row

# Each V, and the column of P_prop that it is the product with.
PROPAGATION = {"v_dloss": "mean_dloss", "v_sdc": "sdc_rate"}
ENDS = ("", "_low", "_high")


Limits = Mapping[str, Sequence[float | None]]  # an estimate, its lower and upper limit, by name


@dataclass(frozen=True)
class MapStudy:
    """What a campaign tells of feature maps: rows of `feature_maps`, V_CNN, and how well the maps are ordered.

    `held` is the share of V_CNN that the most vulnerable third of the maps holds (`convergence.held`).
    """

    rows: Sequence[Row]
    v_cnn: Limits
    convergences: Sequence[Convergence]
    held: float | None


@dataclass(frozen=True)
class MapsDigest:
    """A summary of `feature_maps`: V_CNN, the share of it that each site holds, and the maps with the largest V."""

    v_cnn: Limits
    sites: Sequence[Row]
    most: Sequence[Row]


def digest(rows: Sequence[Row], v_cnn: Limits, shown: int, *, limited: bool) -> MapsDigest:
    """Return the summary with `shown` maps, by mean dLoss or, if values are not `limited`, by mismatch."""
    metric = "v_dloss" if limited else "v_sdc"
    wholes = {name: sum(row[name] or 0.0 for row in rows) for name in PROPAGATION}
    sites = []
    for site in dict.fromkeys(row["site"] for row in rows):
        own = [row for row in rows if row["site"] == site]
        shares = {
            f"{name}_share": sum(row[name] or 0.0 for row in own) / whole if whole else None
            for name, whole in wholes.items()
        }
        sites.append({"site": site, "maps": len(own), "v_orig": sum(row["v_orig"] for row in own), **shares})
    return MapsDigest(v_cnn, sites, sorted(rows, key=lambda row: -(row[metric] or 0.0))[:shown])


def site_rows(
    site: Row,
    faults: FaultColumns,
    *,
    fault_N: np.ndarray,
    maps: int,
    work: int,
    confidence: float = CONFIDENCE,
) -> list[dict[str, Any]]:
    """Return one row of `feature_maps` for each map of a site, by channel, from the site's faults.

    `site` gives site, op, per_image, neurons and macs of all its `maps`, which do equal parts of its work; `work` is
    the MACs of all struck sites. `fault_N` numbers the faults, of which a lasting one has several rows: the maps take
    turns (`faults.places`).
    """
    rows, channel_N = [], fault_N % maps
    order_N = np.argsort(channel_N, kind="stable")
    ends = np.cumsum(np.bincount(channel_N, minlength=maps))
    for channel, own in enumerate(np.split(order_N, ends[:-1])):
        facts = {**site, "neurons": site["neurons"] // maps, "macs": site["macs"] // maps}
        count = len(np.unique(fault_N[own]))
        row = summary.vulnerability_row(facts, faults.where(own), confidence, count=count)
        rows.append({**row, "channel": channel, **_vulnerabilities(row, site["macs"] / maps / max(work, 1))})
    return rows


def _vulnerabilities(row: Mapping[str, Any], v_orig: float) -> dict[str, float | None]:
    """Return V_orig, and both V with their limits; None where P_prop is."""
    found: dict[str, float | None] = {"v_orig": v_orig}
    for name, p_prop in PROPAGATION.items():
        for end in ENDS:
            value = row[p_prop + end]
            found[name + end] = None if value is None else v_orig * value
    return found


def v_cnn(sites: Sequence[Row], faults: FaultColumns, confidence: float = CONFIDENCE) -> dict[str, Estimate]:
    """Return V_CNN, the sum of V over all feature maps of the struck `sites`, by mean dLoss and by mismatch.

    Every map of a site has equal work and as many faults, so it is the sites' figures weighted by their work. Their
    intervals are of the sites' draws, without the division into maps: no narrower than with it.
    """
    names, macs_S = [site["site"] for site in sites], np.array([site["macs"] for site in sites], np.float64)
    share_S = macs_S / max(macs_S.sum(), 1)
    return {
        "v_dloss": summary.network(sites, faults, confidence).v_cnn_share,
        "v_sdc": share_of_unequal(faults.sdc_rates(names), share_S, confidence),
    }
