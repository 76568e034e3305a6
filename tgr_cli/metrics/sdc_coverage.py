"""The share of SDCs that protections catch, as a ratio over the sites of a population, with score intervals.

With coefficient a_s of site s and the importance weight w of a fault,

    coverage = Σ a_s mean_s(w · sdc · caught) / Σ a_s mean_s(w · sdc).

Both sums are unbiased estimates; the error of the ratio is linearised and summed by cluster (Cochran 1977). SDCs may be
those of some images only: other draws then count as no SDC, and stay among the draws of their site.

Suffixes: N draws, K draws that are SDCs, S sites, H strata of sites with an SDC, C clusters, P pairs of stratum and
cluster, D protections.

Source: W. G. Cochran, "Sampling techniques", 3rd edition (1977), chapters 2 (subpopulations), 5A, 6 and 9A.
"""

from dataclasses import dataclass

import numpy as np

from tgr_cli.defaults import CONFIDENCE
from tgr_cli.metrics.estimates import NO_ESTIMATE, Draws, codes
from tgr_cli.metrics.intervals import Estimate, Interval, effective, score_interval


@dataclass(frozen=True)
class Counted:
    """The faults on which protections are judged: the draws, and the coefficient of each site, [S].

    `sdc_N` marks the draws that are SDCs in images whose golden prediction is correct. Draws may include sites with
    coefficient 0.
    """

    draws: Draws
    coefficient_S: np.ndarray
    sdc_N: np.ndarray

    def contributions(self, values_N: np.ndarray) -> np.ndarray:
        """Return each draw's contribution to the population's mean of `values_N`, [N]."""
        draws = self.draws
        return np.asarray((self.coefficient_S / draws.per_site)[draws.site] * draws.weight * values_N)


@dataclass(frozen=True)
class _Strata:
    """The strata that hold SDCs: the number of draws of each one [H], and in each of its clusters [P].

    `pairs` are the ends of each stratum's pairs, [H + 1]; `stretch` corrects the deviations of small strata for their
    sample mean, as in `Draws.centred`.
    """

    draws_H: np.ndarray
    stretch_H: np.ndarray
    pairs: np.ndarray
    cluster_P: np.ndarray
    draws_P: np.ndarray

    @classmethod
    def of(cls, draws: Draws, cluster_N: np.ndarray, stratum_N: np.ndarray, held_H: np.ndarray) -> "_Strata":
        draws_H = np.bincount(stratum_N)[held_H]
        several = int(draws.stratum.max()) > 0
        stretch_H = np.sqrt(draws_H / np.maximum(draws_H - 1, 1)) if several else np.ones(len(held_H))
        place_N = np.full(int(stratum_N.max()) + 1, -1)
        place_N[held_H] = np.arange(len(held_H))
        inside_N = place_N[stratum_N] >= 0
        clusters = int(cluster_N.max()) + 1
        pair_P, draws_P = np.unique(place_N[stratum_N[inside_N]] * clusters + cluster_N[inside_N], return_counts=True)
        ends = np.searchsorted(pair_P, np.arange(len(held_H) + 1) * clusters)
        return cls(draws_H, stretch_H, ends, pair_P % clusters, draws_P)


class SdcCoverage:
    """Computes the coverage of many protections of the same faults; what they share is prepared once."""

    def __init__(self, counted: Counted) -> None:
        draws = counted.draws
        value_N = np.where(counted.sdc_N, counted.contributions(np.ones(len(counted.sdc_N))), 0.0)
        self.sdc_K = np.flatnonzero(value_N > 0)
        if not len(self.sdc_K):
            return
        self.value_K = value_N[self.sdc_K] / value_N[self.sdc_K].sum()
        cluster_N = codes(draws.cluster)
        self.cluster_K = cluster_N[self.sdc_K]
        self.clusters = int(cluster_N.max()) + 1
        self.holding = len(np.unique(self.cluster_K))
        self.size = effective(np.bincount(self.cluster_K, self.value_K))
        stratum_N = draws.site * (int(draws.stratum.max()) + 1) + draws.stratum
        held_H, self.stratum_K = np.unique(stratum_N[self.sdc_K], return_inverse=True)
        self.strata = _Strata.of(draws, cluster_N, stratum_N, held_H)

    def caught(self, caught_N: np.ndarray, confidence: float = CONFIDENCE) -> Estimate:
        """Return the share of SDCs that one protection catches; `caught_N` says which draws' faults it does."""
        return self.nested(np.where(caught_N, 0, 1), 1, confidence)[0]

    def nested(self, first_N: np.ndarray, protections: int, confidence: float = CONFIDENCE) -> list[Estimate]:
        """Return the coverage of each of several protections, which all catch what the one before them does.

        `first_N` is the index of the first that catches a draw's fault, `protections` if none does. All estimates are
        NaN if no site with a positive coefficient has an SDC.
        """
        if not len(self.sdc_K):
            return [NO_ESTIMATE] * protections
        first_K = first_N[self.sdc_K]
        coverage_D = np.minimum(np.cumsum(np.bincount(first_K, self.value_K, protections + 1))[:-1], 1.0)
        error_CD = self._errors(first_K, coverage_D)
        found = []
        for place, coverage in enumerate(coverage_D.tolist()):
            limits = self._limits(coverage, error_CD[:, place], first_K <= place, confidence)
            found.append(Estimate(coverage, *limits, self.size))
        return found

    def _errors(self, first_K: np.ndarray, coverage_D: np.ndarray) -> np.ndarray:
        """Return each cluster's contribution to the error of each coverage, [C, D].

        A draw contributes value × (caught - coverage), 0 if it is no SDC, minus the mean of that over its stratum and
        site. Strata without an SDC contribute nothing.
        """
        protections = len(coverage_D)

        def parts(group_K: np.ndarray, groups: int, value_K: np.ndarray) -> np.ndarray:
            """Return Σ value × (caught - coverage) by group, [groups, D]."""
            place_K = group_K * (protections + 1) + first_K
            caught = np.bincount(place_K, value_K, groups * (protections + 1)).reshape(groups, -1).cumsum(axis=1)
            return np.asarray(caught[:, :-1] - caught[:, -1:] * coverage_D)

        strata = self.strata
        total_HD = parts(self.stratum_K, len(strata.draws_H), self.value_K)
        mean_HD = total_HD * (strata.stretch_H / strata.draws_H)[:, None]
        error_CD = parts(self.cluster_K, self.clusters, self.value_K * strata.stretch_H[self.stratum_K])
        for start, stop, mean_D in zip(strata.pairs[:-1], strata.pairs[1:], mean_HD, strict=True):
            error_CD[strata.cluster_P[start:stop]] -= strata.draws_P[start:stop, None] * mean_D
        return error_CD

    def _limits(self, share: float, error_C: np.ndarray, hit_K: np.ndarray, confidence: float) -> Interval:
        """Return the score interval of a share of SDCs, computed for the rarer of caught and missed SDCs."""
        size_K = self.value_K
        if share <= 0.5:
            return score_interval(share, error_C, hit_K * size_K, size_K, confidence, clusters=self.holding)
        missed = max(float(((~hit_K) * size_K).sum()), 0.0)
        low, high = score_interval(missed, error_C, ~hit_K * size_K, size_K, confidence, clusters=self.holding)
        return Interval(min(1 - high, share), max(1 - low, share))
