"""How much better a candidate is than a baseline: factors baseline / candidate, each with an interval.

Improvement is baseline over candidate, above 1 where the candidate is better: "Hardware resilience properties of
text-guided image classifiers" (NeurIPS 2023), section 5. The last layer of a text-guided model is two layers, the
backbone's last and the projection, and the paper does not say by what it weights them: there are three readings.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tgr_cli.metrics.estimates import Estimate, Figure, SiteFigures, medians
from tgr_cli.metrics.intervals import CONFIDENCE
from tgr_cli.metrics.summary import Faults, Row

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


def figures(rows: Sequence[Row], faults: Faults, last_sites: Sequence[str]) -> dict[str, Figure]:
    """Return what each of `FACTORS` divides, for one side: its sites' facts in order, and all their faults.

    `last_sites` make up the last layer, the logits' own first: the projection `head` and the backbone's last for a
    text-guided model, one for any other. Where one of them was not struck, or none is known, a figure of the last layer
    is NaN. Medians count non-finite outcomes as larger than any dLoss; they serve runs without a range limit, where a
    handful of faults carry the mean.
    """
    sites = [row["site"] for row in rows]
    known = len(last_sites) > 0 and set(last_sites) <= set(sites)
    columns = {name: np.array([row[name] for row in rows], np.float64) for name in ("neurons", "macs", "per_image")}
    last_S = np.isin(sites, last_sites) * known
    final_S = np.isin(sites, last_sites[:1]).astype(np.float64)  # the projection alone can stand without the other
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
    baseline: Mapping[str, Figure], candidate: Mapping[str, Figure], confidence: float = CONFIDENCE
) -> dict[str, Estimate]:
    """Return the factors baseline / candidate, by name; images that both sides struck are paired.

    A factor is NaN where the candidate's figure is 0 or one is missing, its limits also where the baseline's is 0.
    """
    return {name: baseline[name].over(candidate[name], confidence) for name in FACTORS}


def _mean(of: SiteFigures, weight_S: np.ndarray) -> Figure:
    """Return the mean over sites by weight; NaN where no site has any."""
    return of.combined(weight_S / max(weight_S.sum(), 1))
