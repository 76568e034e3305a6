"""What a campaign says: of one site, of the network, and of a candidate against a baseline.

Sources: mean dLoss of a layer and of a network as the mean over its layers, and improvement as baseline over candidate,
"Hardware resilience properties of text-guided image classifiers" (NeurIPS 2023), section 5; the sum weighted by
multiply-accumulates, V_CNN, Mahmoud et al. (ISSRE 2021), section III-B and equations 1 and 2.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from tgr_cli.metrics.intervals import CONFIDENCE, Estimate, clustered_mean, clustered_proportion
from tgr_cli.metrics.outcomes import OUTCOMES

RELIABLE_FROM = 30  # effective non-zero contributions below which a dLoss interval is flagged
NO_ESTIMATE = Estimate(math.nan, math.nan, math.nan, 0.0)

Row = Mapping[str, Any]  # a row of `vulnerability`: column name to value


@dataclass(frozen=True)
class Faults:
    """The columns of `injections` that summaries rest on, numpy arrays of shape [N]; dLoss is NaN where it is null."""

    site: np.ndarray
    image_id: np.ndarray
    outcome: np.ndarray
    weight: np.ndarray
    dloss: np.ndarray

    @classmethod
    def of(cls, columns: Mapping[str, np.ndarray]) -> "Faults":
        """Return the columns of these names; nulls of dLoss must be NaN already."""
        return cls(**{field.name: columns[field.name] for field in fields(cls)})

    @classmethod
    def read(cls, injections: pa.Table) -> "Faults":
        """Return the columns of a table that holds at least these of `injections`."""
        return cls.of({field.name: injections.column(field.name).to_numpy() for field in fields(cls)})

    def where(self, chosen_N: np.ndarray) -> "Faults":
        """Return the faults for which `chosen_N` is true."""
        return Faults(**{name: values[chosen_N] for name, values in vars(self).items()})

    def at(self, site: str) -> "Faults":
        """Return the faults at one site."""
        return self.where(self.site == site)

    def __len__(self) -> int:
        return len(self.site)


@dataclass(frozen=True)
class Network:
    """Figures of one network, each with its interval over all sites' faults, clustered by image across sites.

    `sdc_rate`, `failure_rate` (sdc or non_finite) and `mean_dloss` are means over sites; `mean_dloss_per_image` leaves
    out sites whose output does not depend on the image. NaN where a site had no finite outcome (dLoss only).
    `v_cnn_share` weights the sites' mean dLoss by their share of the network's multiply-accumulates, which compares
    parts of one network; `v_cnn` by the multiply-accumulates themselves, which compares networks (ISSRE 2021).
    """

    sdc_rate: Estimate
    failure_rate: Estimate
    mean_dloss: Estimate
    mean_dloss_per_image: Estimate
    v_cnn_share: float
    v_cnn: float


@dataclass(frozen=True)
class Gate:
    """The verdict on the gates of a campaign, with the sentence that says why."""

    verdict: Literal["passed", "failed", "undecided"]
    sentence: str


@dataclass(frozen=True)
class LastLayer:
    """Mean dLoss of a model's last layer: its last site alone, and its last two weighted by neurons and by MACs.

    For a model whose head is a single layer the three are equal. A text-guided model splits that layer in two, the
    backbone's last and the projection, and the paper does not say by what it weights them.
    """

    alone: float
    by_neurons: float
    by_macs: float


@dataclass(frozen=True)
class Improvement:
    """Factors baseline / candidate: above 1 the candidate is better; NaN where its figure is 0 or one is missing."""

    last_layer: float
    last_layer_by_neurons: float
    last_layer_by_macs: float
    overall: float
    overall_per_image: float
    overall_by_macs: float
    sdc_last_layer: float
    sdc_overall: float


def vulnerability_row(facts: Row, faults: Faults, confidence: float = CONFIDENCE) -> dict[str, Any]:
    """Return one row of `vulnerability` from the faults of one site; intervals are clustered by image.

    `facts` gives site, op, per_image, neurons and macs. Mean dLoss is mean(weight × dLoss) over the finite outcomes;
    its lower limit is never below 0, as dLoss is not.
    """
    counts = {outcome: int((faults.outcome == outcome).sum()) for outcome in OUTCOMES}
    assert sum(counts.values()) == len(faults), "an outcome that is none of the four"
    by_image = (faults.weight, faults.image_id, confidence)
    sdc = clustered_proportion(faults.outcome == "sdc", *by_image)
    failure = clustered_proportion(_failed(faults), *by_image)
    dloss = _mean_dloss(faults, confidence)
    return {
        **{name: facts[name] for name in ("site", "op", "per_image", "neurons", "macs")},
        "faults": len(faults),
        "images": len(np.unique(faults.image_id)),
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
        "reliable": dloss.effective >= RELIABLE_FROM and not math.isnan(dloss.low),
    }


def network(rows: Sequence[Row], faults: Faults, confidence: float = CONFIDENCE) -> Network:
    """Return the network's figures from its sites' rows of `vulnerability` and all their faults."""
    dependent_N = np.isin(faults.site, [row["site"] for row in rows if row["per_image"]])
    faults = replace(faults, site=_codes(faults.site), image_id=_codes(faults.image_id))
    by_image = (faults.weight, faults.image_id, confidence, faults.site)
    return Network(
        sdc_rate=clustered_proportion(faults.outcome == "sdc", *by_image),
        failure_rate=clustered_proportion(_failed(faults), *by_image),
        mean_dloss=_mean_dloss(faults, confidence),
        mean_dloss_per_image=_mean_dloss(faults.where(dependent_N), confidence),
        v_cnn_share=_weighted_mean(rows, "macs"),
        v_cnn=v_cnn(rows),
    )


def judge_gate(figures: Network, *, max_sdc_rate: float | None = None, max_dloss: float | None = None) -> Gate | None:
    """Return the verdict on the network's sdc + non_finite rate and mean dLoss, both means over sites.

    None where neither has a gate.

    A gate passes where the interval's upper limit is at most the gate, fails where the lower limit is above it, and
    is undecided otherwise; of two gates the worse verdict counts.
    """
    if max_sdc_rate is None and max_dloss is None:
        return None
    ranked: tuple[Literal["passed", "undecided", "failed"], ...] = ("passed", "undecided", "failed")
    worst, sentences = 0, []
    for what, estimate, gate in (
        ("sdc + non_finite rate", figures.failure_rate, max_sdc_rate),
        ("mean dLoss", figures.mean_dloss, max_dloss),
    ):
        if gate is None:
            continue
        interval = f"the network's {what} is {estimate.mean:.4g} ({estimate.low:.4g} to {estimate.high:.4g})"
        if estimate.high <= gate:
            verdict, sentence = 0, f"{interval}, within the gate of {gate:g}"
        elif estimate.low > gate:
            verdict, sentence = 2, f"{interval}, above the gate of {gate:g}"
        elif math.isnan(estimate.high):
            verdict, sentence = 1, f"the network's {what} has no interval to hold against the gate of {gate:g}"
        else:
            verdict, sentence = 1, f"{interval}, an interval that straddles the gate of {gate:g}"
        worst = max(worst, verdict)
        sentences.append(sentence)
    return Gate(ranked[worst], "; ".join(sentences))


def last_layer(rows: Sequence[Row], last_sites: Sequence[str]) -> LastLayer:
    """Return the three readings of a model's last layer; NaN where one of its sites was not struck, or none is known.

    `last_sites` are the sites that make it up, the logits' own first: the projection `head` and the backbone's last for
    a text-guided model, one for any other.
    """
    by_name = {row["site"]: row for row in rows}
    if not last_sites or not set(last_sites) <= set(by_name):
        return LastLayer(math.nan, math.nan, math.nan)
    chosen = [by_name[name] for name in last_sites]
    return LastLayer(
        _number(chosen[0]["mean_dloss"]), _weighted_mean(chosen, "neurons"), _weighted_mean(chosen, "macs")
    )


def v_cnn(rows: Iterable[Row]) -> float:
    """Return the sum over sites of multiply-accumulates × mean dLoss (ISSRE 2021, not normalised: across networks)."""
    return sum(row["macs"] * _number(row["mean_dloss"]) for row in rows)


def mean_over_sites(rows: Iterable[Row], column: str) -> float:
    """Return the mean of a column over sites, each counting alike (NeurIPS 2023); NaN where one is null or none is."""
    values = [_number(row[column]) for row in rows]
    return sum(values) / len(values) if values else math.nan


def improvement(
    baseline: Sequence[Row], candidate: Sequence[Row], last_baseline: Sequence[str], last_candidate: Sequence[str]
) -> Improvement:
    """Return the factors baseline / candidate from both models' rows of `vulnerability` and last layers' sites."""
    before, after = last_layer(baseline, last_baseline), last_layer(candidate, last_candidate)
    sdc_before, sdc_after = (
        next((_number(row["sdc_rate"]) for row in rows if row["site"] in last[:1]), math.nan)
        for rows, last in ((baseline, last_baseline), (candidate, last_candidate))
    )
    dependent = [[row for row in rows if row["per_image"]] for rows in (baseline, candidate)]
    return Improvement(
        last_layer=ratio(before.alone, after.alone),
        last_layer_by_neurons=ratio(before.by_neurons, after.by_neurons),
        last_layer_by_macs=ratio(before.by_macs, after.by_macs),
        overall=ratio(mean_over_sites(baseline, "mean_dloss"), mean_over_sites(candidate, "mean_dloss")),
        overall_per_image=ratio(*(mean_over_sites(rows, "mean_dloss") for rows in dependent)),
        overall_by_macs=ratio(v_cnn(baseline), v_cnn(candidate)),
        sdc_last_layer=ratio(sdc_before, sdc_after),
        sdc_overall=ratio(mean_over_sites(baseline, "sdc_rate"), mean_over_sites(candidate, "sdc_rate")),
    )


def median_dloss(faults: Faults) -> float:
    """Return the weighted median dLoss, non-finite outcomes counting as larger than any.

    NaN where the median is one of these, or there is no fault. It serves runs without a range limit, where a handful of
    faults carry the mean.
    """
    if len(faults) == 0:
        return math.nan
    dloss_N = np.where(np.isnan(faults.dloss), np.inf, faults.dloss)
    order_N = np.argsort(dloss_N, kind="stable")
    reached_N = np.cumsum(faults.weight[order_N])
    median = dloss_N[order_N][np.searchsorted(reached_N, reached_N[-1] / 2)]
    return float(median) if np.isfinite(median) else math.nan


def ratio(baseline: float, candidate: float) -> float:
    """Return baseline / candidate; NaN where the candidate's figure is 0 or either is missing."""
    return baseline / candidate if candidate else math.nan


def _mean_dloss(faults: Faults, confidence: float) -> Estimate:
    """Return the mean over sites of the mean dLoss of finite outcomes; NaN where a site has none."""
    finite = faults.where(faults.outcome != "non_finite")
    if len(finite) == 0 or len(np.unique(finite.site)) < len(np.unique(faults.site)):
        return NO_ESTIMATE
    estimate = clustered_mean(finite.dloss, finite.weight, finite.image_id, confidence, finite.site)
    return estimate._replace(low=max(0.0, estimate.low) if estimate.low == estimate.low else math.nan)


def _failed(faults: Faults) -> np.ndarray:
    return (faults.outcome == "sdc") | (faults.outcome == "non_finite")


def _codes(names_N: np.ndarray) -> np.ndarray:
    """Return equal numbers for equal names: numbers sort a hundred times faster."""
    return pa.array(names_N).dictionary_encode().indices.to_numpy()


def _weighted_mean(rows: Sequence[Row], by: str) -> float:
    total = sum(row[by] for row in rows)
    return sum(row[by] * _number(row["mean_dloss"]) for row in rows) / total if total else math.nan


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _none(value: float) -> float | None:
    return None if math.isnan(value) else value
