"""Uniform sampling: every eligible image and element of a site is equally likely, as in the papers.

What happens to the element is a choice of the fault model, by its own distribution: for the flip of one bit, any bit.

Fault f of a site depends only on the seed, the site's name, f and the pool of images. It does not depend on batch size,
device, engine, order, the other sites or the number of faults.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tgr_cli import seeding
from tgr_cli.faults.fault_models import Choices
from tgr_cli.faults.places import Places
from tgr_cli.faults.plan import Drawn, Plan
from tgr_cli.faults.sampling.images import MAX_ATTEMPTS, check, several, too_few
from tgr_cli.faults.sites import Site


def draw(
    sites: Sequence[Site],
    eligible_N: np.ndarray,
    counts_S: np.ndarray,
    *,
    choices: Choices,
    seed: int,
    images_per_fault: int | None = None,
    places: Mapping[str, Places] | None = None,
) -> Plan:
    """Return a plan of `counts_S` faults at each site, each uniform over eligible images and elements, with its choice.

    With `places`, by the name of the site, the faults of a site are dealt to its places in turn, and each is uniform
    over the elements of its own.

    `eligible_N` (bool) marks the eligible images of the pool. A fault that falls on another image is redrawn with the
    next attempt's key, so that adding or removing one image changes only the faults that fall on it. Lasting faults are
    tried on `images_per_fault` distinct images each; None is for faults of one inference. Raises TgrError if too few
    images are eligible.
    """
    check(eligible_N)
    drawn = [
        at(
            site,
            eligible_N,
            int(count),
            choices=choices,
            seed=seed,
            images_per_fault=images_per_fault,
            places=places[site.name] if places else None,
        )
        for site, count in zip(sites, counts_S, strict=True)
    ]
    return Plan.joined(sites, drawn, lasting=images_per_fault is not None)


def at(
    site: Site,
    eligible_N: np.ndarray,
    count: int,
    *,
    choices: Choices,
    seed: int,
    images_per_fault: int | None = None,
    stream: str = "fault",
    places: Places | None = None,
) -> Drawn:
    """Return `count` faults at one site; another `stream` gives independent faults."""
    places = places or Places.whole(site)
    place_F = places.of_number(np.arange(count))
    if images_per_fault is not None:
        words_F4 = seeding.words(seed, stream, site.name, 0, count=count)
        image_FK = several(site.name, eligible_N, count, images_per_fault, seed=seed, stream=stream)
        return Drawn(
            number_F=np.repeat(np.arange(count), images_per_fault),
            image_F=image_FK.ravel(),
            element_F=np.repeat(places.elements(place_F, seeding.below(words_F4[:, 1], places.size)), images_per_fault),
            choice_F=np.repeat(choices.drawn(words_F4[:, 2], words_F4[:, 3]), images_per_fault),
            weight_F=np.ones(count * images_per_fault),
        )
    image_F, element_F, choice_F = (np.zeros(count, np.int64) for _ in range(3))
    open_F = np.ones(count, bool)
    for attempt in range(MAX_ATTEMPTS):
        words_F4 = seeding.words(seed, stream, site.name, attempt, count=count)[open_F]
        image_F[open_F] = seeding.below(words_F4[:, 0], len(eligible_N))
        element_F[open_F] = places.elements(place_F[open_F], seeding.below(words_F4[:, 1], places.size))
        choice_F[open_F] = choices.drawn(words_F4[:, 2], words_F4[:, 3])
        open_F &= ~eligible_N[image_F]
        if not open_F.any():
            return Drawn(np.arange(count), image_F, element_F, choice_F, np.ones(count))
    raise too_few(eligible_N)
