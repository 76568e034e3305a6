"""Importance sampling: faults with a larger expected effect are drawn more often, with a smaller weight.

Doubtful images are struck more often than others (image_chances.py). Within an image, the golden run gives the change δ
of the neuron for each choice of the fault model, such as the flip of each bit (after the range limit), before the first
injection, and a backward pass an estimate d of the resulting change of the loss (faults/sensitivity.py). A fault is
drawn with q times its uniform probability within the image,

    q = u + (1 - u) · Q,   Q = ½ · |δ| / mean|δ| + ½ · |d| / mean|d|,

whose mean is 1; u is 0.1 over the chance of the image relative to equally likely ones. So the weight 1 / (chance · q)
is exact and at most 10, and the mean of weight × x is an unbiased estimate of the uniform mean of any x (M. H. Hansen
and W. N. Hurwitz, "On the theory of sampling from finite populations", Annals of Mathematical Statistics 14, 1943). The
first term bounds the weights; |δ| covers effects that d, a first-order estimate, understates.

For a large map, q is computed on a random subset of the elements, drawn anew for each image; every element has the same
probability of being in it. So it is for a fault model with many choices, or unequal ones.

Suffixes: N images of the pool, I eligible ones in the order in which they are struck, S sites, K images of one backward
pass, Q pairs of image and place, M elements, V choices, R faults of a pair.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from tgr_cli import seeding
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.fault_models import Choices
from tgr_cli.faults.gradients import Gradients
from tgr_cli.faults.places import Places
from tgr_cli.faults.plan import Drawn, Plan
from tgr_cli.faults.sampling.dealing import Dealt, Pairs
from tgr_cli.faults.sampling.image_chances import UNIFORM, chances, uniform_share
from tgr_cli.faults.sampling.images import check, permuted
from tgr_cli.faults.scale_groups import FaultFree, ScaleGroups
from tgr_cli.faults.sensitivity import Sensitivity
from tgr_cli.faults.sites import Site
from tgr_cli.reporting import SILENT, Reporter

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
    doubt_N: np.ndarray,
    choices: Choices,
    seed: int,
    places: Mapping[str, Places] | None = None,
    reporter: Reporter = SILENT,
) -> Plan:
    """Return a plan of `counts_S` faults at each site, drawn by importance.

    Eligible images are struck by their `doubt_N`, 1 - Top2Diff of the golden run, in a random order that is the same at
    all sites. With `places`, by the name of the site, the faults of a site are dealt to its places in turn; those of a
    place go through the images in the same order, from one of its own on. `load` returns the images at the given
    positions of the pool as x_KCHW; losses are computed against `labels_N`. Raises TgrError if no image is eligible or
    the model is not differentiable.
    """
    check(eligible_N)
    order = permuted(eligible_N, seed=seed)
    dealt = []
    for site, count in zip(sites, counts_S, strict=True):
        chance_I = chances(doubt_N[order], logits=gradients.gives_logits(site.name))
        within = places[site.name] if places else Places.whole(site)
        dealt.append(Dealt.of(site, within, int(count), chance_I, seed=seed))
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
            for pairs in of_site.at(turn_K, MAX_ELEMENTS // min(of_site.places.size, ELEMENTS_A_FAULT)):
                done.append(_at_images(of_site, sensitivities[name], pairs, image_K[pairs.row_Q], *knowing))
        reporter.progress("drawing faults", start + len(image_K), len(struck_I))
    return Plan.joined(sites, [in_order(done) for done in parts])


def _at_images(
    dealt: Dealt,
    sensitivity: Sensitivity,
    pairs: Pairs,
    image_Q: np.ndarray,
    corruption: Corruption,
    choices: Choices,
    groups: ScaleGroups | None,
    seed: int,
) -> Drawn:
    """Return the faults of pairs of place and image, whose images are `image_Q`."""
    site, places, count = dealt.site, dealt.places, dealt.count
    rows = torch.from_numpy(pairs.row_Q).to(sensitivity.values_KN.device)
    sensitivity = sensitivity.of_rows(rows)
    within_QM = elements(site, image_Q, pairs.number_QR.shape[1], seed, among=places.size)
    element_QM = places.elements(pairs.place_Q[:, None], within_QM)
    place_QM = torch.from_numpy(element_QM).to(rows.device)
    values_QM = sensitivity.at(place_QM)
    choice_QV = choices.candidates(seed, site.name, image_Q)
    fault_free = None if groups is None else FaultFree(groups, sensitivity.read)
    change_QMV = changes(corruption, site, place_QM, values_QM, torch.from_numpy(choice_QV), fault_free)
    chance_Q = dealt.chance_I[pairs.turn_Q]
    uniform_Q = torch.from_numpy(uniform_share(chance_Q)).float().to(rows.device)
    q_QMV = relative(change_QMV, sensitivity.loss_change(place_QM, change_QMV), uniform_Q).cpu()
    words_QR = seeding.words(seed, "importance", site.name, count=count)[np.minimum(pairs.number_QR, count - 1)]
    chosen_QR, drawn_QR, weight_QR = pick(q_QMV, torch.from_numpy(seeding.unit(words_QR[..., :2])))
    wanted_QR = pairs.number_QR < count
    image_weight_QR = np.broadcast_to(1 / chance_Q[:, None], wanted_QR.shape)
    row_Q1 = np.minimum(np.arange(len(image_Q)), len(choice_QV) - 1)[:, None]
    return Drawn(
        number_F=pairs.number_QR[wanted_QR],
        image_F=np.broadcast_to(image_Q[:, None], wanted_QR.shape)[wanted_QR],
        element_F=np.take_along_axis(element_QM, chosen_QR.numpy(), axis=1)[wanted_QR],
        choice_F=choice_QV[row_Q1, drawn_QR.numpy()][wanted_QR],
        weight_F=(weight_QR.numpy() * image_weight_QR)[wanted_QR],
        image_weight_F=image_weight_QR[wanted_QR],
        image_excess_F=np.broadcast_to((chance_Q - 1)[:, None] / len(dealt.chance_I), wanted_QR.shape)[wanted_QR],
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
    own, which_K = np.unique(image_K, return_inverse=True)
    draws = [seeding.words(seed, "elements", site.name, int(image), count=size // 4).ravel() for image in own]
    place_KM = np.arange(size) + seeding.unit(np.stack(draws))[which_K]
    return np.minimum((place_KM * (among / size)).astype(np.int64), among - 1)


def relative(change_KMV: Tensor, loss_KMV: Tensor, uniform_K: Tensor | float = UNIFORM) -> Tensor:
    """Return q of every choice, [K, M, V]: its probability relative to the uniform one; the mean of a row is 1.

    `loss_KMV` is the estimated change of the loss, in any unit; `uniform_K` is the weight of the uniform term. If the
    mean of another term is 0, its weight goes to the uniform one.
    """
    uniform_K11 = torch.as_tensor(uniform_K, dtype=change_KMV.dtype, device=change_KMV.device).view(-1, 1, 1)
    q_KMV, share_K11 = uniform_K11.expand_as(change_KMV).clone(), (1 - uniform_K11) / 2
    for term_KMV in (change_KMV.abs(), loss_KMV):
        mean_K11 = term_KMV.flatten(1).mean(dim=1)[:, None, None]
        q_KMV += torch.where(mean_K11 > 0, 0.0, share_K11)
        q_KMV.addcmul_(term_KMV, torch.where(mean_K11 > 0, share_K11 / mean_K11, 0.0))
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
        none, nothing = np.zeros(0, np.int64), np.zeros(0)
        return Drawn(none, none, none, none, nothing, nothing, nothing)
    given = [field.name for field in fields(Drawn) if getattr(parts[0], field.name) is not None]
    whole = {name: np.concatenate([getattr(part, name) for part in parts]) for name in given}
    order = np.argsort(whole["number_F"])
    return Drawn(**{name: value[order] for name, value in whole.items()})
