"""Print the coverage and the width of tgr's 99 % intervals in simulated campaigns.

python benchmarks/interval_coverage.py POPULATIONS.npz [--campaigns 1000] [--faults 4096] [--images 256]
python benchmarks/interval_coverage.py POPULATIONS.npz --make MODEL CHECKPOINT DATASET TRAINING_IMAGES
python benchmarks/interval_coverage.py toy

A campaign draws images from the population with replacement, then faults at each of the three sites by a sampling
scheme; the true value is that of the population. Populations are `toy`, whose dLoss is a formula, or faults of a real
network, run once with --make and stored in POPULATIONS.npz (`dloss_populations.py`). Factors compare the range limits
clamp and zero on the same images.

`width` is the mean width relative to the ideal interval, 2 × 2.576 standard deviations of the estimates (of their
logarithms for factors). `flagged` is the share of intervals marked as unreliable; `unflagged: held` and `unflagged:
width` are over the others.
"""

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from dloss_populations import Population, load, make, toy
from scipy import stats

from tgr_cli.faults.plan import Drawn, Plan
from tgr_cli.faults.sampling import SCHEMES, dealing, image_chances, importance, stratified
from tgr_cli.faults.sites import Site
from tgr_cli.metrics.estimates import Draws, SiteEstimates, means, means_where, share
from tgr_cli.metrics.intervals import Estimate

