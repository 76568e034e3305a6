"""Estimates over sites with the error contribution of every draw, so that functions of them have intervals.

To first order the error of an estimate is a sum over draws (linearisation), and so is that of a weighted sum, a ratio
or a product of estimates. Contributions are summed within a cluster before they are squared, also across sites, and
across two runs on the same images.

Suffixes: N draws, S sites, C clusters.

Sources: W. G. Cochran, "Sampling techniques", 3rd edition (1977), chapters 5A (strata), 6 (ratios) and 9A (clusters);
M. H. Hansen and W. N. Hurwitz, "On the theory of sampling from finite populations", Annals of Mathematical Statistics
14 (1943), the weighted estimate; R. S. Woodruff, "Confidence intervals for medians and other position measures", JASA
47 (1952).
"""

import math
import sys
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tgr_cli.defaults import CONFIDENCE
from tgr_cli.metrics.intervals import Estimate, effective, score_interval, skewed_interval

NO_ESTIMATE = Estimate(math.nan, math.nan, math.nan, 0.0)
LARGEST_LOGARITHM = math.log(sys.float_info.max)


@dataclass(frozen=True)
class Draws:
    """A sample: site and stratum as integers from 0, cluster as a name, and importance weight; arrays [N].

    `sites` is the number of sites. Strata are nested in sites; the number of draws per stratum was fixed in advance.
    `cluster_weight` is the part of the weight that corrects for clusters that are not equally likely at a site, and
    `excess` by how much the probability of the draw's cluster exceeds that of equally likely ones; None if they are.
    """

    sites: int
    site: np.ndarray
    stratum: np.ndarray
    cluster: np.ndarray
    weight: np.ndarray
    cluster_weight: np.ndarray | None = None
    excess: np.ndarray | None = None

    def where(self, chosen_N: np.ndarray) -> "Draws":
        """Return the draws where `chosen_N` is True (or those at its positions); the sites stay."""
        arrays = {name: value[chosen_N] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return replace(self, **arrays)

    def by_clusters(self) -> "Draws":
        """Return the draws with the weights that estimate means of a value that the cluster determines."""
        return replace(self, weight=np.ones(len(self.site)) if self.cluster_weight is None else self.cluster_weight)

    def centred(self, values_N: np.ndarray) -> np.ndarray:
        """Return the values minus the mean of their stratum and site, or the part of it that is due to each draw.

        Let clusters be a sample themselves, of C, of which the draws of a site fall in one with the probability p. The
        estimate then has two errors: that of the draws, whose expected share p of the mean each cluster is compared
        with, and that of the clusters, which with all their draws would be compared with 1 / C each. Together, the
        draws of a cluster share its excess p - 1 / C of the mean less.

        With several strata, which may be small, the n deviations of a stratum are multiplied by √(n / (n - 1)):
        deviations from the sample mean underestimate the variance by a factor (n - 1) / n.
        """
        strata = int(self.stratum.max()) + 1
        code_N = self.site * strata + self.stratum
        draws_H = np.maximum(np.bincount(code_N), 1)
        mean_N = (np.bincount(code_N, values_N) / draws_H)[code_N]
        centred_N = values_N - mean_N
        if self.excess is not None and self.excess.any():
            centred_N += mean_N * self.excess * self.per_site[self.site] / self._in_cluster
        return centred_N * np.sqrt(draws_H / np.maximum(draws_H - 1, 1))[code_N] if strata > 1 else centred_N

    @property
    def _in_cluster(self) -> np.ndarray:
        """Return the number of draws at each draw's site in its cluster, [N]."""
        cluster_N = codes(self.cluster).astype(np.int64)
        _, pair_N, draws_P = np.unique(
            self.site * (int(cluster_N.max()) + 1) + cluster_N, return_inverse=True, return_counts=True
        )
        return np.asarray(draws_P[pair_N])

    @property
    def per_site(self) -> np.ndarray:
        """Return the number of draws per site; 1 for a site without draws."""
        return np.maximum(np.bincount(self.site, minlength=self.sites), 1)


@dataclass(frozen=True)
class LinearisedEstimate:
    """An estimate, with each draw's contribution to its value and to its linearised error [N], and the clusters."""

    value: float
    contribution: np.ndarray
    error: np.ndarray
    cluster: np.ndarray

    def totals(self) -> tuple[np.ndarray, np.ndarray]:
        """Return contributions and errors summed by cluster, [C] each."""
        cluster_N = codes(self.cluster)
        return np.bincount(cluster_N, self.contribution), np.bincount(cluster_N, self.error)

    def estimate(self, confidence: float = CONFIDENCE) -> Estimate:
        """Return the estimate with a skewness-corrected interval; limits are NaN for a single cluster.

        An undefined or infinite value gives NO_ESTIMATE.
        """
        if not math.isfinite(self.value):
            return NO_ESTIMATE
        contribution_C, error_C = self.totals()
        low, high = skewed_interval(self.value, error_C, confidence)
        return Estimate(self.value, low, high, effective(contribution_C))

    def over(self, other: "LinearisedEstimate", confidence: float = CONFIDENCE) -> Estimate:
        """Return this / other, with an interval formed on the log scale; clusters of the same name are paired.

        The effective size is the smaller of the two. The ratio is NaN if `other` is 0 or either is undefined; the
        limits are also NaN if this is 0. Values that overflow float64 are NaN, both limits if one of them overflows.
        """
        if not (self.value > 0 and other.value > 0):
            return NO_ESTIMATE._replace(mean=self.value / other.value if other.value else math.nan)
        if self.value / other.value == math.inf:
            return NO_ESTIMATE
        _, low, high, _ = self.logarithm_over(other).estimate(confidence)
        if not high <= LARGEST_LOGARITHM:
            low = high = math.nan
        size = min(effective(figure.totals()[0]) for figure in (self, other))
        return Estimate(self.value / other.value, math.exp(low), math.exp(high), size)

    def logarithm_over(self, other: "LinearisedEstimate") -> "LinearisedEstimate":
        """Return log(this / other); both must be positive."""
        return LinearisedEstimate(
            self._logarithm_over(other),
            np.concatenate([self.contribution, other.contribution]),
            np.concatenate([self.error / self.value, -other.error / other.value]),
            np.concatenate([self.cluster, other.cluster]),
        )

    def _logarithm_over(self, other: "LinearisedEstimate") -> float:
        ratio = self.value / other.value
        held = 0 < ratio < math.inf  # the ratio may over- or underflow although its logarithm does not
        return math.log(ratio) if held else math.log(self.value) - math.log(other.value)


@dataclass(frozen=True)
class SiteEstimates:
    """An estimate per site, [S], with each draw's contribution to its own site's value and error, [N]."""

    draws: Draws
    value: np.ndarray
    contribution: np.ndarray
    error: np.ndarray

    def combined(self, coefficient_S: np.ndarray) -> LinearisedEstimate:
        """Return Σ coefficient × estimate over sites; where the coefficient is 0 the estimate may be undefined."""
        used_S = coefficient_S != 0
        used_N = used_S[self.draws.site]
        by_N = coefficient_S[self.draws.site[used_N]]
        with np.errstate(over="ignore"):  # losses of float64 models without a range limit times MACs: infinite
            value = float((coefficient_S[used_S] * self.value[used_S]).sum()) if used_S.any() else math.nan
            contribution_N, error_N = by_N * self.contribution[used_N], by_N * self.error[used_N]
        return LinearisedEstimate(value, contribution_N, error_N, self.draws.cluster[used_N])


def means(draws: Draws, values_N: np.ndarray) -> SiteEstimates:
    """Return each site's mean(weight × value); NaN for a site without draws."""
    weighted_N = draws.weight * values_N
    per_site_S, per_site_N = draws.per_site, draws.per_site[draws.site]
    value_S = np.bincount(draws.site, weighted_N, minlength=draws.sites) / per_site_S
    value_S[np.bincount(draws.site, minlength=draws.sites) == 0] = math.nan
    return SiteEstimates(draws, value_S, weighted_N / per_site_N, draws.centred(weighted_N) / per_site_N)


def means_where(draws: Draws, values_N: np.ndarray, kept_N: np.ndarray) -> SiteEstimates:
    """Return each site's mean over the kept draws, mean(weight × value × kept) / (1 - mean(weight × not kept)).

    If all are kept it equals `means`; with unit weights it is the plain mean of the kept values. NaN if a site keeps
    none.
    """
    over = means(draws, np.where(kept_N, values_N, 0.0))
    lost = means(draws, (~kept_N).astype(np.float64))
    kept_S = np.bincount(draws.site, kept_N, minlength=draws.sites) > 0
    left_S = np.where(kept_S & (lost.value < 1), 1 - lost.value, math.nan)
    value_S = over.value / left_S
    left_N = left_S[draws.site]
    error_N = (over.error + value_S[draws.site] * lost.error) / left_N
    return SiteEstimates(draws, value_S, over.contribution / left_N, error_N)


def medians(draws: Draws, values_N: np.ndarray) -> SiteEstimates:
    """Return each site's weighted median; NaN if it is infinite or the site has no draws.

    The error is that of the share of values up to the median, divided by the density at the median. The density is
    estimated between the quantiles one standard error of that share below and above (Woodruff 1952).
    """
    value_S, below_N, cluster_N = np.full(draws.sites, math.nan), np.zeros(len(values_N)), codes(draws.cluster)
    sorted_by_site = np.split(np.lexsort((values_N, draws.site)), np.cumsum(np.bincount(draws.site))[:-1])
    places = {site: place_K for site, place_K in enumerate(sorted_by_site) if len(place_K)}
    for site, place_K in places.items():
        value_S[site] = _quantile(values_N[place_K], draws.weight[place_K], 0.5)
        below_N[place_K] = draws.weight[place_K] * (0.5 - (values_N[place_K] <= value_S[site]))
        below_N[place_K] /= draws.weight[place_K].sum()
    value_S[np.isinf(value_S)] = math.nan
    error_N = draws.centred(below_N)
    for place_K in places.values():
        error = math.sqrt(float((np.bincount(cluster_N[place_K], error_N[place_K]) ** 2).sum()))
        low, high = (_quantile(values_N[place_K], draws.weight[place_K], 0.5 + side * error) for side in (-1, 1))
        error_N[place_K] *= (high - low) / (2 * error) if error and math.isfinite(high) else math.nan
    return SiteEstimates(draws, value_S, value_S[draws.site] / draws.per_site[draws.site], error_N)


def _quantile(sorted_K: np.ndarray, weights_K: np.ndarray, share: float) -> float:
    """Return the smallest of the sorted values at which the cumulative weight reaches `share` of the total."""
    reached_K = np.cumsum(weights_K)
    place = int(np.searchsorted(reached_K, share * reached_K[-1]))
    return float(sorted_K[min(place, len(sorted_K) - 1)])


def share(rates: SiteEstimates, coefficient_S: np.ndarray, confidence: float = CONFIDENCE) -> Estimate:
    """Return Σ coefficient × rate over sites, with a score interval; coefficients are positive and add up to 1."""
    figure = rates.combined(coefficient_S)
    draws = rates.draws
    used_N = coefficient_S[draws.site] != 0
    equal_N = (coefficient_S / draws.per_site)[draws.site[used_N]]
    size_N = equal_N * draws.weight[used_N]
    contribution_C, error_C = figure.totals()
    low, high = score_interval(figure.value, error_C, figure.contribution, size_N, confidence, equal_N=equal_N)
    return Estimate(min(figure.value, 1.0), low, high, effective(contribution_C))


def share_of_unequal(rates: SiteEstimates, coefficient_S: np.ndarray, confidence: float = CONFIDENCE) -> Estimate:
    """Return `share` of sites with very unequal coefficients, with an interval that allows for sites without a hit.

    The score interval has the clusters across sites, but infers from the hits how much an unseen one counts, and
    coefficients may differ a thousandfold. So its limits are widened to those of the sum of independent sites from each
    one's own interval, by adding squared distances (Zou and Donner, "Construction of confidence limits about effect
    measures", Statistics in Medicine 27, 2008).
    """
    whole = share(rates, coefficient_S, confidence)
    if len(coefficient_S) == 1:
        return whole
    own = [share(rates, alone_S, confidence) for alone_S in np.eye(len(coefficient_S))]
    below, above = (
        math.hypot(*(part * (end(each) - each.mean) for part, each in zip(coefficient_S, own, strict=True)))
        for end in (lambda each: each.low, lambda each: each.high)
    )
    low, high = max(whole.mean - below, 0.0), min(whole.mean + above, 1.0)
    return whole._replace(low=min(whole.low, low), high=max(whole.high, high))


def codes(names_N: np.ndarray) -> np.ndarray:
    """Return equal integers for equal names; integers sort about a hundred times faster."""
    return pa.array(names_N).dictionary_encode().indices.to_numpy()


def among(names_N: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return which names are in `chosen`, bool [N]; much faster than numpy's isin on strings."""
    names = pa.array(names_N)
    return pc.is_in(names, pa.array(chosen, names.type)).to_numpy(zero_copy_only=False)
