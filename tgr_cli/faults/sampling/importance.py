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

Suffixes: N images of the pool, S sites, F faults, K images of one backward pass, M elements, V choices, R faults of an
image.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from tgr_cli import seeding
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.fault_models import Choices
from tgr_cli.faults.gradients import Gradients
from tgr_cli.faults.plan import Drawn, Plan
from tgr_cli.faults.sampling.images import check, numbers, permuted
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
    reporter: Reporter = SILENT,
) -> Plan:
    """Return a plan of `counts_S` faults at each site, drawn by importance.

    Eligible images are used in a random order that is the same at all sites, each equally often (or once more). `load`
    returns the images at the given positions of the pool as x_KCHW; losses are computed against `labels_N`. Raises
    TgrError if no image is eligible or the model is not differentiable.
    """
    check(eligible_N)
    counts = [int(count) for count in counts_S]
    order = permuted(eligible_N, seed=seed)
    parts: list[list[Drawn]] = [[] for _ in sites]
    struck = min(len(order), max(counts))
    groups_of: dict[str, ScaleGroups] = {}
    if corruption.form is not None and corruption.reads_groups:
        groups_of = {site.name: gradients.network.scale_groups(site, corruption.form) for site in sites}
    for start in range(0, struck, gradients.images_at_once):
        image_K = order[start : min(start + gradients.images_at_once, struck)]
        sensitivities = gradients.of(load(image_K), torch.from_numpy(labels_N[image_K]))
        for site, count, done in zip(sites, counts, parts, strict=True):
            number_KR = numbers(start, len(image_K), count, len(order))
            if (number_KR < count).any():
                sensitivity, groups = sensitivities[site.name], groups_of.get(site.name)
                done.append(_at_images(site, sensitivity, image_K, number_KR, count, corruption, choices, groups, seed))
        reporter.progress("drawing faults", start + len(image_K), struck)
    return Plan.joined(sites, [in_order(done) for done in parts])


def _at_images(
    site: Site,
    sensitivity: Sensitivity,
    image_K: np.ndarray,
    number_KR: np.ndarray,
    count: int,
    corruption: Corruption,
    choices: Choices,
    groups: ScaleGroups | None,
    seed: int,
) -> Drawn:
    """Return the faults numbered `number_KR`, row k in image k; numbers >= `count` are left out."""
    element_KM = elements(site, image_K, number_KR.shape[1], seed)
    place_KM = torch.from_numpy(element_KM).to(sensitivity.values_KN.device)
    values_KM = sensitivity.at(place_KM)
    choice_KV = choices.candidates(seed, site.name, image_K)
    fault_free = None if groups is None else FaultFree(groups, sensitivity.read)
    change_KMV = changes(corruption, site, place_KM, values_KM, torch.from_numpy(choice_KV), fault_free)
    q_KMV = relative(change_KMV, sensitivity.loss_change(place_KM, change_KMV)).cpu()
    words_KR = seeding.words(seed, "importance", site.name, count=count)[np.minimum(number_KR, count - 1)]
    chosen_KR, place_KR, weight_KR = pick(q_KMV, torch.from_numpy(seeding.unit(words_KR[..., :2])))
    wanted_KR, row_K1 = number_KR < count, np.arange(len(image_K))[:, None]
    return Drawn(
        number_F=number_KR[wanted_KR],
        image_F=np.broadcast_to(image_K[:, None], number_KR.shape)[wanted_KR],
        element_F=np.take_along_axis(element_KM, chosen_KR.numpy(), axis=1)[wanted_KR],
        choice_F=choice_KV[np.minimum(row_K1, len(choice_KV) - 1), place_KR.numpy()][wanted_KR],
        weight_F=weight_KR.numpy()[wanted_KR],
    )


def elements(site: Site, image_K: np.ndarray, faults: int, seed: int, *, most: int = MAX_ELEMENTS) -> np.ndarray:
    """Return each image's candidate elements, int64 [K, M].

    All elements of a small map; otherwise one random element of each of M equal parts of the map.
    """
    size = min(ELEMENTS_A_FAULT * faults, most)
    if site.neurons <= size:
        return np.tile(np.arange(site.neurons), (len(image_K), 1))
    draws = [seeding.words(seed, "elements", site.name, int(image), count=size // 4).ravel() for image in image_K]
    place_KM = np.arange(size) + seeding.unit(np.stack(draws))
    return np.minimum((place_KM * (site.neurons / size)).astype(np.int64), site.neurons - 1)


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