PILOT = 256
# returns positions of images, faults, weights, bits, and if images are not equally likely their excess
Drawing = Callable[[np.random.Generator, np.ndarray, int], tuple[np.ndarray, ...]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("populations")
    parser.add_argument("--make", nargs=4, metavar=("MODEL", "CHECKPOINT", "DATASET", "TRAINING_IMAGES"))
    for name, default in (("campaigns", 1000), ("faults", 4096), ("images", 256), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--sampling", nargs="*", choices=SCHEMES)
    options = parser.parse_args()
    if options.make:
        model, checkpoint, dataset, training = options.make
        make(Path(options.populations), model, Path(checkpoint), dataset, Path(training), seed=options.seed)
        return
    populations = toy() if options.populations == "toy" else load(Path(options.populations))
    start = time.perf_counter()
    print(
        f"{options.populations}: {options.campaigns} campaigns, {options.faults} faults a site, {options.images} images"
    )
    for site in next(iter(populations.values())):
        sdc = (site.outcome_NQ == "sdc").mean()
        print(f"{site.site}: {site.dloss_NQ.shape[0]} images × {site.dloss_NQ.shape[1]} faults,", end=" ")
        print(f"mean dLoss {np.nanmean(site.dloss_NQ):.4g}, SDC rate {sdc:.4g}")
    print("\n| figure | sampling | held | width | flagged | unflagged: held | unflagged: width |")
    print("|---|---|---|---|---|---|---|")
    for scheme in options.sampling or sorted(SCHEMES):
        simulate(populations, scheme, options)
    print(f"\n{time.perf_counter() - start:.0f} s")


def simulate(populations: dict[str, list[Population]], scheme: str, options: argparse.Namespace) -> None:
    """Print one row per estimate, over campaigns with one sampling scheme."""
    random = np.random.default_rng(options.seed + 1)
    drawings = {limit: [drawing(site, scheme) for site in sites] for limit, sites in populations.items()}
    images = next(iter(populations.values()))[0].dloss_NQ.shape[0]
    found: list[dict[str, Estimate]] = []
    for _ in range(options.campaigns):
        image_G = random.integers(0, images, options.images)
        sides = {limit: [draw(random, image_G, options.faults) for draw in drawings[limit]] for limit in populations}
        figures = [struck(populations[limit], image_G, sides[limit]) for limit in populations]
        found.append(estimates(populations, *figures))
    true = truth(populations)
    for name in found[0]:
        print(row(name, scheme, true[name], [campaign[name] for campaign in found]), flush=True)


def row(name: str, scheme: str, true: float, found: list[Estimate]) -> str:
    """Return one row of the table: coverage, width and flags of one estimate."""
    mean_R, low_R, high_R, _ = np.array(found).T
    flagged_R = np.array([not estimate.reliable for estimate in found])
    held_R = (low_R <= true) & (true <= high_R)
    held_R |= np.isnan(low_R)  # a missing interval excludes nothing, and is flagged
    if name.startswith("factor"):
        with np.errstate(divide="ignore", invalid="ignore"):
            mean_R, low_R, high_R = np.log(mean_R), np.log(low_R), np.log(high_R)
    known_R = np.isfinite(mean_R) & np.isfinite(low_R)
    ideal = 2 * stats.norm.ppf(0.995) * mean_R[known_R].std() if known_R.any() else math.nan
    width_R = np.where(known_R, (high_R - low_R) / ideal if ideal else math.nan, math.nan)

    def mean_of(values_R: np.ndarray, chosen_R: np.ndarray, digits: int) -> str:
        chosen_R = chosen_R & ~np.isnan(values_R)
        return f"{values_R[chosen_R].mean():.{digits}f}" if chosen_R.any() else "-"

    everything_R = np.ones(len(found), bool)
    cells = (
        mean_of(held_R.astype(float), everything_R, 3),
        mean_of(width_R, everything_R, 2),
        f"{flagged_R.mean():.3f}",
        mean_of(held_R.astype(float), ~flagged_R, 3),
        mean_of(width_R, ~flagged_R, 2),
    )
    return f"| {name} | {scheme} | {' | '.join(cells)} |"


def drawing(of: Population, scheme: str) -> Drawing:
    """Return a function that draws faults of a population with this sampling scheme."""
    elements = of.dloss_NQ.shape[1] // of.bits

    def uniform(random: np.random.Generator, image_G: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
        place_F = random.integers(0, len(image_G), count)
        fault_F = random.integers(0, elements * of.bits, count)
        return place_F, fault_F, np.ones(count), np.zeros(count, np.int64)

    def by_bit(random: np.random.Generator, image_G: np.ndarray, size_B: np.ndarray) -> tuple[np.ndarray, ...]:
        choice_F, count = np.repeat(np.arange(of.bits), size_B), int(size_B.sum())
        fault_F = random.integers(0, elements, count) * of.bits + choice_F
        return random.integers(0, len(image_G), count), fault_F, (count / of.bits / size_B)[choice_F], choice_F

    def stratify(random: np.random.Generator, image_G: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
        even_B = stratified.sizes(PILOT, np.full(of.bits, 1 / of.bits), 0)
        place_F, fault_F, weight_F, choice_F = by_bit(random, image_G, even_B)
        pilot = Plan.joined(
            [Site(of.site, "conv", (elements,), 1)], [Drawn(np.arange(PILOT), place_F, fault_F, choice_F, weight_F)]
        )
        shares_SB = stratified.neyman(pilot, of.dloss_NQ[image_G[place_F], fault_F], bits=of.bits)
        return by_bit(random, image_G, stratified.sizes(count, shares_SB[0], stratified.FLOOR))

    terms = (torch.from_numpy(term_NQ)[:, None].clone() for term_NQ in (of.change_NQ, of.slope_NQ))
    q_NQ = importance.relative(*terms, 0.0)[:, 0].numpy()
    upto_NQ = np.cumsum(q_NQ, axis=1) / q_NQ.sum(axis=1, keepdims=True) + np.arange(len(q_NQ))[:, None]

    def by_importance(random: np.random.Generator, image_G: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
        chance_G = image_chances.chances(of.doubt_N[image_G], logits=of.logits)
        first = random.integers(0, len(image_G))
        place_F = dealing.turns(np.arange(count), np.full(count, first), chance_G, random.random())
        flat_F = np.searchsorted(upto_NQ.ravel(), image_G[place_F] + random.random(count), side="right")
        fault_F = np.minimum(flat_F - image_G[place_F] * q_NQ.shape[1], q_NQ.shape[1] - 1)
        uniform_F = image_chances.uniform_share(chance_G)[place_F]
        fault_F = np.where(random.random(count) < uniform_F, random.integers(0, q_NQ.shape[1], count), fault_F)
        probable_F = uniform_F + (1 - uniform_F) * q_NQ[image_G[place_F], fault_F]
        weight_F = 1 / (chance_G[place_F] * probable_F)
        return place_F, fault_F, weight_F, np.zeros(count, np.int64), (chance_G[place_F] - 1) / len(image_G)

    return {"uniform": uniform, "stratified": stratify, "importance": by_importance}[scheme]


def struck(
    sites: list[Population], image_G: np.ndarray, drawn: list[tuple[np.ndarray, ...]]
) -> tuple[SiteEstimates, SiteEstimates]:
    """Return the estimates of SDC rates and mean dLoss of all sites from the drawn faults."""
    place_F, fault_F, weight_F, choice_F = (np.concatenate(parts) for parts in list(zip(*drawn, strict=True))[:4])
    excess_F = np.concatenate([each[4] for each in drawn]) if len(drawn[0]) > 4 else None
    count = len(place_F) // len(sites)
    draws = Draws(len(sites), np.repeat(np.arange(len(sites)), count), choice_F, place_F, weight_F, excess=excess_F)
    parts = [slice(number * count, (number + 1) * count) for number in range(len(sites))]
    dloss_F, outcome_F = (
        np.concatenate(
            [getattr(site, name)[image_G[place_F[p]], fault_F[p]] for site, p in zip(sites, parts, strict=True)]
        )
        for name in ("dloss_NQ", "outcome_NQ")
    )
    hits_F = (outcome_F == "sdc").astype(np.float64)
    return means(draws, hits_F), means_where(draws, dloss_F, outcome_F != "non_finite")


def estimates(
    populations: dict[str, list[Population]],
    before: tuple[SiteEstimates, SiteEstimates],
    after: tuple[SiteEstimates, SiteEstimates],
) -> dict[str, Estimate]:
    """Return all estimates of a campaign with the first limit, and the factors over one with the second."""
    sites = next(iter(populations.values()))
    rates, dlosses = before
    alike_S, chosen_SS = np.full(len(sites), 1 / len(sites)), np.eye(len(sites))
    found = {}
    for site, chosen_S in zip(sites, chosen_SS, strict=True):
        found[f"SDC rate, {site.site}"] = share(rates, chosen_S)
        found[f"mean dLoss, {site.site}"] = dlosses.combined(chosen_S).estimate()
    found["SDC rate, network"] = share(rates, alike_S)
    found["mean dLoss, network"] = dlosses.combined(alike_S).estimate()
    for what, one, other in (("SDC rate", rates, after[0]), ("mean dLoss", dlosses, after[1])):
        for where, coefficient_S in (("last site", chosen_SS[-1]), ("network", alike_S)):
            found[f"factor in {what}, {where}"] = one.combined(coefficient_S).over(other.combined(coefficient_S))
    return found


def truth(populations: dict[str, list[Population]]) -> dict[str, float]:
    """Return the true values of all estimates."""
    (rate_S, dloss_S), (other_rate_S, other_dloss_S) = (
        np.array([((site.outcome_NQ == "sdc").mean(), np.nanmean(site.dloss_NQ)) for site in sites]).T
        for sites in populations.values()
    )
    true: dict[str, float] = {}
    for number, site in enumerate(next(iter(populations.values()))):
        true |= {f"SDC rate, {site.site}": rate_S[number], f"mean dLoss, {site.site}": dloss_S[number]}
    for what, one_S, other_S in (("SDC rate", rate_S, other_rate_S), ("mean dLoss", dloss_S, other_dloss_S)):
        true[f"{what}, network"] = one_S.mean()
        true[f"factor in {what}, last site"] = one_S[-1] / other_S[-1]
        true[f"factor in {what}, network"] = one_S.mean() / other_S.mean()
    return {name: float(value) for name, value in true.items()}


if __name__ == "__main__":
    main()
