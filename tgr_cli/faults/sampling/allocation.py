"""How many faults per site a campaign needs for a target confidence interval, estimated from a pilot.

The network's estimate is the mean over S sites of a mean over faults. With n_s faults at site s, its variance is

    ι / images + κ · C + Σ_s max(σ_s² - κ, 0) / (S² n_s)

where σ_s² is the variance of weight × x among the faults of a site, κ the covariance of two faults in the same image,
and ι the variance of the images' own means of x. Faults in one image are correlated at all sites, because an image near
a decision boundary is easily misclassified. More images reduce the first term, more faults do not. C is 0 if faults are
assigned to images at random. If the first faults of all sites share the same images, C is the mean over pairs of sites
of max(1 / max(n_s, n_t) - 1 / images, 0): the images that these faults are in are fewer. Without importance over
images, κ is ι. The last term is minimal for n_s ∝ σ_s (Neyman 1934; W. G. Cochran, "Sampling techniques", 3rd edition,
1977, chapter 5).

The pilot's variance is a sum of squares. For a skewed distribution a few large squares dominate it, so that a pilot
underestimates it more often than not. A multiple of its standard error, computed from the squares, is therefore added;
distributions without heavy tails need hardly more faults for it.

Suffixes: S sites, F entries of a plan, U faults, I images with faults, B bits.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from tgr_cli import seeding
from tgr_cli.defaults import CONFIDENCE
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sampling.stratified import FLOOR as BIT_FLOOR
from tgr_cli.faults.sampling.stratified import sizes, variances

FLOOR = 256  # minimum number of faults per site, whatever the pilot shows
ERRORS = 4.0  # standard errors added to the variance; generous, as its distribution is skewed
NEAR = 1.05  # if the target is out of reach: stop within this factor of the best half-width


@dataclass(frozen=True)
class Allocation:
    """Faults per site, the expected half-width of the interval, and whether it reaches the target.

    `best` is the half-width with the maximum number of faults at every site; both half-widths are absolute.
    """

    counts_S: np.ndarray
    half_width: float
    best: float
    reached: bool


@dataclass(frozen=True)
class PilotStatistics:
    """Statistics of a pilot: per site the mean of x and the variance of weight × x; the covariance κ and ι.

    The site has `faults_S` faults. Faults with the same `cluster_U` are correlated; `square_U` is the squared error of
    each.
    """

    mean_S: np.ndarray
    variance_S: np.ndarray
    kappa: float
    iota: float
    faults_S: np.ndarray
    site_U: np.ndarray
    cluster_U: np.ndarray
    square_U: np.ndarray

    def variance(self, own_S: np.ndarray, images: int, shared: float) -> float:
        """Return the variance of the estimate: ι / images + κ × `shared` (C above), plus the mean of `own_S` / S.

        `own_S` is the sites' own variance, σ_s² / n_s.
        """
        return self.iota / images + self.kappa * shared + float(own_S.mean()) / len(own_S)

    def error(self, counts_S: np.ndarray) -> float:
        """Return the standard error of the sites' own term, of the pilot plus of a campaign of this size.

        The error of κ is left out: no pilot can exclude a larger κ, and no number of faults compensates for one.
        """
        weight_S = 1 / (self.faults_S * counts_S * len(counts_S) ** 2)
        part_I = np.bincount(self.cluster_U, self.square_U * weight_S[self.site_U])
        return float(np.sqrt((part_I**2).sum() * (1 + self.faults_S.sum() / counts_S.sum())))


def pilot_seed(seed: int) -> int:
    """Return the seed of the pilot of a campaign, so that the pilot's faults are independent of the campaign's."""
    return int(seeding.words(seed, "pilot", count=1)[0, 0] >> np.uint64(1))


def for_target(
    pilot: Plan,
    x_F: np.ndarray,
    *,
    images: int,
    half_width: float,
    relative: bool,
    largest: int,
    confidence: float = CONFIDENCE,
    same_images: bool = False,
    shares_SB: np.ndarray | None = None,
) -> Allocation:
    """Return the number of faults per site for which the interval of the network's mean of x is ± `half_width`.

    `x_F` is the effect of each pilot fault (dLoss, or 1 and 0 for an event), NaN where undefined. `images` is the
    number of eligible images; `same_images` says whether the first faults of all sites share their images. If
    `relative`, `half_width` is a fraction of the mean. Every site gets between `FLOOR` and `largest` faults; if the
    target is out of reach, the allocation comes within 5 % of the smallest half-width possible. `shares_SB` are the
    bits' shares of a stratified main stage.
    """
    shown = _spread(pilot, x_F, images)
    deviation_S = np.sqrt(shown.variance_S)
    if shares_SB is not None:
        variance_SB = variances(pilot, x_F, bits=shares_SB.shape[1])
        deviation_S = np.sqrt(variance_SB).mean(axis=1)
    if not deviation_S.any():
        deviation_S = np.ones(len(deviation_S))
    quantile = float(special.ndtri(0.5 + confidence / 2))
    floor = min(FLOOR, largest)

    def counts(scale: float) -> np.ndarray:
        return np.clip(np.ceil(scale * deviation_S / deviation_S.max()), floor, largest).astype(np.int64)

    def width(counts_S: np.ndarray) -> float:
        shared = 0.0
        if same_images:
            shared = float(np.maximum(1 / np.maximum.outer(counts_S, counts_S) - 1 / images, 0).mean())
        variance = shown.variance(np.maximum(shown.variance_S - shown.kappa, 0) / counts_S, images, shared)
        doubt = shown.error(counts_S) / variance
        if shares_SB is not None:
            size_SB = np.stack([sizes(n, shares_B, BIT_FLOOR) for n, shares_B in zip(counts_S, shares_SB, strict=True)])
            variance = shown.variance((variance_SB / size_SB).sum(axis=1) / size_SB.shape[1] ** 2, images, shared)
        return quantile * float(np.sqrt(variance * (1 + ERRORS * doubt)))

    target = half_width * abs(float(shown.mean_S.mean())) if relative else half_width
    best = width(np.full(len(deviation_S), largest))
    aim = target if best <= target else NEAR * best
    # Between these scales the sites go from all at the floor to all at the maximum.
    low, high = float(floor), largest * float(deviation_S.max() / deviation_S[deviation_S > 0].min())
    for _ in range(50):
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if width(counts(middle)) <= aim else (middle, high)
    return Allocation(counts(high), width(counts(high)), best, best <= target)


def _spread(pilot: Plan, x_F: np.ndarray, images: int) -> PilotStatistics:
    """Return the statistics of a pilot on the images of a pool.

    The estimate is the ratio mean(weight × x) over defined x / their share; its variance is that of the linearised
    ratio (Cochran 1977, chapter 6). Each site's variance, from n faults, is increased by a pseudo-observation: (mean
    square over all sites, including one more fault with the largest effect, or 1 if there was none) / (n + 1). Without
    it a few faults without effect would imply zero variance. A lasting fault counts once, with the mean over its
    images.
    """
    site_F, sites = pilot.site_F, len(pilot.sites)
    known_F = ~np.isnan(x_F)
    x_F = np.where(known_F, x_F, 0)
    rows_S = np.bincount(site_F, minlength=sites)
    missing_S = np.bincount(site_F, pilot.weight_F * ~known_F, sites) / rows_S
    known_S = np.maximum(1 - missing_S, 1 / rows_S)
    mean_S = np.bincount(site_F, pilot.weight_F * x_F, sites) / rows_S / known_S
    contribution_F = (pilot.weight_F * np.where(known_F, x_F, mean_S[site_F]) - mean_S[site_F]) / known_S[site_F]

    first_U, fault_F = pilot.by_fault()
    site_U, contribution_U = site_F[first_U], np.bincount(fault_F, contribution_F) / np.bincount(fault_F)
    faults_S = np.bincount(site_U, minlength=sites)
    square_F = (pilot.weight_F * x_F) ** 2
    square = float(square_F.sum() + (square_F.max() or 1)) / (len(x_F) + 1)
    variance_S = np.bincount(site_U, contribution_U**2, sites) / faults_S + square / (faults_S + 1)

    cluster_U = np.arange(len(site_U)) if pilot.lasting else pilot.image_F[first_U]
    cluster_U = np.unique(cluster_U, return_inverse=True)[1]
    faults_I, image_weight_U = np.bincount(cluster_U), pilot.image_weights[first_U]
    pairs_I = faults_I * (faults_I - 1)
    expected_I = _expected_pairs(faults_S.mean() * faults_I / np.bincount(cluster_U, image_weight_U) / images, sites)
    own_U = (contribution_U + mean_S[site_U]) / image_weight_U - mean_S[site_U]
    return PilotStatistics(
        mean_S=mean_S,
        variance_S=variance_S,
        kappa=_covariance(cluster_U, contribution_U, pairs_I),
        iota=_covariance(cluster_U, own_U, pairs_I / np.where(pairs_I, expected_I, 1)),
        faults_S=faults_S,
        site_U=site_U,
        cluster_U=cluster_U,
        square_U=contribution_U**2,
    )


def _expected_pairs(share_I: np.ndarray, sites: int) -> np.ndarray:
    """Return the expected number of pairs of faults, up to a factor, in images that get `share_I` faults of each site.

    The number at a site is the share rounded up or down, alike at all sites, see dealing.py.
    """
    if np.ptp(share_I) == 0:  # also where faults are assigned to images at random
        return np.ones(len(share_I))
    whole_I = np.floor(share_I)
    square_I = whole_I**2 + (share_I - whole_I) * (2 * whole_I + 1)
    return np.asarray(sites**2 * square_I - sites * share_I)


def _covariance(cluster_U: np.ndarray, value_U: np.ndarray, weight_I: np.ndarray) -> float:
    """Return the mean product of two values of one cluster, at least 0; single values must have no weight."""
    if not weight_I.any():
        return 0.0
    faults_I = np.bincount(cluster_U)
    products_I = np.bincount(cluster_U, value_U) ** 2 - np.bincount(cluster_U, value_U**2)
    mean_I = products_I / np.maximum(faults_I * (faults_I - 1), 1)
    return max(float((weight_I * mean_I).sum() / weight_I.sum()), 0.0)
