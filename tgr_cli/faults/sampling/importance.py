"""Importance sampling: faults with a larger expected effect are drawn more often, with a smaller weight.

Before the first injection the golden run gives the change δ of the neuron for each choice of the fault model, such as
the flip of each bit (after the range limit), and a
backward pass an estimate d of the resulting change of the loss (faults/sensitivity.py). Within an image a fault is
drawn with q times its uniform probability,

    q = 0.1 + 0.45 · |δ| / mean|δ| + 0.45 · |d| / mean|d|,

whose mean is 1. So the weight 1 / q is exact and at most 10, and the mean of weight × x is an unbiased estimate of the
uniform mean of any x (M. H. Hansen and W. N. Hurwitz, "On the theory of sampling from finite populations", Annals of
Mathematical Statistics 14, 1943). The first term bounds the weights; the second covers effects that d, a first-order
estimate, understates.

For a large map, q is computed on a random subset of the elements, drawn anew for each image; every element has the same
probability of being in it. So it is for a fault model with many choices, or unequal ones.

Suffixes: N images of the pool, I turns of the eligible ones, S sites, P places of a site, F faults, K images of one
backward pass, Q pairs of image and place, M elements, V choices, R faults of a place in an image.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from tgr_cli import seeding
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.fault_models import Choices
from tgr_cli.faults.gradients import Gradients
from tgr_cli.faults.places import Places
from tgr_cli.faults.plan import Drawn, Plan
from tgr_cli.faults.sampling.images import check, first_images, permuted
from tgr_cli.faults.scale_groups import FaultFree, ScaleGroups
from tgr_cli.faults.sensitivity import Sensitivity
from tgr_cli.faults.sites import Site
from tgr_cli.reporting import SILENT, Reporter

UNIFORM, CHANGE, LOSS = 0.1, 0.45, 0.45  # weights of q's three terms
ELEMENTS_A_FAULT = 256  # candidate elements per fault; enough that the choice of candidates adds almost no variance
MAX_ELEMENTS = 4096


def draw(
    sites: Sequence[Site],
    eligible_N: np.ndarray,
    counts_S: np.ndarray,
    *,
    gradients: Gradients,
    corruption: Corruption,
    load: Callable[[np.ndarray], Tensor],
    labels_N: np.ndarray,
    choices: Choices,
    seed: int,
    places: Mapping[str, Places] | None = None,
    reporter: Reporter = SILENT,
) -> Plan:
    """Return a plan of `counts_S` faults at each site, drawn by importance.

    Eligible images are used in a random order that is the same at all sites, each equally often (or once more). With
    `places`, by the name of the site, the faults of a site are dealt to its places in turn; those of a place go through
    the images in the same order, from one of its own on. `load` returns the images at the given positions of the pool
    as x_KCHW; losses are computed against `labels_N`. Raises TgrError if no image is eligible or the model is not
    differentiable.
    """
    check(eligible_N)
    order = permuted(eligible_N, seed=seed)
    dealt = [
        Dealt.of(site, places[site.name] if places else Places.whole(site), int(count), len(order), seed=seed)
        for site, count in zip(sites, counts_S, strict=True)
    ]
    parts: list[list[Drawn]] = [[] for _ in sites]
    struck_I = np.unique(np.concatenate([of_site.struck() for of_site in dealt]))
    groups_of: dict[str, ScaleGroups] = {}
    if corruption.form is not None and corruption.reads_groups:
        groups_of = {site.name: gradients.network.scale_groups(site, corruption.form) for site in sites}
    for start in range(0, len(struck_I), gradients.images_at_once):
        turn_K = struck_I[start : start + gradients.images_at_once]
        image_K = order[turn_K]
        sensitivities = gradients.of(load(image_K), torch.from_numpy(labels_N[image_K]))
        for of_site, done in zip(dealt, parts, strict=True):
            name = of_site.site.name
            knowing = (corruption, choices, groups_of.get(name), seed)
            for place_KP, number_KPR in of_site.at(turn_K):
                done.append(_at_images(of_site, sensitivities[name], image_K, place_KP, number_KPR, *knowing))
        reporter.progress("drawing faults", start + len(image_K), len(struck_I))
    return Plan.joined(sites, [in_order(done) for done in parts])


@dataclass(frozen=True)
class Dealt:
    """The `count` faults of a site, dealt to its places in turn, and those of a place to the images in turn.

    Place p begins with the image whose turn is `first_P[p]` among `images`.
    """

    site: Site
    places: Places
    count: int
    images: int
    first_P: np.ndarray

    @classmethod
    def of(cls, site: Site, places: Places, count: int, images: int, *, seed: int) -> "Dealt":
        """Return the faults of a site, dealt to `images` images; `count` is a multiple of the number of places."""
        assert count % places.count == 0, (count, places.count)
        return cls(site, places, count, images, first_images(site.name, places.count, images, seed=seed))

    @property
    def most(self) -> int:
        """Return the largest number of faults of one place in one image."""
        return -(-self.count // self.places.count // self.images)

    def struck(self) -> np.ndarray:
        """Return the turns of the images that get a fault, ascending."""
        each = min(self.count // self.places.count, self.images)
        return np.unique((self.first_P[:, None] + np.arange(each)) % self.images)

    def at(self, turn_K: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield places [K, P] with the numbers [K, P, R] of their faults in each image; those >= `count` are none.

        A yield holds few enough places for the memory that one place of the largest number of candidates takes.
        """
        if not self.count:
            return
        turn_KP = (turn_K[:, None] - self.first_P) % self.images
        number_KP = turn_KP * self.places.count + np.arange(self.places.count)
        wanted_KP = number_KP < self.count
        place_KP = np.argsort(~wanted_KP, axis=1, kind="stable")[:, : int(wanted_KP.sum(axis=1).max(initial=0))]
        number_KP = np.take_along_axis(number_KP, place_KP, axis=1)
        step = max(1, MAX_ELEMENTS // min(self.places.size, ELEMENTS_A_FAULT * self.most))
        later_R = np.arange(self.most) * self.images * self.places.count
        for start in range(0, place_KP.shape[1], step):
            own = slice(start, start + step)
            yield place_KP[:, own], number_KP[:, own, None] + later_R


def _at_images(
    dealt: Dealt,
    sensitivity: Sensitivity,
    image_K: np.ndarray,
    place_KP: np.ndarray,
    number_KPR: np.ndarray,
    corruption: Corruption,
    choices: Choices,
    groups: ScaleGroups | None,
    seed: int,
) -> Drawn:
    """Return the faults numbered `number_KPR`, row k in image k; numbers >= `count` are left out."""
    site, places, count = dealt.site, dealt.places, dealt.count
    within_K1M = elements(site, image_K, number_KPR.shape[2], seed, among=places.size)[:, None]
    element_KPM = places.elements(place_KP[..., None], within_K1M)
    place_KM = torch.from_numpy(element_KPM.reshape(len(image_K), -1)).to(sensitivity.values_KN.device)
    values_KM = sensitivity.at(place_KM)
    choice_KV = choices.candidates(seed, site.name, image_K)
    fault_free = None if groups is None else FaultFree(groups, sensitivity.read)
    change_KMV = changes(corruption, site, place_KM, values_KM, torch.from_numpy(choice_KV), fault_free)
    loss_KMV = sensitivity.loss_change(place_KM, change_KMV)
    rows, each = place_KP.size, element_KPM.shape[2]  # from here on, a row for each image and place
    q_QMV = relative(*(x_KMV.reshape(rows, each, -1) for x_KMV in (change_KMV, loss_KMV))).cpu()
    number_QR = number_KPR.reshape(rows, -1)
    words_QR = seeding.words(seed, "importance", site.name, count=count)[np.minimum(number_QR, count - 1)]
    chosen_QR, drawn_QR, weight_QR = pick(q_QMV, torch.from_numpy(seeding.unit(words_QR[..., :2])))
    wanted_QR, row_Q1 = number_QR < count, np.arange(rows)[:, None] // place_KP.shape[1]
    return Drawn(
        number_F=number_QR[wanted_QR],
        image_F=np.broadcast_to(image_K[row_Q1], number_QR.shape)[wanted_QR],
        element_F=np.take_along_axis(element_KPM.reshape(rows, each), chosen_QR.numpy(), axis=1)[wanted_QR],
        choice_F=choice_KV[np.minimum(row_Q1, len(choice_KV) - 1), drawn_QR.numpy()][wanted_QR],
        weight_F=weight_QR.numpy()[wanted_QR],
    )


def elements(
    site: Site, image_K: np.ndarray, faults: int, seed: int, *, most: int = MAX_ELEMENTS, among: int | None = None
) -> np.ndarray:
    """Return each image's candidate elements, int64 [K, M], of the `among` elements of a place (None: of the site).

    All elements if they are few; otherwise one random element of each of M equal parts.
    """
    among = site.neurons if among is None else among
    size = min(ELEMENTS_A_FAULT * faults, most)
    if among <= size:
        return np.tile(np.arange(among), (len(image_K), 1))
    draws = [seeding.words(seed, "elements", site.name, int(image), count=size // 4).ravel() for image in image_K]
    place_KM = np.arange(size) + seeding.unit(np.stack(draws))
    return np.minimum((place_KM * (among / size)).astype(np.int64), among - 1)


def relative(change_KMV: Tensor, loss_KMV: Tensor) -> Tensor:
    """Return q of every choice, [K, M, V]: its probability relative to the uniform one; the mean of a row is 1.

    `loss_KMV` is the estimated change of the loss, in any unit. If the mean of a term is 0, its weight goes to the
    uniform term.
    """
    q_KMV = torch.full_like(change_KMV, UNIFORM)
    for share, term_KMV in ((CHANGE, change_KMV.abs()), (LOSS, loss_KMV)):
        mean_K11 = term_KMV.flatten(1).mean(dim=1)[:, None, None]
        q_KMV += torch.where(mean_K11 > 0, 0.0, share)
        q_KMV.addcmul_(term_KMV, torch.where(mean_K11 > 0, share / mean_K11, 0.0))
    return q_KMV


def changes(
    corruption: Corruption,
    site: Site,
    place_KM: Tensor,
    values_KM: Tensor,
    choice_KV: Tensor,
    fault_free: FaultFree | None = None,
) -> Tensor:
    """Return the change of a site's values at `place_KM` by each choice, after the range limit, [K, M, V] in float32.

    Without a limit they may be infinite, and q's mean would be too. They are then clamped to the range of the image's
    values: beyond it the effect hardly grows, and any positive q keeps the estimate unbiased.
    """
    after_KMV = corruption.every_choice(
        site, place_KM, values_KM, choice_KV[:, None].to(values_KM.device), fault_free
    ).seen
    if corruption.limit.mode == "none":
        bound_K11 = values_KM.abs().amax(dim=1)[:, None, None]
        after_KMV = torch.where(after_KMV.isnan(), bound_K11, after_KMV).clamp(-bound_K11, bound_K11)
    return after_KMV.float().sub_(values_KM.float()[..., None]).nan_to_num_(0.0, 0.0, 0.0)


def pick(q_KMV: Tensor, unit_KR2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return candidate element (of M), choice (of V) and weight of R faults per row, drawn in proportion to q; [K, R].

    The element is drawn from q summed over choices, then the choice; `unit_KR2` holds two numbers in [0, 1) each.
    """
    _, elements, choices = q_KMV.shape
    upto_KM = q_KMV.sum(dim=2).cumsum(dim=1, dtype=torch.float64)
    total_K1 = upto_KM[:, -1:].clone()
    place_KR = torch.searchsorted(upto_KM, unit_KR2[..., 0] * total_K1, right=True).clamp_max(elements - 1)
    q_KRV = q_KMV.gather(1, place_KR[..., None].expand(-1, -1, choices)).double()
    upto_KRV = q_KRV.cumsum(dim=2)
    choice_KR1 = torch.searchsorted(upto_KRV, unit_KR2[..., 1:] * upto_KRV[..., -1:], right=True).clamp_max(choices - 1)
    weight_KR = total_K1 / (elements * choices) / q_KRV.gather(2, choice_KR1)[..., 0]
    return place_KR, choice_KR1[..., 0], weight_KR


def in_order(parts: Sequence[Drawn]) -> Drawn:
    """Return faults of one site, drawn in parts, in number order."""
    if not parts:
        none = np.zeros(0, np.int64)
        return Drawn(none, none, none, none, np.zeros(0))
    whole = {field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Drawn)}
    order = np.argsort(whole["number_F"])
    return Drawn(**{name: value[order] for name, value in whole.items()})
