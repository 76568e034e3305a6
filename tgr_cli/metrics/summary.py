"""The results of a campaign, for one site and for the network.

Sources: mean dLoss of a layer, and of a network as the mean over its layers, "Hardware resilience properties of
text-guided image classifiers" (NeurIPS 2023), section 5; the sum weighted by multiply-accumulates, V_CNN, Mahmoud et
al. (ISSRE 2021), section III-B and equations 1 and 2.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from tgr_cli.defaults import CONFIDENCE
from tgr_cli.metrics.estimates import Draws, SiteEstimates, codes, means, means_where, share
from tgr_cli.metrics.intervals import Estimate
from tgr_cli.metrics.outcomes import OUTCOMES

Row = Mapping[str, Any]  # facts of a site, or its row of `vulnerability`: column name to value


@dataclass(frozen=True)
class FaultColumns:
    """The columns of `injections` that summaries need, numpy arrays of shape [N]; null dLoss is NaN.

    `cluster` groups correlated rows: those of one image or, where one fault was tried on several images, those of that
    fault. `stratum` is the bit if the number of faults per bit was fixed in advance, else 0.
    """

    site: np.ndarray
    image_id: np.ndarray
    outcome: np.ndarray
    weight: np.ndarray
    image_excess: np.ndarray
    dloss: np.ndarray
    cluster: np.ndarray
    stratum: np.ndarray

    @classmethod
    def read(
        cls,
        injections: pa.Table,
        *,
        clusters: Literal["image", "fault"] = "image",
        strata: Literal["none", "bit"] = "none",
    ) -> "FaultColumns":
        """Return the columns of an `injections` table; `clusters` and `strata` choose what forms one of them."""
        plain = [field.name for field in fields(cls) if field.name not in ("cluster", "stratum")]
        columns = {name: injections.column(name).to_numpy() for name in plain}
        if clusters == "image":
            cluster_N = columns["image_id"]
        else:
            cluster_N = codes(columns["site"]).astype(np.int64) << 32 | injections.column("fault").to_numpy()
        stratum_N = injections.column("bit").to_numpy() if strata == "bit" else np.zeros(len(cluster_N), np.int64)
        return cls(**columns, cluster=cluster_N, stratum=stratum_N)

    def where(self, chosen_N: np.ndarray) -> "FaultColumns":
        """Return the faults where `chosen_N` is True."""
        return FaultColumns(**{name: values[chosen_N] for name, values in vars(self).items()})

    def at(self, site: str) -> "FaultColumns":
        """Return the faults at one site."""
        return self.where(self.site == site)

    def draws(self, sites: Sequence[str]) -> Draws:
        """Return the faults as draws at `sites`, numbered in this order; every fault must be at one of them."""
        number = {name: place for place, name in enumerate(sites)}
        names = pa.array(self.site).dictionary_encode()
        site_N = np.array([number[name] for name in names.dictionary.to_pylist()], np.int64)[names.indices.to_numpy()]
        return Draws(len(sites), site_N, self.stratum, self.cluster, self.weight, excess=self.image_excess)

    def sdc_rates(self, sites: Sequence[str]) -> SiteEstimates:
        """Return each site's rate of outcome sdc."""
        return means(self.draws(sites), (self.outcome == "sdc").astype(np.float64))

    def failure_rates(self, sites: Sequence[str]) -> SiteEstimates:
        """Return each site's rate of outcomes sdc and non_finite."""
        return means(self.draws(sites), ((self.outcome == "sdc") | (self.outcome == "non_finite")).astype(np.float64))

    def mean_dlosses(self, sites: Sequence[str]) -> SiteEstimates:
        """Return each site's mean dLoss of finite outcomes."""
        return means_where(self.draws(sites), self.dloss, self.outcome != "non_finite")

    def __len__(self) -> int:
        return len(self.site)


@dataclass(frozen=True)
class NetworkEstimates:
    """Estimates for one network; faults in the same image are one cluster across all sites.

    `sdc_rate`, `failure_rate` (sdc or non_finite) and `mean_dloss` are means over sites; `mean_dloss_per_image`
    excludes sites whose output all images share. dLoss is NaN if a site had no finite outcome. `v_cnn_share` weights
    the mean dLoss of each site by its share of the network's multiply-accumulates, for comparing parts of one network;
    `v_cnn` weights by the multiply-accumulates themselves, for comparing networks (ISSRE 2021).
    """

    sdc_rate: Estimate
    failure_rate: Estimate
    mean_dloss: Estimate
    mean_dloss_per_image: Estimate
    v_cnn_share: Estimate
    v_cnn: Estimate


@dataclass(frozen=True)
class Gate:
    """The verdict on a gate, with a sentence that gives the reason; or on several together, its `parts`."""

    verdict: Literal["passed", "failed", "undecided"]
    sentence: str
    parts: tuple["Gate", ...] = ()

    @property
    def facts(self) -> dict[str, str]:
        """Return the verdict and the sentence."""
        return {"verdict": self.verdict, "sentence": self.sentence}

    @property
    def alone(self) -> tuple["Gate", ...]:
        """Return the single gates that this is made of."""
        return tuple(single for part in self.parts for single in part.alone) or (self,)


