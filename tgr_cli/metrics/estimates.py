"""Means over sites and what every draw adds to their errors, so that any figure made of them gets an interval.

To first order the error of a figure is a sum over draws (linearisation), and so is that of a weighted sum, a ratio or a
product of figures. Draws of one cluster are added up before anything is squared, also across sites, and across two runs
that struck the same images.

Suffixes: N draws, S sites, C clusters.

Sources: W. G. Cochran, "Sampling techniques", 3rd edition (1977), chapters 5A (strata), 6 (ratios) and 9A (clusters);
M. H. Hansen and W. N. Hurwitz, "On the theory of sampling from finite populations", Annals of Mathematical Statistics
14 (1943), the weighted estimate; R. S. Woodruff, "Confidence intervals for medians and other position measures", JASA
47 (1952).
"""

import math
import sys
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tgr_cli.metrics.intervals import CONFIDENCE, Estimate, effective, score_interval, skewed_interval

NO_ESTIMATE = Estimate(math.nan, math.nan, math.nan, 0.0)
LARGEST_LOGARITHM = math.log(sys.float_info.max)


@dataclass(frozen=True)
class Draws:
    """What was drawn: site and stratum as whole numbers from 0, cluster as a name, and weight; arrays [N].

    `sites` is how many sites there are. Strata lie within sites; their draws were fixed in number beforehand.
    """

    sites: int
    site: np.ndarray
    stratum: np.ndarray
    cluster: np.ndarray
    weight: np.ndarray

    def centred(self, values_N: np.ndarray) -> np.ndarray:
        """Return the values less the mean over their stratum of their site.

        Where there are several strata, which may be small, n values are stretched by √(n / (n - 1)): around their own
        mean they spread by so much less.
        """
        strata = int(self.stratum.max()) + 1
        code_N = self.site * strata + self.stratum
        draws_H = np.maximum(np.bincount(code_N), 1)
        centred_N = values_N - (np.bincount(code_N, values_N) / draws_H)[code_N]
        return centred_N * np.sqrt(draws_H / np.maximum(draws_H - 1, 1))[code_N] if strata > 1 else centred_N

    @property
    def per_site(self) -> np.ndarray:
        """Return how many draws each site has, at least 1 for a site without."""
        return np.maximum(np.bincount(self.site, minlength=self.sites), 1)


