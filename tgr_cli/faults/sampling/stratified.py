"""Stratified sampling: bits of a site with more variable effects get more faults.

The strata are the choices of the fault model, which must be few and equally likely: for the flip of one bit, the bits.

A pilot with equally many faults per bit estimates the standard deviation of the effects in each. The main stage
allocates faults in proportion to it, which minimises the variance of the estimate (J. Neyman, "On the two different
aspects of the representative method", Journal of the Royal Statistical Society 97, 1934). Only the main stage enters
the estimate: including the pilot, which determined the allocation, would bias it.

Suffixes: N images of the pool, S sites, B bits, F entries of a plan, U faults.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tgr_cli.errors import TgrError
from tgr_cli.faults.fault_models import Choices
from tgr_cli.faults.plan import Drawn, Plan
from tgr_cli.faults.sampling import uniform
from tgr_cli.faults.sampling.images import check
from tgr_cli.faults.sites import Site

FLOOR = 64  # minimum faults per bit in the main stage; an equal share if a site has too few


def pilot(
    sites: Sequence[Site],
    eligible_N: np.ndarray,
    counts_S: np.ndarray,
    *,
    choices: Choices,
    seed: int,
    images_per_fault: int | None = None,
) -> Plan:
    """Return a plan of `counts_S` faults at each site, equally many (or one more) in every bit.

    Images and elements are uniform, and independent of the main stage's. Otherwise as `uniform.draw`.
    """
    shares_SB = np.full((len(sites), choices.count), 1 / choices.count)
    return _plan(sites, eligible_N, counts_S, shares_SB, 0, "stratified pilot", choices, seed, images_per_fault)


def draw(
    sites: Sequence[Site],
    eligible_N: np.ndarray,
    counts_S: np.ndarray,
    shares_SB: np.ndarray,
    *,
    choices: Choices,
    seed: int,
    images_per_fault: int | None = None,
) -> Plan:
    """Return a plan of `counts_S` faults at each site; a bit gets its share in `shares_SB`, but at least `FLOOR`.

    Images and elements are uniform. The weight of a fault in one of B bits, which has n_b of n faults, is (1 / B) /
    (n_b / n), so that the mean of weight × x estimates the mean of x over all faults. Otherwise as `uniform.draw`.
    Raises TgrError also where `refuse_few` does.
    """
    refuse_few(min(counts_S, default=0), bits=shares_SB.shape[1])
    return _plan(sites, eligible_N, counts_S, shares_SB, FLOOR, "stratified", choices, seed, images_per_fault)


def refuse_few(count: int, *, bits: int) -> None:
    """Raise TgrError if a site has fewer than two faults per bit.

    An empty stratum cannot be estimated, and a stratum with a single fault has no variance estimate.
    """
    if count < 2 * bits:
        raise TgrError(
            f"{count} faults a site are too few for --sampling stratified, which needs 2 in each of {bits} bits; "
            f"use at least {2 * bits}, or another --sampling"
        )


def neyman(pilot: Plan, x_F: np.ndarray, *, bits: int) -> np.ndarray:
    """Return the Neyman allocation: each bit's share of a site's faults, [S, B], ∝ the standard deviation of x.

    `x_F` is the effect of each pilot fault (dLoss, or 1 and 0 for an event), NaN where undefined. If no fault of a site
    had an effect, its bits get equal shares.
    """
    deviation_SB = np.sqrt(variances(pilot, x_F, bits=bits))
    deviation_SB[deviation_SB.sum(axis=1) == 0] = 1
    return deviation_SB / deviation_SB.sum(axis=1, keepdims=True)


def variances(pilot: Plan, x_F: np.ndarray, *, bits: int) -> np.ndarray:
    """Return the variance of x within each bit of each site, [S, B], estimated from a pilot.

    The variance of n faults of a bit is increased by (mean square of all faults of the site) / (n + 1). Without it a
    few faults without effect would imply zero variance. A lasting fault counts once, with the mean over the
    images for which x is defined.
    """
    first_U, fault_F = pilot.by_fault()
    known_F = ~np.isnan(x_F)
    entries_U, total_U = np.bincount(fault_F, known_F), np.bincount(fault_F, np.where(known_F, x_F, 0))
    known_U = entries_U > 0
    x_U = total_U[known_U] / entries_U[known_U]
    cell_U = (pilot.site_F * bits + pilot.choice_F)[first_U][known_U]
    shape = (len(pilot.sites), bits)
    draws_SB, sum_SB, square_SB = (
        np.bincount(cell_U, weights, minlength=shape[0] * bits).reshape(shape) for weights in (None, x_U, x_U**2)
    )
    shown_SB, shown_S1 = np.maximum(draws_SB, 1), np.maximum(draws_SB.sum(axis=1, keepdims=True), 1)
    variance_SB = np.maximum(square_SB / shown_SB - (sum_SB / shown_SB) ** 2, 0)
    return variance_SB + square_SB.sum(axis=1, keepdims=True) / shown_S1 / (draws_SB + 1)


def sizes(count: int, shares_B: np.ndarray, floor: int) -> np.ndarray:
    """Return the number of faults per bit, int64 [B], with sum `count`: its share, but at least `floor`.

    If `count` is too small for the floor, the floor is an equal share. Rounding is by largest remainder.
    """
    floor = min(floor, count // len(shares_B))
    at_floor_B = np.zeros(len(shares_B), bool)
    while True:
        rest = count - floor * int(at_floor_B.sum())
        exact_B = np.where(at_floor_B, floor, shares_B / shares_B[~at_floor_B].sum() * rest)
        if (exact_B >= floor).all():
            break
        at_floor_B |= exact_B < floor
    size_B = np.floor(exact_B).astype(np.int64)
    largest = np.argsort(size_B - exact_B, kind="stable")[: count - int(size_B.sum())]
    size_B[largest] += 1
    return size_B


def _plan(
    sites: Sequence[Site],
    eligible_N: np.ndarray,
    counts_S: np.ndarray,
    shares_SB: np.ndarray,
    floor: int,
    stream: str,
    choices: Choices,
    seed: int,
    images_per_fault: int | None,
) -> Plan:
    check(eligible_N)
    bits = shares_SB.shape[1]

    def at(site: Site, count: int, shares_B: np.ndarray) -> Drawn:
        size_B = sizes(count, shares_B, floor)
        bit_of = np.repeat(np.arange(bits), size_B)
        weight_of = count / bits / size_B[bit_of]
        drawn = uniform.at(
            site, eligible_N, count, choices=choices, seed=seed, images_per_fault=images_per_fault, stream=stream
        )
        return replace(drawn, choice_F=bit_of[drawn.number_F], weight_F=weight_of[drawn.number_F])

    counts = np.asarray(counts_S).tolist()
    drawn = [at(*of_site) for of_site in zip(sites, counts, shares_SB, strict=True)]
    return Plan.joined(sites, drawn, lasting=images_per_fault is not None)