def vulnerability_row(
    facts: Row, faults: FaultColumns, confidence: float = CONFIDENCE, *, count: int | None = None
) -> dict[str, Any]:
    """Return one row of `vulnerability` from the faults of one site.

    `facts` gives site, op, per_image, neurons and macs. `count` is the number of faults if each has several rows. Mean
    dLoss is over finite outcomes; its lower limit is clamped at 0, since dLoss is not negative.
    """
    counts = {outcome: int((faults.outcome == outcome).sum()) for outcome in OUTCOMES}
    assert sum(counts.values()) == len(faults), "an outcome that is none of the four"
    site, alone = [facts["site"]], np.ones(1)
    sdc = share(faults.sdc_rates(site), alone, confidence)
    failure = share(faults.failure_rates(site), alone, confidence)
    dloss = _at_least_0(faults.mean_dlosses(site).combined(alone).estimate(confidence))
    return {
        **{name: facts[name] for name in ("site", "op", "per_image", "neurons", "macs")},
        "faults": len(faults) if count is None else count,
        "images": len(np.unique(codes(faults.image_id))),
        **counts,
        "sdc_rate": sdc.mean,
        "sdc_rate_low": sdc.low,
        "sdc_rate_high": sdc.high,
        "failure_rate": failure.mean,
        "failure_rate_low": failure.low,
        "failure_rate_high": failure.high,
        "mean_dloss": _none(dloss.mean),
        "mean_dloss_low": _none(dloss.low),
        "mean_dloss_high": _none(dloss.high),
        "reliable": dloss.reliable,
        "sdc_rate_reliable": sdc.reliable,
    }


def network(rows: Sequence[Row], faults: FaultColumns, confidence: float = CONFIDENCE) -> NetworkEstimates:
    """Return the network's estimates from its sites' facts and all their faults."""
    sites = [row["site"] for row in rows]
    macs_S = np.array([row["macs"] for row in rows], np.float64)
    dependent_S = np.array([row["per_image"] for row in rows], np.float64)
    alike_S = np.full(len(rows), 1 / len(rows))
    dlosses = faults.mean_dlosses(sites)

    def mean_dloss(coefficient_S: np.ndarray) -> Estimate:
        return _at_least_0(dlosses.combined(coefficient_S).estimate(confidence))

    return NetworkEstimates(
        sdc_rate=share(faults.sdc_rates(sites), alike_S, confidence),
        failure_rate=share(faults.failure_rates(sites), alike_S, confidence),
        mean_dloss=mean_dloss(alike_S),
        mean_dloss_per_image=mean_dloss(dependent_S / max(dependent_S.sum(), 1)),
        v_cnn_share=mean_dloss(macs_S / max(macs_S.sum(), 1)),
        v_cnn=mean_dloss(macs_S),
    )


def judge_gate(
    figures: NetworkEstimates, *, max_sdc_rate: float | None = None, max_dloss: float | None = None
) -> Gate | None:
    """Return the verdict on the network's sdc + non_finite rate and mean dLoss, both means over sites.

    None if neither has a gate.

    A gate passes if the interval's upper limit is at most the gate, fails if the lower limit is above it, and is
    undecided otherwise; also if a mean dLoss has too small an effective sample size to pass. Of two gates the worse
    verdict counts.
    """
    if max_sdc_rate is None and max_dloss is None:
        return None
    gates = []
    for what, estimate, gate in (
        ("sdc + non_finite rate", figures.failure_rate, max_sdc_rate),
        ("mean dLoss", figures.mean_dloss, max_dloss),
    ):
        if gate is None:
            continue
        interval = f"the network's {what} is {estimate.mean:.4g} ({estimate.low:.4g} to {estimate.high:.4g})"
        if estimate.high <= gate and what == "mean dLoss" and not estimate.reliable:
            sentence = f"{interval}, within the gate of {gate:g} but resting on too few contributions"
            gates.append(Gate("undecided", sentence))
        elif estimate.high <= gate:
            gates.append(Gate("passed", f"{interval}, within the gate of {gate:g}"))
        elif estimate.low > gate:
            gates.append(Gate("failed", f"{interval}, above the gate of {gate:g}"))
        elif math.isnan(estimate.high):
            sentence = f"the network's {what} has no interval, so the gate of {gate:g} is undecided"
            gates.append(Gate("undecided", sentence))
        else:
            gates.append(Gate("undecided", f"{interval}, an interval that straddles the gate of {gate:g}"))
    return worst(gates)


def worst(gates: Sequence[Gate]) -> Gate:
    """Return the gates combined: the worst verdict, and all sentences."""
    ranked = ("passed", "undecided", "failed")
    verdict = max((gate.verdict for gate in gates), key=ranked.index)
    return Gate(verdict, "; ".join(gate.sentence for gate in gates), tuple(gates))


def _at_least_0(estimate: Estimate) -> Estimate:
    return estimate._replace(low=estimate.low if math.isnan(estimate.low) else max(0.0, estimate.low))


def _none(value: float) -> float | None:
    return None if math.isnan(value) else value