@dataclass(frozen=True)
class Figure:
    """A figure, what each draw contributes to it and to its error to first order [N], and the draws' clusters."""

    value: float
    contribution: np.ndarray
    error: np.ndarray
    cluster: np.ndarray

    def totals(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the contributions and the errors added up by cluster, [C] each."""
        cluster_N = codes(self.cluster)
        return np.bincount(cluster_N, self.contribution), np.bincount(cluster_N, self.error)

    def estimate(self, confidence: float = CONFIDENCE) -> Estimate:
        """Return the figure with an interval that allows for skewness; limits are NaN where there is one cluster.

        There is no estimate of a figure that is not known, or larger than any float64.
        """
        if not math.isfinite(self.value):
            return NO_ESTIMATE
        contribution_C, error_C = self.totals()
        low, high = skewed_interval(self.value, error_C, confidence)
        return Estimate(self.value, low, high, effective(contribution_C))

    def over(self, other: "Figure", confidence: float = CONFIDENCE) -> Estimate:
        """Return this figure over the other, its interval formed on the logarithm, clusters of one name paired.

        The effective size is the smaller of the two. The factor is NaN where the other figure is 0 or one is missing,
        its limits also where this one is 0. What is too large for float64 is NaN: both limits where one of them is.
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

    def logarithm_over(self, other: "Figure") -> "Figure":
        """Return the logarithm of this figure over the other, of which both must be above 0."""
        return Figure(
            self._logarithm_over(other),
            np.concatenate([self.contribution, other.contribution]),
            np.concatenate([self.error / self.value, -other.error / other.value]),
            np.concatenate([self.cluster, other.cluster]),
        )

    def _logarithm_over(self, other: "Figure") -> float:
        ratio = self.value / other.value
        held = 0 < ratio < math.inf  # float64 may not hold the ratio, and does hold its logarithm
        return math.log(ratio) if held else math.log(self.value) - math.log(other.value)


@dataclass(frozen=True)
class SiteFigures:
    """A figure of every site, [S], with each draw's contribution to its own site's and to that one's error, [N]."""

    draws: Draws
    value: np.ndarray
    contribution: np.ndarray
    error: np.ndarray

    def combined(self, coefficient_S: np.ndarray) -> Figure:
        """Return the sum over sites of coefficient × figure; sites whose coefficient is 0 need have none."""
        used_S = coefficient_S != 0
        used_N = used_S[self.draws.site]
        by_N = coefficient_S[self.draws.site[used_N]]
        return Figure(
            float((coefficient_S[used_S] * self.value[used_S]).sum()) if used_S.any() else math.nan,
            by_N * self.contribution[used_N],
            by_N * self.error[used_N],
            self.draws.cluster[used_N],
        )


def means(draws: Draws, values_N: np.ndarray) -> SiteFigures:
    """Return each site's mean(weight × value); NaN where a site has no draw."""
    weighted_N = draws.weight * values_N
    per_site_S, per_site_N = draws.per_site, draws.per_site[draws.site]
    value_S = np.bincount(draws.site, weighted_N, minlength=draws.sites) / per_site_S
    value_S[np.bincount(draws.site, minlength=draws.sites) == 0] = math.nan
    return SiteFigures(draws, value_S, weighted_N / per_site_N, draws.centred(weighted_N) / per_site_N)


def means_where(draws: Draws, values_N: np.ndarray, kept_N: np.ndarray) -> SiteFigures:
    """Return each site's mean(weight × value × kept) / (1 - mean(weight × not kept)), the mean of those kept.

    With all kept it is `means`, and under weight 1 the plain mean of those kept. NaN where a site keeps nothing.
    """
    over = means(draws, np.where(kept_N, values_N, 0.0))
    lost = means(draws, (~kept_N).astype(np.float64))
    kept_S = np.bincount(draws.site, kept_N, minlength=draws.sites) > 0
    left_S = np.where(kept_S & (lost.value < 1), 1 - lost.value, math.nan)
    value_S = over.value / left_S
    left_N = left_S[draws.site]
    error_N = (over.error + value_S[draws.site] * lost.error) / left_N
    return SiteFigures(draws, value_S, over.contribution / left_N, error_N)


def medians(draws: Draws, values_N: np.ndarray) -> SiteFigures:
    """Return each site's weighted median; NaN where it is infinite or a site has no draw.

    The error is that of the share of values up to the median, over the density there, which is that between the
    quantiles one standard error of that share away (Woodruff 1952).
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
    return SiteFigures(draws, value_S, value_S[draws.site] / draws.per_site[draws.site], error_N)


def _quantile(sorted_K: np.ndarray, weights_K: np.ndarray, share: float) -> float:
    """Return the first of the sorted values up to which their weights reach this share of their sum."""
    reached_K = np.cumsum(weights_K)
    place = int(np.searchsorted(reached_K, share * reached_K[-1]))
    return float(sorted_K[min(place, len(sorted_K) - 1)])


def share(rates: SiteFigures, coefficient_S: np.ndarray, confidence: float = CONFIDENCE) -> Estimate:
    """Return the sum over sites of coefficient × rate with a score interval; coefficients are positive and add to 1."""
    figure = rates.combined(coefficient_S)
    draws = rates.draws
    used_N = coefficient_S[draws.site] != 0
    size_N = (coefficient_S / draws.per_site)[draws.site[used_N]] * draws.weight[used_N]
    contribution_C, error_C = figure.totals()
    low, high = score_interval(figure.value, error_C, figure.contribution, size_N, confidence)
    return Estimate(min(figure.value, 1.0), low, high, effective(contribution_C))


def codes(names_N: np.ndarray) -> np.ndarray:
    """Return equal numbers for equal names: numbers sort a hundred times faster."""
    return pa.array(names_N).dictionary_encode().indices.to_numpy()


def among(names_N: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return which names are among the chosen ones, bool [N]; numpy's isin compares names pair by pair."""
    names = pa.array(names_N)
    return pc.is_in(names, pa.array(chosen, names.type)).to_numpy(zero_copy_only=False)
