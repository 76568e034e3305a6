"""How many faults each site needs for the network's figure to be known as closely as was asked, told from a pilot.

The figure is the mean over S sites of a mean over faults. With a number of faults n_s at site s, its variance is

    κ · C + Σ_s max(σ_s² - κ, 0) / (S² n_s)

where σ_s² is the variance of weight × x among the faults of a site, and κ the covariance of two faults of one image,
whose effects are alike at all sites (one that is hard to tell is easily misjudged). More faults do not help against
that part, more images do: C is 1 / images where faults fall on images at random, and the mean over pairs of sites of
1 / max(n_s, n_t), but at least that, where the first faults of all sites share the same images. The second part is
least for n_s ∝ σ_s (Neyman 1934; W. G. Cochran, "Sampling techniques", 3rd edition, 1977, chapter 5).

The pilot's variance is a sum of squares, of which those of skewed effects rest on a few: a pilot shows too little of it
more often than too much. What is allowed for is its standard error, as the squares show it, so that effects without
tails take hardly more faults than they need.

Suffixes: S sites, F entries of a plan, U faults, each once, I images struck, B bits.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from tgr_cli import seeding
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sampling.stratified import FLOOR as BIT_FLOOR
from tgr_cli.faults.sampling.stratified import sizes, variances

FLOOR = 256  # faults a site, whatever the pilot says of it
ERRORS = 4.0  # standard errors of the variance that are added to it: they are skewed themselves
NEAR = 1.05  # where the target is out of reach: as near to what can be reached


@dataclass(frozen=True)
class Allocation:
    """Faults for each site, the half-width that the figure's interval is expected to have, and whether that is enough.

    `best` is the half-width that the largest allowed number of faults at every site would bring; both half-widths are
    absolute.
    """

    counts_S: np.ndarray
    half_width: float
    best: float
    reached: bool


@dataclass(frozen=True)
class Shown:
    """What a pilot shows: the mean of x and the variance of weight × x at each site, and κ.

    Of the pilot's `faults_S` faults those of one `cluster_U` are alike; `square_U` is the squared error of each.
    """

    mean_S: np.ndarray
    variance_S: np.ndarray
    kappa: float
    faults_S: np.ndarray
    site_U: np.ndarray
    cluster_U: np.ndarray
    square_U: np.ndarray

    def variance(self, own_S: np.ndarray, shared: float) -> float:
        """Return the variance of the figure from what its sites have of their own and what images share, C."""
        return self.kappa * shared + float(own_S.mean()) / len(own_S)

    def error(self, counts_S: np.ndarray) -> float:
        """Return the standard error of what sites have of their own: the pilot's, and that of a campaign of such size.

        That of κ is not counted: no pilot can rule out that images share more, and no number of faults makes up for it.
        """
        weight_S = 1 / (self.faults_S * counts_S * len(counts_S) ** 2)
        part_I = np.bincount(self.cluster_U, self.square_U * weight_S[self.site_U])
        return float(np.sqrt((part_I**2).sum() * (1 + self.faults_S.sum() / counts_S.sum())))


def pilot_seed(seed: int) -> int:
    """Return the seed of the pilot that goes with a campaign's seed: its faults are none of the campaign's own."""
    return int(seeding.words(seed, "pilot", count=1)[0, 0] >> np.uint64(1))


def for_target(
    pilot: Plan,
    x_F: np.ndarray,
    *,
    images: int,
    half_width: float,
    relative: bool,
    largest: int,
    confidence: float = 0.99,
    same_images: bool = False,
    shares_SB: np.ndarray | None = None,
) -> Allocation:
    """Return the faults a site for which the network's mean of x is known to ± `half_width` at the confidence.

    `x_F` is what the pilot's faults did (dLoss, or 1 for a hit and 0), NaN where there is no such number. `images` may
    be struck; `same_images` says whether the first faults of all sites strike the same ones. `half_width` is a part of
    the mean where it is `relative`. No site gets fewer than `FLOOR` or more than `largest` faults; where the target is
    out of reach, sites get as many as bring the interval to within 5 % of what can be reached. `shares_SB` are the
    bits' shares of a stratified main stage.
    """
    shown = _spread(pilot, x_F)
    deviation_S = np.sqrt(shown.variance_S)
    if shares_SB is not None:
        variance_SB = variances(pilot, x_F, bits=shares_SB.shape[1])
        deviation_S = np.sqrt(variance_SB).mean(axis=1)
    if not deviation_S.any():
        deviation_S = np.ones(len(deviation_S))
    quantile = float(stats.norm.ppf(0.5 + confidence / 2))
    floor = min(FLOOR, largest)

    def counts(scale: float) -> np.ndarray:
        return np.clip(np.ceil(scale * deviation_S / deviation_S.max()), floor, largest).astype(np.int64)

    def width(counts_S: np.ndarray) -> float:
        shared = 1 / images
        if same_images:
            shared = float((1 / np.minimum(np.maximum.outer(counts_S, counts_S), images)).mean())
        variance = shown.variance(np.maximum(shown.variance_S - shown.kappa, 0) / counts_S, shared)
        doubt = shown.error(counts_S) / variance
        if shares_SB is not None:
            size_SB = np.stack([sizes(n, shares_B, BIT_FLOOR) for n, shares_B in zip(counts_S, shares_SB, strict=True)])
            variance = shown.variance((variance_SB / size_SB).sum(axis=1) / size_SB.shape[1] ** 2, shared)
        return quantile * float(np.sqrt(variance * (1 + ERRORS * doubt)))

    target = half_width * abs(float(shown.mean_S.mean())) if relative else half_width
    best = width(np.full(len(deviation_S), largest))
    aim = target if best <= target else NEAR * best
    # Between these two scales every site goes from the floor to the largest number.
    low, high = float(floor), largest * float(deviation_S.max() / deviation_S[deviation_S > 0].min())
    for _ in range(50):
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if width(counts(middle)) <= aim else (middle, high)
    return Allocation(counts(high), width(counts(high)), best, best <= target)


def _spread(pilot: Plan, x_F: np.ndarray) -> Shown:
    """Return what a pilot shows.

    The figure is mean(weight × x) over the known, divided by their share; the variance is that of this ratio,
    linearised (Cochran 1977, chapter 6). To what a site's n faults show, the mean square over all sites and one more
    fault of the largest effect (1 where there was none) is added, divided by n + 1: few faults without an effect do not
    show that there is none. A fault in a parameter counts once, with the mean over the images that it was tried on.
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

    alone_U = np.array([site.is_parameter for site in pilot.sites])[site_U]
    cluster_U = np.where(alone_U, -1 - np.arange(len(site_U)), pilot.image_F[first_U])
    cluster_U = np.unique(cluster_U, return_inverse=True)[1]
    faults_I = np.bincount(cluster_U)
    pairs = int((faults_I * (faults_I - 1)).sum())
    products = float((np.bincount(cluster_U, contribution_U) ** 2).sum() - (contribution_U**2).sum())
    return Shown(
        mean_S=mean_S,
        variance_S=variance_S,
        kappa=max(products / pairs, 0.0) if pairs else 0.0,
        faults_S=faults_S,
        site_U=site_U,
        cluster_U=cluster_U,
        square_U=contribution_U**2,
    )
