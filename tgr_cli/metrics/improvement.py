"""Improvement factors baseline / candidate, each with an interval.

A factor above 1 means that the candidate is better: "Hardware resilience properties of text-guided image classifiers"
(NeurIPS 2023), section 5. In a text-guided model the last layer consists of two, the backbone's last one and the
projection. The paper does not say how the two are weighted, so three variants are given.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tgr_cli.defaults import CONFIDENCE
from tgr_cli.metrics.estimates import Estimate, LinearisedEstimate, SiteEstimates, medians
from tgr_cli.metrics.summary import FaultColumns, Row

MEANS = (
    "last_layer",
    "last_layer_by_neurons",
    "last_layer_by_macs",
    "overall",
    "overall_per_image",
    "overall_by_macs",
)
RATES = ("sdc_last_layer", "sdc_overall")
MEDIANS = ("median_last_layer", "median_overall")
FACTORS = MEANS + MEDIANS + RATES


def figures(rows: Sequence[Row], faults: FaultColumns, last_sites: Sequence[str]) -> dict[str, LinearisedEstimate]:
    """Return the estimates of one model that each of `FACTORS` compares, from its sites' facts and their faults.

    `last_sites` form the last layer, the logits' own first: the projection `head` and the backbone's last layer for a
    text-guided model, one site for any other. Estimates of the last layer are NaN if one of them has no faults or they
    are unknown. Medians treat non-finite outcomes as larger than any dLoss; they are for campaigns without a range
    limit, where a few faults dominate the mean.
    """
    sites = [row["site"] for row in rows]
    known = len(last_sites) > 0 and set(last_sites) <= set(sites)
    columns = {name: np.array([row[name] for row in rows], np.float64) for name in ("neurons", "macs", "per_image")}
    last_S = np.isin(sites, last_sites) * known
    # the projection alone, without the backbone's last layer
    final_S = np.isin(sites, last_sites[:1]).astype(np.float64)
    alike_S = np.ones(len(sites))
    dlosses, rates = faults.mean_dlosses(sites), faults.sdc_rates(sites)
    middles = medians(rates.draws, np.where(faults.outcome == "non_finite", np.inf, faults.dloss))
    return {
        "last_layer": _mean(dlosses, final_S * known),
        "last_layer_by_neurons": _mean(dlosses, last_S * columns["neurons"]),
        "last_layer_by_macs": _mean(dlosses, last_S * columns["macs"]),
        "overall": _mean(dlosses, alike_S),
        "overall_per_image": _mean(dlosses, columns["per_image"]),
        "overall_by_macs": dlosses.combined(columns["macs"]),
        "sdc_last_layer": _mean(rates, final_S),
        "sdc_overall": _mean(rates, alike_S),
        "median_last_layer": _mean(middles, final_S),
        "median_overall": _mean(middles, alike_S),
    }


def improvement(
    baseline: Mapping[str, LinearisedEstimate],
    candidate: Mapping[str, LinearisedEstimate],
    confidence: float = CONFIDENCE,
) -> dict[str, Estimate]:
    """Return the factors baseline / candidate by name; images that both campaigns use are paired.

    A factor is NaN if the candidate's estimate is 0 or either is undefined; its limits also if the baseline's is 0.
    """
    return {name: baseline[name].over(candidate[name], confidence) for name in FACTORS}


def _mean(of: SiteEstimates, weight_S: np.ndarray) -> LinearisedEstimate:
    """Return the weighted mean over sites; NaN if all weights are 0."""
    return of.combined(weight_S / max(weight_S.sum(), 1))
